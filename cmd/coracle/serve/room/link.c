/* SPDX-License-Identifier: MIT */
/* What one room sends to others and hears of them. */
#include "serve/room/link.h"

#include "serve/room/delivery.h"
#include "serve/room/pace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- what comes */

/* Counts the members of all nodes. Under the lock. */
static void count_nodes(struct link *link)
{
    uint64_t members;
    size_t nodes = nodes_count(&link->nodes, cor_now(), &members);
    atomic_store(&link->all_nodes, nodes + 1);
    atomic_store(&link->all_members, members + atomic_load(&link->room->members));
}

/* Adds lines to the log. Returns how many found room. Under the lock. */
static uint32_t add_lines(struct link *link, const char *text, size_t size)
{
    struct room *room = link->room;
    uint32_t count = 0;
    for (const char *end = text + size; text < end && pace_wait(room, (size_t)(end - text)); count++) {
        size_t line = frame_skip(text, (size_t)(end - text), 1);
        if (!msglog_add(&room->log, &link->reader, MSG_SAID, text, line)) {
            break;
        }
        member_note_growth(room);
        text += line;
    }
    msglog_end_batch(&room->log);
    delivery_flush(room);
    return count;
}

static void take_frame(struct link *link, const struct frame *frame)
{
    struct uplink *up = link->up;
    cor_mutex_lock(&link->room->lock);
    struct nodes_news news = nodes_hear(&link->nodes, frame, cor_now());
    size_t skipped = frame_skip(frame->text, frame->size, news.known);
    if (link->others > 0) {
        uplink_make_ready(link); /* it may wait for that node */
    }
    uint32_t heard = frame->size > skipped ? add_lines(link, frame->text + skipped, frame->size - skipped) : 0;
    count_nodes(link);
    cor_mutex_unlock(&link->room->lock);
    news.lost += frame->count - news.known - heard;
    count_more(&up->received, heard);
    count_more(&up->repeated, news.known);
    count_more(&up->missed, news.lost);
    if (news.lost > 0) {
        LOG(LEVEL_WARN, "bus_missed", {"messages", NULL, (int64_t)news.lost});
    }
}

void link_take(struct link *link, const char *bytes, size_t size)
{
    struct frame frame;
    if (!frame_read(bytes, size, &frame)) {
        count_more(&link->up->bad_frames, 1);
        LOG(LEVEL_WARN, "bus_refused", {"bytes", NULL, (int64_t)size});
    } else if (frame.node != link->id) {
        take_frame(link, &frame);
    }
}

/* --- what is said */

/* Tells what the log has had to give up. */
static void note_backlog(struct link *link)
{
    uint64_t lost = link->reader.dropped_here - link->backlog_told;
    if (lost > 0) {
        link->backlog_told = link->reader.dropped_here;
        count_more(&link->up->lost_backlog, lost);
        LOG(LEVEL_WARN, "bus_backlog_lost", {"messages", NULL, (int64_t)lost});
    }
}

void link_look(struct link *link)
{
    cor_mutex_lock(&link->room->lock);
    count_nodes(link);
    uplink_share(link);
    cor_mutex_unlock(&link->room->lock);
    note_backlog(link);
}

/* Whether what there is waits for nodes that there were before the connection was lost. Under the lock. */
static bool awaits_others(struct link *link)
{
    if (atomic_load(&link->ending) || cor_now() - link->back >= BACKOFF_MOST_NS ||
        nodes_since(&link->nodes, link->back) >= link->others) {
        link->others = 0;
    }
    return link->others > 0;
}

bool link_next(struct link *link)
{
    struct room *room = link->room;
    cor_mutex_lock(&room->lock);
    count_nodes(link);
    bool more = !awaits_others(link) && msglog_next(&room->log, &link->reader);
    uplink_share(link);
    cor_mutex_unlock(&room->lock);
    note_backlog(link);
    return more;
}

/* Sends the next lines, or a sign of life; before the text is place for a head. Returns as bus_ops.publish. */
static int send_frame(struct link *link, char *text, size_t size)
{
    char line[FRAME_HEAD_MAX];
    const struct frame frame = {.node = link->id,
                                .first = link->said + link->reader.dropped_here,
                                .count = frame_lines(text, size),
                                .members = (uint32_t)atomic_load(&link->room->members)};
    size_t head = frame_head(&frame, line);
    memcpy(text - head, line, head);
    int code = uplink_publish(link, text - head, head + size);
    if (code == 0) {
        count_more(&link->up->sent, frame.count);
    } else if (code == -EMSGSIZE) {
        count_more(&link->up->lost_too_long, frame.count);
        LOG(LEVEL_WARN, "bus_too_long", {"bytes", NULL, (int64_t)size});
        code = 0;
    }
    return code;
}

int link_send(struct link *link)
{
    struct msg_run run;
    size_t most = link->up->ops->max_size(link->up->bus);
    int code = 0;
    while (code == 0 && msglog_peek(&link->reader, &run)) {
        msglog_shorten(&link->reader, &run, most > FRAME_HEAD_MAX ? most - FRAME_HEAD_MAX : 0);
        char *bytes = malloc(FRAME_HEAD_MAX + run.size);
        if (bytes == NULL) {
            return -ENOMEM;
        }
        char *text = bytes + FRAME_HEAD_MAX;
        size_t size = msglog_copy(&link->reader, &run, "", 0, text);
        uint32_t lines = frame_lines(text, size);
        code = lines > 0 ? send_frame(link, text, size) : 0;
        if (code == 0) {
            link->said += lines;
            msglog_take(&link->reader, &run);
        }
        free(bytes);
    }
    return code;
}

int link_send_beat(struct link *link)
{
    char beat[FRAME_HEAD_MAX];
    return send_frame(link, beat + FRAME_HEAD_MAX, 0);
}

void link_is_back(struct link *link)
{
    cor_mutex_lock(&link->room->lock);
    link->back = cor_now();
    cor_mutex_unlock(&link->room->lock);
}

void link_is_lost(struct link *link)
{
    cor_mutex_lock(&link->room->lock);
    link->others = nodes_lately(&link->nodes);
    cor_mutex_unlock(&link->room->lock);
}

/* --- the link as a whole */

static void free_link(struct link *link)
{
    struct room *room = link->room;
    cor_mutex_lock(&room->lock);
    room->link = NULL;
    if (link->reader.block != NULL) {
        msglog_leave(&room->log, &link->reader);
    }
    cor_mutex_unlock(&room->lock);
    atomic_fetch_sub(&link->up->held, link->held);
    free(link->subject);
    free(link);
}

int link_start(struct room *room, struct uplink *up)
{
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return -ENOMEM;
    }
    link->room = room;
    link->up = up;
    link->reader.passes_on = true;
    link->subject = room_name_subject(up->options->subject, room->name);
    bool done = link->subject != NULL && getrandom(&link->id, sizeof(link->id), 0) == (ssize_t)sizeof(link->id);
    cor_mutex_lock(&room->lock);
    done = done && msglog_enter(&room->log, &link->reader);
    room->link = done ? link : NULL;
    cor_mutex_unlock(&room->lock);
    if (!done) {
        free_link(link);
        return -ENOMEM;
    }
    uplink_enter(link);
    return 0;
}

void link_stop(struct link *link)
{
    if (link != NULL) {
        uplink_leave(link);
        free_link(link);
    }
}

void link_members(const struct link *link, uint64_t *nodes, uint64_t *members)
{
    *nodes = atomic_load(&link->all_nodes);
    *members = atomic_load(&link->all_members);
}

/* SPDX-License-Identifier: MIT */
/* The two tasks of a link: `talk` goes round from connecting to sending to a pause, `hear` adds what comes. */
#include "serve/room/link.h"

#include "serve/room/delivery.h"
#include "serve/room/nodes.h"
#include "serve/room/pace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A node that has nothing to say gives a sign of life so often. */
#define BEAT_NS COR_SECOND
#define BACKOFF_FIRST_NS (200 * COR_MILLISECOND)
#define BACKOFF_MOST_NS (5 * COR_SECOND)

/* Frames that wait for their turn here; the others wait on the bus's side. */
enum { INBOX = 16 };

/* What the bus's threads send to the task `hear`: a frame, or no bytes and the number of the call that is over. */
struct parcel {
    char *bytes;
    size_t size;
};

struct link {
    struct room *room;
    const bus_ops *ops;
    struct bus *bus;
    cor_chan *inbox;
    cor_group tasks;
    uint64_t id;              /* this node's */
    uint64_t chance;          /* of the pauses */
    struct msg_reader reader; /* the talking task's */
    uint64_t said;            /* lines that the bus was given; the talking task's */
    int64_t beat;             /* when the next sign of life is due; the talking task's */
    cor_waitgroup going;      /* 1 until the link ends */
    bool lost;                /* guard: the room's lock; the connection is gone */
    bool ending;              /* guard: the room's lock */
    struct nodes nodes;       /* guard: the room's lock */
    size_t others;            /* nodes there were when the connection was lost; the talking task's */
    uint64_t backlog_told;    /* lost_backlog when the log was told of it */

    _Atomic size_t calls; /* attempts to connect; the talking task's */
    atomic_bool connected;
    _Atomic int64_t since;
    _Atomic uint64_t connects, sent, received, lost_backlog, lost_too_long, missed, repeated, slow_frames, bad_frames,
        all_nodes, all_members;
};

static void count_more(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* --- what comes */

/* For bus_events; on a thread of the bus's. */
static void on_frame(void *arg, const char *bytes, size_t size)
{
    struct link *link = arg;
    struct parcel parcel = {.bytes = malloc(size + 1), .size = size};
    if (parcel.bytes == NULL) {
        count_more(&link->slow_frames, 1);
        return;
    }
    memcpy(parcel.bytes, bytes, size);
    if (cor_chan_send_foreign(link->inbox, &parcel, 0) < 0) {
        free(parcel.bytes);
    }
}

/* For bus_events; on a thread of the bus's. */
static void on_lost(void *arg)
{
    struct link *link = arg;
    int code = cor_chan_send_foreign(link->inbox, &(struct parcel){.size = atomic_load(&link->calls)}, 0);
    (void)code; /* it fails when all is over */
}

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
    cor_mutex_lock(&link->room->lock);
    struct nodes_news news = nodes_hear(&link->nodes, frame, cor_now());
    size_t skipped = frame_skip(frame->text, frame->size, news.known);
    member_wake_link(link->room); /* it may wait for that node */
    uint32_t heard = frame->size > skipped ? add_lines(link, frame->text + skipped, frame->size - skipped) : 0;
    count_nodes(link);
    cor_mutex_unlock(&link->room->lock);
    news.lost += frame->count - news.known - heard;
    count_more(&link->received, heard);
    count_more(&link->repeated, news.known);
    count_more(&link->missed, news.lost);
    if (news.lost > 0) {
        LOG(LEVEL_WARN, "bus_missed", {"messages", NULL, (int64_t)news.lost});
    }
}

static void take_loss(struct link *link, size_t call)
{
    cor_mutex_lock(&link->room->lock);
    if (call == atomic_load(&link->calls)) {
        link->lost = true;
        member_wake_link(link->room);
    }
    cor_mutex_unlock(&link->room->lock);
}

/* Takes what comes until the talking task has closed the channel. */
static void hear(void *arg)
{
    struct link *link = arg;
    struct parcel parcel;
    while (cor_chan_recv(link->inbox, &parcel, 0) > 0) {
        struct frame frame;
        if (parcel.bytes == NULL) {
            take_loss(link, parcel.size);
        } else if (!frame_read(parcel.bytes, parcel.size, &frame)) {
            count_more(&link->bad_frames, 1);
            LOG(LEVEL_WARN, "bus_refused", {"bytes", NULL, (int64_t)parcel.size});
        } else if (frame.node != link->id) {
            take_frame(link, &frame);
        }
        free(parcel.bytes);
    }
}

/* --- what is said */

struct publishing {
    struct link *link;
    const char *bytes;
    size_t size;
};

static int publish(void *arg)
{
    const struct publishing *of = arg;
    return of->link->ops->publish(of->link->bus, of->bytes, of->size);
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
    struct publishing of = {.link = link, .bytes = text - head, .size = head + size};
    int code = cor_blocking(publish, &of);
    if (code == 0) {
        count_more(&link->sent, frame.count);
        link->beat = cor_after(BEAT_NS);
    } else if (code == -EMSGSIZE) {
        count_more(&link->lost_too_long, frame.count);
        LOG(LEVEL_WARN, "bus_too_long", {"bytes", NULL, (int64_t)size});
        code = 0;
    }
    return code;
}

/* Sends what is in the reader's block. What the bus has not taken is still to be read afterwards. */
static int send_block(struct link *link)
{
    struct msg_run run;
    size_t most = link->ops->max_size(link->bus);
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

/* Tells what the log has had to give up. */
static void note_backlog(struct link *link)
{
    uint64_t lost = link->reader.dropped_here - link->backlog_told;
    if (lost > 0) {
        link->backlog_told = link->reader.dropped_here;
        atomic_store(&link->lost_backlog, link->backlog_told);
        LOG(LEVEL_WARN, "bus_backlog_lost", {"messages", NULL, (int64_t)lost});
    }
}

/* Parks until `until` or until somebody wakes it. False: time is up. Called and returns with the lock held. */
static bool park(struct room *room, int64_t until)
{
    room->link_parked = true;
    cor_waitgroup_add(&room->link_news, 1);
    cor_mutex_unlock(&room->lock);
    (void)cor_waitgroup_wait(&room->link_news, until);
    cor_mutex_lock(&room->lock);
    bool woken = !room->link_parked;
    member_wake_link(room);
    return woken;
}

/*
 * Waits for something to send, until a sign of life is due. False: there is nothing. Whether all is over is known only
 * here, under the lock: a moment later what was said last and the end may both have come.
 */
static bool await_news(struct link *link, bool *over)
{
    struct room *room = link->room;
    bool more, in_time = true;
    cor_mutex_lock(&room->lock);
    count_nodes(link);
    while (!(more = msglog_next(&room->log, &link->reader)) && !link->lost && !link->ending && in_time) {
        in_time = park(room, link->beat);
    }
    *over = link->lost || (!more && link->ending);
    cor_mutex_unlock(&room->lock);
    note_backlog(link);
    return more;
}

static bool is_lost(struct link *link)
{
    cor_mutex_lock(&link->room->lock);
    bool lost = link->lost;
    cor_mutex_unlock(&link->room->lock);
    return lost;
}

static bool is_ending(struct link *link)
{
    cor_mutex_lock(&link->room->lock);
    bool ending = link->ending;
    cor_mutex_unlock(&link->room->lock);
    return ending;
}

static int send_beat(struct link *link)
{
    char beat[FRAME_HEAD_MAX];
    return send_frame(link, beat + FRAME_HEAD_MAX, 0);
}

/*
 * After a loss: waits until all others that there were are back, for they miss what is sent before. As long as the
 * longest pause at most, in which they come back if they do. Returns as send_frame.
 */
static int await_others(struct link *link)
{
    struct room *room = link->room;
    int64_t begin = cor_now(), until = cor_after(BACKOFF_MOST_NS);
    bool all = false;
    int code = send_beat(link);
    while (code == 0 && !all) {
        bool in_time = true;
        cor_mutex_lock(&room->lock);
        while (!(all = link->lost || link->ending || cor_now() >= until ||
                       nodes_since(&link->nodes, begin) >= link->others) &&
               in_time) {
            in_time = park(room, link->beat < until ? link->beat : until);
        }
        cor_mutex_unlock(&room->lock);
        code = all ? 0 : send_beat(link);
    }
    return code;
}

/* Sends until the connection is lost, or the link ends and all is sent. */
static void relay(struct link *link)
{
    int code = await_others(link);
    bool over = false;
    while (code == 0 && !over) {
        bool more = await_news(link, &over);
        if (more && !over) {
            code = send_block(link);
        } else if (!is_lost(link)) {
            code = send_beat(link);
        }
    }
    cor_mutex_lock(&link->room->lock);
    link->others = nodes_lately(&link->nodes);
    cor_mutex_unlock(&link->room->lock);
}

/* --- the connection */

struct calling {
    struct link *link;
    uint64_t dropped;
    char why[BUS_WHY];
};

static int connect_bus(void *arg)
{
    struct calling *of = arg;
    return of->link->ops->connect(of->link->bus, of->why);
}

static int disconnect_bus(void *arg)
{
    struct calling *of = arg;
    of->dropped = of->link->ops->disconnect(of->link->bus, of->why);
    return 0;
}

static void set_connected(struct link *link, bool connected)
{
    atomic_store(&link->since, cor_now());
    atomic_store(&link->connected, connected);
}

/* One attempt; `attempt` counts those that failed since there was a connection. */
static bool call(struct link *link, unsigned attempt)
{
    struct calling of = {.link = link};
    int64_t away = cor_now() - atomic_load(&link->since);
    cor_mutex_lock(&link->room->lock);
    link->calls++;
    link->lost = false;
    cor_mutex_unlock(&link->room->lock);
    int code = cor_blocking(connect_bus, &of);
    if (code < 0) {
        LOG(attempt == 0 ? LEVEL_WARN : LEVEL_DEBUG, "bus_unreachable", {"error", of.why, 0});
        return false;
    }
    count_more(&link->connects, 1);
    set_connected(link, true);
    LOG(LEVEL_INFO, "bus_connected", {"ms", NULL, away / COR_MILLISECOND});
    return true;
}

static void hang_up(struct link *link)
{
    struct calling of = {.link = link};
    bool ending = is_ending(link);
    set_connected(link, false);
    (void)cor_blocking(disconnect_bus, &of);
    count_more(&link->slow_frames, of.dropped);
    if (!ending) {
        LOG(LEVEL_WARN, "bus_lost", {"error", of.why, 0});
    }
}

/* Waits before the next attempt. */
static void pause_after(struct link *link, unsigned attempt)
{
    int64_t most = BACKOFF_FIRST_NS << (attempt < 5 ? attempt : 5);
    most = most < BACKOFF_MOST_NS ? most : BACKOFF_MOST_NS;
    link->chance = link->chance * 6364136223846793005U + 1442695040888963407U;
    int64_t until = cor_after(most / 2 + (int64_t)((link->chance >> 33) % (uint64_t)(most / 2)));
    cor_mutex_lock(&link->room->lock);
    count_nodes(link);
    cor_mutex_unlock(&link->room->lock);
    (void)cor_waitgroup_wait(&link->going, until);
}

static void talk(void *arg)
{
    struct link *link = arg;
    unsigned attempt = 0;
    while (!is_ending(link)) {
        if (call(link, attempt)) {
            relay(link);
            hang_up(link);
            attempt = 0;
        } else {
            attempt++;
        }
        pause_after(link, attempt);
    }
    cor_chan_close(link->inbox);
}

/* --- the link as a whole */

void link_free(struct link *link)
{
    if (link == NULL) {
        return;
    }
    cor_mutex_lock(&link->room->lock);
    if (link->reader.block != NULL) {
        msglog_leave(&link->room->log, &link->reader);
    }
    cor_mutex_unlock(&link->room->lock);
    if (link->bus != NULL) {
        link->ops->close(link->bus);
    }
    cor_chan_free(link->inbox);
    free(link);
}

struct link *link_start(struct room *room, const bus_ops *ops, const bus_options *options)
{
    static const bus_events events = {.frame = on_frame, .lost = on_lost};
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return NULL;
    }
    *link = (struct link){.room = room, .ops = ops, .since = cor_now(), .reader = {.passes_on = true}};
    cor_waitgroup_add(&link->going, 1);
    link->inbox = cor_chan_new(sizeof(struct parcel), INBOX);
    link->bus = ops->open(options, &events, link);
    bool done = link->inbox != NULL && link->bus != NULL &&
                getrandom(&link->id, sizeof(link->id), 0) == (ssize_t)sizeof(link->id);
    link->chance = link->id;
    cor_mutex_lock(&room->lock);
    done = done && msglog_enter(&room->log, &link->reader);
    cor_mutex_unlock(&room->lock);
    done = done && cor_group_set_parent(&link->tasks, NULL) == 0; /* it is not the business of whoever made the room */
    if (!done || cor_group_go(&link->tasks, talk, link) < 0) {
        link_free(link);
        return NULL;
    }
    if (cor_group_go(&link->tasks, hear, link) < 0) {
        link_stop(link);
        link_free(link);
        return NULL;
    }
    return link;
}

void link_stop(struct link *link)
{
    if (link == NULL) {
        return;
    }
    cor_mutex_lock(&link->room->lock);
    link->ending = true;
    member_wake_link(link->room);
    cor_mutex_unlock(&link->room->lock);
    cor_waitgroup_done(&link->going);
    cor_group_wait(&link->tasks, 0);
}

void link_count(const struct link *link, link_counts *out)
{
    *out = (link_counts){
        .connected = atomic_load(&link->connected),
        .since = atomic_load(&link->since),
        .connects = atomic_load(&link->connects),
        .sent = atomic_load(&link->sent),
        .received = atomic_load(&link->received),
        .lost_backlog = atomic_load(&link->lost_backlog),
        .lost_too_long = atomic_load(&link->lost_too_long),
        .missed = atomic_load(&link->missed),
        .repeated = atomic_load(&link->repeated),
        .slow_frames = atomic_load(&link->slow_frames),
        .bad_frames = atomic_load(&link->bad_frames),
        .nodes = atomic_load(&link->all_nodes),
        .members = atomic_load(&link->all_members),
    };
}

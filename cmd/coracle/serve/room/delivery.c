/* SPDX-License-Identifier: MIT */
/*
 * A member's writing task: writes what the log has for the member, in pieces as large as there are, then parks until
 * there is more. It takes the room's lock to go from block to block and to park, not to read.
 */
#include "serve/room/delivery.h"

#include "serve/room/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long a task without work stays: starting one costs more than waking one, but it keeps a page of stack. */
#define LINGER_NS COR_SECOND
/* Most bytes of lines that are put into another form at a time: a member that takes none keeps so much memory. */
#define PIECE_MAX ((size_t)16 * 1024)

__attribute__((noinline)) static void report_failure(struct member *member, int code)
{
    char text[COR_ERROR_TEXT];
    log_say("broad message to %s failed: %s", member->address,
            session_error_text(&member->session, "write", code, text, sizeof(text)));
}

static void give_up(struct member *member, int code)
{
    struct room *room = member->room;
    cor_mutex_lock(&room->lock);
    if (member_cut(member) == REASON_NONE && !member->left) {
        report_failure(member, code);
        close_reason reason = session_reason(&member->session, "write", code);
        member_cut_off(member, code == COR_ETIMEOUT ? member->timed_out : reason);
    }
    member_change_state(member, WRITING_ENDED);
    cor_mutex_unlock(&room->lock);
}

/* Writes a run that does not lie there as it is for the member. Returns 0 or an error code. */
static int write_copied(struct member *member, const struct msg_run *run)
{
    size_t more = member->reader.put != NULL ? MSG_PUT_MORE : 0;
    char *text = malloc(run->size + run->count * more);
    if (text == NULL) {
        return -ENOMEM;
    }
    size_t size = msglog_copy(&member->reader, run, member->own, member->own_size, text);
    int code = size > 0 ? session_write(&member->session, text, size) : 0;
    free(text);
    return code;
}

/* Counts what has been written, by how long the oldest message in it took. */
static void note_delivery(struct member *member, const struct msg_run *run)
{
    struct hub_counts *hub = &member->room->serve->hub;
    uint32_t count = msglog_count(&member->reader, run);
    int64_t took = cor_now() - run->said_at;
    if (!run->history) { /* that was delivered when it was said */
        atomic_fetch_add_explicit(&hub->delivered[duration_field(took)], count, memory_order_relaxed);
        atomic_fetch_add_explicit(&hub->delivered_ns, took * count, memory_order_relaxed);
    }
    connection_add(&member->session.seen->messages_out, count); /* last: what is sent has been delivered */
}

static int write_run(struct member *member, struct msg_run *run)
{
    const char *text;
    size_t size;
    if (msglog_is_put(&member->reader, run, &text, &size)) {
        return session_write(&member->session, text, size);
    }
    if (member->reader.put != NULL) {
        msglog_shorten(&member->reader, run, PIECE_MAX);
    }
    return write_copied(member, run);
}

/* Has the framing send frames of its own if it has asked for its turn. Returns 0 or an error code. */
static int send_own(struct member *member)
{
    bool called = atomic_load(&member->called) && atomic_exchange(&member->called, false);
    return called ? member->framing->send_own(member->participant, &member->session) : 0;
}

/* Writes all that is in the member's block. Returns 0 or an error code. */
static int write_block(struct member *member)
{
    struct msg_run run;
    int code = send_own(member);
    while (code == 0 && msglog_peek(&member->reader, &run)) {
        uint64_t place = atomic_load_explicit(&member->reader.place, memory_order_relaxed);
        atomic_store_explicit(&member->tried, place, memory_order_relaxed);
        code = write_run(member, &run);
        if (code == 0) {
            note_delivery(member, &run);
            msglog_take(&member->reader, &run);
            member_moved(member);
            code = send_own(member);
        }
    }
    return code;
}

/* Parks until there is more. Called and returns with the lock held. False: the task is to end. */
static bool await_news(struct member *member)
{
    struct room *room = member->room;
    cor_waitgroup_add(&member->news, 1);
    member_change_state(member, WRITING_PARKED);
    cor_mutex_unlock(&room->lock);
    int code = cor_waitgroup_wait(&member->news, cor_after(LINGER_NS));
    cor_mutex_lock(&room->lock);
    if (member->state == WRITING) {
        return true;
    }
    cor_waitgroup_done(&member->news); /* nobody has woken it: time is up, or it is cancelled */
    if (code == COR_ETIMEOUT) {
        member_change_state(member, WRITING_NONE);
    } else {
        member_change_state(member, WRITING_ENDED);
        if (!member->left) {
            member_cut_off(member, REASON_DRAIN);
        }
    }
    return false;
}

/* Goes to the next block, or waits for one. False: the task is to end. */
static bool go_on(struct member *member)
{
    struct room *room = member->room;
    bool more = true;
    cor_mutex_lock(&room->lock);
    while (more && !atomic_load(&member->called) && !msglog_next(&room->log, &member->reader)) {
        more = !member->left && await_news(member);
    }
    cor_mutex_unlock(&room->lock);
    return more;
}

static void write_news(void *arg)
{
    struct member *member = arg;
    int code;
    do {
        code = write_block(member);
    } while (code == 0 && go_on(member));
    if (code < 0) {
        give_up(member, code);
    }
}

void delivery_wake(struct member *member)
{
    if (member->state == WRITING_PARKED) {
        member_change_state(member, WRITING);
        cor_waitgroup_done(&member->news);
    } else if (member->state == WRITING_NONE) {
        member_change_state(member, WRITING);
        const cor_task_options now = {.stack_now = true}; /* a session that leaves waits for it, on its own stack */
        if (cor_group_go_with(&member->writer, &now, write_news, member) < 0) {
            member_change_state(member, WRITING_ENDED);
            member_cut_off(member, REASON_OOM);
        }
    }
}

void delivery_flush(struct room *room)
{
    for (struct member *member = room->idle, *next; member != NULL; member = next) {
        next = member->next;
        if (atomic_load(&member->reader.place) != room->log.end) {
            delivery_wake(member);
        }
    }
    uplink_wake(room);
}

/* SPDX-License-Identifier: MIT */
/* Members come, say something, are found too slow, and leave. What they hear is written in delivery.c. */
#include "serve/room/delivery.h"

#include <stdlib.h>
#include <string.h>

/* The log's blocks, and so what is written at a time: large enough that a system call costs little per message. */
#define BLOCK_MAX ((size_t)64 * 1024)
#define BLOCK_MIN ((size_t)4 * 1024)
#define BLOCKS_PER_OUTBOX 4
/* Members are looked at each time the log has grown by an eighth of the outbox. */
#define LOOKS_PER_OUTBOX 8
/* A member moves if it takes this part of the outbox within this time: with 16 MiB, 256 KiB in a second. */
#define STEPS_PER_OUTBOX 64
#define MOVING_NS COR_SECOND

void room_init(struct room *room, const serve_options *options)
{
    size_t block = options->outbox / BLOCKS_PER_OUTBOX;
    block = block < BLOCK_MIN ? BLOCK_MIN : block > BLOCK_MAX ? BLOCK_MAX : block;
    *room = (struct room){.options = options, .log = {.block_size = block & ~(size_t)63, .keep = options->outbox}};
}

void room_free(struct room *room)
{
    msglog_free(&room->log);
}

/* With the policy cut, a member that takes nothing at all for `slow_after` is as slow as one that is too far behind. */
static void limit_writes(struct member *member)
{
    const serve_options *options = member->room->options;
    int64_t after = options->slow_policy == SLOW_CUT ? options->slow_after : 0;
    if (after > 0 && (options->write_timeout == 0 || after < options->write_timeout)) {
        member->timed_out = "slow";
        session_limit_writes(&member->session, after);
    } else {
        member->timed_out = "write_timeout";
    }
}

struct member *room_join(struct room *room, const struct session *session, const char *acknowledged)
{
    char peer[COR_ADDR_TEXT];
    cor_remote_addr(session->conn, peer, sizeof(peer));
    size_t own_size = strlen(peer) + strlen(acknowledged);
    size_t size = (sizeof(struct member) + own_size + alignof(struct member) - 1) & ~(alignof(struct member) - 1);
    struct member *new = aligned_alloc(alignof(struct member), size);
    if (new == NULL) {
        return NULL;
    }
    *new = (struct member){.room = room, .session = *session, .own_size = own_size, .tried = UINT64_MAX};
    limit_writes(new);
    memcpy(new->address, peer, sizeof(peer));
    memcpy(mempcpy(new->own, peer, strlen(peer)), acknowledged, strlen(acknowledged));
    cor_mutex_lock(&room->lock);
    if (!msglog_enter(&room->log, &new->reader)) {
        cor_mutex_unlock(&room->lock);
        free(new);
        return NULL;
    }
    member_enlist(new, &room->idle);
    cor_mutex_unlock(&room->lock);
    return new;
}

const char *member_cut(const struct member *member)
{
    return atomic_load_explicit(&member->cut, memory_order_relaxed);
}

/* Lets senders ask again how far the members are. Under the lock. */
static void open_gate(struct room *room)
{
    if (atomic_load(&room->awaited) != NULL) {
        atomic_store(&room->awaited, NULL);
        cor_waitgroup_done(&room->gate);
    }
}

/* Has senders wait for a member, unless it has left `place` by now. Under the lock. */
static void close_gate(struct room *room, struct member *slowest, uint64_t place)
{
    cor_waitgroup_add(&room->gate, 1);
    atomic_store(&room->awaited, slowest);
    if (atomic_load(&slowest->reader.place) != place) {
        open_gate(room);
    }
}

void member_cut_off(struct member *member, const char *reason)
{
    if (member_cut(member) == NULL) {
        atomic_store_explicit(&member->cut, reason, memory_order_relaxed);
        cor_close_read(member->session.conn);
        cor_group_cancel(&member->writer);
    }
    if (atomic_load(&member->room->awaited) == member) {
        open_gate(member->room);
    }
}

void member_moved(struct member *member)
{
    struct room *room = member->room;
    if (atomic_load(&room->awaited) == member) {
        cor_mutex_lock(&room->lock);
        if (atomic_load(&room->awaited) == member) {
            open_gate(room);
        }
        cor_mutex_unlock(&room->lock);
    }
}

static void flush(struct room *room)
{
    for (struct member *member = room->idle, *next; member != NULL; member = next) {
        next = member->next;
        if (atomic_load(&member->reader.place) != room->log.end) {
            member_wake(member);
        }
    }
}

void room_flush(struct room *room)
{
    cor_mutex_lock(&room->lock);
    msglog_end_batch(&room->log);
    flush(room);
    cor_mutex_unlock(&room->lock);
}

/*
 * Whether a member that is behind has taken a step lately. As long as its writing task has not had its turn, that it
 * has not is no fault of the member's.
 */
static bool is_moving(struct member *member, uint64_t place, int64_t now)
{
    bool tried = atomic_load_explicit(&member->tried, memory_order_relaxed) == place;
    uint64_t step = member->room->options->outbox / STEPS_PER_OUTBOX;
    if (member->watched_since == 0 || place - member->watched_at >= step || !tried) {
        member->watched_since = now;
        member->watched_at = place;
    }
    return now - member->watched_since < MOVING_NS;
}

/* Decides on a member that stands still beyond its outbox. False: it is to be waited for. */
static bool give_up(struct member *member)
{
    switch ((slow_policy)member->room->options->slow_policy) {
    case SLOW_CUT:
        member_cut_off(member, "slow");
        break;
    case SLOW_DROP_OLDEST:
        break; /* the log takes them away */
    case SLOW_DROP_NEWEST:
        msglog_hold(&member->room->log, &member->reader);
        break;
    case SLOW_BLOCK:
        return false;
    }
    return true;
}

/*
 * How far the log may grow for the sake of a member at `place`, if `size` bytes are to be added to it. A member that
 * has heard everything can always take one message, however long. *until: when to ask again if that is too little.
 */
static uint64_t limit_of(struct member *member, uint64_t place, size_t size, int64_t now, int64_t *until)
{
    uint64_t outbox = member->room->options->outbox, end = member->room->log.end;
    uint64_t behind = end - place + size;
    bool moving = true;
    if (place == end || behind <= outbox / LOOKS_PER_OUTBOX) {
        member->watched_since = 0;
    } else {
        moving = is_moving(member, place, now);
    }
    if (place == end || behind <= outbox / 2) {
        return behind > outbox / 2 ? end + size : place + outbox / 2;
    }
    if (moving) {
        *until = member->watched_since + MOVING_NS;
        return place + outbox / 2;
    }
    return behind > outbox && give_up(member) ? UINT64_MAX : place + outbox;
}

/* Asks all members how far the log may grow; closes the gate if that is not enough for `size` bytes. Under the lock. */
static void survey(struct room *room, size_t size)
{
    struct member *slowest = NULL, *lists[] = {room->busy, room->idle};
    uint64_t clear_until = room->log.end + size + room->options->outbox / LOOKS_PER_OUTBOX, slowest_place = 0;
    int64_t now = cor_now();
    for (int i = 0; i < 2; i++) {
        for (struct member *member = lists[i]; member != NULL; member = member->next) {
            int64_t until = 0;
            uint64_t place = atomic_load(&member->reader.place);
            uint64_t limit = member_cut(member) != NULL ? UINT64_MAX : limit_of(member, place, size, now, &until);
            if (limit < clear_until) {
                clear_until = limit;
                slowest = member;
                slowest_place = place;
                room->awaited_until = until;
            }
        }
    }
    room->clear_until = clear_until;
    if (room->log.end + size > clear_until) {
        close_gate(room, slowest, slowest_place);
    }
}

/* Waits until the log may grow by `size` bytes. Called and returns with the lock held. False: the task is cancelled. */
static bool wait_for_room(struct room *room, size_t size)
{
    while (room->log.end + size > room->clear_until) {
        if (atomic_load(&room->awaited) == NULL) {
            survey(room, size);
            continue;
        }
        flush(room);
        int64_t until = room->awaited_until;
        cor_mutex_unlock(&room->lock);
        int code = cor_waitgroup_wait(&room->gate, until);
        cor_mutex_lock(&room->lock);
        if (code == COR_ECANCELED) {
            return false;
        }
        if (code == COR_ETIMEOUT && until == room->awaited_until) {
            open_gate(room);
        }
    }
    return true;
}

static bool add(struct member *by, bool is_private, const char *line, size_t size)
{
    struct room *room = by->room;
    cor_mutex_lock(&room->lock);
    bool done = !wait_for_room(room, size) || msglog_add(&room->log, &by->reader, is_private, line, size);
    cor_mutex_unlock(&room->lock);
    return done;
}

bool room_say(struct member *sender, const char *line, size_t size)
{
    return add(sender, false, line, size);
}

void room_tell(struct member *to, const char *line, size_t size)
{
    (void)add(to, true, line, size);
}

/* Has the writing task end: when all is written, or at once. Under the lock. */
static void end_writing(struct member *member, bool drain)
{
    member->left = true;
    if (!drain) {
        cor_group_cancel(&member->writer);
        return;
    }
    msglog_hold(&member->room->log, &member->reader);
    if (member->state != WRITING) {
        member_wake(member); /* it may have been told something last */
    }
}

void room_leave(struct member *member, struct session *session, bool drain)
{
    struct room *room = member->room;
    cor_mutex_lock(&room->lock);
    member_delist(member);
    if (atomic_load(&room->awaited) == member) {
        open_gate(room);
    }
    end_writing(member, drain && member_cut(member) == NULL);
    cor_mutex_unlock(&room->lock);
    cor_group_wait(&member->writer, 0);
    cor_mutex_lock(&room->lock);
    msglog_leave(&room->log, &member->reader);
    cor_mutex_unlock(&room->lock);
    session->bytes_out += member->session.bytes_out;
    session->dropped += member->reader.dropped;
    if (member_cut(member) != NULL && session->reason == NULL) {
        session->reason = member_cut(member);
    }
    free(member);
}

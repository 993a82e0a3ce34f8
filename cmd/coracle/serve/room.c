/* SPDX-License-Identifier: MIT */
/*
 * Rooms and outboxes. An outbox holds whole lines only, so dropping the oldest never tears one. A member that is cut
 * hears it by its connection: reading ends and writing times out, which works from any task and leaves its address
 * readable.
 */
#include "serve/room.h"

#include <stdlib.h>
#include <string.h>

/* Bytes written at a time: the write limit counts anew for each. */
#define SLICE_BYTES ((size_t)64 * 1024)
#define FIRST_CAPACITY ((size_t)1024)
/* A sender waits while a member is behind but moving, in steps, at most so many of them per message. */
#define PACE_STEP_NS (2 * COR_MILLISECOND)
#define PACE_STEPS 50
/* A slice that takes longer to write than this is not moving: below 64 KiB in that time a reader is slow. */
#define MOVING_NS (100 * COR_MILLISECOND)

struct member *room_join(struct room *room, struct session *session)
{
    struct member *new = calloc(1, sizeof(*new));
    if (new == NULL) {
        return NULL;
    }
    atomic_init(&new->users, 1);
    new->conn = session->conn;
    new->serve = session->service->serve;
    new->room = room;
    cor_remote_addr(new->conn, new->address, sizeof(new->address));
    cor_mutex_lock(&room->lock);
    new->next = room->first;
    if (room->first != NULL) {
        room->first->prev = new;
    }
    room->first = new;
    cor_mutex_unlock(&room->lock);
    return new;
}

/* Under the member's lock. Nobody sets a later deadline afterwards: the writing task checks `cut` before it does. */
static void cut_member(struct member *member, const char *reason)
{
    if (member->cut == NULL) {
        member->cut = reason;
        cor_close_read(member->conn);
        cor_set_deadline(member->conn, 1);
        cor_cond_broadcast(&member->changed);
    }
}

const char *member_cut(struct member *member)
{
    cor_mutex_lock(&member->lock);
    const char *reason = member->cut;
    cor_mutex_unlock(&member->lock);
    return reason;
}

static size_t waiting(const struct member *member)
{
    return member->end - member->start;
}

static bool has_room(const struct member *member, size_t size)
{
    size_t limit = member->serve->options.outbox;
    size_t used = waiting(member) + member->in_flight;
    return used <= limit && size <= limit - used;
}

/* Makes room in memory for `size` more bytes, which the limit allows. */
static bool reserve(struct member *member, size_t size)
{
    size_t used = waiting(member);
    if (member->capacity - member->end >= size) {
        return true;
    }
    if (member->start >= used && member->capacity >= used + size) {
        /* Moved at most once per byte that went out before. */
        memcpy(member->outbox, member->outbox + member->start, used);
        member->start = 0;
        member->end = used;
        return true;
    }
    /* A quarter above the limit, so that moving down a full outbox is rare. */
    size_t limit = member->serve->options.outbox;
    size_t capacity = 2 * (used + size) < limit + limit / 4 ? 2 * (used + size) : limit + limit / 4;
    capacity = capacity > FIRST_CAPACITY ? capacity : FIRST_CAPACITY;
    char *grown = malloc(capacity);
    if (grown == NULL) {
        return false;
    }
    if (used > 0) {
        memcpy(grown, member->outbox + member->start, used);
    }
    free(member->outbox);
    member->outbox = grown;
    member->capacity = capacity;
    member->start = 0;
    member->end = used;
    return true;
}

/* Drops the oldest lines until `size` bytes fit or none is left. */
static void drop_oldest(struct member *member, size_t size)
{
    while (waiting(member) > 0 && !has_room(member, size)) {
        const char *line = member->outbox + member->start;
        const char *end = memchr(line, '\n', waiting(member));
        member->start += end == NULL ? waiting(member) : (size_t)(end - line) + 1;
        member->dropped++;
    }
}

/* Waits until the slow member has room; its writing task ends the wait by progress or failure. */
static void wait_for_room(struct member *member, size_t size)
{
    while (!has_room(member, size) && member->cut == NULL && !member->left && size <= member->serve->options.outbox) {
        if (cor_cond_wait(&member->changed, &member->lock, 0) < 0) {
            return;
        }
    }
}

/* Under the member's lock: deals with a full outbox. Returns whether the line may be put in now. */
static bool make_room(struct member *member, size_t size)
{
    if (has_room(member, size)) {
        return true;
    }
    switch ((slow_policy)member->serve->options.slow_policy) {
    case SLOW_CUT:
        cut_member(member, "slow");
        return false;
    case SLOW_DROP_OLDEST:
        drop_oldest(member, size);
        break;
    case SLOW_DROP_NEWEST:
        break;
    case SLOW_BLOCK:
        wait_for_room(member, size);
        break;
    }
    if (!has_room(member, size)) {
        member->dropped++;
        return false;
    }
    return member->cut == NULL && !member->left;
}

/* Takes what is to be written next, up to a slice of whole lines; the caller frees it. NULL when memory ran out. */
static char *take_slice(struct member *member, size_t *size)
{
    size_t used = waiting(member);
    char *text = member->outbox + member->start;
    if (used <= SLICE_BYTES && member->start == 0) {
        member->outbox = NULL;
        member->capacity = member->end = 0;
        *size = member->in_flight = used;
        return text;
    }
    size_t count = used;
    if (used > SLICE_BYTES) {
        const char *end = memrchr(text, '\n', SLICE_BYTES);
        end = end != NULL ? end : memchr(text + SLICE_BYTES, '\n', used - SLICE_BYTES);
        count = end != NULL ? (size_t)(end - text) + 1 : used;
    }
    char *slice = malloc(count);
    if (slice != NULL) {
        memcpy(slice, text, count);
        member->start += count;
        *size = member->in_flight = count;
    }
    return slice;
}

static void free_outbox(struct member *member)
{
    free(member->outbox);
    member->outbox = NULL;
    member->start = member->end = member->capacity = 0;
}

__attribute__((noinline)) static void report_failure(struct member *member, int code)
{
    char text[COR_ERROR_TEXT];
    cor_error error;
    cor_conn_error(member->conn, "write", code, &error);
    log_say("broad message to %s failed: %s", member->address, cor_error_text(&error, text, sizeof(text)));
}

/* Writes one slice; called and returns with the member's lock held. */
static void write_slice(struct member *member)
{
    size_t size;
    char *slice = take_slice(member, &size);
    if (slice == NULL) {
        cut_member(member, "no_memory");
        return;
    }
    int64_t limit = member->serve->options.write_timeout;
    if (limit > 0) {
        cor_set_write_deadline(member->conn, cor_after(limit));
    }
    member->slice_started = cor_now();
    cor_mutex_unlock(&member->lock);
    size_t written = 0;
    int code = cor_write_counted(member->conn, slice, size, &written);
    free(slice);
    cor_mutex_lock(&member->lock);
    member->in_flight = 0;
    member->written += written;
    if (code < 0 && member->cut == NULL && !member->left) {
        report_failure(member, code);
        cut_member(member, code == COR_ETIMEOUT ? "write_timeout" : code == COR_ECANCELED ? "shutdown" : "reset");
    }
    cor_cond_broadcast(&member->changed);
}

/* Not under the member's lock: another task may still be on its way out of unlocking it. */
static void let_go(struct member *member)
{
    if (atomic_fetch_sub(&member->users, 1) == 1) {
        free(member->outbox);
        free(member);
    }
}

/* The writing task of a member. */
static void write_outbox(void *arg)
{
    struct member *member = arg;
    cor_mutex_lock(&member->lock);
    while (waiting(member) > 0 && member->cut == NULL) {
        write_slice(member);
    }
    free_outbox(member);
    member->writing = false;
    cor_cond_broadcast(&member->changed);
    cor_mutex_unlock(&member->lock);
    let_go(member);
}

/* Puts the line in; says whether a writing task must be started for it. */
static bool put_line(struct member *to, const char *text, size_t size)
{
    if (!reserve(to, size)) {
        cut_member(to, "no_memory");
        return false;
    }
    memcpy(to->outbox + to->end, text, size);
    to->end += size;
    bool start = !to->writing;
    if (start) {
        to->writing = true;
        to->slice_started = cor_now();
        atomic_fetch_add(&to->users, 1);
    }
    return start;
}

/* More than half of its outbox waits, though it is being written. */
static bool is_behind(const struct member *member)
{
    return waiting(member) + member->in_flight > member->serve->options.outbox / 2 && member->cut == NULL &&
           cor_now() - member->slice_started < MOVING_NS;
}

/* Queues a line; says whether the member is behind. */
static bool send_line(struct member *to, const char *text, size_t size)
{
    cor_mutex_lock(&to->lock);
    bool start = to->cut == NULL && make_room(to, size) && put_line(to, text, size);
    if (start && cor_group_go(&to->serve->sessions, write_outbox, to) < 0) {
        to->writing = false;
        atomic_fetch_sub(&to->users, 1); /* never the last: the member is in the room, so its session is here */
        cut_member(to, "no_memory");
    }
    bool behind = is_behind(to);
    cor_mutex_unlock(&to->lock);
    return behind;
}

void member_send(struct member *to, const char *text, size_t size)
{
    (void)send_line(to, text, size);
}

static bool room_is_behind(struct room *room)
{
    bool behind = false;
    cor_mutex_lock(&room->lock);
    for (struct member *member = room->first; member != NULL && !behind; member = member->next) {
        cor_mutex_lock(&member->lock);
        behind = is_behind(member);
        cor_mutex_unlock(&member->lock);
    }
    cor_mutex_unlock(&room->lock);
    return behind;
}

void room_say(struct member *sender, const char *own, size_t own_size, const char *others, size_t others_size)
{
    struct room *room = sender->room;
    bool behind = false;
    cor_mutex_lock(&room->lock);
    for (struct member *to = room->first; to != NULL; to = to->next) {
        behind |= to == sender ? send_line(to, own, own_size) : send_line(to, others, others_size);
    }
    cor_mutex_unlock(&room->lock);
    for (int step = 0; behind && step < PACE_STEPS && room_is_behind(room); step++) {
        if (cor_sleep(PACE_STEP_NS) < 0) {
            return;
        }
    }
}

static void unlink_member(struct member *member)
{
    struct room *room = member->room;
    cor_mutex_lock(&room->lock);
    if (member->prev != NULL) {
        member->prev->next = member->next;
    } else {
        room->first = member->next;
    }
    if (member->next != NULL) {
        member->next->prev = member->prev;
    }
    cor_mutex_unlock(&room->lock);
}

void room_leave(struct member *member, struct session *session, bool drain)
{
    unlink_member(member);
    cor_mutex_lock(&member->lock);
    while (drain && member->writing && member->cut == NULL) {
        if (cor_cond_wait(&member->changed, &member->lock, 0) < 0) {
            break;
        }
    }
    session->bytes_out += member->written;
    session->dropped += member->dropped;
    if (member->cut != NULL && session->reason == NULL) {
        session->reason = member->cut;
    }
    member->left = true;
    cor_mutex_unlock(&member->lock);
    let_go(member);
}

/* SPDX-License-Identifier: MIT */
/* Members come, say something, and leave. */
#include "serve/room/room.h"

#include "serve/room/delivery.h"
#include "serve/room/pace.h"
#include "serve/room/presence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The size of the log's blocks, and of a write: large enough that a system call costs little per message. */
#define BLOCK_MAX ((size_t)64 * 1024)
#define BLOCK_MIN ((size_t)4 * 1024)
#define BLOCKS_PER_OUTBOX 4
/* History is this part of the outbox at most: so much a member may be behind at any time (pace.c). */
#define HISTORIES_PER_OUTBOX 8

struct room *room_new(struct serve *serve, const char *name)
{
    const serve_options *options = &serve->options;
    size_t block = options->outbox / BLOCKS_PER_OUTBOX;
    block = block < BLOCK_MIN ? BLOCK_MIN : block > BLOCK_MAX ? BLOCK_MAX : block;
    struct room *room = malloc(sizeof(*room));
    struct presence *presence = room != NULL && options->presence ? presence_new() : NULL;
    if (options->presence && presence == NULL) {
        free(room);
        return NULL;
    }
    if (room != NULL) {
        *room = (struct room){
            .serve = serve,
            .options = options,
            .presence = presence,
            .log = {.block_size = block & ~(size_t)63,
                    .keep = options->outbox,
                    .history = options->history,
                    .history_bytes = options->outbox / HISTORIES_PER_OUTBOX},
        };
        snprintf(room->name, sizeof(room->name), "%s", name);
    }
    return room;
}

void room_free(struct room *room)
{
    if (room != NULL) {
        presence_free(room->presence);
        msglog_free(&room->log);
        free(room);
    }
}

uint64_t room_forget(struct room *room)
{
    cor_mutex_lock(&room->lock);
    uint64_t freed = msglog_forget(&room->log);
    cor_mutex_unlock(&room->lock);
    return freed;
}

/* With the policy cut, a member that takes nothing at all for `slow_after` is as slow as one that is too far behind. */
static void limit_writes(struct member *member)
{
    const serve_options *options = member->room->options;
    int64_t after = options->slow_policy == SLOW_CUT ? options->slow_after : 0;
    if (after > 0 && (options->write_timeout == 0 || after < options->write_timeout)) {
        member->timed_out = REASON_SLOW_CONSUMER;
        session_limit_writes(&member->session, after);
    } else {
        member->timed_out = REASON_WRITE_TIMEOUT;
    }
}

/* Has others see, or no longer see, what the member behind a connection has to take. */
static void show_as_member(struct session *session, struct member *member)
{
    struct conns *conns = &session->service->serve->conns;
    pthread_mutex_lock(&conns->lock);
    session->seen->member = member;
    session->seen->takes_leave = member != NULL && member->framing->has_close_frame;
    pthread_mutex_unlock(&conns->lock);
}

/* Has a member that has come in begin with the history. Under the lock. */
static void hear_history(struct member *member)
{
    struct msg_log *log = &member->room->log;
    if (log->history > 0) {
        msglog_go_back(log, &member->reader);
        if (atomic_load(&member->reader.place) != log->end) {
            delivery_wake(member);
        }
    }
}

struct member *room_join(struct room *room, struct session *session, const struct framing *framing,
                         struct participant *participant, const char *acknowledged)
{
    char peer[COR_ADDR_TEXT];
    connection_peer(session->seen, peer, sizeof(peer));
    size_t own_size = strlen(peer) + strlen(acknowledged);
    size_t size = (sizeof(struct member) + own_size + alignof(struct member) - 1) & ~(alignof(struct member) - 1);
    struct member *new = aligned_alloc(alignof(struct member), size);
    if (new == NULL) {
        return NULL;
    }
    *new = (struct member){.reader = {.put = framing->encode},
                           .room = room,
                           .session = *session,
                           .framing = framing,
                           .participant = participant,
                           .own_size = own_size,
                           .tried = UINT64_MAX};
    limit_writes(new);
    memcpy(new->address, peer, sizeof(peer));
    memcpy(mempcpy(new->own, peer, strlen(peer)), acknowledged, strlen(acknowledged));
    cor_mutex_lock(&room->lock);
    if (!msglog_enter(&room->log, &new->reader)) {
        cor_mutex_unlock(&room->lock);
        free(new);
        return NULL;
    }
    member_enlist(new);
    room->members++;
    presence_note(room, true, new->address);
    hear_history(new);
    cor_mutex_unlock(&room->lock);
    show_as_member(session, new);
    return new;
}

void room_flush(struct room *room)
{
    cor_mutex_lock(&room->lock);
    msglog_end_batch(&room->log);
    delivery_flush(room);
    cor_mutex_unlock(&room->lock);
}

/* Adds a line and counts it. */
static int add(struct member *by, msg_kind kind, const char *line, size_t size, _Atomic uint64_t *counter)
{
    struct room *room = by->room;
    int code = COR_ECANCELED;
    cor_mutex_lock(&room->lock);
    if (pace_wait(room, size)) {
        code = msglog_add(&room->log, &by->reader, kind, line, size) ? 0 : -ENOMEM;
        member_note_growth(room);
        atomic_fetch_add_explicit(counter, code == 0, memory_order_relaxed);
    }
    cor_mutex_unlock(&room->lock);
    return code;
}

int room_say(struct member *sender, const char *line, size_t size)
{
    return add(sender, MSG_SAID, line, size, &sender->room->serve->hub.acknowledged);
}

void room_tell(struct member *to, const char *line, size_t size)
{
    (void)add(to, MSG_PRIVATE, line, size, &to->room->serve->hub.refused);
}

void room_ask_presence(struct member *member, bool on)
{
    char line[PRESENCE_ANSWER_MAX];
    struct room *room = member->room;
    cor_mutex_lock(&room->lock);
    if (pace_wait(room, sizeof(line))) {
        bool added = msglog_add(&room->log, &member->reader, MSG_PRIVATE, line, presence_answer(member, line));
        member_note_growth(room);
        presence_ask(member, on);
        atomic_fetch_add_explicit(&room->serve->hub.answered, added, memory_order_relaxed);
    }
    cor_mutex_unlock(&room->lock);
}

/* Under the lock. */
static void act(struct member *member, room_action action)
{
    if (action == ROOM_CALL) {
        atomic_store(&member->called, true);
        delivery_wake(member);
    } else if (action == ROOM_GIVE_UP) {
        member_cut_off(member, REASON_RESET);
    }
}

void room_call(struct member *member)
{
    cor_mutex_lock(&member->room->lock);
    act(member, ROOM_CALL);
    cor_mutex_unlock(&member->room->lock);
}

void room_look(struct room *room, room_action (*look)(const struct framing *framing, struct participant *participant))
{
    cor_mutex_lock(&room->lock);
    for (struct member *member = room->idle, *next; member != NULL; member = next) {
        next = member->next; /* one that is called leaves the list */
        act(member, look(member->framing, member->participant));
    }
    cor_mutex_unlock(&room->lock);
}

close_reason room_cut_reason(const struct member *member)
{
    return member_cut(member);
}

uint64_t room_behind(const struct member *member)
{
    /* The place first: it never passes the end. */
    uint64_t place = atomic_load(&member->reader.place);
    return atomic_load(&member->room->log.end) - place;
}

const char *room_address_of(const struct member *member)
{
    return member->address;
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
    msglog_end_here(&member->room->log, &member->reader); /* nobody waits for it any more: it would hear with gaps */
    if (member->state != WRITING) {
        delivery_wake(member); /* it may have been told something last */
    }
}

bool room_leave(struct member *member, struct session *session, bool drain)
{
    struct room *room = member->room;
    cor_mutex_lock(&room->lock);
    room->members--;
    presence_leave(member);
    member_delist(member);
    member_release(member);
    end_writing(member, drain && member_cut(member) == REASON_NONE);
    cor_mutex_unlock(&room->lock);
    cor_group_wait(&member->writer, 0);
    cor_mutex_lock(&room->lock);
    msglog_leave(&room->log, &member->reader);
    cor_mutex_unlock(&room->lock);
    show_as_member(session, NULL);
    session->dropped += member->reader.dropped;
    if (member_cut(member) != REASON_NONE) {
        connection_decide(session->seen, member_cut(member));
    }
    bool whole = !member->session.torn;
    free(member);
    return whole;
}

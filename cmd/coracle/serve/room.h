/* SPDX-License-Identifier: MIT */
/*
 * A room: every member hears what is said in it. What a member has not read yet waits in its outbox, which is bounded
 * and takes memory only while something is in it. A task writes it out, started when something is put in and gone when
 * it is empty, so a member that reads slowly delays no other. All members hear messages in the same order.
 *
 * A sender that is faster than the others can read is paced: else one flooding client would fill everybody's outbox and
 * have healthy members cut. Members whose writing stands still do not count: they are slow, and nobody waits for them.
 * Lock order: room, then member.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_H
#define CORACLE_CMD_SERVE_ROOM_H

#include "serve/session.h"

/* All-zero is an empty room. */
struct room {
    cor_mutex lock;
    struct member *first;
};

/* One connection in the room. */
struct member {
    char address[COR_ADDR_TEXT]; /* the peer's, by the socket */
    cor_conn *conn;
    struct serve *serve;
    struct room *room;
    struct member *next, *prev; /* under the room's lock */
    cor_mutex lock;             /* guards all below */
    cor_cond changed;           /* the outbox has shrunk, or writing has ended */
    char *outbox;               /* NULL: empty */
    size_t start, end;          /* the waiting bytes in it: whole lines */
    size_t capacity;            /* bytes allocated */
    size_t in_flight;           /* bytes being written */
    int64_t slice_started;      /* when the bytes in flight were begun, cor_now() */
    uint64_t written;           /* bytes */
    uint64_t dropped;           /* messages */
    const char *cut;            /* why it is to leave: a reason; NULL: it is not */
    bool writing;               /* its writing task exists */
    bool left;                  /* its session is over */
    atomic_int users;           /* the session and the writing task: whoever lets go last frees it */
};

/* Makes a member of the session's connection and lets it in. Returns NULL when memory ran out. */
struct member *room_join(struct room *room, struct session *session);

/* Queues a whole line (its LF included) for one member. */
void member_send(struct member *to, const char *text, size_t size);

/* Queues `own` for the sender and `others` for everybody else, in one step as all members see it. */
void room_say(struct member *sender, const char *own, size_t own_size, const char *others, size_t others_size);

/* Why the member is to leave, NULL if it is not. */
const char *member_cut(struct member *member);

/*
 * Takes the member out. With `drain` what is in its outbox is written first. Adds its counts to the session's. The
 * member is gone afterwards; the connection is still to be closed.
 */
void room_leave(struct member *member, struct session *session, bool drain);

#endif

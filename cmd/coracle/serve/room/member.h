/* SPDX-License-Identifier: MIT */
/*
 * What a room and its members are made of, for the files of this folder. Each of them includes the ones before it:
 * msglog (the log), framing (how messages travel), member (where a member stands and in what state it is), delivery
 * (writes to members), pace (holds up senders), room (what the service calls).
 */
#ifndef CORACLE_CMD_SERVE_ROOM_MEMBER_H
#define CORACLE_CMD_SERVE_ROOM_MEMBER_H

#include "serve/room/framing.h"
#include "serve/room/msglog.h"
#include "serve/room/name.h"
#include "serve/session.h"

#include <stdalign.h>

struct link;
struct presence;
struct rooms;

struct room {
    cor_mutex lock;
    struct serve *serve;
    const serve_options *options;
    struct msg_log log;               /* guard: the lock, where msglog.h asks for one */
    uint64_t noted;                   /* guard: the lock; up to here memory_grown has been told of the log */
    struct member *busy, *idle;       /* guard: the lock; those WRITING or ENDED, and the others */
    uint64_t clear_until;             /* guard: the lock; up to here the log may grow without asking the members */
    _Atomic(struct member *) awaited; /* changed under the lock; whom senders wait for; NULL: nobody */
    int64_t awaited_until;            /* guard: the lock; when to ask again; 0: when it has moved */
    cor_waitgroup gate;               /* 1 while there is somebody awaited, else 0 */
    struct link *link;                /* to other nodes; NULL: there are none */
    atomic_size_t members;            /* changed under the lock */
    struct presence *presence;        /* guard: the lock; NULL: nobody is told who comes and goes */
    cor_chan *news;                   /* a byte there has what is to be told looked for */
    struct rooms *rooms;              /* of these it is one, and what follows is theirs */
    struct room *next;
    uint64_t holds;
    bool made; /* by a client */
    char name[ROOM_NAME_SIZE];
};

/* What a member's writing task does. */
typedef enum writing_state { WRITING_NONE, WRITING, WRITING_PARKED, WRITING_ENDED } writing_state;

/* One connection in the room. What is needed together stands together: of a thousand members none is in a cache. */
struct member {
    alignas(64) struct msg_reader reader; /* the writing task's; of room_join and room_leave when there is none */
    struct room *room;
    struct member *next;    /* guard: the lock; in one of the room's lists */
    struct member **link;   /* guard: the lock; what points to it there */
    cor_waitgroup news;     /* guard: the lock; 1 while WRITING_PARKED, else 0 */
    writing_state state;    /* guard: the lock */
    bool left;              /* guard: the lock; the writing task ends when all is written */
    _Atomic uint64_t tried; /* the place from which the writing task began to write last */
    _Atomic int cut;        /* changed under the lock; why it is to leave: a close_reason; REASON_NONE: it is not */
    struct session session; /* a copy: what the writing task writes to and counts in */
    const struct framing *framing;
    struct participant *participant; /* what it carries for */
    atomic_bool called;              /* set under the lock; the framing has something to say */
    cor_group writer;                /* the writing task */
    int64_t watched_since; /* guard: the lock; when it was first seen too far behind at `watched_at`; 0: it is not */
    uint64_t watched_at;
    close_reason timed_out; /* the reason when its socket has taken nothing for as long as it may */
    size_t own_size;
    char address[COR_ADDR_TEXT]; /* the peer's, by the socket */
    char own[];                  /* what it hears instead of its own messages: its address and what follows */
};

/* Why the member is to leave, REASON_NONE if it is not. */
close_reason member_cut(const struct member *member);

/* Puts a member that is in no list into the one of its state. Under the lock. */
void member_enlist(struct member *member);

/* Takes a member out of its list. Under the lock. */
void member_delist(struct member *member);

/* Changes the state, and the list with it unless the member has left. Under the lock. */
void member_change_state(struct member *member, writing_state state);

/* Ends a member's reading and writing; its session then has it leave. Under the lock. */
void member_cut_off(struct member *member, close_reason reason);

/* To be called when a member's place has changed: senders that wait for it look again. Not under the lock. */
void member_moved(struct member *member);

/* Has senders that wait for this member look again, because it leaves. Under the lock. */
void member_release(struct member *member);

/* Tells of what the log has grown, a block at a time. Under the lock. */
void member_note_growth(struct room *room);

/* Has senders look again how far the members are, if any wait. Under the lock. */
void member_open_gate(struct room *room);

#endif

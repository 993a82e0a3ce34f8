/* SPDX-License-Identifier: MIT */
/*
 * All connections of a server: what is known of each that is open, and how many have ended and why.
 *
 * accepted = open + closed, at all times: all three change under one lock, and are read under it. A connection is
 * counted and listed from when its task begins until just before its descriptor is closed, also one that is refused.
 * One that gets no task, because memory has run out, is counted in and out at once (conns_lose).
 *
 * Exactly one reason. `reason` is REASON_NONE until somebody decides; a compare-and-swap lets the first one win, be it
 * the connection's own task, the room or the operator. conns_leave counts under that word, and nothing leaves without.
 *
 * The lock is a thread's, not a task's: the status is read by a thread that runs no tasks. It is held for a few steps,
 * CONNS_AT_A_TIME at most, and nothing under it waits.
 */
#ifndef CORACLE_CMD_SERVE_CONNS_H
#define CORACLE_CMD_SERVE_CONNS_H

#include "serve/reason.h"

#include <coracle.h>
#include <pthread.h>
#include <stdatomic.h>

struct service;
struct session;
struct member;

/* Most connections that one taking of the lock looks at. */
enum { CONNS_AT_A_TIME = 64 };
/* The read deadline of one that was kicked: it has passed. */
enum { CONNECTION_OVER = 1 };

/* One open connection. It lies on the stack of its task, which writes what is not marked; anybody reads atomics. */
struct connection {
    uint64_t id; /* from 1, in order of arrival */
    cor_conn *conn;
    struct service *service;
    struct session *session;
    cor_addr from;              /* guard: the lock; its client, as a proxy says; family 0: its own other end */
    int64_t since;              /* cor_now() */
    _Atomic uint64_t bytes_in;  /* received and looked at */
    _Atomic uint64_t bytes_out; /* given to the kernel */
    _Atomic uint64_t messages_in, messages_out; /* the same in whole messages, where there are such */
    _Atomic uint64_t queued;                    /* bytes of a write that is held up; see session_queued in service.h */
    _Atomic uint64_t held;                      /* bytes kept of what it has sent; see memory.h */
    _Atomic int64_t stuck;    /* since when it has taken nothing though there was something; 0: it does take */
    _Atomic int reason;       /* a close_reason */
    atomic_bool told_slow;    /* it has been said that much waits for it, and much does still */
    bool refused;             /* it has never been let in */
    bool takes_leave;         /* guard: the lock; its task, told to end, has a close frame to send */
    struct member *member;    /* guard: the lock; in the room */
    void (*told)(void *arg);  /* guard: the lock; tells its task that somebody ends it; NULL: it notices by itself */
    void *told_arg;           /* guard: the lock */
    uint64_t *among;          /* guard: the lock; one of how many open ones it is; NULL: not counted there */
    struct connection *next;  /* guard: the lock */
    struct connection **link; /* guard: the lock; what points to it */
};

/* What has come and gone. */
typedef struct conns_traffic {
    uint64_t bytes_in, bytes_out, messages_in, messages_out;
} conns_traffic;

/* All of them. All-zero but for the lock and `last` is an empty one: conns_init. */
struct conns {
    pthread_mutex_t lock;
    struct connection *first; /* guard: the lock; the oldest */
    struct connection **last; /* guard: the lock; where the next one goes */
    uint64_t open;            /* guard: the lock; how many are listed */
    uint64_t refusing;        /* guard: the lock; how many of them are refused */
    uint64_t accepted;        /* guard: the lock; ever */
    uint64_t closed[REASON_COUNT];
    conns_traffic traffic; /* guard: the lock; of those that are closed */
};

/* The counters at one moment. */
typedef struct conns_counts {
    uint64_t accepted, open, closed; /* accepted = open + closed */
    uint64_t by_reason[REASON_COUNT];
    conns_traffic traffic; /* of those that are closed */
} conns_counts;

void conns_init(struct conns *all);

/*
 * Counts and lists a new connection and gives it its id. It is refused if it has a reason already, or gets one because
 * with it more than `most` that are not refused are open (0: no limit). Returns the reason.
 */
close_reason conns_enter(struct conns *all, struct connection *one, uint64_t most);

/* Notes whose connection it is, as a proxy says. */
void conns_set_from(struct conns *all, struct connection *one, cor_addr from);

/* Whose it is: what a proxy has said, else its other end. Its own task, or under the lock. */
cor_addr connection_endpoint(const struct connection *one);

/* The same as a text. Returns `text`. */
char *connection_peer(const struct connection *one, char *text, size_t size);

/* Counts and takes a connection out. It has a reason by now. */
void conns_leave(struct conns *all, struct connection *one);

/* Counts one in and out that was closed before its task could begin. Returns its id. Any thread. */
uint64_t conns_lose(struct conns *all, close_reason reason);

/* Reads the counters. Any thread. */
void conns_count(struct conns *all, conns_counts *counts);

/* The same; calls `also` under the lock, to read what was counted through `among` at that moment. */
void conns_count_with(struct conns *all, conns_counts *counts, void (*also)(void *arg), void *arg);

/*
 * Calls `visit` for each connection, under the lock, oldest first, until it returns false. The lock is given back after
 * each CONNS_AT_A_TIME; those that come meanwhile are not visited. Any thread, if `visit` may be called there.
 */
void conns_each(struct conns *all, bool (*visit)(struct connection *one, void *arg), void *arg);

/* Ends the connection with this id. Returns false if it is not open. Tasks only. */
bool conns_end(struct conns *all, uint64_t id, close_reason reason);

/* Ends it because the operator wants it. */
static inline bool conns_kick(struct conns *all, uint64_t id)
{
    return conns_end(all, id, REASON_KICKED);
}

/* Decides why a connection ends, unless that is decided. Any thread. */
static inline void connection_decide(struct connection *one, close_reason reason)
{
    int none = REASON_NONE;
    atomic_compare_exchange_strong(&one->reason, &none, reason);
}

/* Adds what a connection has received and sent. Any thread. */
void connection_add_traffic(const struct connection *one, conns_traffic *sum);

/* Why it ends, or REASON_NONE. */
static inline close_reason connection_reason(const struct connection *one)
{
    return (close_reason)atomic_load(&one->reason);
}

/* Adds to a counter that one task writes and others read. */
static inline void connection_add(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + more, memory_order_relaxed);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The connections that were closed last, with their reasons: a ring of RECENT_COUNT; and, of all that ever were, how
 * long they lasted and what their clients were too slow for. Its lock is a thread's; it is held to copy one entry in,
 * or RECENT_AT_A_TIME out.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_RECENT_H
#define CORACLE_CMD_SERVE_ADMIN_RECENT_H

#include "serve/conns.h"
#include "serve/duration.h"

#include <pthread.h>

enum { RECENT_COUNT = 1000, RECENT_AT_A_TIME = 50 };

/* A connection that is closed. */
typedef struct recent_entry {
    uint64_t id;
    const char *service;
    close_reason reason;
    int64_t since, closed_at; /* cor_now() */
    uint64_t bytes_in, bytes_out;
    char peer[COR_ADDR_TEXT];
} recent_entry;

/* Sums over all that were ever closed. */
typedef struct recent_totals {
    uint64_t lasted[DURATION_FIELDS]; /* by how long */
    int64_t lasted_ns;                /* together */
    uint64_t dropped;                 /* messages that they were too slow for */
} recent_totals;

struct recent {
    pthread_mutex_t lock;
    recent_totals totals;               /* guard: the lock */
    uint64_t count;                     /* guard: the lock; ever */
    recent_entry entries[RECENT_COUNT]; /* guard: the lock; number n is at n % RECENT_COUNT */
};

/* Makes an empty one. NULL: memory ran out. Freed with free. */
struct recent *recent_new(void);

/* Notes a connection that is about to be closed. `peer` NULL: it is asked. `recent` may be NULL. Tasks only. */
void recent_note(struct recent *recent, const struct connection *one, const char *peer, uint64_t dropped);

/* Copies the newest, at most `most`, newest first. Returns how many. Any thread. */
size_t recent_copy(struct recent *recent, recent_entry *out, size_t most);

/* Copies the sums. Any thread. */
void recent_sums(struct recent *recent, recent_totals *out);

#endif

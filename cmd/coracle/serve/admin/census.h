/* SPDX-License-Identifier: MIT */
/*
 * Counters and open connections, copied for somebody who looks.
 *
 * The list is gone through under its lock by the status server's thread, CONNS_AT_A_TIME entries at a time, and only
 * words are copied. What needs system calls, the peer's address and what the kernel holds, is asked of a task for the
 * CENSUS_LOOKED_AT connections with most to take, without any lock: connections are checked handles, and one that has
 * closed meanwhile is left out. The task gives way after every CENSUS_AT_A_TIME.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_CENSUS_H
#define CORACLE_CMD_SERVE_ADMIN_CENSUS_H

#include "serve/admin/views.h"

enum { CENSUS_LOOKED_AT = 4096, CENSUS_AT_A_TIME = 32, CENSUS_MOST = 1 << 17 };

/* One connection. Counts are in bytes. */
typedef struct census_row {
    uint64_t id;
    cor_conn *conn;
    const struct service *service;
    int64_t since;                /* cor_now() */
    int64_t stuck;                /* since when it takes nothing; 0: it does take */
    uint64_t bytes_in, bytes_out; /* */
    uint64_t waiting;             /* for it in the server */
    uint64_t unsent;              /* in the kernel: not acknowledged yet by the peer */
    bool looked_at, gone;         /* by the task: the rest is known; it has closed meanwhile */
    bool has_tcp;
    uint32_t rtt_us, retransmits, idle_ms; /* of TCP; idle: since data came last */
    cor_addr from;                         /* as a proxy says; family 0: its other end */
    char peer[COR_ADDR_TEXT];
} census_row;

typedef struct census {
    census_row *rows;
    size_t count;
    bool answered; /* a task has looked at them */
} census;

/*
 * What was received from and sent to all connections, open and closed. Never less than at an earlier call with the same
 * `last`: what a connection that is just closing has moved may be counted by the next one only. Any thread.
 */
void census_traffic(struct serve *serve, conns_traffic *last);

/* Lists open connections, those with most to take first. False: memory ran out. To be freed. */
bool census_take(struct admin *admin, census *of);
void census_free(census *of);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A run: what happens when a plan is carried out. Each connection has a task (client.c, fanout.c, packet.c). Tasks
 * count in one tally per worker, which only tasks of that worker write to, and tell the run through the functions below
 * what they met. The main task leads the run through its stages (lead.h); what is left of it is the result (result.h).
 */
#ifndef CORACLE_CMD_BENCH_RUN_H
#define CORACLE_CMD_BENCH_RUN_H

#include "bench/hist.h"
#include "bench/plan.h"
#include "bench/schedule.h"

#include <coracle.h>
#include <stdatomic.h>

/* What the tasks of one worker count. `messages` is also read while they run; all else when they have ended. */
typedef struct tally {
    _Alignas(64) atomic_uint_fast64_t messages; /* answered while measuring */
    uint64_t wrong;                             /* answers that were not what was expected */
    uint64_t failed;                            /* connections that could not be made */
    uint64_t lost;                              /* connections that ended or broke */
    uint64_t timeouts;                          /* answers that did not come in time */
    uint64_t lost_packets;                      /* datagrams without an answer in time, while measuring */
    uint64_t reordered, duplicates;             /* answers after that to a later datagram, and beyond the first */
    uint64_t starved;                           /* connections without a single answer while measuring */
    uint64_t alarms, late;                      /* waits for a message to be due, and those that took far too long */
    hist latency;                               /* of answers from the start of measuring on */
} tally;

/* Times are on the clock of cor_now(). They are set before the gate opens; each task then goes by them. */
struct run {
    const struct plan *plan;
    struct schedule schedule;
    int64_t measure_ns; /* answers count from here ... */
    int64_t end_ns;     /* ... to here; from then on no message is begun */
    tally *tallies;     /* by worker */
    cor_group tasks;    /* all that talk to the server */
    cor_waitgroup setup;
    cor_waitgroup gate;    /* opens when run->setup is done */
    cor_chan *dialing;     /* has room for as many as may connect at a time */
    atomic_int connected;  /* connections made at set-up */
    atomic_bool fatal;     /* set-up failed: there is nothing to measure */
    atomic_bool explained; /* the first error has been kept: */
    int error_code;
    char error[COR_ERROR_TEXT];
    atomic_int interrupted; /* the signal that ended it early; 0: none */
    void *state;            /* of the mode */
};

/* How a mode is run. */
typedef struct bench_kind {
    int (*start)(struct run *run); /* starts the tasks; run->setup counts what they do before the gate. 0 or an error */
    void (*finish)(struct run *run); /* after the last task, and after a start that failed */
} bench_kind;

extern const bench_kind client_kind, fanout_kind, packet_kind;

/* The tally of the calling task's worker. */
static inline tally *run_tally(struct run *run)
{
    return &run->tallies[cor_worker_id()];
}

/* Counts answers; `own` is the caller's tally. */
static inline void tally_count(tally *own, uint64_t count)
{
    /* There is one writer at a time: no need for an atomic addition. */
    uint64_t before = atomic_load_explicit(&own->messages, memory_order_relaxed);
    atomic_store_explicit(&own->messages, before + count, memory_order_relaxed);
}

/* Connects to the address for connection `number`. Returns NULL after noting why not. */
cor_conn *run_dial(struct run *run, uint64_t number);

/* Keeps the first error, in words. */
void run_explain(struct run *run, int code, const char *text);

/* Notes that a connection ended or broke: `code` is what `op` on it returned. */
void run_lost(struct run *run, cor_conn *conn, const char *op, int code);

#endif

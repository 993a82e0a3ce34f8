/* SPDX-License-Identifier: MIT */
/*
 * What floors above may ask about where they run: the task, its worker, the run-time. They read it through these
 * functions only, so that the structs behind them (state.h) are sched/'s own.
 */
#ifndef CORI_SCHED_HERE_H
#define CORI_SCHED_HERE_H

#include "base/clock.h"
#include "sched/state.h"

/* The running task; NULL outside a task. */
static inline cori_task *cori_self(void)
{
    return cori_self_worker != NULL ? cori_self_worker->current : NULL;
}

/* The running task. Tasks only: the caller knows that it is one. */
static inline cori_task *cori_here_task(void)
{
    return cori_self_worker->current;
}

/* True on a worker's thread. */
static inline bool cori_here_is_worker(void)
{
    return cori_self_worker != NULL;
}

/*
 * The worker's coarse clock, ns: older than a round may be long only if the task itself has computed longer than a
 * tick takes to come. So a deadline that passes while a task computes is seen by its next call.
 */
static inline int64_t cori_here_now(void)
{
    cori_worker *worker = cori_self_worker;
    if (cori_load_relaxed(&worker->switches_most) == 0) { /* a clocked round, or a tick has come: see round.h */
        worker->now = cori_clock_now();
    }
    return worker->now;
}

/* As cori_here_now, but never looks at the clock: as old as the turn of a task that computes. */
static inline int64_t cori_here_round_now(void)
{
    return cori_self_worker->now;
}

/* The simulated host that the running task is on; 0 outside a task, and where nothing is simulated. */
static inline uint16_t cori_here_host(void)
{
    const cori_task *self = cori_self();
    return self != NULL ? self->host : 0;
}

/* Moves the running task to another. */
static inline void cori_here_move(uint16_t host)
{
    cori_here_task()->host = host;
}

/* This worker's poller. */
static inline cori_poller *cori_here_poller(void)
{
    return cori_self_worker->poller;
}

/* This worker's random numbers. */
static inline cori_rand *cori_here_rand(void)
{
    return &cori_self_worker->rand;
}

/* This worker's number, from 0. */
static inline int cori_here_id(void)
{
    return cori_self_worker->id;
}

/* True if other tasks of this worker are ready to run: whoever parks now waits for their turns. */
static inline bool cori_here_is_busy(void)
{
    const cori_worker *worker = cori_self_worker;
    return worker->ready.head != NULL || cori_load_relaxed(&worker->fresh_first) != UINT64_MAX;
}

/* Operations that the running task may still finish at once before it lets others run: see cori_charge. */
static inline int *cori_here_budget(void)
{
    return &cori_self_worker->ops_left;
}

/* True if `task` runs on the caller's worker; of one that floats, or did when it was looked at. */
static inline bool cori_here_owns(const cori_task *task)
{
    return cori_load_relaxed(&task->worker) == cori_self_worker;
}

/*
 * Keeps the running task on its worker even if it floats, over parks too, until cori_here_float gets back what this
 * gave: for what is a worker's own. A task that does not float is not told from a pinned one.
 */
static inline bool cori_here_stay(void)
{
    cori_task *self = cori_here_task();
    bool floats = self->floats;
    self->floats = false;
    return floats;
}

static inline void cori_here_float(bool floats)
{
    cori_here_task()->floats = floats;
}

/* The run-time has one worker: no other thread to share with. */
static inline bool cori_solo(void)
{
    return cori_rt.solo;
}

static inline int cori_worker_count(void)
{
    return cori_rt.worker_count;
}

/* The operations of the pollers in use. */
static inline const cori_poll_ops *cori_poll_ops_used(void)
{
    return cori_rt.poll_ops;
}

/* Where this worker keeps read buffers that are not in use, for io/: CORI_BUFFERS_KEPT of them at most. */
static inline cori_spares *cori_here_spares(void)
{
    return &cori_self_worker->spares;
}

/*
 * net/ and io/ are above this floor. They set the first two so that connections and kernel pipes still open at the end
 * of cor_run are closed, the third so that cor_stats can count connections.
 */
extern void (*cori_run_at_end)(void);
extern void (*cori_run_at_end_of_io)(void);
extern uint64_t (*cori_run_count_open)(void);

/* Set by sync/: called when no worker runs any more, before threads that are to end are waited for. */
extern void (*cori_run_at_stop)(void);

/*
 * As cor_blocking, for the library's own calls: they do not wait for users' calls. fn touches nothing of the caller's
 * stack: it may still run when cor_run has ended.
 */
int cori_blocking_own(int (*fn)(void *arg), void *arg);

/*
 * The same for calls that nobody can end and that may take long, on half as many threads as cor_blocking has: a cancel
 * or `deadline` (0: none) ends the wait, while fn goes on. It touches `arg` and nothing else, and so does drop, which
 * frees it, on whatever thread. 0: fn has returned, and arg is the caller's again. COR_ECANCELED, COR_ETIMEOUT,
 * -ENOMEM, -EAGAIN (no thread): arg is dropped, now or when fn has returned. Parks. Tasks only.
 */
int cori_blocking_leave(int (*fn)(void *arg), void *arg, void (*drop)(void *arg), int64_t deadline);

#endif

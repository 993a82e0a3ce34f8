/* SPDX-License-Identifier: MIT */
/* Which worker runs a task that never ran. */
#ifndef CORI_SCHED_PLACEMENT_H
#define CORI_SCHED_PLACEMENT_H

#include "base/lock.h"
#include "sched/state.h"

/*
 * With one worker a change of the list of blocks is marked for the dump, which may interrupt it; with several the lock
 * is held already.
 */
static inline void cori_place_mark(cori_worker *worker, uint32_t changing)
{
    if (worker->solo) {
        cori_signal_fence();
        cori_store_relaxed(&worker->fresh_lock, changing);
        cori_signal_fence();
    }
}

/*
 * Opens the fresh queue of `worker` for one more record: where it is to be written; NULL: no memory. Any thread; it
 * closes the queue at once. *spare is a block or NULL, and may be taken. With one worker: that worker's thread only.
 */
cori_fresh *cori_place_open(cori_worker *worker, cori_fresh_block **spare);

/* Adds the record that was written; `own`: the worker itself does. Its count is the caller's to raise. */
static inline void cori_place_add(cori_worker *worker, uint64_t flags, bool own)
{
    uint64_t ticket = cori_load_relaxed(&worker->ticket);
    worker->fresh.tail->order = ticket << CORI_FRESH_FLAGS | flags;
    worker->fresh.tail++;
    if (own) {
        cori_store_relaxed(&worker->ticket, ticket + 1);
    }
    if (cori_load_relaxed(&worker->fresh_first) == UINT64_MAX) { /* else there is a lower one */
        cori_store_relaxed(&worker->fresh_first, ticket);
    }
}

/* As cori_place_close, with one worker. */
static inline void cori_place_close_solo(cori_worker *worker, uint64_t flags)
{
    cori_place_add(worker, flags, true);
    cori_signal_fence();
    cori_bump(worker->fresh_count, 1);
}

/* Queues the record that was written, but for its `order`, which has these flags. */
static inline void cori_place_close(cori_worker *worker, uint64_t flags)
{
    if (worker->solo) {
        cori_place_close_solo(worker, flags);
        return;
    }
    cori_place_add(worker, flags, worker == cori_self_worker);
    if ((flags & CORI_FRESH_MADE) != 0) {
        cori_bump(worker->made_count, 1);
    }
    cori_store(&worker->fresh_count, worker->fresh_count + 1); /* then it looks who sleeps */
    cori_spin_unlock(&worker->fresh_lock);
}

/* Test hook: true spreads tasks without I/O as others, so that few of them meet on several workers. */
extern bool cori_place_apart;

/* Sees to it that somebody looks after the fresh queue of `worker`, which has just grown. Several workers. */
void cori_place_added(cori_worker *worker);
/*
 * Takes the next floating task, or makes the next fresh one, to run here. NULL: there is none, or no stack for it, or
 * it was handed to another. With one worker it is called only if there is one.
 */
cori_task *cori_place_take(cori_worker *worker);
/* Takes an old floating or fresh task of another worker's; NULL if there is none, or no stack. */
cori_task *cori_place_steal(cori_worker *worker);
/* True if there is something to do for this worker: never sleep on it. */
bool cori_has_work(const cori_worker *worker);
/* True if a fresh task waits here for a stack that cannot be had. */
static inline bool cori_place_starves(const cori_worker *worker)
{
    return cori_unlikely(cori_load_relaxed(&worker->starved) != 0) && cori_load_relaxed(&worker->fresh_count) != 0;
}
/* True if one has waited so long that nobody can be expected to leave a stack but tasks of this program. */
bool cori_place_gives_up(const cori_worker *worker);
/* For a worker about to sleep: how long it may (ns, < 0: for ever) until it asks for a stack again. */
int64_t cori_place_hunger(const cori_worker *worker);
/* For a worker about to sleep: how long it may (ns, < 0: for ever) so that others' fresh tasks are looked after. */
int64_t cori_place_watch(cori_worker *worker);
/* The watcher has found something to run: passes the office on. */
void cori_place_resign(cori_worker *worker);

#endif

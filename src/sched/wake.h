/* SPDX-License-Identifier: MIT */
/* Waking tasks and workers: from the task's own worker, from another one, from any thread. */
#ifndef CORI_SCHED_WAKE_H
#define CORI_SCHED_WAKE_H

#include "sched/permit.h"
#include "sched/state.h"

/*
 * Makes sure `worker` notices new work that was made visible before; true if it slept. Any thread; async-signal-safe.
 */
bool cori_worker_kick(cori_worker *worker);
/* Has a note acted on by the worker's thread; `note` is the worker's until then. Any thread; async-signal-safe. */
void cori_worker_note(cori_worker *worker, cori_note *note);
/* Puts any task on its own worker's inject list. Any thread; async-signal-safe. */
void cori_worker_inject(cori_task *task);
/* Takes what was injected into the run queue, in order of arrival; acts on notes. On the worker's own stack. */
void cori_worker_take(cori_worker *worker);
/* Tells every worker to stop. */
void cori_worker_stop_all(void);

/* Sees to it that an idle worker, if there is one, looks after a queue of tasks that may be taken. */
void cori_watcher_call(void);
/* Appoints it. */
void cori_watcher_appoint(void);

/* As cori_queue, for a task that floats. */
void cori_queue_floating(cori_worker *worker, cori_task *task);

/* Queues a task of this worker's that is ready, not on that task's stack. On the worker's own thread. */
static inline void cori_queue(cori_worker *worker, cori_task *task)
{
    if (cori_unlikely(task->floats)) {
        cori_queue_floating(worker, task);
    } else {
        cori_ready_push(worker, task);
    }
}

/* Makes a task look at its condition again. Workers' threads only; others leave a note. */
void cori_wake(cori_task *task);

/*
 * Wakes many tasks, those of one worker together: what others are woken on costs an exchange and perhaps a kick per
 * CORI_WAKES of them. Begin with all zero; no task may be forgotten, so cori_wakes_end comes before anything else that
 * may park. Workers' threads only.
 */
typedef struct cori_wakes {
    cori_worker *worker; /* of the chain; not this one */
    cori_task *newest, *oldest;
    unsigned count;
} cori_wakes;
void cori_wakes_add(cori_wakes *wakes, cori_task *task);
void cori_wakes_end(cori_wakes *wakes);

/*
 * Fetches what waking `task`, which waits on worker number `worker`, will write: four misses one after the other
 * otherwise. Several workers; harmless if it is wrong.
 */
static inline void cori_wake_soon(const cori_task *task, unsigned worker)
{
    cori_prefetch_write(task);
    cori_prefetch_write(&cori_rt.workers[worker].injected);
}

/* As cori_worker_take, where there is mostly nothing. */
static inline void cori_worker_receive(cori_worker *worker)
{
    if (cori_load_relaxed(&worker->injected) != NULL || cori_load_relaxed(&worker->notes) != NULL) {
        cori_worker_take(worker);
    }
}

/* As cori_wake, with one worker. */
static inline void cori_wake_solo(cori_task *task)
{
    if (cori_permit_wake(task, true)) {
        cori_ready_push(task->worker, task);
    }
}

#endif

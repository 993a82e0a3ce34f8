/* SPDX-License-Identifier: MIT */
/*
 * The roll call: whether every worker comes round. Each has one note for it, which lies in the worker itself; `called`
 * is set while the note is on its way, so it is never pushed twice. A note still under way from an earlier call, which
 * was given up, serves as well: it is read after this call has looked at it. The worker clears `called`, then looks for
 * waiters; a waiter publishes itself, then looks at `called`: one of them sees the other. Several tasks may call at a
 * time (the watchdog, a status server): a later call may make an earlier one wait for its answers, too.
 *
 * For cor_stats_workers a worker that answers counts its run queue, which nobody else may walk.
 */
#include "base/atomic.h"
#include "base/list.h"
#include "sched/lifecycle.h"
#include "sched/park.h"
#include "sched/stall.h"
#include "sched/wake.h"

#include <coracle/task.h>
#include <errno.h>

enum { CALLERS = 8 };

static cori_task *callers[CALLERS]; /* atomic */
static uint32_t counting;           /* atomic: how many of them want the queues counted */

static uint64_t count_ready(const cori_worker *worker)
{
    uint64_t count = worker->yielded != NULL;
    const cori_task *task = worker->ready.head;
    while (task != NULL && count < CORI_READY_COUNTED) {
        count++;
        task = task != worker->ready.tail ? task->next : NULL;
    }
    return count;
}

/* On the worker whose note it is. */
static void answer(cori_note *note)
{
    cori_worker *worker = cori_container(note, cori_worker, roll_note);
    if (cori_load(&counting) != 0) {
        cori_store_relaxed(&worker->ready_seen, count_ready(worker));
    }
    cori_store(&worker->called, 0);
    for (int i = 0; i < CALLERS; i++) {
        cori_task *task = cori_load(&callers[i]);
        if (task != NULL) {
            cori_wake(task);
        }
    }
}

static bool all_have_answered(void)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        if (cori_load(&cori_rt.workers[i].called) != 0) {
            return false;
        }
    }
    return true;
}

/* A place among the callers; NULL: there is none. */
static cori_task **take_place(cori_task *self)
{
    for (int i = 0; i < CALLERS; i++) {
        cori_task *none = NULL;
        if (cori_cas(&callers[i], &none, self)) {
            return &callers[i];
        }
    }
    return NULL;
}

int cor_roll_call(int64_t deadline)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    cori_task **place = take_place(self);
    if (place == NULL) {
        return cori_in_vain(-EBUSY);
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_swap(&worker->called, 1) == 0) {
            worker->roll_note.act = answer;
            cori_worker_note(worker, &worker->roll_note);
        }
    }
    int64_t begun = cori_here_now();
    int result = 0;
    while (result == 0 && !all_have_answered()) {
        result = cori_interrupted(self, deadline);
        if (result == 0) {
            cori_park_external(self, deadline, "roll call");
        }
    }
    cori_store(place, NULL);
    for (int i = 0; i < cori_rt.worker_count && result == COR_ETIMEOUT; i++) {
        if (cori_load(&cori_rt.workers[i].called) != 0) {
            cori_stall_ask(&cori_rt.workers[i], cori_here_now() - begun);
        }
    }
    cori_charge(self); /* it may not have waited */
    return result;
}

void cori_roll_end(void)
{
    for (int i = 0; i < CALLERS; i++) {
        cori_store(&callers[i], NULL);
    }
    cori_store(&counting, 0);
}

int cor_stats_workers(cor_worker_stats *out, int most, int64_t deadline)
{
    cori_fetch_add(&counting, 1);
    int code = cor_roll_call(deadline);
    cori_fetch_sub(&counting, 1);
    if (code < 0 && code != COR_ETIMEOUT) {
        return code;
    }
    for (int i = 0; i < cori_rt.worker_count && i < most; i++) {
        const cori_worker *worker = &cori_rt.workers[i];
        uint64_t floating = cori_load_relaxed(&worker->floating_count);
        out[i] = (cor_worker_stats){.fresh = cori_load_relaxed(&worker->fresh_count),
                                    .ready = cori_load_relaxed(&worker->ready_seen) + floating,
                                    .silent = cori_load(&worker->called) != 0};
        out[i].tasks = cori_load_relaxed(&worker->live) + out[i].fresh + floating;
    }
    return cori_rt.worker_count;
}

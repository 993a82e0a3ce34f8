/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given back while a worker has nothing to run. A pass comes CORI_RECLAIM_NS after tasks have run (later
 * with very many tasks), and again as long as there is something to wait for; a worker that is idle for good is not
 * woken any more. It looks at
 *
 *   finished stacks   that the worker keeps hot: those it had no use for since the last pass (the low-water mark of
 *                     their number) go back to the pool, but for CORI_STACK_WARM
 *   parked tasks      for at least CORI_RECLAIM_NS: the pages below their frames, which they touched when their calls
 *                     went deeper, go back to the kernel. So a connection that did something elaborate once is as
 *                     small afterwards as one that never did
 *
 * A pass is made in steps of CORI_RECLAIM_STEP stacks, with a look at the poller in between. The worker's thread does
 * it on its own stack, to its own tasks: none of them runs meanwhile, and nobody else writes below their frames.
 *
 * Stacks that went to the pool, here or when tasks ended, have their pages still (ctx/stack.c). A worker about to sleep
 * gives back one slab's that are due, and looks at the poller in between; one that has work does it between two rounds,
 * now and then (worker.c). So a worker that has retired stacks never sleeps for ever before they are clean, and what a
 * storm leaves is gone a moment after it, whichever worker it was on.
 */
#include "sched/reclaim.h"
#include "base/atomic.h"

/* Gives back `count`, at most CORI_RECLAIM_STEP, of the stacks that lie deepest in the hot list. */
static void cool(cori_worker *worker, unsigned count)
{
    cori_task **link = &worker->hot;
    for (unsigned i = count; i < worker->hot_count; i++) {
        link = &(*link)->next;
    }
    cori_stack stacks[CORI_RECLAIM_STEP];
    cori_task *task = *link;
    for (unsigned i = 0; i < count; i++) {
        stacks[i] = task->stack;
        task = task->next;
    }
    *link = NULL;
    worker->hot_count -= count;
    worker->hot_least -= count;
    cori_stack_retire(stacks, count, worker->now);
}

/* Looks at the next parked tasks. */
static void trim_some(cori_worker *worker)
{
    for (int i = 0; i < CORI_RECLAIM_STEP && worker->trim_next != NULL; i++) {
        cori_task *task = worker->trim_next;
        worker->trim_next = task->live_next;
        if (cori_load_relaxed(&task->permit) != CORI_PARKED || task->trimmed == task->since) {
            continue;
        }
        if (worker->now - task->since < CORI_RECLAIM_NS) {
            worker->dirty = true;
            continue;
        }
        task->trimmed = task->since;
        cori_stack_trim(&task->stack, task->ctx.sp);
    }
}

/* One step of a pass; true if that was the last. */
static bool step(cori_worker *worker)
{
    if (worker->hot_least > CORI_STACK_WARM) {
        unsigned surplus = worker->hot_least - CORI_STACK_WARM;
        cool(worker, surplus < CORI_RECLAIM_STEP ? surplus : CORI_RECLAIM_STEP);
        return false;
    }
    trim_some(worker);
    return worker->trim_next == NULL;
}

/* The passes; as cori_reclaim. */
static int64_t pass(cori_worker *worker)
{
    if (worker->reclaim_at != 0 && worker->now < worker->reclaim_at) {
        return worker->reclaim_at - worker->now;
    }
    if (worker->reclaim_at != 0) {
        if (!worker->reclaiming) {
            worker->reclaiming = true;
            worker->dirty = false;
            worker->trim_next = worker->live_head;
        }
        if (!step(worker)) {
            return 0;
        }
        worker->reclaiming = false;
    }
    worker->hot_least = worker->hot_count;
    bool again = worker->dirty || worker->hot_count > CORI_STACK_WARM;
    int64_t wait_ns = again ? CORI_RECLAIM_NS + (int64_t)worker->live * CORI_RECLAIM_TASK_NS : -1;
    worker->reclaim_at = wait_ns > 0 ? worker->now + wait_ns : 0;
    return wait_ns;
}

int64_t cori_reclaim(cori_worker *worker)
{
    int64_t pass_ns = pass(worker), clean_ns = cori_stack_clean(worker->now);
    return pass_ns < 0 || (clean_ns >= 0 && clean_ns < pass_ns) ? clean_ns : pass_ns;
}

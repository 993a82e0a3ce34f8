/* SPDX-License-Identifier: MIT */
/* Going from one task to the next. */
#ifndef CORI_SCHED_SWITCH_H
#define CORI_SCHED_SWITCH_H

#include "sched/carry.h"
#include "sched/state.h"

/* Switches away from the running task to whatever comes next; returns when `self` is scheduled again. */
void cori_worker_next(cori_worker *worker, cori_task *self);
/* Takes the task that is next off the worker's queues; NULL: there is none. */
cori_task *cori_pick(cori_worker *worker);
/* What every task's stack begins with; `arg` is the task. */
void cori_task_main(void *arg);

static inline void cori_begin_turn(cori_worker *worker, cori_task *next)
{
    worker->current = next;
    if (worker->ops_left != worker->ops_most) {
        worker->ops_left = worker->ops_most;
    }
}

/*
 * Runs `next` and those after it; returns at the end of the round, or when nothing is runnable. On the worker's own
 * stack, from the function that has its loop: the processor predicts returns from a stack of its own, which a switch
 * does not change. If the scheduler returned from a call that it switched away in, its and the task's next returns
 * would all be mispredicted.
 */
static inline __attribute__((always_inline)) void cori_switch_in(cori_worker *worker, cori_task *next)
{
    cori_begin_turn(worker, next);
    cori_carry_in(worker, next);
    if (next->ctx.sp != NULL) {
        cori_ctx_switch(&worker->scheduler, &next->ctx);
    } else {
        cori_ctx_enter(&worker->scheduler, &next->ctx, next, cori_task_main, next, false);
    }
}

#endif

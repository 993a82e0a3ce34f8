/* SPDX-License-Identifier: MIT */
/* The flows of virtual.h. */
#include "sched/virtual.h"

#include "base/lock.h"
#include "sched/carry.h"
#include "sched/lifecycle.h"
#include "sched/wake.h"

#include <stddef.h>

enum { LOOP_STACK_BYTES = 256 * 1024 };

const cori_virtual *cori_virtual_driver;

static cori_ctx driver; /* the calling thread's own stack */
static void (*worker_loop)(cori_worker *worker);
static bool ended[CORI_WORKERS_MAX];
static cori_ctx *left_at[CORI_WORKERS_MAX]; /* the task's context, of a worker left in the middle of a turn */

static void flow(void *arg)
{
    cori_worker *worker = arg;
    cori_ctx_arrived(&worker->scheduler);
    worker_loop(worker);
    ended[worker->id] = true;
    cori_ctx_exit(&worker->scheduler, &driver);
}

void cori_virtual_pause(void)
{
    cori_worker *worker = cori_self_worker;
    cori_self_worker = NULL;
    cori_ctx_switch(&worker->scheduler, &driver);
    cori_self_worker = worker;
    worker->round_most = cori_virtual_driver->switches();
}

/* In the middle of the running task's turn: other workers go first, for as long as the driver wants. */
static void leave(cori_worker *worker)
{
    cori_task *self = worker->current;
    cori_carry_off(worker, self);
    left_at[worker->id] = &self->ctx;
    cori_self_worker = NULL;
    cori_ctx_switch(&self->ctx, &driver);
    cori_self_worker = worker;
    cori_carry_in(worker, self);
}

bool cori_virtual_point(void)
{
    cori_worker *worker = cori_self_worker;
    if (cori_virtual_driver->point == NULL || cori_load(&cori_rt.stop) != 0) {
        return true;
    }
    worker->ops_left = worker->ops_most;
    enum cori_virtual_then then = cori_virtual_driver->point();
    if (then == CORI_VIRTUAL_LEAVE) {
        leave(worker);
    }
    return then == CORI_VIRTUAL_YIELD;
}

/* Spins for a lock whose holder was left. */
static void give_way(void)
{
    cori_worker *worker = cori_self_worker;
    if (worker != NULL && worker->current != NULL) {
        leave(worker);
    } else if (worker != NULL) { /* else the driver, which takes no locks, or a thread of the program's own */
        cori_virtual_pause();
    }
}

/* Gives each worker a stack for its loop; they are unmapped with all others when cor_run ends. */
static int make_flows(cori_stack *stacks)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        int rc = cori_stack_take(&stacks[i], LOOP_STACK_BYTES);
        if (rc < 0) {
            return rc;
        }
        ended[i] = false;
        left_at[i] = NULL;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_rt.workers[i].thread = pthread_self();
        cori_rt.workers[i].ops_most = cori_virtual_driver->point != NULL ? 1 : CORI_OPS_BUDGET;
        cori_ctx_make(&cori_rt.workers[i].scheduler, stacks[i].low, stacks[i].top);
    }
    return 0;
}

static void go_on(cori_worker *worker, const cori_stack *stack)
{
    cori_ctx *at = left_at[worker->id];
    left_at[worker->id] = NULL;
    if (at != NULL) {
        cori_ctx_switch(&driver, at);
    } else if (worker->scheduler.sp != NULL) {
        cori_ctx_switch(&driver, &worker->scheduler);
    } else {
        cori_ctx_enter(&driver, &worker->scheduler, stack->top, flow, worker, false);
    }
}

void cori_virtual_dump(int fd)
{
    cori_dump_all_stopped(fd);
}

/* In turns, since one may hold a lock that another spins for. */
static void end_all(const cori_stack *stacks)
{
    for (bool left = true; left;) {
        left = false;
        for (int i = 0; i < cori_rt.worker_count; i++) {
            if (!ended[i]) {
                go_on(&cori_rt.workers[i], &stacks[i]);
                left = true;
            }
        }
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_ctx_drop(&cori_rt.workers[i].scheduler);
    }
}

int cori_virtual_run(void (*run)(cori_worker *worker))
{
    static cori_stack stacks[CORI_WORKERS_MAX];
    int rc = make_flows(stacks);
    if (rc < 0) {
        return rc;
    }
    worker_loop = run;
    cori_spin_way = give_way;
    cori_ctx_init_thread(&driver);
    go_on(&cori_rt.workers[0], &stacks[0]); /* first: it keeps the thread's signal mask */
    while (cori_load(&cori_rt.stop) == 0) {
        int chosen = cori_virtual_driver->next();
        if (chosen < 0) {
            cori_store(&cori_rt.deadlock, chosen == CORI_VIRTUAL_STUCK);
            cori_worker_stop_all();
        } else {
            go_on(&cori_rt.workers[chosen], &stacks[chosen]);
        }
    }
    end_all(stacks);
    cori_spin_way = NULL;
    return 0;
}

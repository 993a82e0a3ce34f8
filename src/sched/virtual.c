/* SPDX-License-Identifier: MIT */
/* The flows of virtual.h. */
#include "sched/virtual.h"

#include "sched/lifecycle.h"
#include "sched/wake.h"

#include <stddef.h>

enum { LOOP_STACK_BYTES = 256 * 1024 };

const cori_virtual *cori_virtual_driver;

static cori_ctx driver; /* the calling thread's own stack */
static void (*worker_loop)(cori_worker *worker);
static bool ended[CORI_WORKERS_MAX];

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

/* Gives each worker a stack for its loop; they are unmapped with all others when cor_run ends. */
static int make_flows(cori_stack *stacks)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        int rc = cori_stack_take(&stacks[i], LOOP_STACK_BYTES);
        if (rc < 0) {
            return rc;
        }
        ended[i] = false;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_rt.workers[i].thread = pthread_self();
        cori_ctx_make(&cori_rt.workers[i].scheduler, stacks[i].low, stacks[i].top);
    }
    return 0;
}

static void go_on(cori_worker *worker, const cori_stack *stack)
{
    if (worker->scheduler.sp != NULL) {
        cori_ctx_switch(&driver, &worker->scheduler);
    } else {
        cori_ctx_enter(&driver, &worker->scheduler, stack->top, flow, worker, false);
    }
}

void cori_virtual_dump(int fd)
{
    cori_dump_all_stopped(fd);
}

int cori_virtual_run(void (*run)(cori_worker *worker))
{
    static cori_stack stacks[CORI_WORKERS_MAX];
    int rc = make_flows(stacks);
    if (rc < 0) {
        return rc;
    }
    worker_loop = run;
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
    for (int i = 0; i < cori_rt.worker_count; i++) {
        while (!ended[i]) {
            go_on(&cori_rt.workers[i], &stacks[i]);
        }
        cori_ctx_drop(&cori_rt.workers[i].scheduler);
    }
    return 0;
}

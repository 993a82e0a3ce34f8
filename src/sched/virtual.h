/* SPDX-License-Identifier: MIT */
/*
 * Workers without threads: each worker's loop is a flow of control with a stack of its own, and all of them run on the
 * thread that called cor_run, one at a time. A driver says which one goes on. So a run with several workers repeats
 * exactly if the driver's choices do; src/sim/ is the driver.
 *
 * A worker gives way in two places: after each round, and where its poller would wait. Both are on the scheduler's own
 * stack, between two tasks: so tasks, locks and queues see nothing of it, and a spin lock is never met locked. What a
 * second thread could do in the middle of a turn does not happen here; which of two workers comes first does.
 *
 * The flow of a worker and its `scheduler` context are one: the context holds where the loop is left, for a task or for
 * the driver. Everything that is a thread's (signal mask, alternate stack, errno's place) is that of the one thread.
 */
#ifndef CORI_SCHED_VIRTUAL_H
#define CORI_SCHED_VIRTUAL_H

#include <stdbool.h>

struct cori_scope;
struct cori_worker;

typedef struct cori_virtual {
    /*
     * Which worker goes on, of those that have not ended; CORI_VIRTUAL_STUCK: nothing can happen any more;
     * CORI_VIRTUAL_OVER: the run is to end. On the driver's stack.
     */
    int (*next)(void);
    /* How many switches the next round of the worker that goes on may take, from 1. On that worker's stack. */
    int (*switches)(void);
    /*
     * The running task, which is on a host other than 0, starts one that is in no group: counts it in what holds the
     * tasks of that host together. 0 or why it cannot be. cori_member_uncount undoes it.
     */
    int (*enter)(struct cori_scope **out);
    /* All workers have stopped and nothing is closed yet: where reports go, < 0: nowhere. */
    int (*stopped)(void);
} cori_virtual;

enum { CORI_VIRTUAL_STUCK = -1, CORI_VIRTUAL_OVER = -2 };

/* NULL: workers are threads. Set only while no cor_run is active. */
extern const cori_virtual *cori_virtual_driver;

/* Lets the driver choose. On the worker's own stack. */
void cori_virtual_pause(void);
/* Calls `run` for each worker on a flow of its own, until all have returned. 0, or -ENOMEM before any has begun. */
int cori_virtual_run(void (*run)(struct cori_worker *worker));
/* Prints all tasks, when the workers have stopped. */
void cori_virtual_dump(int fd);

#endif

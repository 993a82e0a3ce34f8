/* SPDX-License-Identifier: MIT */
/*
 * Workers without threads: each worker's loop is a flow of control with a stack of its own, and all of them run on the
 * thread that called cor_run, one at a time. A driver says which one goes on. So a run with several workers repeats
 * exactly if the driver's choices do; src/sim/ is the driver.
 *
 * A worker gives way in two places: after each round, and where its poller would wait. Both are on the scheduler's own
 * stack, between two tasks: so tasks, locks and queues see nothing of it.
 *
 * If the driver has points, a worker may also be left in the middle of a task's turn, as a thread that loses its CPU:
 * where an operation is charged (cori_charge), which is each lock, and each channel operation, select, read, write and
 * accept that did not wait; and on both sides of a simulated system call. The task is not queued: it stands on the CPU
 * of its worker, and goes on when that is chosen again. If it was left with a spin lock, another worker that spins for
 * it gives way, too (cori_spin_way), until the driver has chosen the holder.
 *
 * The flow of a worker and its `scheduler` context are one: the context holds where the loop is left, for a task or for
 * the driver. A worker that is left in the middle of a turn is in its task's context. Everything that is
 * a thread's (signal mask, alternate stack, errno's place) is that of the one thread.
 */
#ifndef CORI_SCHED_VIRTUAL_H
#define CORI_SCHED_VIRTUAL_H

#include <stdbool.h>

struct cori_scope;
struct cori_worker;

/* At a point the task goes on, or yields to the others of its worker, or its worker is left. */
enum cori_virtual_then { CORI_VIRTUAL_GO_ON, CORI_VIRTUAL_YIELD, CORI_VIRTUAL_LEAVE };

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
    /* NULL: there are no points. Else what becomes of the running task at one; on its stack. */
    enum cori_virtual_then (*point)(void);
    /* Which worker a new task begins on; < 0, or NULL: where placement has it. */
    int (*place)(void);
    /* All workers have stopped and nothing is closed yet: where reports go, < 0: nowhere. */
    int (*stopped)(void);
} cori_virtual;

enum { CORI_VIRTUAL_STUCK = -1, CORI_VIRTUAL_OVER = -2 };

/* NULL: workers are threads. Set only while no cor_run is active. */
extern const cori_virtual *cori_virtual_driver;

/* Lets the driver choose. On the worker's own stack. */
void cori_virtual_pause(void);
/* A point in the running task's turn; the driver may have its worker left meanwhile. True: the task is to yield. */
bool cori_virtual_point(void);
/* Calls `run` for each worker on a flow of its own, until all have returned. 0, or -ENOMEM before any has begun. */
int cori_virtual_run(void (*run)(struct cori_worker *worker));
/* Prints all tasks, when the workers have stopped. */
void cori_virtual_dump(int fd);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Floating tasks: those that promise not to keep the address of anything thread-local over a call that may park. An
 * idle worker may take one that is ready, so that computing tasks share all cores. All others stay pinned.
 *
 * Whose a floating task is. While it runs or is parked it is its worker's as any other: in that worker's live list, its
 * timer in that worker's heap, woken by way of that worker. Only a ready one may change hands: its worker, on its own
 * thread and after the switch away from it, takes it out of the live list and its timer out of the heap, and puts it
 * into the floating queue; there it belongs to nobody. Whoever takes it out of the queue, under the lock, is its worker
 * from then on. What follows from that:
 *
 *      running twice   cannot be: a task that yields is put into the queue by the scheduler, on another stack. A parked
 *                      one has been switched away from before its worker can see that it was woken
 *      wake            a waker reads `worker` after it has won the permit. The task was parked then, and stays out of
 *                      the queue until this very waker's wake has reached its worker: `worker` stands still
 *      other readers   of `worker`, who have not won a permit, may read an old one: only as a hint (mutex.c), or for a
 *                      note, which any worker can act on (blocking.c). It is written and read atomically
 *      cancel, close   are wakes
 *      timers          a queued or moving task has none: no heap ever holds another worker's task. In return the timer
 *                      of a floating task is set anew at each park with a deadline
 *      dump            the handler on the worker's thread walks its own list; the queue under the lock if it is free.
 *                      Neither can change hands meanwhile
 *      stacks          go to the hot list of the worker on which the task ends
 *      `external`      counts parks on one worker and their ends on another: only the sum over all workers tells
 *      errno and C++'s exceptions are put in place by the switch on the new thread (carry.h)
 *      sanitizers      a fiber is switched to under the order that the lock has made; where the switch began tells
 *                      nothing. valgrind knows the stacks by their addresses
 *
 * The queue shares the lock, and `fresh_first`, with the fresh queue: to the owner both are what others may take, and
 * one comparison tells when the lower of their tickets is next. While the queues are empty a switch costs what it did.
 * With one worker no task floats: `floats` is not set. A task that yields in the quick way of cor_yield stays in the
 * ready queue, for a round of short turns, which takes a millisecond at most; the yield that ends it goes by here.
 *
 * Who takes what. An idle worker takes tasks that have waited CORI_STEAL_AGE_NS: half of a queue, CORI_FLOAT_TAKE at
 * most, as many cores then soon have equal shares. Not lost: as with fresh tasks (placement.c). The owner queues, then
 * calls the watcher unless it goes on with this very task at once; so does who has taken more than one, because the
 * watcher may have looked, and gone to sleep for good, while they were in neither queue.
 *
 * What bounds the promise "taken at any yield or wake": a wake from another worker, an event and a timer are seen by
 * the task's own worker, so while that computes they wait for the end of its slice, as all its tasks do.
 *
 * In the library's own code no worker may be kept over a park or a charge. What reads it on both sides:
 *
 *      cori_park_external, cori_park_outside      the counter of the worker that it parks on, then of the one it is on
 *      cori_task_main                             timers, live list, the switch: of the worker that it ends on
 *      cor_sleep, cori_interrupted, cori_charge   through the task, or cori_self_worker, each time anew
 *      reads, writes, accepts (net/fd.c)          cori_here_task and cori_here_poller, each time anew; a reader's
 *                                                 registration follows it at its next wait, or, over io_uring, stays
 *      borrowed buffers (io/buffer.c)             taken from one worker's spares, given to another's
 *      cor_blocking                               its note may be acted on by the worker that it has left
 *      cor_serve                                  asks once which worker it is on
 *      channels, select, mutexes, groups, conditions: only tasks and permits on both sides
 *      errno in inline system calls               cori_errno_location, which is not a constant to the compiler
 *
 * cori_self_worker itself is thread-local: state.h sees to it that its address is not kept.
 */
#ifndef CORI_SCHED_FLOAT_H
#define CORI_SCHED_FLOAT_H

#include "sched/state.h"

/*
 * Puts a ready floating task of this worker's into its floating queue; true: other work goes first, so an idle worker
 * should hear of it. On the worker's own thread, not on the task's stack.
 */
bool cori_float_put(cori_worker *worker, cori_task *task);

/*
 * Takes the first task of this worker's own floating queue, unless a fresh task is to go before it. `starving`: fresh
 * tasks cannot be started now, and ready ones are to go before it as well. NULL: none.
 */
cori_task *cori_float_take(cori_worker *worker, bool starving);

/* Takes tasks that have waited for long from another worker: the first; the rest is queued here. NULL: none. */
cori_task *cori_float_steal(cori_worker *worker);

/* The ticket of the first floating task, UINT64_MAX: none. Guard: the lock. */
static inline uint64_t cori_float_first(const cori_worker *worker)
{
    return worker->floating.head != NULL ? worker->floating.head->ticket : UINT64_MAX;
}

#endif

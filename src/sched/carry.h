/* SPDX-License-Identifier: MIT */
/*
 * What belongs to a task though the platform keeps it per thread: errno, and the exceptions that C++ code is handling
 * (a task may park inside a catch block). It is carried over where a task really switches, before the switch, so that
 * the switch stays the last thing its function does. Nothing else is: thread-local variables are the worker's.
 *
 * Almost always both tasks' errno is the same, 0: the hot path only keeps what is left and compares it with what comes.
 * All else is out of line, and is told by that one comparison: a task that never ran has CORI_ERRNO_FRESH kept, and in
 * a C++ program the hot path finds a number in `errno_shown` that no task has. The scheduler has no errno of its own:
 * it leaves what a task left there, or what its own calls did, and the next task's is put in place anyway.
 */
#ifndef CORI_SCHED_CARRY_H
#define CORI_SCHED_CARRY_H

#include "sched/state.h"

#include <limits.h>

/* Kept by a task that never ran: it begins with 0. */
#define CORI_ERRNO_FRESH INT_MIN

/* Finds out where the calling thread keeps it: for `worker`, whose thread this is. */
void cori_carry_init(cori_worker *worker);

/* Keeps what `self`, which is being left, has. */
static inline void cori_carry_off(const cori_worker *worker, cori_task *self)
{
    self->errno_kept = *worker->errno_at;
    if (cori_unlikely(worker->caught_at != NULL)) {
        self->caught = *worker->caught_at;
    }
}

/* Puts in place what `next` had. */
static inline void cori_carry_in(const cori_worker *worker, const cori_task *next)
{
    bool fresh = next->errno_kept == CORI_ERRNO_FRESH;
    *worker->errno_at = fresh ? 0 : next->errno_kept;
    if (cori_unlikely(worker->caught_at != NULL)) {
        *worker->caught_at = fresh ? (cori_caught){0} : next->caught;
    }
}

/* Does both where that is quick: false if it was not, and nothing is done. `next` has run before if it was. */
static inline bool cori_carry_quickly(const cori_worker *worker, cori_task *self, const cori_task *next)
{
    int now = *worker->errno_shown;
    if (cori_unlikely(now != next->errno_kept)) {
        return false;
    }
    self->errno_kept = now;
    return true;
}

#endif

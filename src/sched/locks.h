/* SPDX-License-Identifier: MIT */
/*
 * Debug builds (COR_DEBUG_LOCKS): a task that lets others run while it holds a pthread mutex is found at once. Its
 * worker's thread holds the mutex then, and the next task there that wants it stops the worker for ever, or enters
 * where it must not. In other builds nothing is left of the check.
 */
#ifndef CORI_SCHED_LOCKS_H
#define CORI_SCHED_LOCKS_H

#include "sched/task.h"

#if COR_DEBUG_LOCKS
/* `what` the running task does: "parks". Ends the program, with the task's and the mutex's names, if one is held. */
void cori_locks_check(const cori_task *self, const char *what);
#else
static inline void cori_locks_check(const cori_task *self, const char *what)
{
    (void)self;
    (void)what;
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/* A task's stack, and the task object at its top. */
#ifndef CORI_SCHED_TASK_STACK_H
#define CORI_SCHED_TASK_STACK_H

#include "sched/state.h"

/* Takes a stack and puts a task object at its top. `worker` NULL: the caller is a foreign thread. NULL with *rc. */
cori_task *cori_task_alloc(cori_worker *worker, size_t size_bytes, int *rc);
/* Keeps an ended task, which may be the running one, for the next spawn; false: there are enough. */
bool cori_task_keep(cori_worker *worker, cori_task *task);
/* Keeps or gives back a task that has ended and been switched away from. */
void cori_task_release(cori_worker *worker, cori_task *task);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Where tasks live: a stack, with the task object at its top. A worker keeps the stacks of tasks that have ended hot,
 * with their pages, last in first out: a spawn then touches no kernel and no lock. Others go back to the slab pool cold
 * (ctx/stack.h).
 */
#ifndef CORI_SCHED_TASK_STACK_H
#define CORI_SCHED_TASK_STACK_H

#include "sched/state.h"

/* Makes a task on a stack of its own. NULL with *rc. Any thread. */
cori_task *cori_task_alloc_cold(size_t size_bytes, int *rc);
/* Keeps or gives back a task that has ended and been switched away from. */
void cori_task_release(cori_worker *worker, cori_task *task);

/* Takes a stack and puts a task object at its top. `worker` NULL: the caller is a foreign thread. NULL with *rc. */
static inline cori_task *cori_task_alloc(cori_worker *worker, size_t size_bytes, int *rc)
{
    if (worker == NULL || worker->hot == NULL || size_bytes != cori_rt.stack_size_bytes) {
        return cori_task_alloc_cold(size_bytes, rc);
    }
    cori_task *task = worker->hot;
    worker->hot = task->next;
    if (--worker->hot_count < worker->hot_least) {
        worker->hot_least = worker->hot_count;
    }
    return task;
}

/* Keeps an ended task, which may be the running one, for the next spawn; false: there are enough. */
static inline bool cori_task_keep(cori_worker *worker, cori_task *task)
{
    size_t size_bytes = (size_t)(task->stack.top - task->stack.low);
    bool keep = size_bytes == cori_rt.stack_size_bytes && worker->hot_count < CORI_STACK_HOT_MAX;
    if (keep) {
        task->next = worker->hot;
        worker->hot = task;
        worker->hot_count++;
    }
    return keep;
}

#endif

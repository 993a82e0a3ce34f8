/* SPDX-License-Identifier: MIT */
/*
 * Where tasks live: a stack, with the task object at its top. A worker keeps the stacks of tasks that have ended hot,
 * with their pages, last in first out: a first run then touches no kernel and no lock. Others go back to the slab pool
 * (ctx/stack.h), many at once.
 */
#ifndef CORI_SCHED_TASK_STACK_H
#define CORI_SCHED_TASK_STACK_H

#include "sched/carry.h"
#include "sched/member.h"

/* Makes a task on a stack of its own. NULL with *rc. Any thread. */
cori_task *cori_task_alloc_cold(size_t size_bytes, int *rc);
/* Keeps or gives back the tasks that have ended in this round and were not kept. On the scheduler's own stack. */
void cori_task_release_ended(cori_worker *worker);
/* Gives a stack back on which no task was made after all. */
void cori_task_unused(cori_worker *worker, cori_task *task);
/* The first of more numbers for this worker's tasks. One for a task that another thread makes (NULL). */
uint64_t cori_task_numbers(cori_worker *worker);

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

/* Keeps an ended task, which may be the running one, for the next start; false: there are enough. */
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

/* The number of this worker's next task. */
static inline uint64_t cori_task_number(cori_worker *worker)
{
    return cori_likely(worker->next_id != worker->last_id) ? worker->next_id++ : cori_task_numbers(worker);
}

/* Makes of `task`, a stack that was taken, what the record says. */
static inline void cori_task_make(cori_task *task, const cori_fresh *fresh, uint64_t number)
{
    uint8_t flags = (uint8_t)fresh->order;
    bool entry = (flags & CORI_FRESH_ENTRY) != 0, named = (flags & CORI_FRESH_NAMED) != 0;
    cori_store_relaxed(&task->new_permit, CORI_RUNNING);
    task->errno_kept = CORI_ERRNO_FRESH;
    task->ticket = 0; /* of no queue of this worker's yet */
    task->timer.slot = 0;
    task->since = fresh->since;
    task->scope = fresh->scope;
    task->arg_a = fresh->arg_a;
    task->arg_b = fresh->arg_b;
    if (cori_likely(flags == 0)) {
        task->entry = NULL;
        task->function = fresh->call.function;
        task->name = NULL;
    } else {
        task->floats = (flags & CORI_FRESH_FLOATS) != 0;
        task->entry = entry ? fresh->call.entry : NULL;
        task->function = !entry ? fresh->call.function : named ? NULL : fresh->label.function;
        task->name = named ? fresh->label.name : NULL;
    }
    task->site = fresh->site;
    task->id = number;
    cori_ctx_make(&task->ctx, task->stack.low, task);
    if (task->scope != NULL) {
        cori_member_join(task);
    }
}

#endif

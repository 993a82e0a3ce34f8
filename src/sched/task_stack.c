/* SPDX-License-Identifier: MIT */
/* Stacks from the slab pool and back to it: the slower half of task_stack.h. */
#include "sched/task_stack.h"

#include "base/limits.h"

#include <errno.h>

enum { TASK_ALIGN = 64, NUMBERS = 1024 };

cori_task *cori_task_alloc_cold(size_t size_bytes, int *rc)
{
    cori_stack stack;
    *rc = size_bytes <= CORI_STACK_MAX_BYTES ? cori_stack_take(&stack, size_bytes) : -EINVAL;
    if (*rc < 0) {
        return NULL;
    }
    uintptr_t top = ((uintptr_t)stack.top - sizeof(cori_task)) & ~(uintptr_t)(TASK_ALIGN - 1);
    cori_task *task = (cori_task *)top;
    task->stack = stack;
    return task;
}

uint64_t cori_task_numbers(cori_worker *worker)
{
    uint64_t first = cori_fetch_add_relaxed(&cori_rt.next_id, worker != NULL ? NUMBERS : 1);
    if (worker != NULL) {
        worker->next_id = first + 1;
        worker->last_id = first + NUMBERS;
    }
    return first;
}

void cori_task_unused(cori_worker *worker, cori_task *task)
{
    if (!cori_task_keep(worker, task)) {
        cori_stack stack = task->stack; /* a copy: it lies in what is given back */
        cori_stack_retire(&stack, 1, worker->now);
    }
}

void cori_task_release_ended(cori_worker *worker)
{
    cori_stack stacks[CORI_RECLAIM_STEP];
    unsigned count = 0;
    while (worker->ended != NULL) {
        cori_task *task = worker->ended;
        worker->ended = task->next;
        cori_ctx_drop(&task->ctx);
        if (!cori_task_keep(worker, task)) {
            stacks[count++] = task->stack;
        }
        if (count == CORI_RECLAIM_STEP || (count > 0 && worker->ended == NULL)) {
            cori_stack_retire(stacks, count, worker->now);
            count = 0;
        }
    }
}

/* SPDX-License-Identifier: MIT */
/* Stacks from the slab pool and back to it: the slower half of task_stack.h. */
#include "sched/task_stack.h"

#include "base/limits.h"

#include <errno.h>

enum { TASK_ALIGN = 64 };

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

void cori_task_release(cori_worker *worker, cori_task *task)
{
    cori_ctx_drop(&task->ctx);
    if (!cori_task_keep(worker, task)) {
        cori_stack_retire(&task->stack);
    }
}

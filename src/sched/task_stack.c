/* SPDX-License-Identifier: MIT */
/*
 * Where tasks live. A worker keeps the stacks of tasks that have ended hot, with their pages, last in first out: a
 * spawn then touches no kernel and no lock. Others go back to the slab pool cold (ctx/stack.h).
 */
#include "sched/task_stack.h"

#include "base/limits.h"

#include <errno.h>

enum { TASK_ALIGN = 64 };

cori_task *cori_task_alloc(cori_worker *worker, size_t size_bytes, int *rc)
{
    if (worker != NULL && worker->hot != NULL && size_bytes == cori_rt.stack_size_bytes) {
        cori_task *task = worker->hot;
        worker->hot = task->next;
        if (--worker->hot_count < worker->hot_least) {
            worker->hot_least = worker->hot_count;
        }
        return task;
    }
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

bool cori_task_keep(cori_worker *worker, cori_task *task)
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

void cori_task_release(cori_worker *worker, cori_task *task)
{
    cori_ctx_drop(&task->ctx);
    if (!cori_task_keep(worker, task)) {
        cori_stack_retire(&task->stack);
    }
}

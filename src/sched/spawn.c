/* SPDX-License-Identifier: MIT */
/*
 * Making tasks and giving their stacks back. A worker keeps up to CORI_STACK_HOT_MAX finished stacks of the default
 * size with their pages, last in first out: a spawn then touches no kernel and no lock. Others go back to the slab
 * pool cold.
 */
#include "sched/spawn.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "sched/carry.h"
#include "sched/here.h"
#include "sched/member.h"
#include "sched/placement.h"
#include "sched/task_stack.h"
#include "sched/wake.h"

#include <coracle/error.h>
#include <errno.h>
#include <string.h>

enum { ID_RANGE = 1024 };

static uint64_t new_id(cori_worker *worker)
{
    if (worker == NULL) {
        return cori_fetch_add_relaxed(&cori_rt.next_id, ID_RANGE);
    }
    if (worker->next_id == worker->last_id) {
        worker->next_id = cori_fetch_add_relaxed(&cori_rt.next_id, ID_RANGE);
        worker->last_id = worker->next_id + ID_RANGE;
    }
    return worker->next_id++;
}

static cori_task *task_make(cori_worker *worker, const cori_spawn *spawn, int *rc)
{
    size_t size_bytes = spawn->stack_size_bytes != 0 ? spawn->stack_size_bytes : cori_rt.stack_size_bytes;
    cori_task *task = cori_task_alloc(worker, size_bytes, rc);
    if (task == NULL) {
        return NULL;
    }
    cori_store_relaxed(&task->permit, CORI_RUNNING);
    task->errno_kept = CORI_ERRNO_FRESH;
    task->placed = false;
    task->timer.place = 0;
    task->since = worker != NULL ? worker->now : cori_clock_now();
    task->scope = spawn->scope;
    task->entry = spawn->entry;
    task->arg_a = spawn->arg_a;
    task->arg_b = spawn->arg_b;
    task->function = spawn->function;
    task->name = spawn->name;
    task->site = spawn->site;
    task->worker = NULL;
    task->id = new_id(worker);
    cori_ctx_make(&task->ctx, task->stack.low, task);
    return task;
}

/* Queues a new task: on its own worker, on a given one, or where placement finds the place. */
static inline void queue_new(cori_worker *worker, cori_task *task, int place)
{
    if (cori_rt.solo) {
        cori_task_pin(worker, task);
        cori_ready_push(worker, task);
    } else if (place >= 0) {
        task->worker = &cori_rt.workers[place];
        cori_worker_inject(task);
    } else {
        cori_place_fresh(worker, task);
    }
}

int cori_spawn_task(const cori_spawn *spawn, cori_task **out)
{
    cori_worker *worker = cori_self_worker;
    if (worker == NULL || worker->current == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = 0;
    cori_task *task = task_make(worker, spawn, &rc);
    if (task == NULL) {
        return rc;
    }
    cori_bump(worker->spawned, 1);
    if (out != NULL) {
        *out = task;
    }
    if (task->scope != NULL) {
        cori_member_join(task);
    }
    queue_new(worker, task, spawn->worker);
    return 0;
}

static cori_spawn spawn_of(const cor_task_options *options, void (*task)(void *arg), void *arg, const void *site)
{
    cori_spawn spawn = {.arg_a = arg, .function = task, .site = site, .worker = -1};
    if (options != NULL) {
        spawn.name = options->name;
        spawn.stack_size_bytes = options->stack_size_bytes;
    }
    return spawn;
}

int cor_go(void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = spawn_of(NULL, task, arg, __builtin_return_address(0));
    return cori_spawn_task(&spawn, NULL);
}

int cor_go_with(const cor_task_options *options, void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = spawn_of(options, task, arg, __builtin_return_address(0));
    return cori_spawn_task(&spawn, NULL);
}

int cor_go_foreign(void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = spawn_of(NULL, task, arg, __builtin_return_address(0));
    int rc = COR_ENOT_TASK;
    if (cori_foreign_enter() && cori_load(&cori_rt.stop) == 0) {
        cori_task *made = task_make(NULL, &spawn, &rc);
        if (made != NULL) {
            cori_worker *worker = &cori_rt.workers[made->id / ID_RANGE % (uint64_t)cori_rt.worker_count];
            if (cori_rt.solo) {
                made->worker = worker;
                cori_worker_inject(made);
            } else {
                cori_place_fresh(worker, made);
            }
            rc = 0;
        }
    }
    cori_foreign_leave();
    return rc;
}

uint64_t cor_task_id(void)
{
    cori_task *self = cori_self();
    return self != NULL ? self->id : 0;
}

int cor_worker_id(void)
{
    cori_task *self = cori_self();
    return self != NULL ? self->worker->id : -1;
}

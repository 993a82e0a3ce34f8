/* SPDX-License-Identifier: MIT */
/*
 * Starting tasks. A spawn writes a record (fresh.h) and touches no kernel, no stack and, with one worker, no atomic
 * operation. What a record cannot say is made with a stack at once.
 *
 * Where memory ends: a spawn that gets no record says -ENOMEM. One that got a record, and gets no stack when its turn
 * comes, waits in the fresh queue until a task ends or memory comes (placement.c); as long as there is one, further
 * spawns on that worker say -ENOMEM. A connection's handler gets its stack at once (`stack_now`): a client whom nobody
 * can serve is to be turned away, not left waiting. So does a task that its starter will wait for: many starters, each
 * on a stack, would wait for tasks that get none.
 */
#include "sched/spawn.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "sched/here.h"
#include "sched/member.h"
#include "sched/placement.h"
#include "sched/task_stack.h"
#include "sched/virtual.h"
#include "sched/wake.h"

#include <coracle/error.h>
#include <errno.h>
#include <string.h>

/* A record as the spawn says, but for its order. Always inline: what is spawned is known then, mostly. */
static inline __attribute__((always_inline)) uint64_t write_record(cori_fresh *fresh, const cori_spawn *spawn,
                                                                   int64_t now)
{
    uint64_t flags = 0;
    if (spawn->entry != NULL) {
        fresh->call.entry = spawn->entry;
        flags |= CORI_FRESH_ENTRY;
    } else {
        fresh->call.function = spawn->function;
    }
    if (spawn->name != NULL) {
        fresh->label.name = spawn->name;
        flags |= CORI_FRESH_NAMED;
    } else {
        fresh->label.function = spawn->function;
    }
    if (spawn->floats && !cori_rt.solo) {
        flags |= CORI_FRESH_FLOATS;
    }
    fresh->arg_a = spawn->arg_a;
    fresh->arg_b = spawn->arg_b;
    fresh->scope = spawn->scope;
    fresh->site = spawn->site;
    fresh->since = now;
    return flags;
}

/* Makes a task on a stack of its own, which needs no record; `worker` NULL: the caller is a foreign thread. */
static cori_task *make(cori_worker *worker, const cori_spawn *spawn, int *rc)
{
    size_t size_bytes = spawn->stack_size_bytes != 0 ? spawn->stack_size_bytes : cori_rt.stack_size_bytes;
    cori_task *task = cori_task_alloc(worker, size_bytes, rc);
    if (task != NULL) {
        cori_fresh fresh;
        fresh.order = write_record(&fresh, spawn, worker != NULL ? worker->now : cori_clock_now());
        cori_task_make(task, &fresh, worker != NULL ? cori_task_number(worker) : cori_task_numbers(NULL));
        task->host = worker != NULL ? worker->current->host : 0;
    }
    return task;
}

/* Queues a new task: on a given worker, on this one, or where placement finds the place. */
static int spawn_made(cori_worker *worker, const cori_spawn *spawn, cori_task **out)
{
    int rc = 0;
    if (!worker->solo && spawn->worker < 0 &&
        !cori_fresh_provide(&worker->fresh_spare)) { /* now: a task once made is not easily undone */
        return -ENOMEM;
    }
    cori_task *task = make(worker, spawn, &rc);
    if (task == NULL) {
        return rc;
    }
    cori_bump(worker->spawned, 1);
    if (out != NULL) {
        *out = task;
    }
    if (worker->solo) {
        cori_task_pin(worker, task);
        cori_ready_push(worker, task);
    } else if (spawn->worker >= 0) {
        task->worker = &cori_rt.workers[spawn->worker];
        cori_worker_inject(task);
    } else {
        cori_fresh *fresh = cori_place_open(worker, &worker->fresh_spare);
        *fresh = (cori_fresh){.call.made = task, .since = task->since};
        cori_place_close(worker, CORI_FRESH_MADE);
        cori_place_added(worker);
    }
    return 0;
}

static int spawn_fresh(cori_worker *worker, const cori_spawn *spawn)
{
    cori_fresh *fresh = !cori_place_starves(worker) ? cori_place_open(worker, &worker->fresh_spare) : NULL;
    if (cori_unlikely(fresh == NULL)) {
        return -ENOMEM;
    }
    cori_bump(worker->spawned, 1);
    cori_place_close(worker, write_record(fresh, spawn, worker->now));
    if (!worker->solo) {
        cori_place_added(worker);
    }
    return 0;
}

/* In a simulated run: where the driver has it. A host's tasks are held together, to end with it. */
static int spawn_virtual(cori_worker *worker, const cori_spawn *spawn, cori_task **out)
{
    cori_spawn inside = *spawn;
    if (cori_virtual_driver->place != NULL && spawn->worker < 0 && !spawn->floats) {
        inside.worker = cori_virtual_driver->place();
    }
    if (worker->current->host == 0 || spawn->scope != NULL) {
        return spawn_made(worker, &inside, out);
    }
    int rc = cori_virtual_driver->enter(&inside.scope);
    if (rc < 0) {
        return rc;
    }
    rc = spawn_made(worker, &inside, out);
    if (rc < 0) {
        cori_member_uncount(inside.scope);
    }
    return rc;
}

int cori_spawn_task(const cori_spawn *spawn, cori_task **out)
{
    cori_worker *worker = cori_self_worker;
    if (worker == NULL || worker->current == NULL) {
        return COR_ENOT_TASK;
    }
    if (spawn->worker >= 0 || spawn->stack_now || cori_virtual_driver != NULL ||
        (spawn->stack_size_bytes != 0 && spawn->stack_size_bytes != cori_rt.stack_size_bytes)) {
        return cori_virtual_driver != NULL ? spawn_virtual(worker, spawn, out) : spawn_made(worker, spawn, out);
    }
    return spawn_fresh(worker, spawn);
}

static cori_spawn spawn_of(const cor_task_options *options, void (*task)(void *arg), void *arg, const void *site)
{
    cori_spawn spawn = {.arg_a = arg, .function = task, .site = site, .worker = -1};
    cori_spawn_options(&spawn, options);
    return spawn;
}

static __attribute__((noinline)) int go_slowly(void (*task)(void *arg), void *arg, const void *site)
{
    cori_spawn spawn = spawn_of(NULL, task, arg, site);
    return cori_spawn_task(&spawn, NULL);
}

/* With one worker and room in the block there is nothing to do but to write the record. */
int cor_go(void (*task)(void *arg), void *arg)
{
    const void *site = __builtin_return_address(0);
    cori_worker *worker = cori_self_worker;
    if (cori_unlikely(worker == NULL || worker->current == NULL || !worker->solo ||
                      worker->fresh.tail == worker->fresh.tail_end || cori_load_relaxed(&worker->starved) != 0)) {
        return go_slowly(task, arg, site);
    }
    cori_bump(worker->spawned, 1);
    const cori_spawn spawn = {.arg_a = arg, .function = task, .site = site};
    uint64_t flags = write_record(worker->fresh.tail, &spawn, worker->now);
    cori_place_close_solo(worker, flags);
    return 0;
}

int cor_go_with(const cor_task_options *options, void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = spawn_of(options, task, arg, __builtin_return_address(0));
    return cori_spawn_task(&spawn, NULL);
}

/* With one worker nobody else may touch the fresh queue: the task is made here and handed over. */
static int go_foreign_solo(cori_worker *worker, const cori_spawn *spawn)
{
    int rc = 0;
    cori_task *made = make(NULL, spawn, &rc);
    if (made != NULL) {
        made->worker = worker;
        cori_worker_inject(made);
    }
    return rc;
}

static int go_foreign(cori_worker *worker, const cori_spawn *spawn)
{
    cori_fresh_block *spare = NULL;
    int64_t now = cori_clock_now();
    cori_fresh *fresh = !cori_place_starves(worker) ? cori_place_open(worker, &spare) : NULL;
    if (fresh != NULL) {
        cori_place_close(worker, write_record(fresh, spawn, now));
        cori_place_added(worker);
    }
    cori_fresh_give_back(spare); /* somebody else may have brought one meanwhile */
    return fresh != NULL ? 0 : -ENOMEM;
}

int cor_go_foreign(void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = spawn_of(NULL, task, arg, __builtin_return_address(0));
    int rc = COR_ENOT_TASK;
    if (cori_foreign_enter() && cori_load(&cori_rt.stop) == 0) {
        uint32_t turn = cori_fetch_add_relaxed(&cori_rt.foreign, 1);
        cori_worker *worker = &cori_rt.workers[turn % (uint32_t)cori_rt.worker_count];
        rc = cori_rt.solo ? go_foreign_solo(worker, &spawn) : go_foreign(worker, &spawn);
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

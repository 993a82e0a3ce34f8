/* SPDX-License-Identifier: MIT */
/* The queue of floating tasks that are ready: in, out, and out by another worker. Design: float.h. */
#include "sched/float.h"

#include "base/limits.h"
#include "base/lock.h"

/* Adds a task that is in no list and has no timer. On the worker's own thread; guard: the lock. */
static void add(cori_worker *worker, cori_task *task)
{
    task->ticket = worker->ticket;
    cori_store_relaxed(&worker->ticket, task->ticket + 1);
    if (worker->floating.head == NULL) {
        worker->floating.head = task;
    } else {
        worker->floating.tail->next = task;
    }
    worker->floating.tail = task;
    if (cori_load_relaxed(&worker->fresh_first) == UINT64_MAX) {
        cori_store_relaxed(&worker->fresh_first, task->ticket);
    }
    cori_store(&worker->floating_count, worker->floating_count + 1); /* then it is looked who sleeps */
}

/* Takes the first, which is there. Guard: the lock. */
static cori_task *drop(cori_worker *victim)
{
    cori_task *first = victim->floating.head;
    victim->floating.head = first == victim->floating.tail ? NULL : first->next;
    cori_store_relaxed(&victim->floating_count, victim->floating_count - 1);
    uint64_t fresh = victim->fresh_count != 0 ? victim->fresh.head->order >> CORI_FRESH_FLAGS : UINT64_MAX;
    uint64_t floating = cori_float_first(victim);
    cori_store_relaxed(&victim->fresh_first, fresh < floating ? fresh : floating);
    return first;
}

bool cori_float_put(cori_worker *worker, cori_task *task)
{
    if (task->timer.slot != 0) {
        cori_heap_remove(&worker->timers, &task->timer);
        cori_store_relaxed(&worker->timer_count, worker->timers.count);
    }
    task->since = worker->now;
    cori_spin_lock(&worker->fresh_lock);
    cori_task_unpin(worker, task);
    bool waits =
        worker->current != NULL || worker->ready.head != NULL || cori_load_relaxed(&worker->fresh_first) != UINT64_MAX;
    add(worker, task);
    cori_spin_unlock(&worker->fresh_lock);
    return waits;
}

cori_task *cori_float_take(cori_worker *worker, bool starving)
{
    cori_task *task = NULL;
    if (cori_load_relaxed(&worker->floating_count) == 0) {
        return NULL;
    }
    cori_spin_lock(&worker->fresh_lock);
    uint64_t first = cori_float_first(worker), before = UINT64_MAX;
    if (starving) {
        before = worker->ready.head != NULL ? worker->ready.head->ticket : UINT64_MAX;
    } else if (worker->fresh_count != 0) {
        before = worker->fresh.head->order >> CORI_FRESH_FLAGS;
    }
    if (first < before) {
        task = drop(worker);
    }
    cori_spin_unlock(&worker->fresh_lock);
    if (task != NULL) {
        cori_task_pin(worker, task);
    }
    return task;
}

/* Takes half of the tasks of `victim` that were queued before `before`, in their order, linked; NULL: none. */
static cori_task *take_half(cori_worker *victim, int64_t before)
{
    cori_runq taken = {0};
    cori_spin_lock(&victim->fresh_lock);
    uint32_t most = victim->floating_count - victim->floating_count / 2;
    most = most < CORI_FLOAT_TAKE ? most : CORI_FLOAT_TAKE;
    for (; most > 0 && victim->floating.head->since <= before; most--) {
        cori_task *task = drop(victim);
        task->next = NULL;
        if (taken.head == NULL) {
            taken.head = task;
        } else {
            taken.tail->next = task;
        }
        taken.tail = task;
    }
    cori_spin_unlock(&victim->fresh_lock);
    return taken.head;
}

/* Makes the first of the tasks this worker's, and queues the others here. */
static cori_task *adopt(cori_worker *worker, cori_task *first)
{
    cori_task *rest = first->next;
    cori_task_pin(worker, first);
    first->ticket = 0; /* it was of another worker's order */
    cori_spin_lock(&worker->fresh_lock);
    while (rest != NULL) {
        cori_task *next = rest->next;
        add(worker, rest);
        rest = next;
    }
    cori_spin_unlock(&worker->fresh_lock);
    return first;
}

cori_task *cori_float_steal(cori_worker *worker)
{
    int count = cori_rt.worker_count;
    int64_t before = worker->now - CORI_STEAL_AGE_NS;
    uint32_t first = cori_rand_below(&worker->rand, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        cori_worker *victim = &cori_rt.workers[((int)first + i) % count];
        if (victim != worker && cori_load_relaxed(&victim->floating_count) != 0) {
            cori_task *taken = take_half(victim, before);
            if (taken != NULL) {
                return adopt(worker, taken);
            }
        }
    }
    return NULL;
}

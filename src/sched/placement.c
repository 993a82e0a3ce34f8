/* SPDX-License-Identifier: MIT */
/*
 * Which of several workers runs a task that never ran (with one worker it goes straight to the run queue). A spawn
 * queues it on the spawner's own worker: no other thread is disturbed, and a short-lived child runs where its data is
 * hot. Two rules then spread load:
 *
 *   balance  when a worker is about to start a task and has CORI_BALANCE_STEP live tasks more than the least loaded
 *            one, it hands the task over (once: `placed`). Long-lived tasks, such as connection handlers, end up
 *            even that way; tasks that end at once never move.
 *   rescue   a fresh task that has waited CORI_STEAL_AGE_NS may be taken by an idle worker that has less than its
 *            share; after CORI_RESCUE_AGE_NS by any idle worker, one per nap. So nothing waits for a computing task
 *            while somebody is idle, and a worker that merely lost its processor for a moment keeps its share.
 *
 * Rescue needs an idle worker that looks. A worker that goes to sleep while another's fresh queue is not empty is a
 * watcher: it sleeps at most CORI_STEAL_AGE_NS. A spawner that sees idle workers and no watcher appoints one and kicks
 * it. Not lost: the spawner queues the task, then reads `watching`; the retiring watcher clears `watching`, then looks
 * at the queues again. A watcher that gets something to run resigns first, and appoints another if queues are not
 * empty. So the kicks cost a spawner at most one system call per CORI_STEAL_AGE_NS.
 */
#include "sched/placement.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/lock.h"
#include "sched/wake.h"

static void fresh_push(cori_worker *worker, cori_task *task)
{
    cori_spin_lock(&worker->fresh_lock);
    task->ticket = cori_load_relaxed(&worker->ticket);
    if (worker == cori_self_worker) {
        cori_store_relaxed(&worker->ticket, task->ticket + 1);
    }
    cori_runq_push(&worker->fresh, task);
    cori_store_relaxed(&worker->fresh_first, worker->fresh.head->ticket);
    cori_bump(worker->placed_count, task->placed);
    cori_store(&worker->fresh_count, worker->fresh_count + 1);
    cori_spin_unlock(&worker->fresh_lock);
}

/* Takes the oldest fresh task of `worker`, unless it was queued after `before`. */
static cori_task *fresh_pop(cori_worker *worker, int64_t before)
{
    if (cori_load_relaxed(&worker->fresh_count) == 0) {
        return NULL;
    }
    cori_spin_lock(&worker->fresh_lock);
    cori_task *task = worker->fresh.head;
    if (task != NULL && task->since <= before) {
        worker->fresh.head = task->next;
        cori_store_relaxed(&worker->fresh_first, task->next != NULL ? task->next->ticket : UINT64_MAX);
        cori_bump(worker->placed_count, -task->placed);
        cori_bump(worker->fresh_count, -1);
    } else {
        task = NULL;
    }
    cori_spin_unlock(&worker->fresh_lock);
    return task;
}

static void appoint_watcher(void)
{
    if (cori_swap(&cori_rt.watching, 1) != 0) {
        return;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_load(&worker->sleeping) != 0) {
            cori_store(&worker->appointed, 1);
            if (cori_worker_kick(worker)) {
                return;
            }
        }
    }
    cori_store(&cori_rt.watching, 0); /* nobody sleeps any more: each looks before it does */
}

/* Sees to it that somebody looks after a fresh queue that has just grown. */
static void call_watcher(void)
{
    if (cori_load(&cori_rt.idle) != 0 && cori_load(&cori_rt.watching) == 0) {
        appoint_watcher();
    }
}

void cori_place_fresh(cori_worker *worker, cori_task *task)
{
    fresh_push(worker, task);
    if (worker != cori_self_worker) {
        cori_worker_kick(worker);
    }
    call_watcher();
}

static uint64_t load_of(const cori_worker *worker)
{
    return cori_load_relaxed(&worker->live) + cori_load_relaxed(&worker->placed_count);
}

static cori_worker *least_loaded(void)
{
    cori_worker *least = &cori_rt.workers[0];
    uint64_t least_load = load_of(least);
    for (int i = 1; i < cori_rt.worker_count; i++) {
        uint64_t load = load_of(&cori_rt.workers[i]);
        if (load < least_load) {
            least = &cori_rt.workers[i];
            least_load = load;
        }
    }
    return least;
}

cori_task *cori_place_take(cori_worker *worker)
{
    for (;;) {
        cori_task *task = fresh_pop(worker, INT64_MAX);
        if (task == NULL) {
            return NULL;
        }
        if (!task->placed) {
            cori_worker *least = least_loaded();
            if (load_of(worker) >= load_of(least) + CORI_BALANCE_STEP) {
                task->placed = true;
                task->since = worker->now;
                fresh_push(least, task);
                cori_worker_kick(least);
                call_watcher(); /* `least` may be computing */
                continue;
            }
        }
        cori_task_pin(worker, task);
        return task;
    }
}

/* Tells whether `worker` has less than an equal share of all tasks, those that never ran included. */
static bool below_share(const cori_worker *worker)
{
    uint64_t total = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        total += cori_load_relaxed(&cori_rt.workers[i].live) + cori_load_relaxed(&cori_rt.workers[i].fresh_count);
    }
    return load_of(worker) * (uint64_t)cori_rt.worker_count < total;
}

cori_task *cori_place_steal(cori_worker *worker)
{
    int count = cori_rt.worker_count;
    bool fair = below_share(worker);
    int64_t before = worker->now - (fair ? CORI_STEAL_AGE_NS : CORI_RESCUE_AGE_NS);
    uint32_t first = cori_rand_below(&worker->rand, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        cori_worker *victim = &cori_rt.workers[((int)first + i) % count];
        if (victim == worker) {
            continue;
        }
        cori_task *task = fresh_pop(victim, before);
        if (task != NULL) {
            task->placed = true;
            cori_task_pin(worker, task);
            if (!fair) {
                worker->switches = CORI_ROUND_SWITCHES; /* the round ends: one rescue per nap */
            }
            return task;
        }
    }
    return NULL;
}

static bool others_have_fresh(const cori_worker *worker)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        if (&cori_rt.workers[i] != worker && cori_load(&cori_rt.workers[i].fresh_count) != 0) {
            return true;
        }
    }
    return false;
}

void cori_place_resign(cori_worker *worker)
{
    worker->watcher = false;
    cori_store_relaxed(&worker->appointed, 0);
    cori_store(&cori_rt.watching, 0);
    if (others_have_fresh(worker)) {
        appoint_watcher();
    }
}

int64_t cori_place_watch(cori_worker *worker)
{
    worker->watcher = false;
    cori_store_relaxed(&worker->appointed, 0);
    if (!others_have_fresh(worker)) {
        cori_store(&cori_rt.watching, 0);
        if (!others_have_fresh(worker)) {
            return -1;
        }
    }
    worker->watcher = true;
    cori_store(&cori_rt.watching, 1);
    return CORI_STEAL_AGE_NS;
}

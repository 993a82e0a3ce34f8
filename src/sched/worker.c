/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's loop. A worker works in rounds: take what other threads handed over, run tasks (switch.c) until the
 * round is over (round.h), read the clock, fire timers, ask the poller (without waiting while anything is runnable). So
 * a busy pair of tasks keeps neither timers nor other tasks waiting for longer than a round. A round may take a
 * microsecond only, so while there is something to run the poller is asked at most every CORI_POLL_INTERVAL_NS.
 *
 * A task that ends a round by yielding is queued when all that has been seen to: what came while it ran goes first.
 */
#include "sched/worker.h"

#include "base/clock.h"
#include "sched/carry.h"
#include "sched/idle.h"
#include "sched/lifecycle.h"
#include "sched/look.h"
#include "sched/placement.h"
#include "sched/round.h"
#include "sched/seat.h"
#include "sched/spin.h"
#include "sched/stall.h"
#include "sched/switch.h"
#include "sched/task_stack.h"
#include "sched/virtual.h"
#include "sched/wake.h"

static void fire_timers(cori_worker *worker)
{
    cori_timer *timer = cori_heap_first(&worker->timers);
    if (timer == NULL || timer->when > worker->now) {
        return;
    }
    while (timer != NULL && timer->when <= worker->now) {
        cori_task *task = cori_container(timer, cori_task, timer);
        bool parked = cori_load_relaxed(&task->permit) == CORI_PARKED;
        if (parked && task->deadline > worker->now) {
            (void)cori_heap_set(&worker->timers, timer, task->deadline); /* it is in the heap: cannot fail */
        } else {
            cori_heap_remove(&worker->timers, timer);
            if (parked && task->deadline != 0) {
                cori_wake(task);
            }
        }
        timer = cori_heap_first(&worker->timers);
    }
    cori_store_relaxed(&worker->timer_count, worker->timers.count);
}

static void queue_yielded(cori_worker *worker)
{
    if (worker->yielded != NULL) {
        cori_queue(worker, worker->yielded);
        worker->yielded = NULL;
    }
}

/* Between two rounds: time, timers, events. */
static void look_around(cori_worker *worker)
{
    if (worker->switches != 0) {
        cori_spin_found(worker, worker->now); /* a task from another worker's fresh queue */
    }
    bool busy = cori_has_work(worker);
    if (busy || worker->timers.count > 0 || cori_rt.spin_ns > 0) {
        worker->now = cori_clock_now();
        cori_round_ended(worker);
        fire_timers(worker);
        busy = cori_has_work(worker);
    }
    if (!busy && worker->looks > 0 && cori_look(worker)) {
        busy = true; /* with what was handed over */
    } else {
        cori_seat_leave(worker);
    }
    if (busy && worker->now - worker->cleaned >= CORI_STACK_CLEAN_NS) {
        worker->cleaned = worker->now;
        (void)cori_stack_clean(worker->now);
    }
    if (busy && worker->now - worker->polled < CORI_POLL_INTERVAL_NS && ++worker->unpolled < CORI_POLL_ROUNDS) {
        return;
    }
    if (busy || (cori_rt.spin_ns > 0 && cori_spin(worker))) {
        cori_poll_events(worker, 0);
    } else {
        cori_sleep_until_event(worker);
    }
    worker->unpolled = 0;
    worker->now = worker->polled = cori_clock_now();
    fire_timers(worker);
    if (cori_rt.spin_ns > 0 && cori_has_work(worker)) {
        cori_spin_found(worker, worker->now);
    }
}

/* The next task, from here or from a worker that has it waiting. */
static inline cori_task *find_task(cori_worker *worker)
{
    cori_task *next = cori_pick(worker);
    if (next == NULL && cori_rt.worker_count > 1) {
        next = cori_place_steal(worker);
        if (next != NULL) {
            cori_store_relaxed(&worker->steals, worker->steals + 1);
        }
    }
    if (next != NULL && cori_unlikely(worker->watcher || cori_load_relaxed(&worker->appointed) != 0)) {
        cori_place_resign(worker);
    }
    return next;
}

/* Runs tasks until the round is over or nothing is runnable. */
static inline __attribute__((always_inline)) void run_round(cori_worker *worker)
{
    cori_task *next;
    cori_round_begin(worker);
    while (!worker->round_over && (next = find_task(worker)) != NULL) {
        worker->dirty = true;
        worker->switches++;
        cori_switch_in(worker, next);
        if (!worker->round_over) {
            queue_yielded(worker); /* a floating task, which is queued from here */
        }
    }
}

void cori_worker_run(cori_worker *worker)
{
    cori_self_worker = worker;
    if (cori_virtual_driver == NULL) { /* else it is a flow already */
        cori_ctx_init_thread(&worker->scheduler);
    }
    cori_signal_thread_begin(worker);
    cori_carry_init(worker);
    cori_stall_watch(worker);
    if (worker->poller->ops->start != NULL) {
        worker->poller->ops->start(worker->poller);
    }
    worker->now = cori_clock_now();
    while (cori_load_relaxed(&cori_rt.stop) == 0) {
        cori_worker_receive(worker);
        queue_yielded(worker);
        run_round(worker);
        cori_task_release_ended(worker);
        look_around(worker);
        if (cori_unlikely(cori_virtual_driver != NULL)) {
            cori_virtual_pause();
        }
    }
    if (worker->poller->ops->stop != NULL) {
        worker->poller->ops->stop(worker->poller);
    }
    cori_stall_unwatch(worker);
    cori_self_worker = NULL;
}

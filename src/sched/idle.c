/* SPDX-License-Identifier: MIT */
/*
 * A worker that has nothing to run sleeps in its poller. Before it sleeps for ever it asks whether any task of any
 * worker can ever run again; if none can, that is a deadlock, and cor_run ends with a report. The same if what could
 * run has had no stack for CORI_REFUSED_NS: only a task that ends could leave one.
 */
#include "sched/idle.h"

#include "base/clock.h"
#include "base/fatal.h"
#include "sched/look.h"
#include "sched/placement.h"
#include "sched/reclaim.h"
#include "sched/wake.h"

#include <coracle/error.h>
#include <stdio.h>

/*
 * A wait that goes on failing would be a busy loop without I/O: better no program than that. What passes, such as a
 * shortage of memory, is waited out for CORI_REFUSED_NS.
 */
static cori_rare void wait_refused(cori_worker *worker, int code)
{
    int64_t now = cori_clock_now();
    worker->refused_since = worker->refused_since != 0 ? worker->refused_since : now;
    if (now - worker->refused_since >= CORI_REFUSED_NS) {
        char text[160];
        (void)snprintf(text, sizeof(text), "waiting for events (%s): %s", worker->poller->ops->name,
                       cor_strerror(code));
        cori_fatal(text);
    }
}

void cori_poll_events(cori_worker *worker, int64_t timeout_ns)
{
    cori_event events[CORI_POLL_EVENTS];
    int count = worker->poller->ops->wait(worker->poller, timeout_ns, events, CORI_POLL_EVENTS);
    cori_store(&worker->naps, worker->naps + 1);
    if (cori_unlikely(count < 0)) {
        wait_refused(worker, count);
    } else {
        worker->refused_since = 0;
    }
    for (int i = 0; i < count; i++) {
        for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
            if ((events[i].mask & (1u << direction)) != 0) {
                void *waiter = cori_pollfd_ready(events[i].pollfd, direction);
                if (waiter != NULL) {
                    cori_wake(waiter);
                }
            }
        }
    }
}

/* True when all workers looked asleep with nothing to wait for, each at the moment it was looked at. */
static bool nothing_can_run(void)
{
    uint64_t external = 0;
    if (cori_rt.foreign_wakeups || cori_load(&cori_foreign_inside) != 0) {
        return false;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_load(&worker->sleeping) != CORI_ASLEEP || cori_load(&worker->floating_count) != 0 ||
            cori_load(&worker->timer_count) != 0 || cori_load(&worker->injected) != NULL ||
            cori_load(&worker->notes) != NULL ||
            (cori_load(&worker->fresh_count) != 0 && cori_load(&worker->starved) == 0)) {
            return false;
        }
        external += cori_load(&worker->external); /* a floating task leaves it uneven */
    }
    return external == 0;
}

static uint64_t total_naps(void)
{
    uint64_t naps = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        naps += cori_load(&cori_rt.workers[i].naps);
    }
    return naps;
}

/*
 * True when no task of any worker can ever run again. Called by a worker that is about to sleep for ever. A worker that
 * wakes counts its nap before it changes anything. So if the sum of naps stands still, each worker that the first pass
 * saw asleep has slept since: after that pass nobody ran, and the second one looks at a state that stands still too.
 */
static bool deadlocked(void)
{
    uint64_t naps = total_naps();
    return nothing_can_run() && nothing_can_run() && total_naps() == naps;
}

/* The shorter of two waits, ns; < 0: for ever. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void end_if_deadlocked(void)
{
    if (!deadlocked()) {
        return;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        if (cori_load(&cori_rt.workers[i].fresh_count) != 0) {
            cori_store(&cori_rt.starved, 1); /* two workers can see the deadlock at once */
        }
    }
    cori_store(&cori_rt.deadlock, 1);
    cori_worker_stop_all();
}

void cori_sleep_until_event(cori_worker *worker)
{
    int64_t timeout_ns = -1;
    cori_timer *timer = cori_heap_first(&worker->timers);
    if (timer != NULL) {
        timeout_ns = timer->when > worker->now ? timer->when - worker->now : 0;
    }
    cori_swap(&worker->sleeping, CORI_ASLEEP);
    if (!cori_has_work(worker)) {
        cori_fetch_add(&cori_rt.idle, 1);
        int64_t watch_ns = cori_rt.worker_count > 1 ? cori_place_watch(worker) : -1;
        timeout_ns = earlier(earlier(timeout_ns, watch_ns), cori_place_hunger(worker));
        if (timeout_ns < 0 || cori_place_gives_up(worker)) {
            end_if_deadlocked();
        }
        cori_poll_events(worker, earlier(timeout_ns, cori_reclaim(worker)));
        cori_fetch_sub(&cori_rt.idle, 1);
    } else {
        cori_store(&worker->naps, worker->naps + 1); /* it looked asleep for a moment */
    }
    cori_look_after_nap(worker, cori_swap(&worker->sleeping, CORI_AWAKE) == CORI_AWAKE);
}

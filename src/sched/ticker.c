/* SPDX-License-Identifier: MIT */
/*
 * The ticker. It ticks while `ticking` is set: each CORI_ROUND_NS it ends the round of every worker. A worker that has
 * use for it sets `used` after each full round; the ticker clears that at each tick, and after CORI_TICKS_UNUSED ticks
 * without use it clears `ticking`, ticks once more and sleeps. So a program that has nothing to do has no thread that
 * wakes, and one that never needs it has no such thread.
 *
 * Signals are blocked in it: they belong to the workers. It touches no task.
 */
#include "sched/ticker.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/thread.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread; /* guard: lock, like all below */
    bool started, stop;
    uint32_t used; /* atomic */
} ticker = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void tick(void)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_store(&cori_rt.workers[i].switches_most, 0);
    }
}

/* Until the next tick, or until it is to end; guard: ticker.lock. */
static void wait_for_tick(void)
{
    struct timespec when = cori_clock_real_after(CORI_ROUND_NS);
    while (!ticker.stop && pthread_cond_clockwait(&ticker.changed, &ticker.lock, CLOCK_MONOTONIC, &when) == 0) {}
}

static void *ticker_main(void *unused)
{
    int unused_ticks = 0;
    (void)unused;
    (void)pthread_mutex_lock(&ticker.lock);
    while (!ticker.stop) {
        if (cori_load_relaxed(&cori_rt.ticking) == 0) {
            tick(); /* for a round that began while it was going to sleep */
            (void)pthread_cond_wait(&ticker.changed, &ticker.lock);
            unused_ticks = 0;
            continue;
        }
        wait_for_tick();
        tick();
        unused_ticks = cori_swap(&ticker.used, 0) != 0 ? 0 : unused_ticks + 1;
        if (unused_ticks == CORI_TICKS_UNUSED) {
            cori_store(&cori_rt.ticking, 0);
        }
    }
    (void)pthread_mutex_unlock(&ticker.lock);
    return NULL;
}

/* Guard: ticker.lock. */
static bool start(void)
{
    ticker.started = cori_thread_start(&ticker.thread, ticker_main, NULL) == 0;
    return ticker.started;
}

void cori_ticker_use(void)
{
    if (cori_load_relaxed(&ticker.used) == 0) {
        cori_store_relaxed(&ticker.used, 1);
    }
    if (cori_ticker_is_awake() || cori_load_relaxed(&cori_rt.no_ticker) != 0) {
        return;
    }
    (void)pthread_mutex_lock(&ticker.lock);
    if (ticker.started || start()) {
        cori_store(&cori_rt.ticking, 1);
        (void)pthread_cond_signal(&ticker.changed);
    } else {
        /* Every round is clocked then; asking again each time would cost more. */
        cori_store_relaxed(&cori_rt.no_ticker, 1);
    }
    (void)pthread_mutex_unlock(&ticker.lock);
}

void cori_ticker_end(void)
{
    if (!ticker.started) {
        return;
    }
    (void)pthread_mutex_lock(&ticker.lock);
    ticker.stop = true;
    (void)pthread_cond_signal(&ticker.changed);
    (void)pthread_mutex_unlock(&ticker.lock);
    (void)pthread_join(ticker.thread, NULL);
    ticker.stop = ticker.started = false;
    ticker.used = 0;
}

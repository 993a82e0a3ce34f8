/* SPDX-License-Identifier: MIT */
/* Timers and tickers: setting, stopping, firing. How they are waited for is in timer.h and select.c. */
#include "sync/timer.h"

#include <coracle/task.h>
#include <coracle/time.h>
#include <errno.h>
#include <string.h>

static inline cor_chan *chan_of(cor_timer *timer)
{
    return (cor_chan *)(void *)((char *)timer - offsetof(cor_chan, ring));
}

static cor_timer *make(int64_t duration_ns, int64_t period_ns)
{
    cor_chan *chan = cori_chan_make(0, sizeof(cor_timer));
    if (chan == NULL) {
        return NULL;
    }
    chan->closed = true;
    chan->timed = true;
    cor_timer *timer = cori_chan_timer(chan);
    *timer = (cor_timer){.when = cor_after(duration_ns), .period_ns = period_ns};
    return timer;
}

cor_timer *cor_timer_new(int64_t duration_ns)
{
    return make(duration_ns, 0);
}

cor_timer *cor_ticker_new(int64_t period_ns)
{
    return period_ns > 0 ? make(period_ns, period_ns) : NULL;
}

cor_chan *cor_timer_chan(cor_timer *timer)
{
    return timer->fn == NULL ? chan_of(timer) : NULL;
}

/* When a ticker fires next: the first of its times that has not passed. */
static int64_t next_tick(const cor_timer *timer, int64_t now)
{
    int64_t late = (now - timer->when) % timer->period_ns;
    int64_t next = 0;
    return __builtin_add_overflow(now - late, timer->period_ns, &next) ? INT64_MAX : next;
}

bool cori_timer_is_ready(cor_chan *chan)
{
    return cori_timer_is_due(cori_chan_timer(chan));
}

bool cori_timer_take(cor_chan *chan, void *elem)
{
    cor_timer *timer = cori_chan_timer(chan);
    if (!cori_timer_is_due(timer)) {
        return false;
    }
    if (elem != NULL) {
        memcpy(elem, &timer->when, sizeof(timer->when));
    }
    timer->when = timer->period_ns != 0 ? next_tick(timer, cori_clock_now()) : 0;
    return true;
}

/* The task that has to look when `when` has changed; NULL: nobody waits. Under the lock, to be woken after it. */
static cori_task *watcher(cor_timer *timer)
{
    const cori_waiter *first = chan_of(timer)->receivers.head;
    return timer->fn != NULL ? timer->sleeper : first != NULL ? first->task : NULL;
}

static void wake(cori_task *task)
{
    if (task != NULL) {
        cori_wake(task);
    }
}

/* Gives one reference back, and the lock. */
static void let_go(cor_timer *timer)
{
    cor_chan *chan = chan_of(timer);
    bool last = --timer->references == 0;
    cori_chan_unlock(chan);
    if (last) {
        cor_chan_free(chan);
    }
}

/* The task that calls a timer's function. It is cancelled only with the simulated host that it runs on. */
static void call_in_time(void *arg)
{
    cor_timer *timer = arg;
    cor_chan *chan = chan_of(timer);
    cori_task *self = cori_self();
    cori_chan_lock(chan);
    while (timer->when != 0 && !cori_timer_is_due(timer) && cori_interrupted(self, 0) == 0) {
        int64_t when = timer->when;
        timer->sleeper = self;
        cori_chan_unlock(chan);
        cori_park(self, when, "timer");
        cori_chan_lock(chan);
    }
    bool fires = timer->when != 0 && cori_interrupted(self, 0) == 0;
    void (*fn)(void *) = timer->fn;
    void *fn_arg = timer->arg;
    timer->when = 0;
    timer->sleeper = NULL;
    timer->attended = false;
    let_go(timer);
    if (fires) {
        fn(fn_arg);
    }
}

/* Sees to it that a task looks at a `when` that has been set: wakes the one there is, or starts one. With the lock. */
static int attend(cor_timer *timer)
{
    static const cor_task_options options = {.name = "timer"};
    cor_chan *chan = chan_of(timer);
    bool attended = timer->attended || timer->fn == NULL;
    cori_task *task = watcher(timer);
    if (attended) {
        cori_chan_unlock(chan);
        wake(task);
        return 0;
    }
    timer->attended = true;
    timer->references++;
    cori_chan_unlock(chan);
    int rc = cor_go_with(&options, call_in_time, timer);
    if (rc < 0) {
        cori_chan_lock(chan);
        timer->when = 0;
        timer->attended = false;
        timer->references--; /* the owner's is left */
        cori_chan_unlock(chan);
    }
    return rc;
}

int cor_after_func(cor_timer **out, int64_t duration_ns, void (*fn)(void *arg), void *arg)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    cor_timer *timer = make(duration_ns, 0);
    if (timer == NULL) {
        return -ENOMEM;
    }
    timer->fn = fn;
    timer->arg = arg;
    timer->references = 1;
    cori_chan_lock(chan_of(timer));
    *out = timer; /* now: fn may run before this returns */
    int rc = attend(timer);
    if (rc < 0) {
        cor_chan_free(chan_of(timer));
        *out = NULL;
    }
    return rc;
}

bool cor_timer_stop(cor_timer *timer)
{
    cor_chan *chan = chan_of(timer);
    cori_chan_lock(chan);
    bool was_set = timer->when != 0;
    cori_task *task = timer->sleeper;
    timer->when = 0;
    cori_chan_unlock(chan);
    wake(task); /* a task that has nothing to call any more ends now */
    return was_set;
}

int cor_timer_reset(cor_timer *timer, int64_t duration_ns)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    cori_chan_lock(chan_of(timer));
    if (timer->period_ns != 0) {
        if (duration_ns <= 0) {
            cori_chan_unlock(chan_of(timer));
            return -EINVAL;
        }
        timer->period_ns = duration_ns;
    }
    bool was_set = timer->when != 0;
    timer->when = cor_after(duration_ns);
    int rc = attend(timer);
    return rc < 0 ? rc : was_set;
}

void cor_timer_free(cor_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    cor_chan *chan = chan_of(timer);
    if (timer->fn == NULL || !cori_here_is_worker()) {
        cor_chan_free(chan); /* no worker: cor_run has ended, and with it the task */
        return;
    }
    cori_chan_lock(chan);
    cori_task *task = timer->sleeper;
    timer->when = 0;
    let_go(timer);
    wake(task);
}

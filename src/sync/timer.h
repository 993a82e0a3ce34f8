/* SPDX-License-Identifier: MIT */
/*
 * Timers and tickers: a channel whose values come with time.
 *
 * Nobody runs a timer. It is a time, `when`, after the struct of its channel and under its lock. A receive or a select
 * that finds `when` in the past takes the value; one that finds it in the future queues its node as for any channel
 * and parks until then, with the timer that each task has anyway. So an unused timer costs nothing, stopping and
 * setting it are stores, no value waits anywhere that would have to be drained, and ticks that nobody took are one.
 *
 * Of many that wait for one timer only the first in the queue watches the clock, so a tick wakes one task:
 *
 *      While a timer is armed and its queue is not empty, the first node's task is parked until `when` at most, or it
 *      is running, or it has a wake before it: it will look.
 *
 * It holds because each change is followed by a look of the one that is first then: who queues itself looks afterwards;
 * setting `when` wakes the first; whoever leaves the queue, served or not, wakes the next if it was first itself, or if
 * another has taken its node out meanwhile (cori_chan_first drops nodes of selects that are decided). `when` moved to
 * later, by a receive that did not wait or by stopping, needs no wake: the first wakes early and looks. A look is under
 * the lock, and what is changed after it comes with a wake: the park that follows does not wait (task.h).
 *
 * To chan.c such a channel is one that is closed: so the usual ways of a channel ask nothing more. What then is done
 * for a closed channel looks at `timed` first. Its values have no size there: nothing can be handed to a receiver.
 *
 * A call in the future (cor_after_func) is a task that parks until `when`, by the same look and wake. The owner and
 * that task hold one reference each.
 */
#ifndef CORI_SYNC_TIMER_H
#define CORI_SYNC_TIMER_H

#include "base/clock.h"
#include "sync/chan.h"

#include <coracle/timer.h>

/* Guard of all that changes: the channel's lock. */
struct cor_timer {
    int64_t when;          /* it fires, ns of cor_now; 0: it does not */
    int64_t period_ns;     /* of a ticker; 0: it fires once */
    void (*fn)(void *arg); /* to be called; NULL: the channel is received from */
    void *arg;
    cori_task *sleeper; /* the task that waits to call fn, once it runs */
    bool attended;      /* there is one, or will be */
    uint8_t references;
};

/* The timer of a channel that is `timed`. */
static inline cor_timer *cori_chan_timer(cor_chan *chan)
{
    return (cor_timer *)(void *)chan->ring;
}

/* Tells whether a receive gets a value now. Under the lock. */
static inline bool cori_timer_is_due(const cor_timer *timer)
{
    return timer->when != 0 && timer->when <= cori_clock_now();
}

#endif

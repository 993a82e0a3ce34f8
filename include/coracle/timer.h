/* SPDX-License-Identifier: MIT */
/*
 * Timers and tickers: channels that give a value at a certain time, for receives and for cases of a select; and calls
 * in the future. Semantics of Go 1.23: after cor_timer_stop or cor_timer_reset no stale value is ever received. A timer
 * that nobody waits for costs its memory and nothing else. For a mere time limit pass a deadline instead (chan.h); to
 * just wait, call cor_sleep (time.h).
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_TIMER_H
#define CORACLE_TIMER_H

#include <coracle/chan.h>

COR_BEGIN

typedef struct cor_timer cor_timer;

/*
 * Makes a timer that fires once, `duration_ns` from now (at once if <= 0).
 * Returns: the timer, NULL if memory ran out. Owns: returns owned; release with cor_timer_free. Go: time.NewTimer.
 */
COR_API cor_timer *cor_timer_new(int64_t duration_ns);

/*
 * Makes a ticker: it fires every `period_ns`, first one period from now, and keeps to these times however late its
 * values are received. A late receiver gets one value for all the ticks that it has missed.
 * Returns: the ticker, NULL if `period_ns` <= 0 or memory ran out.
 * Owns: returns owned; release with cor_timer_free. Go: time.NewTicker.
 */
COR_API cor_timer *cor_ticker_new(int64_t period_ns);

/*
 * Gives the channel from which a timer's values are received: int64_t, the time on the clock of cor_now for which the
 * timer was set. It is for receiving only: sending and closing give -EINVAL. With several receivers each value goes to
 * one of them. cor_chan_len and cor_chan_cap give 0.
 *
 *      cor_case cases[] = {{COR_RECV, jobs, &job, 0}, {COR_RECV, cor_timer_chan(timer), NULL, 0}};
 *
 * Returns: the channel, NULL for one of cor_after_func. Owns: returns borrowed: it is part of the timer. Go: t.C.
 */
COR_API cor_chan *cor_timer_chan(cor_timer *timer);

/*
 * Stops a timer or ticker: it does not fire until it is reset. The channel stays open: whoever waits goes on waiting.
 * Returns: true if that kept it from firing; false if it was stopped already or, for a timer, its value has been
 * received. For one of cor_after_func: false if its function has been called or is about to be; waiting for that call
 * to end is up to the caller. Go: (*time.Timer).Stop, (*time.Ticker).Stop.
 */
COR_API bool cor_timer_stop(cor_timer *timer);

/*
 * Sets a timer to fire `duration_ns` from now, a ticker every `duration_ns` from now on. A value that was due but not
 * received is dropped. One of cor_after_func calls its function again, even while an earlier call still runs.
 * Returns: 1 if it was still to fire (where cor_timer_stop returns true), 0 if not, -EINVAL for a ticker's
 * `duration_ns` <= 0, -ENOMEM for one of cor_after_func (then it is stopped).
 * Threads: tasks only; one of cor_after_func by one task at a time. Go: (*time.Timer).Reset, (*time.Ticker).Reset.
 */
COR_API int cor_timer_reset(cor_timer *timer, int64_t duration_ns);

/*
 * Calls `fn(arg)` in a new task `duration_ns` from now, unless it is stopped before. The task exists from now on, and
 * is in no group.
 * Returns: 0 and a timer in *out; COR_ENOT_TASK, -ENOMEM, -EAGAIN (no task can be started).
 * Owns: returns owned: release with cor_timer_free, also inside fn. Go: time.AfterFunc.
 */
COR_API COR_CHECK int cor_after_func(cor_timer **out, int64_t duration_ns, void (*fn)(void *arg), void *arg);

/*
 * Stops a timer and frees it; nobody may be waiting for it. A call of cor_after_func's function that has begun goes on.
 * NULL is accepted.
 * Threads: tasks, or any thread when cor_run has returned. Owns: takes the timer.
 */
COR_API void cor_timer_free(cor_timer *timer);

COR_END

#endif

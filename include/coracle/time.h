/* SPDX-License-Identifier: MIT */
/*
 * Time. Every duration and deadline in the library is an int64_t in nanoseconds. A deadline is an absolute time on the
 * monotonic clock of cor_now(); 0 means "no deadline", as Go's zero time does. Wall-clock jumps change nothing.
 *
 * Unless a call says otherwise: Threads: any thread. Parks: never.
 */
#ifndef CORACLE_TIME_H
#define CORACLE_TIME_H

#include <coracle/base.h>

COR_BEGIN

#define COR_MICROSECOND INT64_C(1000)
#define COR_MILLISECOND INT64_C(1000000)
#define COR_SECOND INT64_C(1000000000)
#define COR_MINUTE (60 * COR_SECOND)

/*
 * Reads the monotonic clock, in nanoseconds; always > 0.
 * Returns: the time now. Go: time.Now (its monotonic part).
 */
COR_API int64_t cor_now(void);

/*
 * Turns a duration into a deadline: now + `duration_ns`, clamped to the far future instead of overflowing.
 * A duration <= 0 gives a deadline that has already passed.
 * Returns: the deadline, never 0. Go: time.Now().Add(d).
 */
COR_API int64_t cor_after(int64_t duration_ns);

/*
 * Parks the task for at least `duration_ns` nanoseconds; <= 0 returns at once (to let others run, call cor_yield).
 * Never returns early except by cancellation.
 * Returns: 0, COR_ECANCELED (the task's group was cancelled), COR_ETIMEOUT (the group's deadline passed),
 * COR_ENOT_TASK.
 * Parks: yes. Threads: tasks only.
 * Go: time.Sleep.
 */
COR_API int cor_sleep(int64_t duration_ns);

COR_END

#endif

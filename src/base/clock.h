/* SPDX-License-Identifier: MIT */
/* THE clock: the only place that reads one. Tests put a clock of their own behind it before cor_run. */
#ifndef CORI_BASE_CLOCK_H
#define CORI_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Reads the monotonic clock, ns, always > 0. Any thread; async-signal-safe. */
int64_t cori_clock_now(void);

/* Tells whether the clock is a test's: then time passes only as that wants. */
bool cori_clock_is_fake(void);

/* The real clock, whatever a test's says, `duration_ns` from now: for the C library's waits with CLOCK_MONOTONIC. */
struct timespec cori_clock_real_after(int64_t duration_ns);

/* Replaces the clock by `now(arg)` until called with NULL. Only while no cor_run is active. */
void cori_clock_set(int64_t (*now)(void *arg), void *arg);

#endif

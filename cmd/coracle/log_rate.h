/* SPDX-License-Identifier: MIT */
/*
 * How many lines of one event are written: of those that log_events.h calls RATED at most LOG_RATE_PER_SECOND in each
 * second of the clock, and how many more there were is told. All of it is one thread's, that of stderr's writer: a
 * worker that has something to say is not held up by counting it. An event that is not in the table is never left out.
 */
#ifndef CORACLE_CMD_LOG_RATE_H
#define CORACLE_CMD_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Counts an event of that second in. False: its line is to be left out. */
bool log_rate_admits(const char *event, time_t second);

/*
 * Calls `tell` for each event of which lines were left out in a second other than `now` (or in any, with `all`), and
 * forgets those. Returns whether it was called; sets *waiting if there are others, of this second.
 */
bool log_rate_settle(time_t now, bool all, void (*tell)(const char *event, uint64_t lines), bool *waiting);

#endif

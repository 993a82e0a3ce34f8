/* SPDX-License-Identifier: MIT */
/*
 * How many lines of one event are written: of those that log_events.h calls RATED at most LOG_RATE_PER_SECOND in each
 * second of the clock, and how many more there were is told, for each reason that an event may have. All of it but the
 * sum for everybody is one thread's, that of stderr's writer: a worker that has something to say is not held up by
 * counting it. An event that is not in the table is never left out.
 */
#ifndef CORACLE_CMD_LOG_RATE_H
#define CORACLE_CMD_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Counts an event of that second in. False: its line is to be left out, which log_rate_left_out is told. */
bool log_rate_admits(const char *event, time_t second);

/* Counts a line that is left out; `reason` is copied, NULL: it has none. */
void log_rate_left_out(const char *event, const char *reason, time_t second);

/* How many lines were left out so far. Any thread. */
uint64_t log_rate_left_out_ever(void);

/* Told of lines that were left out; `reason` is NULL if they had none. */
typedef void log_rate_tell(const char *event, const char *reason, uint64_t lines);

/*
 * Calls `tell` for each event and reason of which lines were left out in a second other than `now` (or in any, with
 * `all`), and forgets those. Returns whether it was called; sets *waiting if there are others, of this second.
 */
bool log_rate_settle(time_t now, bool all, log_rate_tell *tell, bool *waiting);

#endif

/* SPDX-License-Identifier: MIT */
/* When a worker has nothing to run: waiting for events, and finding out that none can come. */
#ifndef CORI_SCHED_IDLE_H
#define CORI_SCHED_IDLE_H

#include "sched/state.h"

/* Asks the poller for events, waits at most `timeout_ns` (< 0: for ever), wakes those they are for. */
void cori_poll_events(cori_worker *worker, int64_t timeout_ns);
/* Sleeps until there is an event, a timer is due, or another thread has something for this worker. */
void cori_sleep_until_event(cori_worker *worker);

#endif

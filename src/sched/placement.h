/* SPDX-License-Identifier: MIT */
/* Which worker runs a task that never ran. */
#ifndef CORI_SCHED_PLACEMENT_H
#define CORI_SCHED_PLACEMENT_H

#include "sched/state.h"

/* Queues a fresh task on `worker`. Any thread. */
void cori_place_fresh(cori_worker *worker, cori_task *task);
/* Takes the next fresh task to start here, NULL if there is none (or it was handed to a less loaded worker). */
cori_task *cori_place_take(cori_worker *worker);
/* Takes an old fresh task from another worker; NULL if there is none. */
cori_task *cori_place_steal(cori_worker *worker);
/* For a worker about to sleep: how long it may (ns, < 0: for ever) so that others' fresh tasks are looked after. */
int64_t cori_place_watch(cori_worker *worker);
/* The watcher has found something to run: passes the office on. */
void cori_place_resign(cori_worker *worker);

#endif

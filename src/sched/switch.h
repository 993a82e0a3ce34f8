/* SPDX-License-Identifier: MIT */
/* Going from one task to the next. */
#ifndef CORI_SCHED_SWITCH_H
#define CORI_SCHED_SWITCH_H

#include "sched/state.h"

/* Switches away from the running task to whatever comes next; returns when `self` is scheduled again. */
void cori_worker_next(cori_worker *worker, cori_task *self);
/* Runs tasks until the round is over or nothing is runnable. On the worker's own stack. */
void cori_run_round(cori_worker *worker);

#endif

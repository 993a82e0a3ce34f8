/* SPDX-License-Identifier: MIT */
/* One worker's thread. */
#ifndef CORI_SCHED_WORKER_H
#define CORI_SCHED_WORKER_H

#include "sched/state.h"

/* The scheduler's loop of one worker, until cori_rt.stop. On the thread that is to be the worker. */
void cori_worker_run(cori_worker *worker);

#endif

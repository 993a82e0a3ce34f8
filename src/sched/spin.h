/* SPDX-License-Identifier: MIT */
/* Looking for events for a moment before sleeping. */
#ifndef CORI_SCHED_SPIN_H
#define CORI_SCHED_SPIN_H

#include "sched/state.h"

/* For a worker that found work at `when`. */
void cori_spin_found(cori_worker *worker, int64_t when);
/* For a worker without work: true if it should look at its poller without waiting, false if it should sleep. */
bool cori_spin(cori_worker *worker);

#endif

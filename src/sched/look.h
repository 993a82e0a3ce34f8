/* SPDX-License-Identifier: MIT */
/* Looking for other workers' hand-overs for a moment before sleeping. */
#ifndef CORI_SCHED_LOOK_H
#define CORI_SCHED_LOOK_H

#include "sched/state.h"

/* How many workers may look at the same time on this machine. */
void cori_look_init(int cores);
/* For a worker without work: true if there is some now, false if it should sleep. It may have read the clock. */
bool cori_look(cori_worker *worker);
/* After a nap: learns from it whether looking would have been better. `kicked`: another thread ended it. */
void cori_look_after_nap(cori_worker *worker, bool kicked);

#endif

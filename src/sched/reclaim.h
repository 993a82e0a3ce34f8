/* SPDX-License-Identifier: MIT */
/* Giving back memory while there is nothing to run. */
#ifndef CORI_SCHED_RECLAIM_H
#define CORI_SCHED_RECLAIM_H

#include "sched/state.h"

/*
 * For a worker about to sleep: gives back a bounded piece of what is not needed any more; how long it may sleep until
 * there is more to do, ns, < 0: for ever.
 */
int64_t cori_reclaim(cori_worker *worker);

#endif

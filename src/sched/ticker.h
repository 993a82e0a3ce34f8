/* SPDX-License-Identifier: MIT */
/* The thread that ends ticked rounds: see round.h. */
#ifndef CORI_SCHED_TICKER_H
#define CORI_SCHED_TICKER_H

#include "sched/state.h"

/* True while rounds may rely on it. Sequentially consistent: see round.h. */
static inline bool cori_ticker_is_awake(void)
{
    return cori_load(&cori_rt.ticking) != 0;
}

/* Says that this worker has use for the ticker; wakes or starts it if need be. On the worker's own stack. */
void cori_ticker_use(void);
/* Ends the thread, within a moment: it holds no lock over a wait. No worker runs any more. */
void cori_ticker_end(void);

#endif

/* SPDX-License-Identifier: MIT */
/* Beginning and ending rounds: see round.h. All of it runs between rounds, or in the slow path of a switch. */
#include "sched/round.h"

#include "base/clock.h"
#include "sched/ticker.h"

void cori_round_choose(cori_worker *worker)
{
    worker->clocked = true;
    if (worker->cheap_rounds == CORI_CHEAP_ROUNDS) {
        cori_store(&worker->switches_most, CORI_ROUND_SWITCHES);
        worker->clocked = !cori_ticker_is_awake();
    }
    if (worker->clocked) {
        cori_store_relaxed(&worker->switches_most, 0);
    }
}

void cori_round_ended(cori_worker *worker)
{
    if (!worker->round_over) {
        return; /* it ran out of work: that says nothing of the next */
    }
    if (worker->now - worker->round_start >= (int64_t)worker->switches * CORI_CHEAP_TURN_NS) {
        worker->cheap_rounds = 0;
    } else if (worker->cheap_rounds < CORI_CHEAP_ROUNDS) {
        worker->cheap_rounds++;
    } else {
        cori_ticker_use();
    }
}

bool cori_round_is_over(cori_worker *worker)
{
    bool over = worker->switches >= worker->round_most;
    if (!over && worker->clocked) {
        worker->now = cori_clock_now();
        over = worker->now - worker->round_start >= CORI_ROUND_NS;
    } else if (!over) {
        over = cori_load_relaxed(&worker->switches_most) == 0;
    }
    worker->round_over = over;
    return over;
}

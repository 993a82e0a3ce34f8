/* SPDX-License-Identifier: MIT */
/*
 * When a round ends: after CORI_ROUND_SWITCHES task switches, or after about CORI_ROUND_NS, whichever comes first. So
 * tasks that yield now and then delay timers, I/O and other threads' wakes by their own turn, never by hundreds.
 *
 * A switch takes 3 ns, reading the clock 20 to 60, and a count alone cannot do: tasks that have switched a million
 * times a second may begin to compute in the next turn. So there are two kinds of round.
 *
 *      clocked     the clock is read before each switch. Every round is, unless turns are cheap: where one takes longer
 *                  than CORI_CHEAP_TURN_NS on average, the reading is lost in it.
 *      ticked      for tasks that do little but switch. A thread, the ticker (ticker.c), ends the rounds of all workers
 *                  each CORI_ROUND_NS, by writing 0 to `switches_most`. It is started, or woken, by the first worker
 *                  that has had CORI_CHEAP_ROUNDS full and cheap rounds in a row, and sleeps when none has any more.
 *                  While it sleeps, where it cannot be started and with a test's clock, rounds are clocked.
 *
 * Both cost a hot switch the same one comparison: `switches_most` is CORI_ROUND_SWITCHES in a ticked round; it is 0,
 * which sends every switch to the slow path, in a clocked round and once a ticked one is over.
 *
 * `switches_most` has two writers. The worker's write for a new round and the ticker's 0 may come in either order: the
 * new round ends at once, or the 0 was meant for the one before, which is over. Nor is a round left without both clock
 * and ticker: the worker writes `switches_most`, then looks whether the ticker is awake; the ticker says that it goes
 * to sleep, then writes the zeros of its last tick. Sequentially consistent: the worker sees that, or the zero comes
 * last.
 */
#ifndef CORI_SCHED_ROUND_H
#define CORI_SCHED_ROUND_H

#include "sched/state.h"

/* Chooses the kind of the round that begins. */
void cori_round_choose(cori_worker *worker);
/* After a round, with `worker->now` set anew: finds out what kind the next should be. */
void cori_round_ended(cori_worker *worker);
/* Tells whether the next switch belongs to the next round already; reads the clock if it must. */
bool cori_round_is_over(cori_worker *worker);

/* Begins a round, as of `worker->now`. */
static inline void cori_round_begin(cori_worker *worker)
{
    worker->turns += (uint64_t)worker->switches;
    worker->switches = 0;
    worker->round_over = false;
    worker->round_start = worker->now;
    bool cheap = worker->cheap_rounds == CORI_CHEAP_ROUNDS;
    /* Else of the same kind as the last: clocked, or ticked and no tick has come. That spares the fence of a choice. */
    if (cheap ? cori_load_relaxed(&worker->switches_most) == 0 : !worker->clocked) {
        cori_round_choose(worker);
    }
}

/* True if the round goes on; false if cori_round_is_over has to tell. */
static inline bool cori_round_goes_on(const cori_worker *worker)
{
    return cori_likely(worker->switches < cori_load_relaxed(&worker->switches_most));
}

#endif

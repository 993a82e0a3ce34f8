/* SPDX-License-Identifier: MIT */
/* Seats of workers that look for hand-overs: cori_rt.looking counts them, look.c says what they are for. */
#ifndef CORI_SCHED_SEAT_H
#define CORI_SCHED_SEAT_H

#include "sched/state.h"

/* Takes a seat; false if there is none. */
static inline bool cori_seat_take(cori_worker *worker)
{
    if (!worker->seat && cori_load(&cori_rt.looking) < cori_rt.looking_most) {
        worker->seat = cori_fetch_add(&cori_rt.looking, 1) < cori_rt.looking_most;
        if (!worker->seat) {
            cori_fetch_sub(&cori_rt.looking, 1);
        }
    }
    return worker->seat;
}

/* For a worker that does something else than look: it needs no seat. */
static inline void cori_seat_leave(cori_worker *worker)
{
    if (cori_unlikely(worker->seat)) {
        worker->seat = false;
        cori_fetch_sub(&cori_rt.looking, 1);
    }
}

/* For the waker of a worker that was CORI_LOOKING: takes its seat over. `self` is the waker's worker. */
static inline void cori_seat_take_over(cori_worker *self)
{
    if (self->seat) {
        cori_fetch_sub(&cori_rt.looking, 1);
    }
    self->seat = true;
}

#endif

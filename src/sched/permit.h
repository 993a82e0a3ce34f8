/* SPDX-License-Identifier: MIT */
/* The permit of park and wake, moved from both sides. Why no wake-up is lost: task.h. */
#ifndef CORI_SCHED_PERMIT_H
#define CORI_SCHED_PERMIT_H

#include "base/atomic.h"
#include "base/fatal.h"
#include "sched/task.h"

/* Moves the permit as a parking task does; false if it must not wait. `solo` is cori_rt.solo. */
static inline bool cori_permit_park(cori_task *self, bool solo)
{
    uint8_t old = CORI_RUNNING;
    if (solo) {
        old = cori_load_relaxed(&self->permit);
        cori_store_relaxed(&self->permit, old == CORI_RUNNING ? CORI_PARKED : CORI_RUNNING);
        return old == CORI_RUNNING;
    }
    if (cori_cas(&self->permit, &old, CORI_PARKED)) {
        return true;
    }
    cori_assert(old == CORI_NOTIFIED); /* else it is parked already */
    (void)cori_swap(&self->permit, CORI_RUNNING);
    return false;
}

/* Moves the permit as a waker does; true if the caller has to queue the task. */
static inline bool cori_permit_wake(cori_task *task, bool solo)
{
    uint8_t old = CORI_PARKED; /* mostly: a look first would fetch another core's line twice */
    if (solo) {
        old = cori_load_relaxed(&task->permit);
        cori_store_relaxed(&task->permit, old == CORI_PARKED ? CORI_RUNNING : CORI_NOTIFIED);
        return old == CORI_PARKED;
    }
    while (!cori_cas(&task->permit, &old, old == CORI_PARKED ? CORI_RUNNING : CORI_NOTIFIED)) {}
    return old == CORI_PARKED;
}

#endif

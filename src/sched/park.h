/* SPDX-License-Identifier: MIT */
/*
 * Parking and waking: what every blocking call is made of. The shape of a wait is always the same:
 *
 *      publish yourself where the waker will look (under its lock, or by an atomic operation)
 *      for (;;) {
 *          if (condition) break;
 *          rc = cori_interrupted(self, deadline);  if (rc != 0) { withdraw; if (condition) break; return rc; }
 *          cori_park(self, deadline, "what");
 *      }
 *
 * A park may return for no reason; the loop looks at its condition. See task.h for why no wake-up is lost.
 */
#ifndef CORI_SCHED_PARK_H
#define CORI_SCHED_PARK_H

#include "sched/here.h"
#include "sched/member.h"
#include "sched/switch.h"
#include "sched/wake.h"

#include <coracle/error.h>

/* What all parking comes down to; if the task's timer is armed, `self->deadline` is set. */
static inline void cori_park_now(cori_task *self, const char *what, bool solo)
{
    cori_worker *worker = self->worker;
    self->waiting_for = what;
    self->since = worker->now;
    if (cori_permit_park(self, solo)) {
        cori_worker_next(worker, self);
    }
}

/* As cori_park, when there is a deadline. */
void cori_park_until(cori_task *self, int64_t deadline, const char *what);

/*
 * Parks the running task until woken, or until the coarse clock passes `deadline` (0: none) or its group's. `what` is
 * shown in dumps and must be static.
 */
static inline void cori_park(cori_task *self, int64_t deadline, const char *what)
{
    if (cori_unlikely(deadline != 0 || !cori_member_is_free(self) || self->timer.slot != 0)) {
        cori_park_until(self, deadline, what);
    } else {
        cori_park_now(self, what, cori_rt.solo);
    }
}

/* As cori_park, but the deadline of the task's group does not end it: for waits that cancellation must not end. */
void cori_park_plain(cori_task *self, int64_t deadline, const char *what);

/* As cori_park, for something outside the program: counts as alive for deadlock detection. */
void cori_park_external(cori_task *self, int64_t deadline, const char *what);

/* As cori_park_plain without a deadline, for something outside the program. */
void cori_park_outside(cori_task *self, const char *what);

/*
 * Tells why a wait must end: COR_ECANCELED or COR_ETIMEOUT from the task's group, COR_ETIMEOUT when `deadline` (0:
 * none) has passed on the worker's clock, or 0.
 */
static inline int cori_interrupted(const cori_task *self, int64_t deadline)
{
    if (cori_unlikely(deadline != 0) && deadline <= cori_here_now()) {
        return COR_ETIMEOUT;
    }
    return cori_member_is_free(self) ? 0 : cori_member_interrupted(self, cori_here_now());
}

/* The running task has used up its budget: it yields, or its virtual worker is left where it is. */
void cori_turn_spent(void);

/*
 * Lets others run if this task has done much without parking. Call once per operation that ended at once, well or not;
 * the second, if it moved `bytes`: a turn ends by its work, else a peer's flood would make it last for milliseconds.
 */
static inline void cori_charge(cori_task *self)
{
    if (cori_unlikely(--self->worker->ops_left <= 0)) {
        cori_turn_spent();
    }
}

static inline void cori_charge_bytes(cori_task *self, size_t bytes)
{
    size_t credits = 1 + bytes / CORI_OP_BYTES;
    self->worker->ops_left -= credits < CORI_OPS_BUDGET ? (int)credits : CORI_OPS_BUDGET;
    if (cori_unlikely(self->worker->ops_left <= 0)) {
        cori_turn_spent();
    }
}

/*
 * The same for a call that ended without having done anything: whoever tries again and again gives way as others do.
 * Gives `rc` back. Elsewhere than in a task it does no more.
 */
cori_rare int cori_in_vain(int rc);

#endif

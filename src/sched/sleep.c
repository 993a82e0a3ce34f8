/* SPDX-License-Identifier: MIT */
/* cor_sleep: a park that nothing but the clock (or the task's group) ends. */
#include "sched/park.h"

#include <coracle/time.h>

int cor_sleep(int64_t duration_ns)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    int64_t deadline = cor_after(duration_ns);
    for (;;) {
        int rc = cori_interrupted(self, 0);
        if (rc != 0 || duration_ns <= 0 || deadline <= self->worker->now) {
            cori_charge(self); /* it may not have waited */
            return rc;
        }
        cori_park(self, deadline, "sleep");
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The roll call: whether every worker comes round. Each has one note for it, which lies in the worker itself; `called`
 * is set while the note is on its way, so it is never pushed twice. A note still under way from an earlier call, which
 * was given up, serves as well: it is read after this call has looked at it. The worker clears `called`, then looks for
 * the waiter; the waiter publishes itself, then looks at `called`: one of them sees the other.
 */
#include "base/atomic.h"
#include "base/list.h"
#include "sched/park.h"
#include "sched/wake.h"

#include <coracle/task.h>
#include <errno.h>

static cori_task *caller; /* atomic */

/* On the worker whose note it is. */
static void answer(cori_note *note)
{
    cori_store(&cori_container(note, cori_worker, roll_note)->called, 0);
    cori_task *task = cori_load(&caller);
    if (task != NULL) {
        cori_wake(task);
    }
}

static bool all_have_answered(void)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        if (cori_load(&cori_rt.workers[i].called) != 0) {
            return false;
        }
    }
    return true;
}

int cor_roll_call(int64_t deadline)
{
    cori_task *self = cori_self(), *none = NULL;
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    if (!cori_cas(&caller, &none, self)) {
        return -EBUSY;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_swap(&worker->called, 1) == 0) {
            worker->roll_note.act = answer;
            cori_worker_note(worker, &worker->roll_note);
        }
    }
    int result = 0;
    while (result == 0 && !all_have_answered()) {
        result = cori_interrupted(self, deadline);
        if (result == 0) {
            cori_park_external(self, deadline, "roll call");
        }
    }
    cori_store(&caller, NULL);
    return result;
}

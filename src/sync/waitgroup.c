/* SPDX-License-Identifier: MIT */
/*
 * Wait groups. The count is guarded by the spin lock, and a waiter always takes that lock: so when a wait has
 * returned, the task that brought the count to zero has touched the group for the last time, and the group (often a
 * local variable of the waiter) may go.
 */
#include "base/fatal.h"
#include "sync/waitq.h"

void cor_waitgroup_add(cor_waitgroup *group, int64_t delta)
{
    cori_waiter *first = NULL;
    cori_spin_lock(&group->spin);
    if (__builtin_add_overflow(group->count, delta, &group->count) || group->count < 0) {
        cori_fatal("sync: negative WaitGroup counter");
    }
    if (group->count == 0) {
        first = cori_waitq_take_all(&group->waiters);
    }
    cori_spin_unlock(&group->spin);
    cori_waiter_serve_list(first);
}

void cor_waitgroup_done(cor_waitgroup *group)
{
    cor_waitgroup_add(group, -1);
}

int cor_waitgroup_wait(cor_waitgroup *group, int64_t deadline)
{
    cori_waiter waiter = {.task = cori_self()};
    if (waiter.task == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = cori_interrupted(waiter.task, 0);
    if (cori_unlikely(rc != 0)) {
        return cori_in_vain(rc);
    }
    cori_spin_lock(&group->spin);
    bool waits = group->count != 0;
    if (waits) {
        cori_waitq_push(&group->waiters, &waiter);
    }
    cori_spin_unlock(&group->spin);
    if (!waits) {
        cori_charge(waiter.task);
        return 0;
    }
    return cori_waiter_await_until(&waiter, &group->waiters, &group->spin, deadline, "sync.WaitGroup.Wait");
}

/* SPDX-License-Identifier: MIT */
/*
 * Condition variables. The waiter is in the queue before it gives the mutex back, so whoever changes the condition
 * under the mutex finds it there. A signal goes to exactly one waiter: one whose time runs out at the same moment
 * either was still in the queue (then the signal goes to the next) or counts as signalled.
 */
#include "base/atomic.h"
#include "sync/waitq.h"

int cor_cond_wait(cor_cond *cond, cor_mutex *mutex, int64_t deadline)
{
    cori_waiter waiter = {.task = cori_self()};
    if (waiter.task == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = cori_interrupted(waiter.task, 0);
    if (rc != 0) {
        return cori_in_vain(rc);
    }
    cori_spin_lock(&cond->spin);
    cori_waitq_push(&cond->waiters, &waiter);
    cori_spin_unlock(&cond->spin);
    cor_mutex_unlock(mutex);
    rc = cori_waiter_await_until(&waiter, &cond->waiters, &cond->spin, deadline, "sync.Cond.Wait");
    cor_mutex_lock(mutex);
    return rc;
}

/* Whoever waits and must be found was queued before the caller got the mutex: it is seen here. */
static bool nobody_waits(const cor_cond *cond)
{
    return cori_load_acquire(&cond->waiters.count) == 0;
}

void cor_cond_signal(cor_cond *cond)
{
    if (nobody_waits(cond)) {
        return;
    }
    cori_spin_lock(&cond->spin);
    cori_waiter *waiter = cori_waitq_pop(&cond->waiters);
    cori_spin_unlock(&cond->spin);
    if (waiter != NULL) {
        cori_waiter_serve(waiter);
    }
}

void cor_cond_broadcast(cor_cond *cond)
{
    if (nobody_waits(cond)) {
        return;
    }
    cori_spin_lock(&cond->spin);
    cori_waiter *first = cori_waitq_take_all(&cond->waiters);
    cori_spin_unlock(&cond->spin);
    cori_waiter_serve_list(first);
}

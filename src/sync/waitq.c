/* SPDX-License-Identifier: MIT */
/* The waiting half of the wait queue: the loops that every wait in this folder goes through. Protocol: see waitq.h. */
#include "sync/waitq.h"

#include "base/atomic.h"

void cori_waiter_serve_list(cori_waiter *first)
{
    cori_wakes wakes = {0};
    while (first != NULL) {
        cori_waiter *next = first->next;
        __builtin_prefetch(next);
        cori_waiter_serve_one(first, &wakes);
        first = next;
    }
    cori_wakes_end(&wakes);
}

void cori_waiter_await(cori_waiter *waiter, const char *what)
{
    while (!cori_waiter_done(waiter)) {
        cori_park_plain(waiter->task, 0, what);
    }
}

/* Takes the node out of the queue; false if a waker was faster. */
static bool withdraw(cori_waiter *waiter, cor_waitq *queue, uint32_t *lock)
{
    cori_spin_lock(lock);
    bool mine = cori_waitq_holds(queue, waiter);
    if (mine) {
        cori_waitq_remove(queue, waiter);
    }
    cori_spin_unlock(lock);
    return mine;
}

int cori_waiter_await_until(cori_waiter *waiter, cor_waitq *queue, uint32_t *lock, int64_t deadline, const char *what)
{
    while (!cori_waiter_done(waiter)) {
        int rc = cori_interrupted(waiter->task, deadline);
        if (cori_unlikely(rc != 0)) {
            if (withdraw(waiter, queue, lock)) {
                return cori_in_vain(rc);
            }
            cori_waiter_await(waiter, what);
            return 0;
        }
        cori_park(waiter->task, deadline, what);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks. Everything is guarded by the queue's spin lock: `readers` (active ones, or -1 for a writer),
 * `writers_waiting` and the queue, where readers and writers wait in order of arrival.
 *
 * Neither kind can starve. A reader waits if a writer holds or waits for the lock. When the last reader leaves, the
 * first writer follows (the head of the queue: readers wait only behind writers). When a writer leaves, all readers
 * that wait by then follow together, ahead of any further writers. So a reader waits for one writer at most, and a
 * writer for the writers before it with one batch of readers after each.
 *
 * The lock is handed over: the state is changed on behalf of those who wait before they are woken.
 */
#include "base/fatal.h"
#include "sync/waitq.h"

enum { WRITER = -1 };

typedef struct rw_waiter {
    cori_waiter base; /* first: the queue holds it */
    bool writer;
} rw_waiter;

static void charge(void)
{
    cori_task *self = cori_self();
    if (self != NULL) {
        cori_charge(self);
    }
}

/* Queues the caller, gives the spin lock back and waits for the lock to be handed over. */
static void await_turn(cor_rwmutex *mutex, bool writer, const char *what)
{
    rw_waiter waiter = {.base.task = cori_self(), .writer = writer};
    if (waiter.base.task == NULL) {
        cori_fatal("sync: lock outside a task");
    }
    mutex->writers_waiting += writer;
    cori_waitq_push(&mutex->waiters, &waiter.base);
    cori_spin_unlock(&mutex->waiters.spin);
    cori_waiter_await(&waiter.base, what);
}

void cor_rwmutex_rlock(cor_rwmutex *mutex)
{
    charge();
    cori_spin_lock(&mutex->waiters.spin);
    if (mutex->readers == WRITER || mutex->writers_waiting != 0) {
        await_turn(mutex, false, "sync.RWMutex.RLock");
        return;
    }
    mutex->readers++;
    cori_spin_unlock(&mutex->waiters.spin);
}

/* Makes the longest waiting writer the owner, or leaves the lock free. To be served by the caller. */
static cori_waiter *hand_to_writer(cor_rwmutex *mutex)
{
    cori_waiter *writer = cori_waitq_pop(&mutex->waiters);
    mutex->readers = writer != NULL ? WRITER : 0;
    mutex->writers_waiting -= writer != NULL;
    return writer;
}

/* Takes all waiting readers out of the queue and makes them owners. To be served by the caller. */
static cori_waiter *hand_to_readers(cor_rwmutex *mutex)
{
    cori_waiter *first = NULL;
    cori_waiter **end = &first;
    cori_waiter *next = NULL;
    mutex->readers = 0;
    for (cori_waiter *waiter = mutex->waiters.head; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (!((rw_waiter *)waiter)->writer) {
            cori_waitq_remove(&mutex->waiters, waiter);
            mutex->readers++;
            *end = waiter;
            end = &waiter->next;
        }
    }
    *end = NULL;
    return first;
}

void cor_rwmutex_runlock(cor_rwmutex *mutex)
{
    cori_waiter *next = NULL;
    cori_spin_lock(&mutex->waiters.spin);
    if (mutex->readers <= 0) {
        cori_fatal("sync: RUnlock of unlocked RWMutex");
    }
    if (--mutex->readers == 0) {
        next = hand_to_writer(mutex);
    }
    cori_spin_unlock(&mutex->waiters.spin);
    if (next != NULL) {
        cori_waiter_serve(next);
    }
}

void cor_rwmutex_lock(cor_rwmutex *mutex)
{
    charge();
    cori_spin_lock(&mutex->waiters.spin);
    if (mutex->readers != 0) {
        await_turn(mutex, true, "sync.RWMutex.Lock");
        return;
    }
    mutex->readers = WRITER;
    cori_spin_unlock(&mutex->waiters.spin);
}

void cor_rwmutex_unlock(cor_rwmutex *mutex)
{
    cori_spin_lock(&mutex->waiters.spin);
    if (mutex->readers != WRITER) {
        cori_fatal("sync: Unlock of unlocked RWMutex");
    }
    cori_waiter *first = hand_to_readers(mutex);
    if (first == NULL) {
        first = hand_to_writer(mutex);
        if (first != NULL) {
            first->next = NULL;
        }
    }
    cori_spin_unlock(&mutex->waiters.spin);
    cori_waiter_serve_list(first);
}

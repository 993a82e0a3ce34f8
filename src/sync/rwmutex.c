/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks. Everything is guarded by the spin lock: `readers` (active ones, or -1 for a writer), and the two
 * queues, in which readers and writers wait in order of arrival.
 *
 * Neither kind can starve. A reader waits if a writer holds or waits for the lock. When the last reader leaves, the
 * first writer follows. When a writer leaves, all readers that wait by then follow together, ahead of any further
 * writers. So a reader waits for one writer at most, and a writer for the writers before it with one batch of readers
 * after each.
 *
 * The lock is handed over: the state is changed on behalf of those who wait before they are woken.
 */
#include "base/fatal.h"
#include "sync/waitq.h"

enum { WRITER = -1 };

static void charge(void)
{
    cori_task *self = cori_self();
    if (self != NULL) {
        cori_charge(self);
    }
}

/* Queues the caller, gives the spin lock back and waits for the lock to be handed over. */
static void await_turn(cor_rwmutex *mutex, cor_waitq *queue, const char *what)
{
    cori_waiter waiter = {.task = cori_self()};
    if (waiter.task == NULL) {
        cori_fatal("sync: lock outside a task");
    }
    cori_waitq_push(queue, &waiter);
    cori_spin_unlock(&mutex->spin);
    cori_waiter_await(&waiter, what);
}

void cor_rwmutex_rlock(cor_rwmutex *mutex)
{
    charge();
    cori_spin_lock(&mutex->spin);
    if (mutex->readers == WRITER || mutex->waiting_writers.head != NULL) {
        await_turn(mutex, &mutex->waiting_readers, "sync.RWMutex.RLock");
        return;
    }
    mutex->readers++;
    cori_spin_unlock(&mutex->spin);
}

/* Makes the longest waiting writer the owner, or leaves the lock free. To be served by the caller. */
static cori_waiter *hand_to_writer(cor_rwmutex *mutex)
{
    cori_waiter *writer = cori_waitq_pop(&mutex->waiting_writers);
    mutex->readers = writer != NULL ? WRITER : 0;
    return writer;
}

void cor_rwmutex_runlock(cor_rwmutex *mutex)
{
    cori_waiter *next = NULL;
    cori_spin_lock(&mutex->spin);
    if (mutex->readers <= 0) {
        cori_fatal("sync: RUnlock of unlocked RWMutex");
    }
    if (--mutex->readers == 0) {
        next = hand_to_writer(mutex);
    }
    cori_spin_unlock(&mutex->spin);
    if (next != NULL) {
        cori_waiter_serve(next);
    }
}

void cor_rwmutex_lock(cor_rwmutex *mutex)
{
    charge();
    cori_spin_lock(&mutex->spin);
    if (mutex->readers != 0) {
        await_turn(mutex, &mutex->waiting_writers, "sync.RWMutex.Lock");
        return;
    }
    mutex->readers = WRITER;
    cori_spin_unlock(&mutex->spin);
}

void cor_rwmutex_unlock(cor_rwmutex *mutex)
{
    cori_spin_lock(&mutex->spin);
    if (mutex->readers != WRITER) {
        cori_fatal("sync: Unlock of unlocked RWMutex");
    }
    mutex->readers = (int32_t)mutex->waiting_readers.count;
    cori_waiter *readers = cori_waitq_take_all(&mutex->waiting_readers);
    cori_waiter *writer = readers == NULL ? hand_to_writer(mutex) : NULL;
    cori_spin_unlock(&mutex->spin);
    cori_waiter_serve_list(readers);
    if (writer != NULL) {
        cori_waiter_serve(writer);
    }
}

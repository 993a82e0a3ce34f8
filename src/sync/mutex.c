/* SPDX-License-Identifier: MIT */
/*
 * Mutexes. `state` has two bits: LOCKED, and WAITED while tasks wait for it.
 *
 * Without waiters a lock and an unlock are one compare-and-swap each. WAITED is set and cleared only under the
 * spin lock, where it says exactly whether the queue is not empty; while it is set, LOCKED changes only there too.
 *
 * An unlock with waiters looks at the longest one.
 *      It is on the same worker, or has waited HAND_OVER_NS: the mutex stays locked and now belongs to it.
 *      It is on another worker: the mutex becomes free and the waiter is nudged, but stays at the head of the queue.
 *      Until its thread has woken up, which takes microseconds, running tasks may lock and unlock: otherwise each lock
 *      of a busy mutex would cost two threads a wake-up. It takes the mutex when it finds it free, else it waits to be
 *      nudged again, until HAND_OVER_NS is up.
 * Among waiters the order of arrival is kept in any case, and all of them come to their turn.
 *
 * A free mutex with waiters always has a nudged head: no wake-up is lost. An unlock touches the mutex for the last time
 * before another task can have locked and unlocked it: the next owner may free it.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/fatal.h"
#include "sync/waitq.h"

enum { LOCKED = 1, WAITED = 2 };
/* How long a waiter may be overtaken, ns: Go's figure. */
enum { HAND_OVER_NS = 1000000 };
/* Looks at a mutex that another thread holds before the task parks: about as long as a park would take. */
enum { SPINS = 32 };

typedef struct mutex_waiter {
    cori_waiter base; /* first: the queue holds it */
    int64_t since;    /* when it began to wait; not on the coarse clock, which a busy worker seldom reads */
    bool nudged;      /* guard: the spin lock; woken to try again and has not tried yet */
} mutex_waiter;

static inline bool try_lock(cor_mutex *mutex)
{
    uint32_t free = 0;
    return cori_cas_acquire(&mutex->state, &free, LOCKED);
}

/* Waits for a moment for a holder that is running on another thread. */
static void spin(const cor_mutex *mutex)
{
    int spins = cori_solo() ? 0 : SPINS;
    while (spins-- > 0 && (cori_load_relaxed(&mutex->state) & LOCKED) != 0) {
        cori_pause();
    }
}

/* Locks if the mutex is free, else announces a waiter. Under the spin lock. */
static bool lock_or_announce(cor_mutex *mutex)
{
    uint32_t state = cori_load_relaxed(&mutex->state);
    for (;;) {
        bool free = (state & LOCKED) == 0;
        uint32_t next = state | (free ? LOCKED : WAITED);
        if (cori_cas_acquire(&mutex->state, &state, next)) {
            return free;
        }
    }
}

static void set_locked(cor_mutex *mutex)
{
    uint32_t waited = mutex->waiters.head != NULL ? WAITED : 0;
    cori_store_relaxed(&mutex->state, LOCKED | waited);
}

/* What a waiter does when it was woken without having been served. True if it has the lock. */
static bool try_as_waiter(cor_mutex *mutex, mutex_waiter *waiter)
{
    spin(mutex);
    cori_spin_lock(&mutex->spin);
    waiter->nudged = false;
    bool taken = mutex->waiters.head == waiter && (cori_load_relaxed(&mutex->state) & LOCKED) == 0;
    if (taken) {
        cori_waitq_remove(&mutex->waiters, &waiter->base);
        set_locked(mutex);
    }
    cori_spin_unlock(&mutex->spin);
    return taken;
}

static __attribute__((noinline)) void lock_slowly(cor_mutex *mutex, cori_task *self)
{
    if (self == NULL) {
        cori_fatal("sync: lock outside a task");
    }
    spin(mutex);
    mutex_waiter waiter = {.base.task = self, .since = cori_clock_now()};
    cori_spin_lock(&mutex->spin);
    bool taken = lock_or_announce(mutex);
    if (!taken) {
        cori_waitq_push(&mutex->waiters, &waiter.base);
    }
    cori_spin_unlock(&mutex->spin);
    while (!taken && !cori_waiter_done(&waiter.base)) {
        cori_park_plain(self, 0, "sync.Mutex.Lock");
        taken = !cori_waiter_done(&waiter.base) && try_as_waiter(mutex, &waiter);
    }
}

void cor_mutex_lock(cor_mutex *mutex)
{
    cori_task *self = cori_self();
    if (cori_likely(self != NULL)) {
        cori_charge(self); /* before, so that nobody is kept waiting by a holder that yields */
    }
    if (!try_lock(mutex)) {
        lock_slowly(mutex, self);
    }
}

bool cor_mutex_trylock(cor_mutex *mutex)
{
    return try_lock(mutex);
}

static bool must_hand_over(const mutex_waiter *waiter)
{
    return !cori_here_is_worker() || cori_here_owns(waiter->base.task) ||
           cori_clock_now() - waiter->since >= HAND_OVER_NS;
}

static __attribute__((noinline)) void unlock_slowly(cor_mutex *mutex, uint32_t state)
{
    if ((state & LOCKED) == 0) {
        cori_fatal("sync: unlock of unlocked mutex");
    }
    cori_spin_lock(&mutex->spin);
    mutex_waiter *first = mutex->waiters.head;
    if (first == NULL) {
        cori_fatal("sync: unlock of unlocked mutex"); /* unlocked twice at the same time */
    }
    if (must_hand_over(first)) {
        cori_waitq_remove(&mutex->waiters, &first->base);
        set_locked(mutex);
        cori_spin_unlock(&mutex->spin);
        cori_waiter_serve(&first->base);
        return;
    }
    cori_task *nudge = first->nudged ? NULL : first->base.task;
    first->nudged = true;
    cori_store_relaxed(&mutex->state, WAITED);
    cori_spin_unlock(&mutex->spin);
    if (nudge != NULL) {
        cori_wake(nudge);
    }
}

void cor_mutex_unlock(cor_mutex *mutex)
{
    uint32_t state = LOCKED;
    if (!cori_cas_release(&mutex->state, &state, 0)) {
        unlock_slowly(mutex, state);
    }
}

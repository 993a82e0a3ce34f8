/* SPDX-License-Identifier: MIT */
/*
 * Locks and the like for tasks: they park the task, never the thread, and work across workers. All are small structs
 * by value; all-zero is ready to use, and there is nothing to destroy. None may be copied after first use. A pthread
 * mutex must not be held over a call that parks; these may. The fields are private.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_SYNC_H
#define CORACLE_SYNC_H

#include <coracle/base.h>

COR_BEGIN

/* A list of waiting tasks; part of the types below, each of which has a spin lock that guards it. */
typedef struct cor_waitq {
    uint32_t emptied;
    uint32_t count;
    void *head;
    void *tail;
} cor_waitq;

/* Mutual exclusion, first come first served among waiters; not recursive; any task may unlock. */
typedef struct cor_mutex {
    uint32_t state;
    uint32_t spin;
    cor_waitq waiters;
} cor_mutex;

/*
 * Locks; parks until it is this task's turn. Not ended by cancellation, so that critical sections need no error path.
 * Parks: yes. Go: (*sync.Mutex).Lock.
 */
COR_API void cor_mutex_lock(cor_mutex *mutex);

/*
 * Locks if that needs no wait.
 * Returns: true if locked. Go: (*sync.Mutex).TryLock.
 */
COR_API COR_CHECK bool cor_mutex_trylock(cor_mutex *mutex);

/*
 * Unlocks and hands the lock to the longest waiter. Unlocking what is not locked ends the program with
 * "fatal error: sync: unlock of unlocked mutex".
 * Go: (*sync.Mutex).Unlock.
 */
COR_API void cor_mutex_unlock(cor_mutex *mutex);

/* Many readers or one writer; a waiting writer keeps new readers out. */
typedef struct cor_rwmutex {
    int32_t readers; /* active readers; -1: a writer */
    uint32_t spin;
    cor_waitq waiting_readers;
    cor_waitq waiting_writers;
} cor_rwmutex;

/*
 * Locks for reading; parks while a writer holds or waits for the lock.
 * Parks: yes. Go: (*sync.RWMutex).RLock.
 */
COR_API void cor_rwmutex_rlock(cor_rwmutex *mutex);

/*
 * Ends a read lock; "fatal error: sync: RUnlock of unlocked RWMutex" if there is none.
 * Go: (*sync.RWMutex).RUnlock.
 */
COR_API void cor_rwmutex_runlock(cor_rwmutex *mutex);

/*
 * Locks for writing; parks until all readers and earlier writers are gone.
 * Parks: yes. Go: (*sync.RWMutex).Lock.
 */
COR_API void cor_rwmutex_lock(cor_rwmutex *mutex);

/*
 * Ends a write lock; "fatal error: sync: Unlock of unlocked RWMutex" if there is none.
 * Go: (*sync.RWMutex).Unlock.
 */
COR_API void cor_rwmutex_unlock(cor_rwmutex *mutex);

/* A place to wait for a condition that a mutex guards. */
typedef struct cor_cond {
    uint32_t spin;
    cor_waitq waiters;
} cor_cond;

/*
 * Unlocks `mutex`, parks until signalled, locks `mutex` again (on every return). Check the condition in a loop.
 * `deadline` is absolute, 0 for none. In a task that is cancelled already it returns at once, without unlocking.
 * Returns: 0, COR_ETIMEOUT, COR_ECANCELED. Parks: until deadline. Threads: tasks only, holding `mutex`.
 * Go: (*sync.Cond).Wait.
 */
COR_API int cor_cond_wait(cor_cond *cond, cor_mutex *mutex, int64_t deadline);

/*
 * Wakes the task that has waited longest, if any.
 * Go: (*sync.Cond).Signal.
 */
COR_API void cor_cond_signal(cor_cond *cond);

/*
 * Wakes all waiting tasks.
 * Go: (*sync.Cond).Broadcast.
 */
COR_API void cor_cond_broadcast(cor_cond *cond);

/* Counts tasks under way; waiters wake when it reaches zero. */
typedef struct cor_waitgroup {
    int64_t count;
    uint32_t spin;
    cor_waitq waiters;
} cor_waitgroup;

/*
 * Adds `delta` (may be negative); wakes all waiters at zero. "fatal error: sync: negative WaitGroup counter" below
 * zero.
 * Go: (*sync.WaitGroup).Add.
 */
COR_API void cor_waitgroup_add(cor_waitgroup *group, int64_t delta);

/*
 * Takes one off: cor_waitgroup_add(group, -1).
 * Go: (*sync.WaitGroup).Done.
 */
COR_API void cor_waitgroup_done(cor_waitgroup *group);

/*
 * Parks until the count is zero. `deadline` is absolute, 0 for none.
 * Returns: 0, COR_ETIMEOUT, COR_ECANCELED. Parks: until deadline. Go: (*sync.WaitGroup).Wait.
 */
COR_API int cor_waitgroup_wait(cor_waitgroup *group, int64_t deadline);

/* Runs something exactly once. */
typedef struct cor_once {
    uint32_t done;
    cor_mutex mutex;
} cor_once;

/*
 * Calls `fn(arg)` if no call on this `once` has done so before; returns when the one call has returned.
 * Parks: while another task runs fn. Go: (*sync.Once).Do.
 */
COR_API void cor_once_do(cor_once *once, void (*fn)(void *arg), void *arg);

/* A value that is made when it is first needed. */
typedef struct cor_once_value {
    cor_once once;
    void *value;
} cor_once_value;

/*
 * Gives what `fn(arg)` returned on the first call with this `once`, the only one that calls it. For several values use
 * a struct.
 *
 *      static cor_once_value config;
 *      const struct config *c = cor_once_value_get(&config, load_config, path);
 *
 * Returns: the value. Parks: while another task runs fn. Owns: returns borrowed, if it is a pointer to something.
 * Go: sync.OnceValue; cor_once_do is sync.OnceFunc.
 */
COR_API void *cor_once_value_get(cor_once_value *once, void *(*fn)(void *arg), void *arg);

COR_END

#endif

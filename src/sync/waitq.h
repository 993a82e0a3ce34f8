/* SPDX-License-Identifier: MIT */
/*
 * The wait queue: a FIFO of tasks that wait for one object, and what every kind of wait in this folder is made of.
 *
 * A node lives on the stack of the task that waits. The queue, the links and `linked` are guarded by the lock of the
 * object that has the queue. Between them, waker and waiter keep to this:
 *
 *      waker                                        waiter
 *      lock; pop the node, fill in results; unlock  lock; push the node; unlock
 *      read node->task                              park until node->done (load-acquire)
 *      node->done = 1 (store-release)               interrupted: lock; still in the queue? take it out and give up
 *      wake the task                                             taken out by a waker? then wait for `done`: served
 *
 * `done` is the waker's last touch of the node and comes after its last touch of the object. So when a wait has
 * returned, both the node's stack frame and the object itself may go: whoever was served may free the object at once.
 * The one thing that follows is a wake of the task, which is harmless at any time (task.h).
 *
 * No wake-up is lost: the node is in the queue before the waiter looks at its condition for the last time, and a waker
 * that finds the node sets `done` before it wakes.
 *
 * However many wait, the lock is held for a few instructions. A waker of all therefore does not visit them under it:
 * taking all leaves the nodes as they are and counts in the queue's `emptied`. A node notes that count in `linked` when
 * it is pushed, and is in the queue while the two agree. The waker then walks along `next` without the lock: whoever
 * would withdraw sees that it is too late and waits for `done`, and nobody writes the links of a node that is in no
 * queue. (`emptied` comes round after 2^31 times; a walk does not last that long.)
 *
 * A walk that gave the lock back now and then would not do. Those left in the queue might withdraw meanwhile, find the
 * condition true and free the object, which the waker would then lock once more.
 */
#ifndef CORI_SYNC_WAITQ_H
#define CORI_SYNC_WAITQ_H

#include "base/atomic.h"
#include "base/lock.h"
#include "sched/park.h"

#include <coracle/sync.h>

typedef struct cori_waiter {
    struct cori_waiter *next, *prev; /* guard: the object's lock */
    cori_task *task;
    uint32_t done;   /* atomic: set by the waker, last */
    uint32_t linked; /* guard: the object's lock; 0: taken out, else the mark it was pushed with */
} cori_waiter;

/* What the nodes in the queue have in `linked`. Under the object's lock. */
static inline uint32_t cori_waitq_mark(const cor_waitq *queue)
{
    return queue->emptied | 1;
}

/* True if the node is in the queue. Under the object's lock. */
static inline bool cori_waitq_holds(const cor_waitq *queue, const cori_waiter *waiter)
{
    return waiter->linked == cori_waitq_mark(queue);
}

/* Adds a node at the end. Under the object's lock. */
static inline void cori_waitq_push(cor_waitq *queue, cori_waiter *waiter)
{
    cori_waiter *tail = queue->tail;
    waiter->next = NULL;
    waiter->prev = tail;
    waiter->linked = cori_waitq_mark(queue);
    if (tail != NULL) {
        tail->next = waiter;
    } else {
        queue->head = waiter;
    }
    queue->tail = waiter;
    cori_bump(queue->count, 1);
}

/* Takes a node that is in the queue out, wherever it stands. Under the object's lock. */
static inline void cori_waitq_remove(cor_waitq *queue, cori_waiter *waiter)
{
    if (waiter->prev != NULL) {
        waiter->prev->next = waiter->next;
    } else {
        queue->head = waiter->next;
    }
    if (waiter->next != NULL) {
        waiter->next->prev = waiter->prev;
    } else {
        queue->tail = waiter->prev;
    }
    waiter->linked = 0;
    cori_bump(queue->count, -1);
}

/* Takes the longest waiter out; NULL if there is none. Under the object's lock. */
static inline cori_waiter *cori_waitq_pop(cor_waitq *queue)
{
    cori_waiter *waiter = queue->head;
    if (waiter != NULL) {
        cori_waitq_remove(queue, waiter);
    }
    return waiter;
}

/* Empties the queue; gives its first node, the others follow by `next`. Under the object's lock. */
static inline cori_waiter *cori_waitq_take_all(cor_waitq *queue)
{
    cori_waiter *first = queue->head;
    queue->head = NULL;
    queue->tail = NULL;
    queue->emptied += 2;
    cori_store_relaxed(&queue->count, 0);
    return first;
}

/*
 * Lets the waiter of a popped node go on. The node and the object must not be touched afterwards; best without the
 * lock.
 */
static inline void cori_waiter_serve(cori_waiter *waiter)
{
    cori_task *task = waiter->task;
    cori_store_release(&waiter->done, 1);
    cori_wake(task);
}

/* The same for one of many: `wakes` ends after the last. */
static inline void cori_waiter_serve_one(cori_waiter *waiter, cori_wakes *wakes)
{
    cori_task *task = waiter->task;
    cori_store_release(&waiter->done, 1);
    cori_wakes_add(wakes, task);
}

static inline bool cori_waiter_done(const cori_waiter *waiter)
{
    return cori_load_acquire(&waiter->done) != 0;
}

/* Serves every node of a list that is in no queue any more. Without the lock. */
void cori_waiter_serve_list(cori_waiter *first);

/* Waits until a pushed node is served, whatever happens: for locks, which cancellation must not end. */
void cori_waiter_await(cori_waiter *waiter, const char *what);

/*
 * Waits until a pushed node is served, at most until `deadline` (0: none) or the task is interrupted; then takes the
 * node out of `queue` under `lock`. 0 when served, else COR_ETIMEOUT or COR_ECANCELED.
 */
int cori_waiter_await_until(cori_waiter *waiter, cor_waitq *queue, uint32_t *lock, int64_t deadline, const char *what);

#endif

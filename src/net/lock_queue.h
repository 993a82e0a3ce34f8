/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait for a slot's read or write lock: two queues, first come first served, behind one pointer, because
 * slots are many and waiters few. Each queue is a ring through its waiters, which live on their tasks' stacks. The
 * pointer leads to the oldest waiter of either ring, and that one knows the oldest of the other. So every change is a
 * few stores, whatever the number of waiters. Guard: the slot's spin lock.
 */
#ifndef CORI_NET_LOCK_QUEUE_H
#define CORI_NET_LOCK_QUEUE_H

#include "sched/park.h"

typedef struct cori_lock_waiter {
    cori_task *task;
    unsigned access;                      /* enum cori_access: the lock it wants */
    uint32_t granted;                     /* atomic; the granter's last touch */
    struct cori_lock_waiter *next, *prev; /* the ring, oldest first */
    struct cori_lock_waiter *other;       /* of the oldest: the oldest that wants the other lock, or NULL */
} cori_lock_waiter;

/* The oldest waiter for `access`; NULL: none. */
static inline cori_lock_waiter *cori_lock_queue_first(cori_lock_waiter *queue, unsigned access)
{
    return queue == NULL || queue->access == access ? queue : queue->other;
}

/* Makes `first` (NULL: nobody) the oldest waiter for `access`. */
static inline void cori_lock_queue_lead(cori_lock_waiter **queue, unsigned access, cori_lock_waiter *first)
{
    cori_lock_waiter *other = *queue == NULL || (*queue)->access != access ? *queue : (*queue)->other;
    if (first != NULL) {
        first->other = other;
    }
    if (other != NULL) {
        other->other = first;
    }
    *queue = first != NULL ? first : other;
}

static inline void cori_lock_queue_push(cori_lock_waiter **queue, cori_lock_waiter *waiter)
{
    cori_lock_waiter *first = cori_lock_queue_first(*queue, waiter->access);
    if (first == NULL) {
        waiter->next = waiter->prev = waiter;
        cori_lock_queue_lead(queue, waiter->access, waiter);
        return;
    }
    waiter->next = first;
    waiter->prev = first->prev;
    first->prev->next = waiter;
    first->prev = waiter;
}

/* Takes a waiter out, wherever it is. */
static inline void cori_lock_queue_remove(cori_lock_waiter **queue, cori_lock_waiter *waiter)
{
    bool oldest = cori_lock_queue_first(*queue, waiter->access) == waiter;
    cori_lock_waiter *next = waiter->next != waiter ? waiter->next : NULL;
    waiter->prev->next = waiter->next;
    waiter->next->prev = waiter->prev;
    if (oldest) {
        cori_lock_queue_lead(queue, waiter->access, next);
    }
}

#endif

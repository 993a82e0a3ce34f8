/* SPDX-License-Identifier: MIT */
/*
 * Channels: the operations on one. The invariants are in chan.h, those of waiting in waitq.h, of claims in select.c.
 */
#include "sync/chan.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sched/leaks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cor_chan *cori_chan_make(size_t elem_size_bytes, size_t ring_bytes)
{
    size_t bytes = (sizeof(cor_chan) + ring_bytes + CORI_CACHE_LINE - 1) & ~(size_t)(CORI_CACHE_LINE - 1);
    cor_chan *chan = cori_aligned_alloc(CORI_CACHE_LINE, bytes);
    if (chan != NULL) {
        memset(chan, 0, sizeof(*chan));
        chan->elem_size_bytes = elem_size_bytes;
    }
    return chan;
}

static void describe(const void *object, char *text, size_t size)
{
    const cor_chan *chan = object;
    (void)snprintf(text, size, "channel %p for %zu values of %zu bytes, with %zu in it", object, chan->capacity,
                   chan->elem_size_bytes, chan->count);
}

cor_chan *cor_chan_new(size_t elem_size_bytes, size_t capacity)
{
    size_t bytes = 0;
    if (elem_size_bytes > CORI_CHAN_ELEM_MAX || capacity > PTRDIFF_MAX ||
        __builtin_mul_overflow(elem_size_bytes, capacity, &bytes) || bytes > PTRDIFF_MAX - 2 * sizeof(cor_chan)) {
        return NULL;
    }
    cor_chan *chan = cori_chan_make(elem_size_bytes, bytes);
    if (chan != NULL) {
        chan->capacity = capacity;
        cori_leaks_add(CORI_LEAK_CHANNEL, chan, describe);
    }
    return chan;
}

void cor_chan_free(cor_chan *chan)
{
    cori_leaks_drop(chan);
    free(chan);
}

size_t cor_chan_len(cor_chan *chan)
{
    return chan != NULL ? cori_load_relaxed(&chan->count) : 0;
}

size_t cor_chan_cap(const cor_chan *chan)
{
    return chan != NULL ? chan->capacity : 0;
}

/* A word is by far the most common value. */
static inline void copy_value(void *to, const void *from, size_t size_bytes)
{
    if (size_bytes == sizeof(uint64_t)) {
        memcpy(to, from, sizeof(uint64_t));
    } else if (size_bytes != 0) {
        memcpy(to, from, size_bytes);
    }
}

static inline char *ring_slot(cor_chan *chan, size_t index)
{
    index = index >= chan->capacity ? index - chan->capacity : index;
    return chan->ring + index * chan->elem_size_bytes;
}

static inline void set_count(cor_chan *chan, size_t count)
{
    cori_store_relaxed(&chan->count, count);
}

static inline void ring_put(cor_chan *chan, const void *elem)
{
    copy_value(ring_slot(chan, chan->first + chan->count), elem, chan->elem_size_bytes);
    set_count(chan, chan->count + 1);
}

static inline void ring_take(cor_chan *chan, void *elem)
{
    if (elem != NULL) {
        copy_value(elem, ring_slot(chan, chan->first), chan->elem_size_bytes);
    }
    chan->first = chan->first + 1 == chan->capacity ? 0 : chan->first + 1;
    set_count(chan, chan->count - 1);
}

/* False if the waiter is a case of a select of which another case is done. */
static inline bool claim(cori_chan_waiter *waiter)
{
    int32_t undecided = CORI_UNDECIDED;
    return waiter->winner == NULL || cori_cas_acq_rel(waiter->winner, &undecided, waiter->number);
}

/* Takes the longest waiter that can still be served out of the queue; NULL if there is none. */
static __attribute__((noinline)) cori_chan_waiter *claim_waiter(cor_chan *chan, cor_waitq *queue)
{
    cori_chan_waiter *waiter;
    while ((waiter = queue->head) != NULL) {
        cori_prefetch_write(waiter);
        cori_waitq_remove(queue, &waiter->base);
        if (claim(waiter)) {
            if (waiter->winner != NULL) {
                cori_chan_drop_twins(chan, waiter);
            }
            break;
        }
    }
    return waiter;
}

static inline cori_chan_waiter *claim_next(cor_chan *chan, cor_waitq *queue)
{
    return queue->head != NULL ? claim_waiter(chan, queue) : NULL;
}

cori_outcome cori_chan_send_locked(cor_chan *chan, const void *elem)
{
    if (cori_unlikely(chan->closed)) {
        return (cori_outcome){.rc = chan->timed ? -EINVAL : COR_ECHAN_CLOSED};
    }
    cori_chan_waiter *receiver = claim_next(chan, &chan->receivers);
    if (receiver != NULL) {
        if (receiver->elem != NULL) {
            copy_value(receiver->elem, elem, chan->elem_size_bytes);
        }
        receiver->result = 1;
        return (cori_outcome){.rc = 0, .partner = &receiver->base};
    }
    if (chan->count < chan->capacity) {
        ring_put(chan, elem);
        return (cori_outcome){.rc = 0};
    }
    return (cori_outcome){.rc = -EAGAIN};
}

/* What a receive gives that finds neither a value nor a sender. */
static cori_outcome recv_nothing(cor_chan *chan, void *elem)
{
    if (!chan->closed) {
        return (cori_outcome){.rc = -EAGAIN};
    }
    if (cori_unlikely(chan->timed)) {
        return (cori_outcome){.rc = cori_timer_take(chan, elem) ? 1 : -EAGAIN};
    }
    if (elem != NULL && chan->elem_size_bytes != 0) {
        memset(elem, 0, chan->elem_size_bytes);
    }
    return (cori_outcome){.rc = 0};
}

cori_outcome cori_chan_recv_locked(cor_chan *chan, void *elem)
{
    bool from_ring = chan->count > 0;
    if (from_ring) {
        ring_take(chan, elem);
    }
    cori_chan_waiter *sender = claim_next(chan, &chan->senders);
    if (sender == NULL) {
        return from_ring ? (cori_outcome){.rc = 1} : recv_nothing(chan, elem);
    }
    if (from_ring) {
        ring_put(chan, sender->elem);
    } else if (elem != NULL) {
        copy_value(elem, sender->elem, chan->elem_size_bytes);
    }
    cori_store_relaxed(&sender->result, 0);
    return (cori_outcome){.rc = 1, .partner = &sender->base};
}

/* Parks until deadline or cancellation: what a nil channel does. */
static int block(int64_t deadline, const char *what)
{
    cori_task *self = cori_self();
    for (;;) {
        int rc = cori_interrupted(self, deadline);
        if (rc != 0) {
            return cori_in_vain(rc);
        }
        cori_park(self, deadline, what);
    }
}

/* A node that fills its cache line with a word to pass. */
typedef struct line_waiter {
    _Alignas(CORI_CACHE_LINE) cori_chan_waiter node;
    uint64_t word;
} line_waiter;
_Static_assert(sizeof(line_waiter) == CORI_CACHE_LINE, "it is what a hand-over moves");

/* Takes the node of a send that has claimed itself out of its queue. */
static void withdraw(cor_chan *chan, cori_waiter *node, const char *what)
{
    cori_chan_lock(chan);
    if (cori_waitq_holds(&chan->senders, node)) {
        cori_waitq_remove(&chan->senders, node);
    }
    cori_chan_unlock(chan);
    if (cori_unlikely(node->linked != 0)) {
        cori_waiter_await(node, what); /* a close has taken it, and is about to be done with it */
    }
}

/*
 * Waits for a send that may have to give up. It claims its own node before, as a select does: whoever has received the
 * value may have freed the channel, and while nobody has, nobody can any more.
 */
static int await_receiver(cor_chan *chan, cori_chan_waiter *waiter, int64_t deadline, const char *what)
{
    while (!cori_waiter_done(&waiter->base)) {
        int32_t undecided = CORI_UNDECIDED;
        int rc = cori_interrupted(waiter->base.task, deadline);
        if (cori_likely(rc == 0)) {
            cori_park(waiter->base.task, deadline, what);
        } else if (cori_cas_acq_rel(waiter->winner, &undecided, CORI_WITHDRAWN)) {
            withdraw(chan, &waiter->base, what);
            return cori_in_vain(rc);
        } else {
            cori_waiter_await(&waiter->base, what);
        }
    }
    return 0;
}

/* Queues the caller, gives the channel's lock back and waits. Of the channel nothing is sure after the wait. */
static __attribute__((noinline)) int await_partner(cor_chan *chan, cor_waitq *queue, void *elem, int64_t deadline,
                                                   const char *what)
{
    line_waiter waiter;
    bool has_word = elem != NULL && chan->elem_size_bytes == sizeof(uint64_t);
    bool receives = queue == &chan->receivers;
    waiter.node = (cori_chan_waiter){.base.task = cori_self(), .elem = elem, .waits_on = (uint8_t)cori_here_id()};
    if (has_word) {
        waiter.node.elem = &waiter.word;
        memcpy(&waiter.word, elem, sizeof(uint64_t)); /* a receiver's own too, which a wait in vain leaves as it is */
    }
    bool may_give_up = !receives && !cori_solo() && (deadline != 0 || waiter.node.base.task->scope != NULL);
    if (may_give_up) {
        waiter.node.result = CORI_UNDECIDED;
        waiter.node.winner = &waiter.node.result;
    }
    cori_waitq_push(queue, &waiter.node.base);
    cori_chan_unlock(chan);
    int rc = may_give_up ? await_receiver(chan, &waiter.node, deadline, what)
                         : cori_waiter_await_until(&waiter.node.base, queue, &chan->spin, deadline, what);
    if (rc == 0 && has_word && receives) {
        memcpy(elem, &waiter.word, sizeof(uint64_t));
    }
    return rc == 0 ? waiter.node.result : rc;
}

static __attribute__((noinline)) void serve(cori_waiter *partner)
{
    if (!cori_solo()) {
        cori_wake_soon(partner->task, ((cori_chan_waiter *)partner)->waits_on);
    }
    cori_waiter_serve(partner);
}

/* Ends an operation that did not wait. */
static inline int finish(cor_chan *chan, cori_outcome outcome)
{
    cori_chan_unlock(chan);
    if (outcome.partner != NULL) {
        serve(outcome.partner);
    }
    return outcome.rc;
}

static __attribute__((noinline)) int send_any(cor_chan *chan, const void *elem, int64_t deadline)
{
    cori_task *self = cori_self();
    if (cori_unlikely(self == NULL)) {
        return COR_ENOT_TASK;
    }
    int rc = cori_interrupted(self, 0);
    if (cori_unlikely(rc != 0)) {
        return cori_in_vain(rc);
    }
    if (cori_unlikely(chan == NULL)) {
        return block(deadline, "chan send (nil chan)");
    }
    cori_chan_lock(chan);
    cori_outcome outcome = cori_chan_send_locked(chan, elem);
    if (outcome.rc == -EAGAIN) {
        return await_partner(chan, &chan->senders, (void *)(uintptr_t)elem, deadline, "chan send");
    }
    rc = finish(chan, outcome);
    cori_charge(self);
    return rc;
}

/* A wait for a timer's value is a select's. */
static __attribute__((noinline)) int recv_timed(cor_chan *chan, void *elem, int64_t deadline)
{
    cor_case one = {COR_RECV, chan, elem, 0};
    int rc = cor_select(&one, 1, deadline);
    return rc == 0 ? one.result : rc;
}

static __attribute__((noinline)) int recv_any(cor_chan *chan, void *elem, int64_t deadline)
{
    cori_task *self = cori_self();
    if (cori_unlikely(self == NULL)) {
        return COR_ENOT_TASK;
    }
    int rc = cori_interrupted(self, 0);
    if (cori_unlikely(rc != 0)) {
        return cori_in_vain(rc);
    }
    if (cori_unlikely(chan == NULL)) {
        return block(deadline, "chan receive (nil chan)");
    }
    cori_chan_lock(chan);
    cori_outcome outcome = cori_chan_recv_locked(chan, elem);
    if (outcome.rc == -EAGAIN) {
        if (cori_unlikely(chan->timed)) {
            cori_chan_unlock(chan);
            return recv_timed(chan, elem, deadline);
        }
        return await_partner(chan, &chan->receivers, elem, deadline, "chan receive");
    }
    rc = finish(chan, outcome);
    cori_charge(self);
    return rc;
}

/*
 * The usual hand-offs between tasks of one worker: a word goes straight to or from the task that waits for it, or the
 * caller has to wait for as long as it takes. No lock, no call. Whatever else is the case, send_any and recv_any do it,
 * also for a task that may have been cancelled.
 */
static inline bool hands_over(const cor_chan *chan, const cori_chan_waiter *partner, const void *elem)
{
    return partner->elem != NULL && elem != NULL && chan->elem_size_bytes == sizeof(uint64_t) &&
           *cori_here_budget() > 1 && cori_member_is_free(cori_here_task());
}

static inline void hand_over(cor_chan *chan, cor_waitq *queue, cori_chan_waiter *partner, int result)
{
    cori_task *task = partner->base.task;
    cori_waitq_remove(queue, &partner->base);
    if (partner->winner != NULL) {
        *partner->winner = partner->number;
        cori_chan_drop_twins(chan, partner);
    }
    partner->result = result;
    partner->base.done = 1;
    cori_wake_solo(task);
    --*cori_here_budget();
}

static __attribute__((noinline)) int await_quickly(cor_chan *chan, cor_waitq *queue, void *elem, const char *what)
{
    cori_task *self = cori_here_task();
    cori_chan_waiter waiter;
    waiter.base.task = self;
    waiter.base.done = 0;
    waiter.elem = elem;
    waiter.winner = NULL;
    cori_waitq_push(queue, &waiter.base);
    cori_park_now(self, what, true);
    int rc =
        cori_likely(waiter.base.done != 0) ? 0 : cori_waiter_await_until(&waiter.base, queue, &chan->spin, 0, what);
    return rc == 0 ? waiter.result : rc;
}

static inline bool is_quick(const cor_chan *chan)
{
    return cori_solo() && cori_here_is_worker() && chan != NULL;
}

static inline bool is_endless(int64_t deadline)
{
    const cori_task *self = cori_here_task();
    return deadline == 0 && cori_member_is_free(self) && self->timer.slot == 0;
}

int cor_chan_send(cor_chan *chan, const void *elem, int64_t deadline)
{
    if (cori_likely(is_quick(chan))) {
        cori_chan_waiter *receiver = cori_chan_first(&chan->receivers);
        if (receiver != NULL) {
            if (hands_over(chan, receiver, elem)) {
                memcpy(receiver->elem, elem, sizeof(uint64_t));
                hand_over(chan, &chan->receivers, receiver, 1);
                return 0;
            }
        } else if (chan->count == chan->capacity && !chan->closed && is_endless(deadline)) {
            return await_quickly(chan, &chan->senders, (void *)(uintptr_t)elem, "chan send");
        }
    }
    return send_any(chan, elem, deadline);
}

int cor_chan_recv(cor_chan *chan, void *elem, int64_t deadline)
{
    if (cori_likely(is_quick(chan)) && chan->count == 0) {
        cori_chan_waiter *sender = cori_chan_first(&chan->senders);
        if (sender != NULL) {
            if (hands_over(chan, sender, elem)) {
                memcpy(elem, sender->elem, sizeof(uint64_t));
                hand_over(chan, &chan->senders, sender, 0);
                return 1;
            }
        } else if (!chan->closed && is_endless(deadline)) {
            return await_quickly(chan, &chan->receivers, elem, "chan receive");
        }
    }
    return recv_any(chan, elem, deadline);
}

int cor_chan_try_send(cor_chan *chan, const void *elem)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (chan == NULL) {
        return -EAGAIN;
    }
    cori_chan_lock(chan);
    return finish(chan, cori_chan_send_locked(chan, elem));
}

int cor_chan_try_recv(cor_chan *chan, void *elem)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (chan == NULL) {
        return -EAGAIN;
    }
    cori_chan_lock(chan);
    return finish(chan, cori_chan_recv_locked(chan, elem));
}

/*
 * Ends what waited in a queue of a channel that was closed. Receivers get the zero value of `zero_bytes`. A select of
 * which another case was done meanwhile is told only that its node is no longer used; the wake is one for no reason.
 */
static void end_waits(cori_waiter *first, int result, size_t zero_bytes)
{
    cori_wakes wakes = {0};
    for (cori_waiter *next = NULL; first != NULL; first = next) {
        cori_chan_waiter *waiter = (cori_chan_waiter *)first;
        next = first->next;
        __builtin_prefetch(next);
        if (claim(waiter)) {
            cori_store_relaxed(&waiter->result, result);
            if (waiter->elem != NULL && zero_bytes != 0) {
                memset(waiter->elem, 0, zero_bytes);
            }
        }
        cori_waiter_serve_one(first, &wakes);
    }
    cori_wakes_end(&wakes);
}

int cor_chan_close(cor_chan *chan)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (chan == NULL) {
        return -EINVAL;
    }
    cori_chan_lock(chan);
    if (chan->closed) {
        cori_chan_unlock(chan);
        return chan->timed ? -EINVAL : COR_ECHAN_CLOSED;
    }
    chan->closed = true;
    size_t zero_bytes = chan->elem_size_bytes;
    cori_waiter *receivers = cori_waitq_take_all(&chan->receivers);
    cori_waiter *senders = cori_waitq_take_all(&chan->senders);
    cori_chan_unlock(chan);
    end_waits(receivers, 0, zero_bytes);
    end_waits(senders, COR_ECHAN_CLOSED, 0);
    return 0;
}

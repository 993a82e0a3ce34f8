/* SPDX-License-Identifier: MIT */
/*
 * The inside of a channel, shared by chan.c (one operation) and select.c (one of several).
 *
 * A channel is one allocation: this struct and after it the ring of `capacity` values. Between two cores a hand-over
 * costs what it moves of cache lines, 50 ns each here, one after the other where one names the next. So it moves four:
 *
 *      the channel's first   lock and queues: written last by the task that waits, now by the one that serves it
 *      the waiter's node     a wait with a word to pass has it in the node, not in the task's own variable
 *      the task's first      permit and link: fetched together with the next, because the node says which they are
 *      its worker's inbox    sched/state.h: list and `sleeping`, written together
 *
 * Everything is guarded by
 * `spin`; a select takes the locks of all its channels, in order of their addresses.
 *
 * Outside the lock it always holds: senders wait only while the ring is full (always so if unbuffered), receivers only
 * while it is empty, and no two waiters could serve each other unless they are cases of the same select. So the order
 * of values is the order in which sends began: a receiver takes from the ring first, and the slot it frees takes the
 * value of the longest waiting sender at once.
 *
 * A value moves under the lock, straight between the two tasks' memory or to and from the ring; the partner that waited
 * is told after the unlock (waitq.h says why).
 *
 * A close takes all nodes of a queue in one step and ends these waits after the unlock. None is queued after it.
 */
#ifndef CORI_SYNC_CHAN_H
#define CORI_SYNC_CHAN_H

#include "base/atomic.h"
#include "base/limits.h"
#include "sync/waitq.h"

#include <coracle/chan.h>

struct cor_chan {
    _Alignas(CORI_CACHE_LINE) uint32_t spin;
    bool closed; /* for a timer's channel, too: see timer.h */
    bool timed;  /* it is one */
    size_t elem_size_bytes;
    cor_waitq senders;
    cor_waitq receivers;
    /* From here on nothing changes in an unbuffered channel. */
    size_t capacity;
    size_t count; /* values in the ring; atomic for readers without the lock */
    size_t first; /* index of the oldest */
    _Alignas(16) char ring[];
};
_Static_assert(offsetof(cor_chan, capacity) == CORI_CACHE_LINE, "what a hand-off touches is one line");

/* Values of cori_chan_waiter's *winner besides the number of a case. */
enum { CORI_UNDECIDED = -1, CORI_WITHDRAWN = -2 };

/* One operation that waits: a send or a receive, or one case of a select. */
typedef struct cori_chan_waiter {
    cori_waiter base; /* first: the queues hold it */
    void *elem;       /* the waiting task's value, or room for one (NULL: drop it) */
    int32_t *winner;  /* select: the number of the case that is done, claimed by compare-and-swap; a send that may give
                         up: its own `result`, claimed likewise; NULL: neither */
    int8_t number;    /* of the case */
    int8_t twin;      /* how far it is to the select's next node on this channel, they are a ring; 0: it is alone */
    bool sends;       /* select: which queue it is in */
    uint8_t waits_on; /* the task's worker: a hint only */
    int32_t result;   /* for the waiting call to return; atomic in a send that may give up */
} cori_chan_waiter;

_Static_assert(CORI_WORKERS_MAX <= UINT8_MAX + 1 && CORI_SELECT_MAX <= INT8_MAX, "what a node has room for");

/* What trying an operation gave; small enough for two registers. */
typedef struct cori_outcome {
    int rc;               /* as the public calls return; -EAGAIN if it would have to wait */
    cori_waiter *partner; /* who was served by it, NULL: nobody; cori_waiter_serve it after the unlock */
} cori_outcome;

/* With one worker nobody else can be here. */
static inline void cori_chan_lock(cor_chan *chan)
{
    if (cori_unlikely(!cori_solo())) {
        cori_spin_lock(&chan->spin);
    }
}

static inline void cori_chan_unlock(cor_chan *chan)
{
    cori_store_release(&chan->spin, 0);
}

/* Makes a channel with room for `ring_bytes` of values, zero but for its sizes. NULL: no memory. */
cor_chan *cori_chan_make(size_t elem_size_bytes, size_t ring_bytes);

/* timer.c's, for a timer's channel, under the lock: whether a receive gets a value now; taking it (NULL: drops it). */
bool cori_timer_is_ready(cor_chan *chan);
bool cori_timer_take(cor_chan *chan, void *elem);

/* Try the operation, under the lock. */
cori_outcome cori_chan_send_locked(cor_chan *chan, const void *elem);
cori_outcome cori_chan_recv_locked(cor_chan *chan, void *elem);

/* Drops waiters from the head of the queue that can no longer be served; gives the first that can, or NULL. */
static inline cori_chan_waiter *cori_chan_first(cor_waitq *queue)
{
    for (;;) {
        cori_chan_waiter *waiter = queue->head;
        if (waiter == NULL || waiter->winner == NULL || cori_load_relaxed(waiter->winner) == CORI_UNDECIDED) {
            return waiter;
        }
        cori_waitq_remove(queue, &waiter->base);
    }
}

/*
 * A case is done: the select's others on this channel leave its queues, too, under the lock that is held. Whoever got
 * the value, or gave it, may free the channel before the select runs, which then finds nothing to do there.
 */
static inline void cori_chan_drop_twins(cor_chan *chan, cori_chan_waiter *done)
{
    for (cori_chan_waiter *twin = done + done->twin; cori_unlikely(twin != done); twin += twin->twin) {
        cori_waitq_remove(twin->sends ? &chan->senders : &chan->receivers, &twin->base);
        cori_store_release(&twin->base.done, 1);
    }
}

/* Tell under the lock whether the operation need not wait now (a select's claim may still snatch the partner away). */
static inline bool cori_chan_can_send(cor_chan *chan)
{
    return chan->closed || chan->count < chan->capacity || cori_chan_first(&chan->receivers) != NULL;
}

/* Of one that is not closed. */
static inline bool cori_chan_can_recv(cor_chan *chan)
{
    return chan->count > 0 || cori_chan_first(&chan->senders) != NULL;
}

#endif

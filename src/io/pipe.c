/* SPDX-License-Identifier: MIT */
/*
 * In-memory connection pairs, synchronous as Go's net.Pipe: a write lends its buffer to the pipe and stays parked until
 * readers have taken all of it; a read copies straight from that buffer.
 *
 * One spin lock per pair guards everything. The lent buffer is touched under it only, so a writer that gives up
 * (deadline, close) takes the buffer back under the lock and may return. At most one reader and one writer per
 * direction get here: the slot's locks serialise the others. Waiters publish their task under the lock and look again
 * after each wake.
 *
 * A large read copies piece by piece and gives the lock back in between. If the writer gives up there, the read ends
 * with what it has; what the writer counts as written is just that.
 */
#include "base/atomic.h"
#include "base/limits.h"
#include "base/lock.h"
#include "base/memory.h"
#include "net/slot.h"

#include <coracle/io.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What end `i` writes and the other end reads. */
typedef struct flow {
    const char *lent; /* the writer's bytes not yet taken; NULL: no write under way */
    size_t left;
    cori_task *reader, *writer; /* parked, or NULL */
} flow;

typedef struct pipe_pair {
    uint32_t spin;
    bool closed[2];
    flow flows[2];
    struct pair_end {
        struct pipe_pair *pair;
        int index;
    } ends[2];
} pipe_pair;

static void wake(cori_task *task)
{
    if (task != NULL) {
        cori_wake(task);
    }
}

/* Why a call must end without having moved bytes, or 0. Guard: the pair's lock. */
static int check(cori_slot *slot, int64_t until)
{
    if (cori_slot_closed(slot)) {
        return COR_ECLOSED;
    }
    return cori_interrupted(cori_self(), until);
}

/* Parks with the lock released; `place` names the task meanwhile. */
static void wait_in(pipe_pair *pair, cori_task **place, int64_t until, const char *what)
{
    cori_task *self = cori_self();
    *place = self;
    cori_spin_unlock(&pair->spin);
    cori_park(self, until, what);
    cori_spin_lock(&pair->spin);
    *place = NULL;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Takes up to `size` bytes of the write under way. Guard: the lock, which is given back between pieces. */
static size_t take(pipe_pair *pair, flow *from, char *buf, size_t size)
{
    size_t count = 0;
    const char *next = NULL;
    do {
        size_t piece = smaller(smaller(from->left, size - count), CORI_PIPE_PIECE_BYTES);
        memcpy(buf + count, from->lent, piece);
        count += piece;
        from->left -= piece;
        next = from->lent += piece;
        if (from->left == 0) {
            from->lent = NULL;
            wake(from->writer);
            return count;
        }
        if (count < size) {
            cori_spin_unlock(&pair->spin);
            cori_spin_lock(&pair->spin);
        }
    } while (count < size && from->lent == next); /* else the writer has given up, and perhaps another has begun */
    return count;
}

/* Waits until the other end writes or closes: 0, or why the wait ended. Guard: the lock. */
static int await_bytes(cori_slot *slot, pipe_pair *pair, int other, const cori_limit *limit)
{
    for (;;) {
        flow *from = &pair->flows[other];
        if (pair->closed[other] && !cori_slot_closed(slot)) {
            return 0;
        }
        int64_t until = cori_slot_until(slot, CORI_READ, limit);
        int rc = check(slot, until);
        if (rc != 0 || from->lent != NULL) {
            return rc;
        }
        wait_in(pair, &from->reader, until, "pipe read");
    }
}

static int pipe_wait_readable(cori_slot *slot, const cori_limit *limit)
{
    struct pair_end *end = slot->is.impl;
    int rc = cori_interrupted(cori_self(), 0); /* before the other end's close, which is no wait */
    if (cori_unlikely(rc != 0)) {
        return cori_in_vain(rc);
    }
    cori_spin_lock(&end->pair->spin);
    rc = await_bytes(slot, end->pair, !end->index, limit);
    cori_spin_unlock(&end->pair->spin);
    return cori_likely(rc == 0) ? 0 : cori_in_vain(rc);
}

static ssize_t pipe_read_now(cori_slot *slot, void *buf, size_t size)
{
    struct pair_end *end = slot->is.impl;
    pipe_pair *pair = end->pair;
    cori_spin_lock(&pair->spin);
    flow *from = &pair->flows[!end->index];
    ssize_t count = pair->closed[!end->index] ? 0 : -EAGAIN;
    if (from->lent != NULL) {
        count = (ssize_t)take(pair, from, buf, size);
    }
    cori_spin_unlock(&pair->spin);
    cori_charge_bytes(cori_self(), count > 0 ? (size_t)count : 0);
    return count;
}

static int pipe_write(cori_slot *slot, const void *buf, size_t size, size_t *written)
{
    struct pair_end *end = slot->is.impl;
    pipe_pair *pair = end->pair;
    flow *to = &pair->flows[end->index];
    int rc = cori_interrupted(cori_self(), 0);
    if (cori_unlikely(rc != 0)) {
        return cori_in_vain(rc);
    }
    cori_spin_lock(&pair->spin);
    int64_t until = cori_load(&slot->deadline[CORI_WRITE]);
    rc = pair->closed[!end->index] ? COR_EPIPE_CLOSED : check(slot, until);
    if (rc == 0 && size > 0) {
        to->lent = buf;
        to->left = size;
        wake(to->reader);
        while (rc == 0 && to->lent != NULL) {
            wait_in(pair, &to->writer, until, "pipe write");
            until = cori_load(&slot->deadline[CORI_WRITE]);
            rc = to->lent == NULL ? 0 : pair->closed[!end->index] ? COR_EPIPE_CLOSED : check(slot, until);
        }
        *written = size - to->left;
        to->lent = NULL;
        to->left = 0;
    }
    cori_spin_unlock(&pair->spin);
    return cori_likely(rc == 0 && size > 0) ? 0 : cori_in_vain(rc);
}

static int pipe_shutdown(cori_slot *slot, int how)
{
    (void)slot;
    (void)how;
    return -EOPNOTSUPP; /* Go's pipe has no half-close either */
}

static void wake_all(pipe_pair *pair)
{
    for (int i = 0; i < 2; i++) {
        wake(pair->flows[i].reader);
        wake(pair->flows[i].writer);
    }
}

static void pipe_look_again(cori_slot *slot)
{
    struct pair_end *end = slot->is.impl;
    cori_spin_lock(&end->pair->spin);
    wake_all(end->pair);
    cori_spin_unlock(&end->pair->spin);
}

static void pipe_deadline_moved(cori_slot *slot, int direction)
{
    (void)direction;
    pipe_look_again(slot);
}

static void pipe_destroy(cori_slot *slot)
{
    struct pair_end *end = slot->is.impl;
    pipe_pair *pair = end->pair;
    cori_spin_lock(&pair->spin);
    pair->closed[end->index] = true;
    bool last = pair->closed[!end->index];
    wake_all(pair);
    cori_spin_unlock(&pair->spin);
    if (last) {
        free(pair);
    }
}

static void pipe_text(cori_slot *slot, char *text, size_t size)
{
    (void)slot;
    (void)snprintf(text, size, "pipe");
}

static const cori_conn_ops pipe_ops = {
    .wait_readable = pipe_wait_readable,
    .read_now = pipe_read_now,
    .write = pipe_write,
    .shutdown = pipe_shutdown,
    .deadline_moved = pipe_deadline_moved,
    .evict = pipe_look_again,
    .destroy = pipe_destroy,
    .local_text = pipe_text,
    .remote_text = pipe_text,
};

int cor_pipe(cor_conn **a, cor_conn **b)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    pipe_pair *pair = cori_calloc(1, sizeof(*pair));
    if (pair == NULL) {
        return -ENOMEM;
    }
    cori_slot *slots[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        pair->ends[i].pair = pair;
        pair->ends[i].index = i;
        slots[i] = cori_slot_new(CORI_KIND_CONN, &pipe_ops);
        if (slots[i] == NULL) {
            pair->closed[1] = true; /* discarding the first then frees the pair */
            if (i == 1) {
                cori_slot_discard(slots[0]);
            } else {
                free(pair);
            }
            return -ENOMEM;
        }
        slots[i]->network = CORI_NETWORK_PIPE;
        slots[i]->is.impl = &pair->ends[i];
    }
    *a = cori_slot_publish(slots[0]);
    *b = cori_slot_publish(slots[1]);
    return 0;
}

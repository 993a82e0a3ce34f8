/* SPDX-License-Identifier: MIT */
/*
 * Receiving ahead of the reads, for the io_uring poller: what multishot receives bring waits here, in a queue of
 * buffers per connection, until a read copies it out.
 *
 * `receiving` is set by the reader that arms (there is one at a time: calls hold the read lock) and cleared, under the
 * lock, by the completion that ends the receive, whose event comes after. While it is set, only the queue is read;
 * while it is not, nobody but that reader touches the queue, so when it is empty a plain recv(2) gets what comes next.
 * How a receive is ended because a user wants the socket itself is told in uring_pause.c.
 *
 * A multishot receive that has got bytes waits for the next wake-up, unless the socket holds more bytes or an end of
 * stream. It does not look for a reset (nor for our own shutdown of reads). So when bytes and a reset are there before
 * it is armed, or with most kernels before it is run, it gives the bytes and then waits for ever. Therefore the first
 * wait after bytes came arms a watch too: a poll for hanging up, which looks at the state at that moment, and stays.
 * When it has fired, the next wait ends the receive, if that has not ended by itself, and reads ask the kernel. The end
 * of the receive comes after all that it received, so the order of bytes is kept.
 */
#include "poll/uring_recv.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

void cori_uring_prepare_recv(struct io_uring_sqe *sqe, const cori_uring_fd *state)
{
    io_uring_prep_recv_multishot(sqe, state->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* there is nothing yet: see cori_pollfd_open */
    io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_RECV));
}

void cori_uring_prepare_watch(struct io_uring_sqe *sqe, const cori_uring_fd *state)
{
    io_uring_prep_poll_add(sqe, state->fd, POLLERR | POLLHUP); /* the kernel adds POLLRDHUP */
    io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_WATCH));
}

/* Guard: state->spin. */
static void enqueue(cori_uring *poller, cori_uring_fd *state, uint16_t id, uint32_t length)
{
    poller->length[id] = length;
    if (state->head == CORI_URING_NO_BUFFER) {
        state->head = id;
        state->offset = 0;
    } else {
        poller->next[state->tail] = id;
    }
    state->tail = id;
    state->queued++;
}

/* Errors that say nothing about the connection. */
static bool is_passing(int error)
{
    return error == -ENOBUFS || error == -ECANCELED || error == -EAGAIN || error == -EINTR || error == -ENOMEM;
}

static uint16_t buffer_of(const struct io_uring_cqe *cqe)
{
    return (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
}

void cori_uring_drop_received(cori_uring *poller, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        cori_uring_give_back(poller, buffer_of(cqe));
    }
}

void cori_uring_received(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    bool has_bytes = cqe->res > 0 && (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    bool failed = cqe->res < 0 && !is_passing(cqe->res);
    state->armed_read = more;
    if (cori_unlikely(cqe->res == 0 || failed)) {
        cori_store(&state->pollfd->sticky, 1);
    }
    cori_spin_lock(&state->spin);
    if (cori_likely(has_bytes)) {
        enqueue(poller, state, buffer_of(cqe), (uint32_t)cqe->res);
        if (cori_unlikely(state->watch == CORI_URING_WATCH_NONE)) {
            cori_store_release(&state->watch, CORI_URING_WATCH_DUE);
        }
    }
    state->error = failed ? cqe->res : state->error;
    state->ended = state->ended || cqe->res == 0;
    cori_store_release(&state->receiving, more);
    bool enough = state->queued >= CORI_URING_QUEUED_MAX;
    cori_spin_unlock(&state->spin);
    if (!has_bytes) {
        cori_uring_drop_received(poller, cqe);
    }
    if (cori_unlikely(!more)) {
        state->stopping = false;
    } else if (cori_unlikely(enough)) {
        (void)cori_uring_enough(poller, state, CORI_URING_RECV); /* or at the next completion */
    }
}

bool cori_uring_drop_queue(cori_uring *poller, cori_uring_fd *state)
{
    bool held = state->head != CORI_URING_NO_BUFFER;
    while (state->head != CORI_URING_NO_BUFFER) {
        uint16_t id = state->head;
        state->head = id == state->tail ? CORI_URING_NO_BUFFER : poller->next[id];
        cori_uring_give_back(poller, id);
    }
    return held;
}

/* Copies out of the queue; guard: state->spin. */
static size_t copy_out(cori_uring *poller, cori_uring_fd *state, char *buf, size_t size)
{
    size_t done = 0;
    while (done < size && state->head != CORI_URING_NO_BUFFER) {
        uint16_t id = state->head;
        size_t left = poller->length[id] - state->offset;
        size_t count = left < size - done ? left : size - done;
        memcpy(buf + done, cori_uring_buffer(poller, id) + state->offset, count);
        done += count;
        state->offset += (uint32_t)count;
        if (count == left) {
            state->head = id == state->tail ? CORI_URING_NO_BUFFER : poller->next[id];
            state->offset = 0;
            state->queued--;
            cori_uring_give_back(poller, id);
        }
    }
    return done;
}

/* What comes after an empty queue; guard: state->spin. */
static ssize_t take_end(cori_uring_fd *state)
{
    int error = state->error;
    state->error = 0;
    return error != 0 ? error : state->ended ? 0 : -EAGAIN;
}

/* What a test wants to come in place of what is there, or 0; guard: state->spin. */
static cori_rare int faulted(const cori_uring_fd *state)
{
    bool any = state->head != CORI_URING_NO_BUFFER || state->error != 0 || state->ended;
    int fault = any ? cori_sys_faulted(CORI_SYS_TAKE) : 0;
    return fault != -EINTR && fault != -EAGAIN ? fault : 0;
}

ssize_t cori_uring_receive(cori_poller *base, cori_pollfd *pollfd, void *buf, size_t size)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = base != NULL ? cori_uring_state(pollfd) : NULL;
    if (state == NULL) {
        return cori_sys_recv(pollfd->fd, buf, size);
    }
    cori_spin_lock(&state->spin);
    ssize_t count = cori_likely(cori_sys_fault == NULL) ? 0 : faulted(state);
    count = cori_likely(count == 0) ? (ssize_t)copy_out(poller, state, buf, size) : count;
    if (cori_unlikely(count == 0)) {
        count = take_end(state);
    }
    bool direct = count == -EAGAIN && !state->receiving;
    cori_spin_unlock(&state->spin);
    return cori_unlikely(direct) ? cori_sys_recv(pollfd->fd, buf, size) : count;
}

bool cori_uring_has_unread(cori_uring *poller, cori_uring_fd *state)
{
    int bytes = 0;
    if ((ioctl(state->fd, FIONREAD, &bytes) == 0 && bytes > 0) ||
        cori_uring_brings(poller, cori_uring_tag(state, CORI_URING_RECV))) {
        return true;
    }
    cori_spin_lock(&state->spin);
    bool queued = state->head != CORI_URING_NO_BUFFER;
    cori_spin_unlock(&state->spin);
    return queued;
}

bool cori_uring_holds(cori_pollfd *pollfd)
{
    cori_uring_fd *state = cori_uring_state(pollfd);
    if (state == NULL) {
        return false;
    }
    cori_spin_lock(&state->spin);
    bool holds = state->head != CORI_URING_NO_BUFFER || (!state->accepts_ahead && state->error != 0) || state->ended;
    cori_spin_unlock(&state->spin);
    return holds;
}

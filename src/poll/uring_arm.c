/* SPDX-License-Identifier: MIT */
/*
 * Requests on descriptors, and their end. What is armed for a reader depends on the kind (see poll_uring.c); for a
 * writer it is a poll.
 *
 * A request holds its file open: close(2) alone would send neither FIN nor RST. So removing cancels first and enters
 * the ring, after which the kernel has dropped the file. Completions still in the ring name a pollfd without state or
 * an old generation: their buffers go back, their connections are reset.
 * A close with bytes unread must send RST, as the kernel does when it holds the bytes: those in the queue count too,
 * and those in completions that nobody has looked at.
 *
 * A close by another thread than the owner does not wait for it. The descriptor is given to the owner, who closes it at
 * its next turn: its number is taken until then, so no late request can reach somebody else's file. The pollfd may be
 * used again at once: the state has copies of what it needs, and a completion that is looked at between is of an old
 * generation. Bytes dropped with that one are noted in the state, which is in the mail by then.
 */
#include "poll/uring_arm.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "base/sys.h"
#include "poll/uring_accept.h"
#include "poll/uring_recv.h"

#include <errno.h>
#include <poll.h>

static void prepare(struct io_uring_sqe *sqe, const cori_uring_fd *state, int direction)
{
    if (direction == CORI_WRITE) {
        io_uring_prep_poll_multishot(sqe, state->fd, POLLOUT);
        io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_POLL_OUT));
    } else {
        io_uring_prep_poll_multishot(sqe, state->fd, POLLIN | POLLRDHUP | POLLPRI);
        io_uring_sqe_set_data64(sqe, cori_uring_tag(state, CORI_URING_POLL_IN));
    }
}

/* A stream's poll for bytes. */
static int arm_poll(cori_uring *poller, cori_uring_fd *state)
{
    if (!state->armed_poll) {
        struct io_uring_sqe *sqe = cori_uring_sqe(poller);
        if (sqe == NULL) {
            return -EBUSY;
        }
        prepare(sqe, state, CORI_READ);
        cori_store_release(&state->armed_poll, true);
    }
    return 0;
}

/* For a stream that is not to be received from: ends the receive, or waits for its bytes. */
static int arm_direct(cori_uring *poller, cori_uring_fd *state)
{
    if (state->armed_read) {
        return cori_uring_enough(poller, state, CORI_URING_RECV) ? 0 : -EBUSY;
    }
    int rc = arm_poll(poller, state);
    if (rc < 0 || !cori_load_relaxed(&state->receiving)) {
        return rc;
    }
    cori_spin_lock(&state->spin);
    cori_store_release(&state->receiving, false);
    cori_spin_unlock(&state->spin);
    return CORI_URING_GIVEN_BACK;
}

/* What is armed for the reader of a stream; see uring_pause.c. */
static int arm_stream(cori_uring *poller, cori_uring_fd *state)
{
    if (cori_unlikely(!cori_load_relaxed(&state->receiving) ||
                      cori_load_acquire(&state->pollfd->kind) == CORI_FD_DIRECT)) {
        return arm_direct(poller, state);
    }
    if (cori_likely(!state->armed_read)) {
        struct io_uring_sqe *sqe = cori_uring_sqe(poller);
        if (sqe == NULL) {
            return -EBUSY;
        }
        cori_uring_prepare_recv(sqe, state);
        state->armed_read = true;
    }
    return 0;
}

int cori_uring_arm_own(cori_uring *poller, cori_uring_fd *state, int direction)
{
    if (direction == CORI_READ && cori_uring_is_stream(state)) {
        return arm_stream(poller, state);
    }
    if (direction == CORI_READ && state->accepts_ahead) {
        return cori_uring_arm_accept(poller, state);
    }
    bool *armed = direction == CORI_WRITE ? &state->armed_write : &state->armed_read;
    if (!*armed) {
        struct io_uring_sqe *sqe = cori_uring_sqe(poller);
        if (sqe == NULL) {
            return -EBUSY;
        }
        prepare(sqe, state, direction);
        *armed = true;
    }
    return 0;
}

int cori_uring_watch_own(cori_uring *poller, cori_uring_fd *state)
{
    if (!state->armed_read || state->watch < CORI_URING_WATCH_DUE) {
        return 0;
    }
    if (state->watch == CORI_URING_WATCH_FIRED) {
        return cori_uring_enough(poller, state, CORI_URING_RECV) ? 0 : -EBUSY;
    }
    struct io_uring_sqe *sqe = cori_uring_sqe(poller);
    if (sqe == NULL) {
        return -EBUSY;
    }
    cori_uring_prepare_watch(sqe, state);
    cori_store_release(&state->watch, CORI_URING_WATCH_ARMED);
    return 0;
}

/*
 * Makes the kernel let go of the file, ready for a close that says the right thing. What a receive has brought and
 * nobody has looked at is in the ring after the cancel, unless the ring was full and the kernel keeps it: then it is
 * not known, and the close says goodbye.
 */
static void let_go(cori_uring *poller, cori_uring_fd *state)
{
    bool own = cori_uring_own == poller;
    bool receives = own && state->armed_read && cori_uring_is_stream(state);
    bool polls = state->armed_write || state->armed_poll || state->watch == CORI_URING_WATCH_ARMED;
    if (own && (state->armed_read || polls)) {
        cori_uring_cancel(poller, state->fd);
    }
    bool unread = state->unread || (receives && cori_uring_brings(poller, cori_uring_tag(state, CORI_URING_RECV)));
    if (cori_uring_drop_queue(poller, state) || unread) {
        (void)cori_sys_setlinger(state->fd, 0);
    }
    cori_uring_accepts_free(state);
}

void cori_uring_remove_now(cori_uring *poller, cori_uring_fd *state)
{
    cori_pollfd *pollfd = state->pollfd;
    let_go(poller, state);
    state->pollfd = NULL;
    if (cori_load(&state->mail) == 0) {
        cori_uring_fd_free(poller, state);
    }
    cori_store(&pollfd->backend, NULL); /* its closer may go on */
}

bool cori_uring_close_now(cori_uring *poller, cori_uring_fd *state)
{
    void *expected = state;
    let_go(poller, state);
    cori_sys_close(state->fd);
    bool waited = cori_cas(&state->pollfd->backend, &expected, NULL); /* else it is in use for another by now */
    cori_uring_fd_free(poller, state);
    return waited;
}

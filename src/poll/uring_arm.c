/* SPDX-License-Identifier: MIT */
/*
 * Requests on descriptors, and their end. What is armed for a reader depends on the kind (see poll_uring.c); for a
 * writer it is a poll.
 *
 * A request holds its file open: close(2) alone would send neither FIN nor RST. So removing cancels first and enters
 * the ring, after which the kernel has dropped the file. Completions still in the ring name a pollfd without state or
 * an old generation: their buffers go back, their connections are reset.
 *
 * What is cancelled is named by its user data. The kernel finds that by a hash; by descriptor it would look at every
 * request of the ring, and thousands of closes cost the square of their number. So the state must tell what is in the
 * ring, and it does: there is at most one request of each operation, marked when its entry is written, and the mark
 * goes with the completion that says it was the last. The orders in which that may meet a close:
 *   - armed, but not submitted yet: entries are taken in order, so the kernel has the request when it meets the cancel.
 *     A ring that takes no entry is entered before it is asked in the other way, for the same reason.
 *   - over, its last completion not looked at yet: the mark is still there, the cancel finds nothing.
 *   - being cancelled already (it receives or accepts too much, or a stream is read directly): the mark stays until the
 *     last completion, so it is cancelled twice, and the second finds nothing. Nor can an old cancel hit a request that
 *     was armed again: its entry stands before that one's.
 *   - armed again between: only the owner arms, and it is the one that closes; after the cancel nothing is armed for
 *     this state any more, since mail for a removed or closed one is not read.
 *   - the pollfd is used again: its new requests carry another generation, so that a late cancel would find nothing of
 *     theirs; by the descriptor's number it might.
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

enum { REQUESTS_MAX = 4 }; /* of one descriptor in the ring */

/* What `armed_read` stands for. */
static enum cori_uring_op read_op(const cori_uring_fd *state)
{
    if (cori_uring_is_stream(state)) {
        return CORI_URING_RECV;
    }
    return state->accepts_ahead && !cori_uring_accept_polls(state) ? CORI_URING_ACCEPT : CORI_URING_POLL_IN;
}

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

/* Cancels what is in the ring; false: nothing was. */
static bool cancel_all_of(cori_uring *poller, const cori_uring_fd *state)
{
    uint64_t armed[REQUESTS_MAX];
    int count = 0;
    if (state->armed_read) {
        armed[count++] = cori_uring_tag(state, read_op(state));
    }
    if (state->armed_poll) {
        armed[count++] = cori_uring_tag(state, CORI_URING_POLL_IN);
    }
    if (state->armed_write) {
        armed[count++] = cori_uring_tag(state, CORI_URING_POLL_OUT);
    }
    if (state->watch == CORI_URING_WATCH_ARMED) {
        armed[count++] = cori_uring_tag(state, CORI_URING_WATCH);
    }
    if (count > 0) {
        cori_uring_cancel(poller, armed, count);
    }
    return count > 0;
}

/*
 * Makes the kernel let go of the file, ready for a close that says the right thing. What a receive has brought and
 * nobody has looked at is in the ring after the cancel, unless the ring was full and the kernel keeps it: then it is
 * not known, and the close says goodbye.
 */
static void let_go(cori_uring *poller, cori_uring_fd *state)
{
    bool receives = state->armed_read && cori_uring_is_stream(state);
    bool cancelled = cori_uring_own == poller && cancel_all_of(poller, state);
    bool unread =
        state->unread || (cancelled && receives && cori_uring_brings(poller, cori_uring_tag(state, CORI_URING_RECV)));
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

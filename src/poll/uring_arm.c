/* SPDX-License-Identifier: MIT */
/*
 * Requests on descriptors, and their end. What is armed for a reader depends on the kind (see poll_uring.c); for a
 * writer it is a poll.
 *
 * A request holds its file open: close(2) alone would send neither FIN nor RST. So removing cancels first and enters
 * the ring, after which the kernel has dropped the file. Completions still in the ring name a pollfd without state or
 * an old generation: their buffers go back, their connections are reset.
 * A close with bytes unread must send RST, as the kernel does when it holds the bytes: those in the queue count too.
 */
#include "poll/uring_arm.h"

#include "base/atomic.h"
#include "base/sys.h"
#include "poll/uring_accept.h"
#include "poll/uring_recv.h"

#include <errno.h>
#include <poll.h>

static void prepare(struct io_uring_sqe *sqe, const cori_uring_fd *state, int direction)
{
    const cori_pollfd *pollfd = state->pollfd;
    if (direction == CORI_WRITE) {
        io_uring_prep_poll_multishot(sqe, pollfd->fd, POLLOUT);
        io_uring_sqe_set_data64(sqe, cori_uring_tag(pollfd, CORI_URING_POLL_OUT));
    } else if (pollfd->kind == CORI_FD_STREAM) {
        cori_uring_prepare_recv(sqe, state);
    } else if (state->accepts != NULL) {
        cori_uring_prepare_accept(sqe, state);
    } else {
        io_uring_prep_poll_multishot(sqe, pollfd->fd, POLLIN | POLLRDHUP | POLLPRI);
        io_uring_sqe_set_data64(sqe, cori_uring_tag(pollfd, CORI_URING_POLL_IN));
    }
}

int cori_uring_arm_own(cori_uring *poller, cori_uring_fd *state, int direction)
{
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

void cori_uring_remove_now(cori_uring *poller, cori_uring_fd *state)
{
    cori_pollfd *pollfd = state->pollfd;
    bool watched = state->watch == CORI_URING_WATCH_ARMED;
    if (cori_uring_own == poller && (state->armed_read || state->armed_write || watched)) {
        cori_uring_cancel(poller, pollfd->fd);
    }
    if (cori_uring_drop_queue(poller, state)) {
        (void)cori_sys_setlinger(pollfd->fd, 0);
    }
    cori_uring_accepts_free(state);
    state->pollfd = NULL;
    if (cori_load(&state->mail) == 0) {
        cori_uring_fd_free(poller, state);
    }
    cori_store(&pollfd->backend, NULL); /* its closer may go on */
}

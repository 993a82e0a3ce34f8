/* SPDX-License-Identifier: MIT */
/*
 * The poller on io_uring: completions in place of readiness, behind the same seam.
 *
 *   TCP       a multishot receive per connection, armed when its reader first has to wait, and a small ring of buffers
 *             per worker that the kernel fills (uring_recv.c). What was received waits in the connection's queue until
 *             a read copies it out. An idle connection holds no buffer, and a task's own memory is never a target of
 *             the kernel's: a cancelled task may leave at once, and the bytes are there for the next read.
 *             A user that wants the socket itself has that stopped, and a poll then tells of bytes (uring_pause.c).
 *   accept    with one worker, a multishot accept per listener (uring_accept.c).
 *   others    unix streams (the kernel's receive may miss an end of stream glued to data there), listeners that several
 *             workers serve, pipes, connects and writes that found no room: multishot polls, edge-triggered as epoll's,
 *             armed at the first wait; the call itself is then the plain system call.
 *
 * Threads: only the owner enters the ring, and completions are delivered only when it does. Other threads' wishes (arm,
 * remove) are posted to it as mail, with a kick (uring_mail.c).
 *
 * Fairness: a connection whose reader does not keep up is stopped at CORI_URING_QUEUED_MAX buffers and armed again when
 * the reader waits, so it cannot drain the ring; when the ring is empty all the same (ENOBUFS), reads are recv(2)s.
 *
 * The parts: uring_ring.c the ring and its buffers, uring_fd.c the state of a descriptor, uring_arm.c its requests and
 * their end, uring_wait.c a turn of the poller.
 */
#include "poll/poll_uring.h"

#include "base/atomic.h"
#include "base/sys.h"
#include "poll/uring_accept.h"
#include "poll/uring_arm.h"
#include "poll/uring_mail.h"
#include "poll/uring_pause.h"
#include "poll/uring_recv.h"
#include "poll/uring_wait.h"

#include <errno.h>
#include <stdlib.h>

/* For a reader that meets a receive under way already. */
static int arm_watch(cori_uring *poller, cori_uring_fd *state)
{
    if (cori_likely(cori_load(&state->watch) < CORI_URING_WATCH_DUE)) {
        return 0;
    }
    if (cori_uring_own == poller) {
        return cori_uring_watch_own(poller, state);
    }
    cori_uring_post(poller, state, CORI_URING_MAIL_WATCH);
    return 0;
}

static int uring_arm(cori_poller *base, cori_pollfd *pollfd, int direction)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = cori_uring_state(pollfd);
    bool receives = direction == CORI_READ && cori_load_relaxed(&pollfd->kind) == CORI_FD_STREAM;
    if (receives) {
        if (cori_likely(cori_load_acquire(&state->receiving))) {
            return arm_watch(poller, state);
        }
        cori_store_release(&state->receiving, true);
    } else if (direction == CORI_READ && cori_uring_is_polled(state)) {
        return 0;
    }
    if (cori_uring_own != poller) {
        cori_uring_post(poller, state, direction == CORI_WRITE ? CORI_URING_MAIL_ARM_WRITE : CORI_URING_MAIL_ARM_READ);
        return 0;
    }
    int rc = cori_uring_arm_own(poller, state, direction);
    if (rc < 0 && receives) {
        cori_store_release(&state->receiving, false);
    }
    return rc < 0 ? rc : 0;
}

static bool uring_remove(cori_poller *base, cori_pollfd *pollfd, bool closing)
{
    (void)closing;
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = cori_uring_state(pollfd);
    if (state == NULL) {
        return true; /* done already; then the task that was to go on was abandoned */
    }
    if (cori_uring_own == poller || cori_load_acquire(&poller->stopped) != 0) {
        cori_uring_remove_now(poller, state);
        return true;
    }
    cori_uring_post(poller, state, CORI_URING_MAIL_REMOVE);
    return false;
}

/*
 * Tells for certain, without being the owner, that nothing received is unread. Bytes go from the kernel to the ring to
 * the queue, and on the way there are moments at which none of them shows the bytes. So the owner must have stayed out
 * of its poller while they were looked at. It marks a turn before it moves anything, by a plain store; but each move
 * then releases something that is acquired here before `turn` is looked at again: the socket's lock, the ring's head,
 * the queue's lock. Without deferred completions the kernel moves bytes when it likes.
 */
static bool has_nothing(cori_uring *poller, cori_uring_fd *state)
{
    uint32_t turn = cori_load_acquire(&poller->turn);
    bool settled = turn % 2 == 0 && (poller->deferred || !cori_load_acquire(&state->receiving));
    return settled && !cori_uring_has_unread(poller, state) && cori_load_acquire(&poller->turn) == turn;
}

/*
 * What close(2) would tell the peer at once, told before the owner has its turn. It is left to the owner when the
 * program has asked for a reset, when bytes are unread, which means a reset as well, and when that is not certain: then
 * the owner is in its poller, where it will see to it soon. Bytes that come after the look come after the close.
 */
static void say_goodbye(cori_uring *poller, cori_uring_fd *state, enum cori_fd_kind kind)
{
    struct linger linger = {0};
    socklen_t len = sizeof(linger);
    bool ours = kind == CORI_FD_STREAM || kind == CORI_FD_DIRECT || kind == CORI_FD_SOCKET;
    if (ours && getsockopt(state->fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff == 0 &&
        has_nothing(poller, state)) {
        (void)cori_sys_shutdown(state->fd, SHUT_RDWR);
    }
}

static bool uring_give(cori_poller *base, cori_pollfd *pollfd)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = cori_uring_state(pollfd);
    if (state == NULL || cori_uring_own == poller || cori_load_acquire(&poller->stopped) != 0) {
        return false;
    }
    say_goodbye(poller, state, (enum cori_fd_kind)cori_load_relaxed(&pollfd->kind)); /* it may be shared by now */
    cori_uring_post(poller, state, CORI_URING_MAIL_CLOSE);
    return true;
}

static int uring_add(cori_poller *base, cori_pollfd *pollfd)
{
    cori_uring *poller = (cori_uring *)base;
    int fault = cori_sys_faulted(CORI_SYS_EPOLL_CTL);
    cori_uring_fd *state = fault == 0 ? cori_uring_fd_new(poller) : NULL;
    if (state == NULL) {
        return fault != 0 ? fault : -ENOMEM;
    }
    state->kind = cori_load_relaxed(&pollfd->kind);
    if (state->kind == CORI_FD_ACCEPTS && cori_uring_accepts_new(state) < 0) {
        cori_uring_fd_free(poller, state);
        return -ENOMEM;
    }
    state->head = state->tail = CORI_URING_NO_BUFFER;
    state->pollfd = pollfd;
    state->fd = pollfd->fd;
    state->tag = (uint64_t)(uintptr_t)pollfd | (uint64_t)pollfd->generation << CORI_URING_POINTER_BITS;
    cori_store_release(&pollfd->backend, state);
    return 0;
}

static int uring_open(cori_poller **out)
{
    cori_uring *poller;
    int rc = cori_uring_make(&cori_poll_uring, &poller);
    if (rc == 0) {
        *out = &poller->base;
    }
    return rc;
}

/* Whatever is registered still is not armed afterwards: its files are as good as closed once they are closed. */
static void uring_stop(cori_poller *base)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_drain(poller);
    cori_uring_own = NULL;
    cori_store_release(&poller->stopped, 1);
}

static void free_all(cori_uring_fd *list)
{
    while (list != NULL) {
        cori_uring_fd *next = list->next;
        free(list);
        list = next;
    }
}

static void uring_close(cori_poller *base)
{
    cori_uring *poller = (cori_uring *)base;
    cori_uring_fd *state = poller->mail;
    while (state != NULL) { /* posted when the owner had read its mail for the last time */
        cori_uring_fd *next = state->next;
        if ((cori_load(&state->mail) & CORI_URING_MAIL_CLOSE) != 0) {
            (void)cori_uring_close_now(poller, state);
        } else {
            free(state);
        }
        state = next;
    }
    free_all(poller->spare);
    cori_uring_free(poller);
}

static const cori_poll_ahead uring_ahead = {
    .arm = uring_arm,
    .receive = cori_uring_receive,
    .accept = cori_uring_accept,
    .holds = cori_uring_holds,
    .pause = cori_uring_pause,
    .resume = cori_uring_resume,
    .give = uring_give,
};

const cori_poll_ops cori_poll_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .start = cori_uring_start,
    .stop = uring_stop,
    .add = uring_add,
    .remove = uring_remove,
    .wait = cori_uring_wait,
    .kick = cori_uring_kick,
    .ahead = &uring_ahead,
};

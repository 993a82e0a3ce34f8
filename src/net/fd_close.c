/* SPDX-License-Identifier: MIT */
/*
 * The end of a descriptor: its poller lets go of it, then it is closed. With epoll both happen at once, on any worker.
 *
 * Over io_uring only the owner's thread can let go. A close by another worker gives the descriptor to the owner, which
 * closes it at its next turn, and waits for that: usually some microseconds, and for CORI_CLOSE_WAIT_NS at most, since
 * the owner may be computing. The peer is told at once, unless it is to get a reset. Only a connection that lingers
 * waits without a limit, because its close(2) needs a thread that may wait.
 */
#include "net/fd_close.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "base/sys.h"

#include <coracle/time.h>

/*
 * The number is free at once, but the call may last, and cor_run end meanwhile without waiting for the pool. So the
 * descriptor is taken out of the slot before it is closed, and by one thread only: atomic in this file.
 */
void cori_fd_close(cori_slot *slot)
{
    int fd = cori_swap(&slot->pollfd.fd, -1);
    if (fd >= 0) {
        cori_sys_close(fd);
    }
}

static int close_in_pool(void *slot)
{
    cori_fd_close(slot);
    return 0;
}

/*
 * Ends the registration, waiting for the owner of the poller if it must do it. The waiter publishes itself in the word
 * of reads, whose event may also come for what happened before; `backend` is the condition.
 */
static void unregister(cori_slot *slot)
{
    cori_task *self = cori_self();
    cori_poller *poller = slot->pollfd.poller;
    if (poller == NULL || poller->ops->remove(poller, &slot->pollfd, true)) {
        return;
    }
    for (;;) {
        cori_store(&slot->pollfd.wait[CORI_READ], (uintptr_t)self);
        if (cori_load(&slot->pollfd.backend) == NULL) {
            return;
        }
        cori_park_outside(self, "close");
    }
}

/* True if the poller's owner, another thread, will close the descriptor. */
static bool give(cori_slot *slot)
{
    cori_poller *poller = slot->pollfd.poller;
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    if (slot->lingers || poller == NULL || ahead == NULL || !ahead->give(poller, &slot->pollfd)) {
        return false;
    }
    slot->pollfd.fd = -1;
    return true;
}

/* Waits a while for the owner to have closed what was given to it. */
static void await_owner(cori_slot *slot)
{
    cori_task *self = cori_self();
    int64_t until = cor_after(CORI_CLOSE_WAIT_NS);
    while (cori_here_now() < until) {
        cori_store(&slot->pollfd.wait[CORI_READ], (uintptr_t)self);
        if (cori_load(&slot->pollfd.backend) == NULL) {
            break;
        }
        cori_park_plain(self, until, "close");
    }
    cori_store(&slot->pollfd.wait[CORI_READ], CORI_READY);
}

void cori_fd_detach(cori_slot *slot)
{
    if (cori_load(&slot->pollfd.fd) < 0) { /* begun again after the wait was abandoned */
        return;
    }
    if (give(slot)) {
        await_owner(slot);
        return;
    }
    unregister(slot);
    if (slot->lingers) { /* close(2) may stop the thread then, also on a non-blocking socket */
        (void)cori_blocking_own(close_in_pool, slot);
    }
}

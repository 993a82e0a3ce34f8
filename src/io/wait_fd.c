/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a descriptor of somebody else's. Its owner reads, writes and closes it without asking us, and the kernel
 * tells nobody when a number is closed and given to another file. So nothing here outlives the call, and nothing that
 * is registered goes by the owner's number:
 *
 *   poll(2) first     what is ready needs no more than this one system call
 *   a duplicate       is registered, for this wait only. It is a number of our own, which nobody else can close: the
 *                     registration that is taken out at the end is the one that was put in. With the owner's number it
 *                     could be that of a connection which got this number meanwhile, and that would hang for ever;
 *                     over io_uring the poll, which the kernel looks up only when the ring is entered, would be one of
 *                     a wrong file. It also makes the registration unique, so any number of tasks may wait for the
 *                     same descriptor on one worker: epoll refuses a file and number that it has already
 *   a slot            holds it, because the poller may look at a pollfd after its end (see poll.h), and because the
 *                     end of cor_run then closes what an abandoned task has left. No handle of it is ever given out
 *   poll(2) at last   decides, not the event: others may have read what made it
 *
 * The cost is four system calls per wait that parks (dup, add, remove, close) in place of none. A registration that is
 * kept would save them, but would need a call by which the owner says that it closes: every user would forget it once.
 * A duplicate keeps the file open: who closes a descriptor that is waited for ends nothing until the wait has ended.
 * Files, whose locks the closing of any duplicate drops, are always ready and never duplicated.
 *
 * No lost wake-up: registering reports the state at that moment; later a sign is consumed before poll(2) looks, and
 * what comes after the look makes a new one, which the compare-and-swap meets. The task is in the words of all that it
 * waits for, and is woken by whichever comes first. Words, registration and poller belong to the task's own worker.
 */
#include "base/sys.h"
#include "net/fd.h"

#include <coracle/io.h>
#include <coracle/task.h>
#include <poll.h>

_Static_assert(COR_READABLE == 1 << CORI_READ && COR_WRITABLE == 1 << CORI_WRITE, "a bit per direction");

static const cori_fd_ops duplicate = {0};
static const cori_conn_ops duplicate_ops = CORI_CONN_ON_FD(&duplicate);

static bool wants(unsigned events, int direction)
{
    return (events & 1u << direction) != 0;
}

/* Those of `events` that are there now; 0: none, or -errno. */
static int look(int fd, unsigned events)
{
    int asked = (wants(events, CORI_READ) ? POLLIN : 0) | (wants(events, CORI_WRITE) ? POLLOUT : 0);
    int found = cori_sys_poll(fd, (short)asked);
    if (found < 0 || (found & POLLNVAL) != 0) {
        return found < 0 ? found : -EBADF;
    }
    if ((found & (POLLERR | POLLHUP)) != 0) {
        return (int)events;
    }
    return ((found & POLLIN) != 0 ? COR_READABLE : 0) | ((found & POLLOUT) != 0 ? COR_WRITABLE : 0);
}

/* Registers the slot's descriptor with this worker's poller. */
static int attach(cori_slot *slot)
{
    cori_poller *here = cori_here_poller();
    cori_store_relaxed(&slot->pollfd.wait[CORI_READ], CORI_IDLE);
    cori_store_relaxed(&slot->pollfd.wait[CORI_WRITE], CORI_IDLE);
    int rc = here->ops->add(here, &slot->pollfd);
    if (rc == 0) {
        cori_store_release(&slot->pollfd.poller, here);
    }
    return rc;
}

/* Has a poller that needs it look for `events`. 0, or -errno; -EBUSY: not before its next turn. */
static int arm(cori_slot *slot, unsigned events)
{
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    int rc = 0;
    for (int direction = CORI_READ; ahead != NULL && direction <= CORI_WRITE && rc == 0; direction++) {
        rc = wants(events, direction) ? ahead->arm(slot->pollfd.poller, &slot->pollfd, direction) : 0;
    }
    return rc;
}

/* Moves the words of `events` from one value to another; false if one of them had a third. */
static bool move(cori_slot *slot, unsigned events, uintptr_t from, uintptr_t to)
{
    bool all = true;
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        uintptr_t expected = from;
        all = (!wants(events, direction) || cori_cas(&slot->pollfd.wait[direction], &expected, to)) && all;
    }
    return all;
}

/* Parks until the poller has reported something. 0: look; or why the wait must end. */
static int await(cori_slot *slot, unsigned events, int64_t deadline)
{
    cori_task *self = cori_here_task();
    int rc = arm(slot, events);
    if (rc < 0) {
        if (rc == -EBUSY) {
            cor_yield(); /* the poller has its turn before this task has its next */
        }
        return rc == -EBUSY ? cori_interrupted(self, deadline) : rc;
    }
    bool waits = move(slot, events, CORI_IDLE, (uintptr_t)self);
    while (waits && rc == 0) {
        rc = cori_interrupted(self, deadline);
        if (rc == 0) {
            cori_park_external(self, deadline, "IO wait (descriptor)");
            waits = move(slot, events, (uintptr_t)self, (uintptr_t)self);
        }
    }
    (void)move(slot, events, (uintptr_t)self, CORI_IDLE);
    return rc;
}

/* Waits on a slot that has the duplicate. */
static int wait_on(cori_slot *slot, unsigned events, int64_t deadline)
{
    int rc = attach(slot);
    while (rc == 0) {
        rc = await(slot, events, deadline);
        if (rc == 0) {
            (void)move(slot, events, CORI_READY, CORI_IDLE);
            rc = look(slot->pollfd.fd, events);
        }
    }
    return rc;
}

static int wait_for_duplicate(int fd, unsigned events, int64_t deadline)
{
    int own = cori_sys_dup(fd);
    if (own < 0) {
        return own;
    }
    cori_slot *slot = cori_slot_new(CORI_KIND_CONN, &duplicate_ops);
    if (slot == NULL) {
        cori_sys_close(own);
        return -ENOMEM;
    }
    cori_fd_open(slot, own, CORI_FD_PLAIN);
    int rc = wait_on(slot, events, deadline);
    cori_slot_discard(slot);
    return rc;
}

int cor_wait_fd(int fd, unsigned events, int64_t deadline)
{
    cori_task *self = cori_self();
    if (self == NULL || events == 0 || (events & ~(unsigned)(COR_READABLE | COR_WRITABLE)) != 0) {
        return self == NULL ? COR_ENOT_TASK : cori_in_vain(-EINVAL);
    }
    deadline = cori_slot_deadline(deadline);
    int rc = cori_interrupted(self, deadline);
    rc = rc == 0 && fd < 0 ? -EBADF : rc;
    rc = rc == 0 ? look(fd, events) : rc;
    rc = rc == 0 ? wait_for_duplicate(fd, events, deadline) : rc;
    cori_charge(self); /* it may not have waited */
    return rc;
}

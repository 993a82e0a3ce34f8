/* SPDX-License-Identifier: MIT */
/*
 * Reading, writing, accepting on descriptors. Every call has the same shape (Go's internal/poll has it too): is it
 * closed, expired or cancelled? may the kernel have something? try; on EAGAIN park; again. See poll.h for the wait
 * words and why no readiness is lost.
 *
 * A descriptor is registered with the poller of the worker whose task first has to wait for it, usually its handler's,
 * and with epoll follows its reader: when the reading task of another worker has to wait, the registration moves there,
 * so that events need no second thread and a worker held by a computing task delays only its own readers. Moving loses
 * nothing: registering reports the state at that moment, and a waiter does not care which poller reports.
 * Over io_uring it stays (a request in a ring cannot move), and other workers have the owner arm what they wait for.
 *
 * Deadlines are plain words in the slot. A waiter publishes itself in the wait word, then reads deadline and state; a
 * call that moves the deadline or closes writes first and then wakes the task in the wait word. One of them sees the
 * other.
 */
#include "net/fd.h"

#include "base/atomic.h"
#include "base/lock.h"
#include "base/sys.h"

#include <coracle/time.h>
#include <errno.h>

enum { CALL_BYTES_MAX = 1 << 30 }; /* one system call moves at most 1 GiB, as in Go */
/* After a deadline: how long the event of bytes that the kernel has may take, behind those of thousands of others. */
#define LAST_LOOK_NS (2 * COR_SECOND)

void cori_fd_open(cori_slot *slot, int fd, enum cori_fd_kind kind)
{
    cori_pollfd_open(&slot->pollfd, fd, kind);
}

int cori_fd_check(const cori_slot *slot, int direction)
{
    if (cori_unlikely(cori_slot_closed(slot))) {
        return COR_ECLOSED;
    }
    return cori_interrupted(cori_here_task(), cori_load(&slot->deadline[direction]));
}

static void mark_ready(cori_slot *slot, int direction)
{
    cori_store(&slot->pollfd.wait[direction], CORI_READY);
}

/* Makes whoever is parked in `direction` look again. The exchange, and not a mere look, orders it after the change. */
static void wake_waiter(cori_slot *slot, int direction)
{
    uintptr_t old = cori_swap(&slot->pollfd.wait[direction], CORI_READY);
    if (old > CORI_READY) {
        cori_wake((cori_task *)old);
    }
}

/* Moves or makes the registration; guard: slot->spin. */
static int attach_here(cori_slot *slot, cori_poller *here)
{
    cori_poller *before = slot->pollfd.poller;
    if (before != NULL) {
        (void)before->ops->remove(before, &slot->pollfd, false);
        cori_store_release(&slot->pollfd.poller, NULL);
    }
    int rc = here->ops->add(here, &slot->pollfd);
    if (rc == 0) {
        cori_store_release(&slot->pollfd.poller, here);
    } else if (rc == -EPERM) { /* a regular file: the kernel does not poll it, it never blocks */
        cori_store_release(&slot->pollfd.kind, CORI_FD_FILE);
        rc = 0;
    }
    if (rc < 0) { /* a writer may be parked on the old registration: it tries again and registers itself */
        wake_waiter(slot, CORI_WRITE);
    }
    return rc;
}

/* Makes sure that some worker's poller reports the descriptor; for a reader, its own worker's. */
static int attach(cori_slot *slot, int direction)
{
    cori_poller *here = cori_here_poller();
    cori_poller *now = cori_load_acquire(&slot->pollfd.poller);
    int rc = 0;
    bool moves = direction == CORI_READ && here->ops->ahead == NULL;
    if (cori_likely(now == here) || (now != NULL && !moves)) {
        return 0;
    }
    cori_spin_lock(&slot->spin);
    now = slot->pollfd.poller;
    if (!cori_fd_never_waits(slot) && now != here && (now == NULL || moves)) {
        rc = attach_here(slot, here);
    }
    cori_spin_unlock(&slot->spin);
    return rc;
}

/* Asks the kernel, and the poller, whether a read would find something. */
static bool has_something(cori_slot *slot)
{
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    return (ahead != NULL && ahead->holds(&slot->pollfd)) || cori_sys_ready(slot->pollfd.fd, false);
}

/*
 * As cori_fd_check, for a call that must wait: a reader hears of the end of its server here. What has come without an
 * event yet comes first. A far deadline is left to the timer, which spares a look at the clock: one that has passed
 * while this very task computed ends the wait at once.
 */
static int check_wait(cori_slot *slot, int direction, const cori_limit *limit)
{
    if (cori_unlikely(cori_slot_closed(slot))) {
        return COR_ECLOSED;
    }
    int64_t until = cori_slot_until(slot, direction, limit);
    int rc = cori_interrupted(cori_here_task(), cori_slot_is_far(until) ? 0 : until);
    if (cori_likely(rc != 0 || direction != CORI_READ || cori_load(&slot->ending) != CORI_END_HAS_BEGUN)) {
        return rc;
    }
    if (has_something(slot)) {
        return 0;
    }
    cori_store(&slot->ending, CORI_ENDS_UNHEARD);
    return COR_ECLOSING;
}

/* Has a poller report the direction: 0, or -errno; 1: not yet, others have had their turn. */
static inline int arm(cori_slot *slot, int direction)
{
    int rc = attach(slot, direction);
    if (rc < 0 || cori_fd_never_waits(slot)) {
        return rc;
    }
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    if (ahead != NULL) {
        rc = ahead->arm(cori_load_acquire(&slot->pollfd.poller), &slot->pollfd, direction);
        if (rc == -EBUSY) {
            cor_yield(); /* the poller has its turn before this task has its next */
            return 1;
        }
    }
    return rc < 0 ? rc : 0;
}

int cori_fd_arm(cori_slot *slot, int direction)
{
    return arm(slot, direction);
}

/* When the wait for one of the slots ends, 0: never. */
static int64_t earliest_end(cori_slot *const *slots, int count, int direction, const cori_limit *limit)
{
    int64_t end = 0;
    for (int i = 0; i < count; i++) {
        int64_t until = cori_slot_until(slots[i], direction, limit);
        end = end == 0 || (until != 0 && until < end) ? until : end;
    }
    return end;
}

void cori_fd_wait_any(cori_slot *const *slots, int count, int direction, const cori_limit *limit, const char *what)
{
    cori_task *self = cori_here_task();
    int in = 0;
    for (uintptr_t expected = CORI_IDLE; in < count; in++, expected = CORI_IDLE) {
        if (!cori_cas(&slots[in]->pollfd.wait[direction], &expected, (uintptr_t)self)) {
            break; /* READY came first */
        }
    }
    int64_t until = earliest_end(slots, count, direction, limit);
    if (in == count && cori_interrupted(self, until) == 0) {
        cori_park_external(self, until, what);
    }
    while (in-- > 0) {
        uintptr_t expected = (uintptr_t)self;
        (void)cori_cas(&slots[in]->pollfd.wait[direction], &expected, CORI_IDLE);
    }
}

/* As cori_fd_wait, with a limit; `parked`: set to true if it had to wait. */
static int wait_and_tell(cori_slot *slot, int direction, const cori_limit *limit, const char *what, bool *parked)
{
    cori_task *self = cori_here_task();
    uintptr_t *word = &slot->pollfd.wait[direction];
    uintptr_t expected = CORI_IDLE;
    int rc = arm(slot, direction);
    if (rc != 0 || cori_fd_never_waits(slot)) {
        return rc < 0 ? rc : 0;
    }
    if (!cori_cas(word, &expected, (uintptr_t)self)) {
        return 0; /* READY came first */
    }
    for (;;) {
        if (cori_load(word) != (uintptr_t)self) {
            return 0;
        }
        rc = check_wait(slot, direction, limit);
        if (rc != 0) {
            expected = (uintptr_t)self;
            (void)cori_cas(word, &expected, CORI_IDLE);
            return rc;
        }
        *parked = true;
        cori_park_external(self, cori_slot_until(slot, direction, limit), what);
    }
}

int cori_fd_wait(cori_slot *slot, int direction, const char *what)
{
    bool parked;
    return wait_and_tell(slot, direction, NULL, what, &parked);
}

/* Whether a read is worth trying, without a wait. */
static bool is_worth_trying(cori_slot *slot)
{
    return cori_load_relaxed(&slot->pollfd.wait[CORI_READ]) == CORI_READY ||
           cori_load_acquire(&slot->pollfd.sticky) != 0 || cori_fd_never_waits(slot);
}

/* Whether the reader's deadline has run out by itself: it was ahead when it was set. Nothing else ends the call. */
static bool has_run_out(const cori_slot *slot, const cori_limit *limit)
{
    return cori_slot_until(slot, CORI_READ, limit) > CORI_LONG_PAST && cori_interrupted(cori_here_task(), 0) == 0;
}

/*
 * The deadline of a reader that waited has run out. If the worker, or the whole process, has stood still meanwhile,
 * what came in time is there by now, but no event has told of it: the timers fire first. True: a read will get it.
 * Over io_uring what the kernel has may be about to be received ahead; then its event is waited for, unless somebody
 * moves the deadline into the past meanwhile.
 */
static cori_rare bool has_come_in_time(cori_slot *slot, const cori_limit *limit, const char *what)
{
    if (!has_run_out(slot, limit) || !has_something(slot)) {
        return false;
    }
    if (cori_poll_ops_used()->ahead == NULL) {
        mark_ready(slot, CORI_READ);
        return true;
    }
    cori_limit last = {.until = cor_after(LAST_LOOK_NS)};
    for (;;) {
        last.left_out = cori_load(&slot->deadline[CORI_READ]);
        if (is_worth_trying(slot) || !has_run_out(slot, limit) || cori_here_now() >= last.until) {
            return is_worth_trying(slot);
        }
        cori_fd_wait_any(&slot, 1, CORI_READ, &last, what);
    }
}

/*
 * As cori_fd_check, for a reader with a limit; if it has waited, a deadline that has run out meanwhile does not count.
 */
static int check_read(cori_slot *slot, const cori_limit *limit, bool parked)
{
    if (cori_unlikely(cori_slot_closed(slot))) {
        return COR_ECLOSED;
    }
    int64_t until = cori_slot_until(slot, CORI_READ, limit);
    return cori_interrupted(cori_here_task(), parked && until > CORI_LONG_PAST ? 0 : until);
}

/* A deadline that is over before the call wins over what is there; one that runs out while it waits does not. */
static int wait_to_read(cori_slot *slot, const cori_limit *limit, const char *what)
{
    bool parked = false;
    for (;;) {
        if (is_worth_trying(slot)) {
            int rc = check_read(slot, limit, parked);
            return cori_likely(rc == 0) ? 0 : cori_in_vain(rc);
        }
        int rc = wait_and_tell(slot, CORI_READ, limit, what, &parked); /* checks too, before it parks */
        if (rc == COR_ETIMEOUT && parked && has_come_in_time(slot, limit, what)) {
            continue;
        }
        if (rc != 0) {
            return cori_in_vain(rc);
        }
    }
}

int cori_fd_wait_readable(cori_slot *slot, const cori_limit *limit)
{
    return wait_to_read(slot, limit, "IO wait (read)");
}

/* Consumes the sign that a call is worth trying; before the try, so that a later sign is not lost. */
static void consume_ready(cori_slot *slot, int direction)
{
    if (cori_load_relaxed(&slot->pollfd.wait[direction]) == CORI_READY) {
        (void)cori_swap(&slot->pollfd.wait[direction], CORI_IDLE);
    }
}

/* As consume_ready for reads, with the sticky mark; true if that was set. */
static bool consume_read_signs(cori_slot *slot)
{
    consume_ready(slot, CORI_READ);
    return cori_load(&slot->pollfd.sticky) != 0 && cori_swap(&slot->pollfd.sticky, 0) != 0;
}

static inline ssize_t receive(cori_slot *slot, void *buf, size_t size)
{
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    return cori_likely(ahead == NULL)
               ? cori_sys_recv(slot->pollfd.fd, buf, size)
               : ahead->receive(cori_load_acquire(&slot->pollfd.poller), &slot->pollfd, buf, size);
}

int cori_fd_pause_ahead(cori_slot *slot)
{
    return cori_fd_is_ahead(slot)
               ? cori_poll_ops_used()->ahead->pause(cori_load_acquire(&slot->pollfd.poller), &slot->pollfd)
               : 0;
}

void cori_fd_resume_ahead(cori_slot *slot)
{
    if (cori_fd_is_ahead(slot)) {
        cori_poll_ops_used()->ahead->resume(&slot->pollfd);
    }
}

ssize_t cori_fd_receive(cori_slot *slot, void *buf, size_t size)
{
    return receive(slot, buf, size);
}

ssize_t cori_fd_send(cori_slot *slot, const void *buf, size_t size)
{
    return cori_sys_send(slot->pollfd.fd, buf, size);
}

/* The usual kinds without a call: see cori_sys_recv. */
static inline ssize_t try_read(cori_slot *slot, void *buf, size_t size)
{
    const cori_fd_ops *kind = slot->ops->fd;
    return cori_likely(kind->try_read == cori_fd_receive) ? receive(slot, buf, size) : kind->try_read(slot, buf, size);
}

static inline ssize_t try_write(cori_slot *slot, const void *buf, size_t size)
{
    const cori_fd_ops *kind = slot->ops->fd;
    return cori_likely(kind->try_write == cori_fd_send) ? cori_sys_send(slot->pollfd.fd, buf, size)
                                                        : kind->try_write(slot, buf, size);
}

/*
 * A call has ended with an error that may be the only one the kernel tells of a failed connection, or has shut down a
 * direction, of which not every kind of socket makes an event. So whoever waits in `direction` looks again.
 */
static cori_rare void let_look(cori_slot *slot, int direction)
{
    wake_waiter(slot, direction);
}

/* What follows a try to read; `size` as for cori_fd_take, `sticky` as before it. */
static inline ssize_t after_read(cori_slot *slot, ssize_t count, size_t size, bool sticky)
{
    if (count == -EAGAIN) {
        return count;
    }
    if (sticky) { /* end of stream, an error or more bytes follow, and no event of their own */
        cori_store(&slot->pollfd.sticky, 1);
    }
    if (cori_unlikely(count < 0)) {
        let_look(slot, CORI_WRITE);
    }
    if (count <= 0 || (size_t)count >= size || !slot->ops->fd->short_read_drains) {
        mark_ready(slot, CORI_READ);
    }
    cori_charge_bytes(cori_here_task(), count > 0 ? (size_t)count : 0);
    return count;
}

ssize_t cori_fd_read_now(cori_slot *slot, void *buf, size_t size)
{
    size = size < CALL_BYTES_MAX ? size : CALL_BYTES_MAX;
    size = cori_likely(cori_sys_short == NULL) ? size : cori_sys_short(CORI_SYS_RECV, size);
    bool sticky = consume_read_signs(slot);
    return after_read(slot, try_read(slot, buf, size), size, sticky);
}

ssize_t cori_fd_take(cori_slot *slot, cori_fd_try *try_it, void *arg, size_t size)
{
    bool sticky = consume_read_signs(slot);
    return after_read(slot, try_it(slot, arg), size, sticky);
}

/* Where a whole packet goes. */
typedef struct packet_room {
    void *buf;
    size_t size;
} packet_room;

static ssize_t try_read_whole(cori_slot *slot, void *arg)
{
    const packet_room *room = arg;
    struct iovec part = {.iov_base = room->buf, .iov_len = room->size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t count = cori_sys_recvmsg(slot->pollfd.fd, &message);
    return count >= 0 && (message.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : count;
}

ssize_t cori_fd_read_stream(cori_slot *slot, void *buf, size_t size)
{
    if (cori_likely(slot->ops->fd == NULL || !slot->ops->fd->packets)) {
        return slot->ops->read_now(slot, buf, size);
    }
    packet_room room = {.buf = buf, .size = size};
    ssize_t count = cori_fd_take(slot, try_read_whole, &room, 0);
    return count == 0 && slot->ops->fd->endless ? -EAGAIN : count;
}

bool cori_fd_confirm_readable(cori_slot *slot)
{
    if (cori_fd_never_waits(slot)) {
        return true;
    }
    bool sticky = consume_read_signs(slot);
    bool ready = has_something(slot);
    if (ready) {
        mark_ready(slot, CORI_READ);
    }
    if (ready && sticky) {
        cori_store(&slot->pollfd.sticky, 1);
    }
    return ready;
}

int cori_fd_write(cori_slot *slot, const void *buf, size_t size, size_t *written)
{
    const char *bytes = buf;
    *written = 0;
    do {
        int rc = cori_fd_check(slot, CORI_WRITE);
        if (rc != 0) {
            return cori_in_vain(rc);
        }
        size_t rest = size - *written;
        ssize_t count = try_write(slot, bytes + *written, rest < CALL_BYTES_MAX ? rest : CALL_BYTES_MAX);
        if (count >= 0) {
            *written += (size_t)count;
            cori_charge_bytes(cori_here_task(),
                              (size_t)count); /* a peer that keeps up must not make one long write hold the worker */
        } else if (count != -EAGAIN) {
            let_look(slot, CORI_READ);
            return cori_in_vain((int)count);
        } else if (cori_load_relaxed(&slot->pollfd.wait[CORI_WRITE]) == CORI_READY) {
            consume_ready(slot, CORI_WRITE); /* then try again */
        } else {
            rc = cori_fd_wait(slot, CORI_WRITE, "IO wait (write)");
            if (rc != 0) {
                return cori_in_vain(rc);
            }
        }
    } while (*written < size);
    return 0;
}

ssize_t cori_fd_put(cori_slot *slot, cori_fd_try *try_it, void *arg)
{
    for (;;) {
        int rc = cori_fd_check(slot, CORI_WRITE);
        if (rc != 0) {
            return cori_in_vain(rc);
        }
        ssize_t count = try_it(slot, arg);
        if (count >= 0) {
            cori_charge_bytes(cori_here_task(), (size_t)count);
            return count;
        }
        if (count != -EAGAIN) {
            let_look(slot, CORI_READ);
            return cori_in_vain((int)count);
        }
        if (cori_load_relaxed(&slot->pollfd.wait[CORI_WRITE]) == CORI_READY) {
            consume_ready(slot, CORI_WRITE); /* then try again */
            continue;
        }
        rc = cori_fd_wait(slot, CORI_WRITE, "IO wait (write)");
        if (rc != 0) {
            return cori_in_vain(rc);
        }
    }
}

int cori_fd_shutdown(cori_slot *slot, int how)
{
    int rc = cori_sys_shutdown(slot->pollfd.fd, how);
    if (rc == 0 && how != SHUT_WR) {
        let_look(slot, CORI_READ);
    }
    if (rc == 0 && how != SHUT_RD) {
        let_look(slot, CORI_WRITE);
    }
    return rc;
}

void cori_fd_deadline_moved(cori_slot *slot, int direction)
{
    uintptr_t waiter = cori_load(&slot->pollfd.wait[direction]);
    if (waiter > CORI_READY) {
        cori_wake((cori_task *)waiter);
    }
}

void cori_fd_evict(cori_slot *slot)
{
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        wake_waiter(slot, direction);
    }
}

void cori_fd_local(cori_slot *slot, char *text, size_t size)
{
    slot->ops->fd->local(slot, text, size);
}

void cori_fd_remote(cori_slot *slot, char *text, size_t size)
{
    slot->ops->fd->remote(slot, text, size);
}

void cori_fd_destroy(cori_slot *slot)
{
    if (slot->ops->fd != NULL && slot->ops->fd->forget != NULL) {
        slot->ops->fd->forget(slot);
    }
    cori_fd_close(slot);
}

static int accept_now(cori_slot *slot, struct sockaddr *peer, socklen_t *len)
{
    const cori_poll_ahead *ahead = cori_poll_ops_used()->ahead;
    return ahead == NULL ? cori_sys_accept(slot->pollfd.fd, peer, len)
                         : ahead->accept(cori_load_acquire(&slot->pollfd.poller), &slot->pollfd, peer, len);
}

int cori_fd_accept(cori_slot *slot, cori_sockaddr *peer, socklen_t *len)
{
    for (;;) {
        int rc = wait_to_read(slot, NULL, "IO wait (accept)");
        if (rc != 0) {
            return rc;
        }
        (void)consume_read_signs(slot);
        *len = sizeof(*peer);
        int fd = accept_now(slot, &peer->any, len);
        if (fd == -EAGAIN) {
            continue;
        }
        mark_ready(slot, CORI_READ); /* more may be waiting */
        cori_charge(cori_here_task());
        if (fd != -ECONNABORTED && fd != -EPROTO) { /* else the client left while it was queued: the next one */
            return fd;
        }
    }
}

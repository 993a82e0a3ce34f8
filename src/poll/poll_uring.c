/* SPDX-License-Identifier: MIT */
/*
 * The poller on io_uring: completions in place of readiness, behind the same seam. The ring itself is in uring_ring.c.
 *
 *   TCP       a multishot receive per connection, armed when its reader first has to wait, and a small ring of buffers
 *             per worker that the kernel fills (uring_recv.c). What was received waits in the connection's queue until
 *             a read copies it out. An idle connection so owns no buffer, and a task's own memory is never a target of
 *             the kernel's: a cancelled task may leave at once, and the bytes are there for the next read.
 *   accept    with one worker, a multishot accept per listener (uring_accept.c).
 *   others    unix streams (the kernel's receive may miss an end of stream glued to data there), listeners that several
 *             workers serve, pipes, connects and writes that found no room: multishot polls, edge-triggered as epoll's,
 *             armed at the first wait; the call itself is then the plain system call.
 *
 * Threads: only the owner enters the ring, and completions are delivered only when it does. Other threads' wishes (arm,
 * remove) are posted to it as mail, with a kick. A state is freed by the owner when it is removed, which is posted last
 * of all, or, once the owner has stopped, by whoever removes it; if it lies in the mail then, by close.
 *
 * A request holds its file open: close(2) alone would send neither FIN nor RST. So remove cancels first and enters the
 * ring, after which the kernel has dropped the file. Completions still in the ring name a pollfd without state or an
 * old generation: their buffers go back, their connections are reset. All of that is the owner's thread's, so nothing
 * changes meanwhile.
 * A close with bytes unread must send RST, as the kernel does when it holds the bytes: those in the queue count too.
 *
 * Fairness: a connection whose reader does not keep up is stopped at CORI_URING_QUEUED_MAX buffers and armed again when
 * the reader waits, so it cannot drain the ring; when the ring is empty all the same (ENOBUFS), reads are recv(2)s.
 * If the ring takes no entry, arming gives -EBUSY or is posted again; nothing is forgotten. Completions beyond the
 * ring's size are kept by the kernel until there is room.
 */
#include "poll/uring.h"

#include "base/atomic.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { TSAN_SLEEP_NS = 5000000, SHORT_OF_MEMORY_MS = 1 };

/* What another thread wants done; bits. */
enum mail { MAIL_ARM_READ = 1, MAIL_ARM_WRITE = 2, MAIL_REMOVE = 4, MAIL_WATCH = 8 };

typedef cori_uring_fd uring_fd;

static void prepare(struct io_uring_sqe *sqe, const uring_fd *state, int direction)
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

/* Arms, on the owner's thread, what a waiter in `direction` needs, unless it is armed. 0 or -EBUSY. */
static int arm_own(cori_uring *poller, uring_fd *state, int direction)
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

/* Arms, on the owner's thread, the watch beside a receive, or does what it has told. 0 or -EBUSY. */
static int watch_own(cori_uring *poller, uring_fd *state)
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

static void uring_kick(cori_poller *base)
{
    uint64_t one = 1;
    ssize_t ignored = write(((cori_uring *)base)->kick_fd, &one, sizeof(one));
    (void)ignored; /* fails only when the counter is full, and then the kick is under way already */
}

/* Leaves word for the owner. */
static void post(cori_uring *poller, uring_fd *state, unsigned what)
{
    if (cori_fetch_or(&state->mail, (uint8_t)what) != 0) {
        return; /* it is in the list already, and its poster kicks */
    }
    uring_fd *head = cori_load_relaxed(&poller->mail);
    do {
        state->next = head;
    } while (!cori_cas(&poller->mail, &head, state));
    uring_kick(&poller->base);
}

/* For a reader that meets a receive under way already. */
static int arm_watch(cori_uring *poller, uring_fd *state)
{
    if (cori_likely(cori_load_acquire(&state->watch) < CORI_URING_WATCH_DUE)) {
        return 0;
    }
    if (cori_uring_own == poller) {
        return watch_own(poller, state);
    }
    post(poller, state, MAIL_WATCH);
    return 0;
}

static int uring_arm(cori_poller *base, cori_pollfd *pollfd, int direction)
{
    cori_uring *poller = (cori_uring *)base;
    uring_fd *state = cori_uring_state(pollfd);
    bool receives = direction == CORI_READ && pollfd->kind == CORI_FD_STREAM;
    if (receives) {
        if (cori_likely(cori_load_acquire(&state->receiving))) {
            return arm_watch(poller, state);
        }
        cori_store_release(&state->receiving, true);
    }
    if (cori_uring_own != poller) {
        post(poller, state, direction == CORI_WRITE ? MAIL_ARM_WRITE : MAIL_ARM_READ);
        return 0;
    }
    int rc = arm_own(poller, state, direction);
    if (rc < 0 && receives) {
        cori_store_release(&state->receiving, false);
    }
    return rc;
}

/* A new state, all zero; NULL: no memory. */
static uring_fd *state_new(cori_uring *poller)
{
    uring_fd *state = cori_uring_own == poller ? poller->spare : NULL;
    if (state == NULL) {
        return calloc(1, sizeof(*state));
    }
    poller->spare = state->next;
    poller->spare_count--;
    *state = (uring_fd){0};
    return state;
}

static void state_free(cori_uring *poller, uring_fd *state)
{
    if (cori_uring_own != poller || poller->spare_count >= CORI_URING_STATES_KEPT) {
        free(state);
        return;
    }
    state->next = poller->spare;
    poller->spare = state;
    poller->spare_count++;
}

/* Makes the kernel let go of the descriptor and frees its state, which nobody else can reach any more. */
static void remove_now(cori_uring *poller, uring_fd *state)
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
        state_free(poller, state);
    }
    cori_store(&pollfd->backend, NULL); /* its closer may go on */
}

static bool uring_remove(cori_poller *base, cori_pollfd *pollfd, bool closing)
{
    (void)closing;
    cori_uring *poller = (cori_uring *)base;
    uring_fd *state = cori_uring_state(pollfd);
    if (state == NULL) {
        return true; /* done already; then the task that was to go on was abandoned */
    }
    if (cori_uring_own == poller || cori_load_acquire(&poller->stopped) != 0) {
        remove_now(poller, state);
        return true;
    }
    post(poller, state, MAIL_REMOVE);
    return false;
}

static int uring_add(cori_poller *base, cori_pollfd *pollfd)
{
    cori_uring *poller = (cori_uring *)base;
    int fault = cori_sys_faulted(CORI_SYS_EPOLL_CTL);
    uring_fd *state = fault == 0 ? state_new(poller) : NULL;
    if (state == NULL) {
        return fault != 0 ? fault : -ENOMEM;
    }
    if (pollfd->kind == CORI_FD_ACCEPTS && cori_uring_accepts_new(state) < 0) {
        state_free(poller, state);
        return -ENOMEM;
    }
    state->head = state->tail = CORI_URING_NO_BUFFER;
    state->pollfd = pollfd;
    cori_store_release(&pollfd->backend, state);
    return 0;
}

static cori_event *add_event(cori_event *event, cori_pollfd *pollfd, int direction)
{
    event->pollfd = pollfd;
    event->mask = 1u << direction;
    return event + 1;
}

/* Does what other threads asked of one state. */
static cori_event *answer(cori_uring *poller, uring_fd *state, cori_event *event, const cori_event *end)
{
    cori_pollfd *pollfd = state->pollfd;
    unsigned what = cori_swap(&state->mail, 0);
    unsigned later = 0;
    if (pollfd == NULL) {
        state_free(poller, state);
        return event;
    }
    if ((what & MAIL_REMOVE) != 0) {
        if (event == end) {
            later = MAIL_REMOVE;
        } else {
            remove_now(poller, state);
            return add_event(event, pollfd, CORI_READ);
        }
    }
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        unsigned bit = direction == CORI_READ ? MAIL_ARM_READ : MAIL_ARM_WRITE;
        if ((what & bit) != 0 && arm_own(poller, state, direction) < 0) {
            later |= bit;
        }
    }
    if ((what & MAIL_WATCH) != 0 && watch_own(poller, state) < 0) {
        later |= MAIL_WATCH;
    }
    if (later != 0) {
        post(poller, state, later);
    }
    return event;
}

static cori_event *read_mail(cori_uring *poller, cori_event *event, const cori_event *end)
{
    if (cori_load_relaxed(&poller->mail) == NULL) {
        return event;
    }
    uring_fd *state = cori_swap_acquire(&poller->mail, NULL);
    while (state != NULL) {
        uring_fd *next = state->next;
        event = answer(poller, state, event, end);
        state = next;
    }
    return event;
}

static cori_pollfd *pollfd_of(uint64_t tag)
{
    uint64_t address = tag & ((UINT64_C(1) << CORI_URING_POINTER_BITS) - 1) & ~(uint64_t)CORI_URING_OP_MASK;
    return (cori_pollfd *)(uintptr_t)address;
}

/*
 * The state a completion is of; NULL if that is gone. The state is read first: should the pollfd be in use again by
 * now, on another worker perhaps, then whoever made a newer state visible has made the newer generation visible before.
 */
static uring_fd *state_of_tag(const cori_uring *poller, uint64_t tag)
{
    cori_pollfd *pollfd = pollfd_of(tag);
    uring_fd *state = pollfd != NULL ? cori_uring_state(pollfd) : NULL;
    bool current = state != NULL &&
                   cori_load_acquire(&pollfd->generation) == (uint16_t)(tag >> CORI_URING_POINTER_BITS) &&
                   cori_load_acquire(&pollfd->poller) == &poller->base;
    return current ? state : NULL;
}

/* What a completion brought that nobody is left to take. */
static void drop(cori_uring *poller, const struct io_uring_cqe *cqe)
{
    cori_uring_drop_received(poller, cqe);
    if ((cqe->user_data & CORI_URING_OP_MASK) == CORI_URING_ACCEPT && cqe->res >= 0) {
        cori_uring_refuse(cqe->res);
    }
}

/* One completion of a poll; the direction to report, -1: none. */
static int polled(uring_fd *state, bool out, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (out) {
        state->armed_write = more;
        /* The kernel reports POLLRDHUP too, though nobody asked: no reason to try a write. */
        bool worth = !more || cqe->res < 0 || (cqe->res & (POLLOUT | POLLERR | POLLHUP)) != 0;
        return worth ? CORI_WRITE : -1;
    }
    state->armed_read = more;
    if (cqe->res < 0 || (cqe->res & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)) != 0) {
        cori_store(&state->pollfd->sticky, 1);
    }
    return CORI_READ;
}

/* Turns one completion into at most one event. */
static cori_event *complete(cori_uring *poller, const struct io_uring_cqe *cqe, cori_event *event)
{
    enum cori_uring_op op = cqe->user_data & CORI_URING_OP_MASK;
    uring_fd *state = state_of_tag(poller, cqe->user_data);
    int direction = CORI_READ;
    if (cori_unlikely(state == NULL)) {
        drop(poller, cqe);
        return event;
    }
    if (cori_likely(op == CORI_URING_RECV)) {
        cori_uring_received(poller, state, cqe);
    } else if (op == CORI_URING_ACCEPT) {
        cori_uring_accepted(poller, state, cqe);
    } else if (op == CORI_URING_WATCH) {
        cori_store_release(&state->watch, cqe->res < 0 ? CORI_URING_WATCH_DUE : CORI_URING_WATCH_FIRED);
    } else {
        direction = polled(state, op == CORI_URING_POLL_OUT, cqe);
    }
    return direction >= 0 ? add_event(event, state->pollfd, direction) : event;
}

/* Fetches what the completions after the one at `head` will need: the next one's state, the pollfd of that behind. */
static inline __attribute__((always_inline)) void prefetch_next(const struct io_uring_cq *cq, unsigned head,
                                                                unsigned tail)
{
    if (tail - head > 2) {
        const cori_pollfd *next = pollfd_of(cq->cqes[(head + 1) & cq->ring_mask].user_data);
        __builtin_prefetch(pollfd_of(cq->cqes[(head + 2) & cq->ring_mask].user_data));
        if (next != NULL) {
            __builtin_prefetch(cori_uring_state(next));
            __builtin_prefetch((void *)cori_load_relaxed(&next->wait[CORI_READ])); /* will be woken */
        }
    }
}

static cori_event *harvest(cori_uring *poller, cori_event *event, const cori_event *end)
{
    const struct io_uring_cq *cq = &poller->ring.cq;
    unsigned head = *cq->khead;
    unsigned tail;
    while (event < end && (tail = io_uring_smp_load_acquire(cq->ktail)) != head) {
        prefetch_next(cq, head, tail);
        struct io_uring_cqe copy = cq->cqes[head & cq->ring_mask];
        io_uring_cq_advance(&poller->ring, 1); /* at once: completing may enter the ring, which wants room */
        head++;
        if (cori_unlikely(copy.user_data == CORI_URING_KICK)) {
            poller->kicked = true;
            poller->kick_armed = (copy.flags & IORING_CQE_F_MORE) != 0;
        } else if (copy.user_data != CORI_URING_NONE) {
            event = complete(poller, &copy, event);
        }
    }
    return event;
}

/* Submits, and sleeps until there is a completion. 0 or more, or -errno. */
static int sleep_for_events(cori_uring *poller, int64_t timeout_ns)
{
    if (CORI_TSAN != 0) { /* TSan runs signal handlers only in calls it knows, and io_uring_enter is none of them */
        (void)poll(NULL, 0, 0);
        timeout_ns = timeout_ns < 0 || timeout_ns > TSAN_SLEEP_NS ? TSAN_SLEEP_NS : timeout_ns;
    }
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    int rc = io_uring_submit_and_wait_timeout(&poller->ring, &cqe, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
    if (rc == -EAGAIN) {
        (void)poll(NULL, 0, SHORT_OF_MEMORY_MS); /* it could not take a request: not a busy loop until it can */
    }
    return rc;
}

/* Why the ring was not entered, or 0 if it was or will be next time. */
static int lasting(int rc)
{
    bool passing = rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY;
    return passing ? 0 : rc;
}

static int uring_wait(cori_poller *base, int64_t timeout_ns, cori_event *events, int max)
{
    cori_uring *poller = (cori_uring *)base;
    const cori_event *end = events + max;
    int rc = cori_sys_faulted(CORI_SYS_EPOLL_WAIT);
    if (rc != 0) {
        return lasting(rc);
    }
    poller->kicked = false;
    cori_uring_take_returned(poller);
    cori_uring_arm_kick(poller);
    cori_event *event = read_mail(poller, events, end);
    event = harvest(poller, event, end);
    /* A kick that was met before waiting is answered now: what it announced may have come after the mail was read. */
    if (event != events || poller->kicked || !poller->kick_armed || timeout_ns == 0) {
        rc = io_uring_submit_and_get_events(&poller->ring);
    } else {
        rc = sleep_for_events(poller, timeout_ns);
    }
    event = harvest(poller, event, end);
    return event != events ? (int)(event - events) : lasting(rc);
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
    cori_event events[CORI_POLL_EVENTS];
    cori_uring_cancel(poller, -1);
    while (io_uring_cq_ready(&poller->ring) > 0 || io_uring_cq_has_overflow(&poller->ring)) {
        (void)harvest(poller, events, events + CORI_POLL_EVENTS);
        (void)io_uring_submit_and_get_events(&poller->ring);
    }
    cori_uring_own = NULL;
    cori_store_release(&poller->stopped, 1);
}

static void free_all(uring_fd *list)
{
    while (list != NULL) {
        uring_fd *next = list->next;
        free(list);
        list = next;
    }
}

static void uring_close(cori_poller *base)
{
    cori_uring *poller = (cori_uring *)base;
    free_all(poller->mail);
    free_all(poller->spare);
    cori_uring_free(poller);
}

/* Receives one byte through a multishot receive: the youngest of the abilities this poller needs. */
static int try_receive(cori_poller *poller, const int *pair)
{
    cori_pollfd pollfd = {.fd = -1};
    cori_event event;
    char byte = 'c';
    cori_pollfd_open(&pollfd, pair[0], CORI_FD_STREAM);
    int rc = uring_add(poller, &pollfd);
    if (rc < 0) {
        return rc;
    }
    pollfd.poller = poller;
    cori_uring_start(poller);
    rc = uring_arm(poller, &pollfd, CORI_READ) == 0 && cori_sys_send(pair[1], &byte, 1) == 1 ? 0 : -EINVAL;
    for (int i = 0; i < 3 && rc == 0 && !cori_uring_holds(&pollfd) && cori_uring_state(&pollfd)->armed_read; i++) {
        int count = uring_wait(poller, 1000000000, &event, 1);
        rc = count < 0 ? count : 0;
    }
    bool lasts = rc == 0 && cori_uring_holds(&pollfd) && cori_uring_state(&pollfd)->armed_read;
    (void)uring_remove(poller, &pollfd, true);
    uring_stop(poller);
    return lasts || rc < 0 ? rc : -EINVAL;
}

int cori_uring_probe(void)
{
    cori_poller *poller = NULL;
    int pair[2];
    int rc = uring_open(&poller);
    if (rc < 0) {
        return rc;
    }
    rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0 ? 0 : -errno;
    if (rc == 0) {
        rc = try_receive(poller, pair);
        cori_sys_close(pair[0]);
        cori_sys_close(pair[1]);
    }
    uring_close(poller);
    return rc;
}

const cori_poll_ops cori_poll_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .start = cori_uring_start,
    .stop = uring_stop,
    .add = uring_add,
    .remove = uring_remove,
    .arm = uring_arm,
    .wait = uring_wait,
    .kick = uring_kick,
    .receive = cori_uring_receive,
    .accept = cori_uring_accept,
    .holds = cori_uring_holds,
};

/* SPDX-License-Identifier: MIT */
/*
 * A turn of the poller: mail, completions, entering the ring, completions. Each completion becomes at most one event.
 * Completions beyond the ring's size are kept by the kernel until there is room.
 */
#include "poll/uring_wait.h"

#include "base/atomic.h"
#include "base/platform.h"
#include "base/sys.h"
#include "poll/uring_accept.h"
#include "poll/uring_mail.h"
#include "poll/uring_pause.h"
#include "poll/uring_recv.h"

#include <errno.h>
#include <poll.h>

enum { TSAN_SLEEP_NS = 5000000, SHORT_OF_MEMORY_MS = 1 };

static cori_pollfd *pollfd_of(uint64_t tag)
{
    uint64_t address = tag & ((UINT64_C(1) << CORI_URING_POINTER_BITS) - 1) & ~(uint64_t)CORI_URING_OP_MASK;
    return (cori_pollfd *)(uintptr_t)address;
}

/*
 * The state a completion is of; NULL if that is gone. The state is read first: should the pollfd be in use again by
 * now, on another worker perhaps, then whoever made a newer state visible has made the newer generation visible before.
 */
static cori_uring_fd *state_of_tag(const cori_uring *poller, uint64_t tag)
{
    cori_pollfd *pollfd = pollfd_of(tag);
    cori_uring_fd *state = pollfd != NULL ? cori_uring_state(pollfd) : NULL;
    bool current = state != NULL &&
                   cori_load_acquire(&pollfd->generation) == (uint16_t)(tag >> CORI_URING_POINTER_BITS) &&
                   cori_load_acquire(&pollfd->poller) == &poller->base;
    return current ? state : NULL;
}

/* What a completion brought that nobody is left to take. */
static void drop(cori_uring *poller, const struct io_uring_cqe *cqe)
{
    enum cori_uring_op op = cqe->user_data & CORI_URING_OP_MASK;
    cori_uring_fd *given =
        op == CORI_URING_RECV && cqe->res > 0 ? cori_uring_find_mail(poller, cqe->user_data - op) : NULL;
    if (given != NULL) {
        given->unread = true;
    }
    cori_uring_drop_received(poller, cqe);
    if (op == CORI_URING_ACCEPT && cqe->res >= 0) {
        cori_uring_refuse(cqe->res);
    }
}

/* One completion of a poll; the direction to report, -1: none. */
static int polled(cori_uring *poller, cori_uring_fd *state, bool out, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (out) {
        state->armed_write = more;
        /* The kernel reports POLLRDHUP too, though nobody asked: no reason to try a write. */
        bool worth = !more || cqe->res < 0 || (cqe->res & (POLLOUT | POLLERR | POLLHUP)) != 0;
        return worth ? CORI_WRITE : -1;
    }
    if (cori_uring_is_stream(state)) {
        cori_uring_polled(poller, state, more);
    } else {
        state->armed_read = more;
    }
    if ((cqe->res < 0 && cqe->res != -ECANCELED) || (cqe->res & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)) != 0) {
        cori_store(&state->pollfd->sticky, 1);
    }
    return CORI_READ;
}

/* Turns one completion into at most one event. */
static cori_event *complete(cori_uring *poller, const struct io_uring_cqe *cqe, cori_event *event)
{
    enum cori_uring_op op = cqe->user_data & CORI_URING_OP_MASK;
    cori_uring_fd *state = state_of_tag(poller, cqe->user_data);
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
        cori_store(&state->watch, cqe->res < 0 ? CORI_URING_WATCH_DUE : CORI_URING_WATCH_FIRED);
    } else {
        direction = polled(poller, state, op == CORI_URING_POLL_OUT, cqe);
    }
    return direction >= 0 ? cori_uring_event(event, state->pollfd, direction) : event;
}

/* Fetches what the completions after the one at `head` will need: the next one's state, the pollfd of the second. */
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

int cori_uring_wait(cori_poller *base, int64_t timeout_ns, cori_event *events, int max)
{
    cori_uring *poller = (cori_uring *)base;
    const cori_event *end = events + max;
    int rc = cori_sys_faulted(CORI_SYS_EPOLL_WAIT);
    if (rc != 0) {
        return lasting(rc);
    }
    bool outermost = cori_uring_turn_begin(poller);
    poller->kicked = false;
    cori_uring_take_returned(poller);
    cori_uring_arm_kick(poller);
    cori_event *event = cori_uring_read_mail(poller, events, end);
    event = harvest(poller, event, end);
    if (cori_unlikely(io_uring_cq_has_overflow(&poller->ring))) { /* what it has set aside comes with the next call */
        cori_store_relaxed(&poller->base.overflows, poller->base.overflows + 1);
    }
    /* A kick that was met before waiting is answered now: what it announced may have come after the mail was read. */
    if (event != events || poller->kicked || !poller->kick_armed || timeout_ns == 0) {
        rc = io_uring_submit_and_get_events(&poller->ring);
    } else {
        rc = sleep_for_events(poller, timeout_ns);
    }
    event = harvest(poller, event, end);
    cori_uring_turn_end(poller, outermost);
    return event != events ? (int)(event - events) : lasting(rc);
}

void cori_uring_drain(cori_uring *poller)
{
    cori_event events[CORI_POLL_EVENTS];
    (void)cori_uring_turn_begin(poller); /* its last turn never ends: what others give now is closed with the poller */
    cori_uring_cancel_all(poller);
    while (io_uring_cq_ready(&poller->ring) > 0 || io_uring_cq_has_overflow(&poller->ring)) {
        (void)harvest(poller, events, events + CORI_POLL_EVENTS);
        (void)io_uring_submit_and_get_events(&poller->ring);
    }
}

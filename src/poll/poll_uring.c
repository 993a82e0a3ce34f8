/* SPDX-License-Identifier: MIT */
/*
 * The poller on io_uring: completions in place of readiness, behind the same seam. The ring itself is in uring_ring.c.
 *
 *   TCP       a multishot receive per connection, armed when its reader first has to wait, and a small ring of buffers
 *             per worker that the kernel fills. What was received waits in the connection's queue (buffer numbers)
 *             until a read copies it out. An idle connection so owns no buffer, and a task's own memory is never a
 *             target of the kernel's: a cancelled task may leave at once, and the bytes are there for the next read.
 *   others    unix streams (the kernel's receive may miss an end of stream glued to data there), listeners, pipes,
 *             connects and writes that found no room: multishot polls, edge-triggered as epoll's, armed at the first
 *             wait; the call itself is then the plain system call.
 *
 * Order of bytes: `receiving` is set, under the state's lock, by the reader that arms (there is one at a time: calls
 * hold the read lock) and cleared by the completion that ends the receive. While it is set, only the queue is read;
 * while it is not, nobody but that reader can set it, so when the queue is empty a plain recv(2) gets what comes next.
 * That is how reads go on after the end of a receive: no buffers left, too much queued, end of stream, an error.
 *
 * Threads: only the owner enters the ring, and completions are delivered only when it does. Other threads' wishes (arm,
 * remove) are posted to it as mail, with a kick. A state is freed by the owner when it is removed, which is posted last
 * of all, or, once the owner has stopped, by whoever removes it; if it lies in the mail then, by close.
 *
 * A request holds its file open: close(2) alone would send neither FIN nor RST. So remove cancels first and enters the
 * ring, after which the kernel has dropped the file. Completions still in the ring name a pollfd without state or an
 * old generation, and only give their buffer back. All of that is the owner's thread's, so nothing changes meanwhile.
 * A close with bytes unread must send RST, as the kernel does when it holds the bytes: those in the queue count too.
 *
 * Fairness: a connection whose reader does not keep up is stopped at CORI_URING_QUEUED_MAX buffers and armed again when
 * the reader waits, so it cannot drain the ring; when the ring is empty all the same (ENOBUFS), reads are recv(2)s.
 * If the ring takes no entry, arming gives -EBUSY or is posted again; nothing is forgotten. Completions beyond the
 * ring's size are kept by the kernel until there is room.
 */
#include "poll/uring.h"

#include "base/lock.h"
#include "base/platform.h"
#include "base/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POINTER_BITS = 48, TSAN_SLEEP_NS = 5000000 };

/* What a completion is of; in the low bits of its user data, below the pollfd's address. */
enum op { OP_RECV = 1, OP_POLL_IN = 2, OP_POLL_OUT = 3, OP_MASK = 7 };

/* What another thread wants done; bits. */
enum mail { MAIL_ARM_READ = 1, MAIL_ARM_WRITE = 2, MAIL_REMOVE = 4 };

/* State of one registered descriptor. */
typedef struct cori_uring_fd {
    uint32_t spin;       /* guards the queue, its end, and `receiving`; all else belongs to the owner */
    uint16_t head, tail; /* queue of filled buffers; CORI_URING_NO_BUFFER: empty */
    uint16_t queued;
    bool receiving;               /* a receive is armed, or about to be */
    int error;                    /* after the queue: -errno to report once */
    uint32_t offset;              /* bytes of the head buffer already read */
    bool armed_read, armed_write; /* a request is in the ring */
    bool stopping;                /* the receive is being cancelled: enough is queued */
    uint8_t mail;                 /* bits; atomic; not 0: in the mail list */
    cori_pollfd *pollfd;          /* NULL: removed, and freed when the mail is read */
    struct cori_uring_fd *mail_next;
} uring_fd;

static uring_fd *state_of(const cori_pollfd *pollfd)
{
    return __atomic_load_n(&pollfd->backend, __ATOMIC_ACQUIRE);
}

static uint64_t tag_of(const cori_pollfd *pollfd, enum op op)
{
    return (uint64_t)(uintptr_t)pollfd | (uint64_t)pollfd->generation << POINTER_BITS | (uint64_t)op;
}

static void prepare(struct io_uring_sqe *sqe, const uring_fd *state, int direction)
{
    const cori_pollfd *pollfd = state->pollfd;
    if (direction == CORI_WRITE) {
        io_uring_prep_poll_multishot(sqe, pollfd->fd, POLLOUT);
        io_uring_sqe_set_data64(sqe, tag_of(pollfd, OP_POLL_OUT));
    } else if (pollfd->kind == CORI_FD_STREAM) {
        io_uring_prep_recv_multishot(sqe, pollfd->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* the reader has just found nothing */
        io_uring_sqe_set_data64(sqe, tag_of(pollfd, OP_RECV));
    } else {
        io_uring_prep_poll_multishot(sqe, pollfd->fd, POLLIN | POLLRDHUP | POLLPRI);
        io_uring_sqe_set_data64(sqe, tag_of(pollfd, OP_POLL_IN));
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

static void uring_kick(cori_poller *base)
{
    uint64_t one = 1;
    ssize_t ignored = write(((cori_uring *)base)->kick_fd, &one, sizeof(one));
    (void)ignored; /* fails only when the counter is full, and then the kick is under way already */
}

/* Leaves word for the owner. */
static void post(cori_uring *poller, uring_fd *state, unsigned what)
{
    if (__atomic_fetch_or(&state->mail, (uint8_t)what, __ATOMIC_SEQ_CST) != 0) {
        return; /* it is in the list already, and its poster kicks */
    }
    uring_fd *head = __atomic_load_n(&poller->mail, __ATOMIC_RELAXED);
    do {
        state->mail_next = head;
    } while (!__atomic_compare_exchange_n(&poller->mail, &head, state, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    uring_kick(&poller->base);
}

/* Notes that a receive is wanted; false if one is under way. */
static bool begin_receiving(uring_fd *state)
{
    cori_spin_lock(&state->spin);
    bool first = !state->receiving;
    state->receiving = true;
    cori_spin_unlock(&state->spin);
    return first;
}

static void end_receiving(uring_fd *state)
{
    cori_spin_lock(&state->spin);
    state->receiving = false;
    cori_spin_unlock(&state->spin);
}

static int uring_arm(cori_poller *base, cori_pollfd *pollfd, int direction)
{
    cori_uring *poller = (cori_uring *)base;
    uring_fd *state = state_of(pollfd);
    bool receives = direction == CORI_READ && pollfd->kind == CORI_FD_STREAM;
    if (receives && !begin_receiving(state)) {
        return 0;
    }
    if (cori_uring_own != poller) {
        post(poller, state, direction == CORI_WRITE ? MAIL_ARM_WRITE : MAIL_ARM_READ);
        return 0;
    }
    int rc = arm_own(poller, state, direction);
    if (rc < 0 && receives) {
        end_receiving(state);
    }
    return rc;
}

/* Makes the kernel let go of the descriptor and frees its state, which nobody else can reach any more. */
static void remove_now(cori_uring *poller, uring_fd *state)
{
    cori_pollfd *pollfd = state->pollfd;
    if (cori_uring_own == poller && (state->armed_read || state->armed_write)) {
        cori_uring_cancel(poller, pollfd->fd);
    }
    if (state->head != CORI_URING_NO_BUFFER) {
        (void)cori_sys_setlinger(pollfd->fd, 0);
    }
    while (state->head != CORI_URING_NO_BUFFER) {
        uint16_t id = state->head;
        state->head = id == state->tail ? CORI_URING_NO_BUFFER : poller->next[id];
        cori_uring_give_back(poller, id);
    }
    state->pollfd = NULL;
    if (__atomic_load_n(&state->mail, __ATOMIC_SEQ_CST) == 0) {
        free(state);
    }
    __atomic_store_n(&pollfd->backend, NULL, __ATOMIC_SEQ_CST); /* its closer may go on */
}

static bool uring_remove(cori_poller *base, cori_pollfd *pollfd, bool closing)
{
    (void)closing;
    cori_uring *poller = (cori_uring *)base;
    uring_fd *state = state_of(pollfd);
    if (state == NULL) {
        return true; /* done already; then the task that was to go on was abandoned */
    }
    if (cori_uring_own == poller || __atomic_load_n(&poller->stopped, __ATOMIC_ACQUIRE) != 0) {
        remove_now(poller, state);
        return true;
    }
    post(poller, state, MAIL_REMOVE);
    return false;
}

static int uring_add(cori_poller *base, cori_pollfd *pollfd)
{
    (void)base;
    int fault = cori_sys_faulted(CORI_SYS_EPOLL_CTL);
    uring_fd *state = fault == 0 ? calloc(1, sizeof(*state)) : NULL;
    if (state == NULL) {
        return fault != 0 ? fault : -ENOMEM;
    }
    state->head = state->tail = CORI_URING_NO_BUFFER;
    state->pollfd = pollfd;
    __atomic_store_n(&pollfd->backend, state, __ATOMIC_RELEASE);
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
    unsigned what = __atomic_exchange_n(&state->mail, 0, __ATOMIC_SEQ_CST);
    unsigned later = 0;
    if (pollfd == NULL) {
        free(state);
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
    if (later != 0) {
        post(poller, state, later);
    }
    return event;
}

static cori_event *read_mail(cori_uring *poller, cori_event *event, const cori_event *end)
{
    if (__atomic_load_n(&poller->mail, __ATOMIC_RELAXED) == NULL) {
        return event;
    }
    uring_fd *state = __atomic_exchange_n(&poller->mail, NULL, __ATOMIC_ACQUIRE);
    while (state != NULL) {
        uring_fd *next = state->mail_next;
        event = answer(poller, state, event, end);
        state = next;
    }
    return event;
}

/* Guard: state->spin. */
static void enqueue(cori_uring *poller, uring_fd *state, uint16_t id, uint32_t length)
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

/* Ends the receive of a connection that holds enough. */
static void stop_receiving(cori_uring *poller, uring_fd *state)
{
    struct io_uring_sqe *sqe = cori_uring_sqe(poller);
    if (sqe != NULL) { /* else at the next completion */
        io_uring_prep_cancel64(sqe, tag_of(state->pollfd, OP_RECV), 0);
        io_uring_sqe_set_data64(sqe, CORI_URING_NONE);
        state->stopping = true;
    }
}

static bool is_passing(int error)
{
    return error == -ENOBUFS || error == -ECANCELED || error == -EAGAIN || error == -EINTR || error == -ENOMEM;
}

static uint16_t buffer_of(const struct io_uring_cqe *cqe)
{
    return (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
}

/* One completion of a receive. */
static void received(cori_uring *poller, uring_fd *state, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    bool has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    bool failed = cqe->res < 0 && !is_passing(cqe->res);
    state->armed_read = more;
    if (!more) {
        state->stopping = false;
    }
    if (cqe->res == 0 || failed) {
        __atomic_store_n(&state->pollfd->sticky, 1, __ATOMIC_SEQ_CST);
    }
    cori_spin_lock(&state->spin);
    if (cqe->res > 0 && has_buffer) {
        enqueue(poller, state, buffer_of(cqe), (uint32_t)cqe->res);
    }
    state->error = failed ? cqe->res : state->error;
    state->receiving = more;
    bool enough = state->queued >= CORI_URING_QUEUED_MAX;
    cori_spin_unlock(&state->spin);
    if (cqe->res <= 0 && has_buffer) {
        cori_uring_give_back(poller, buffer_of(cqe));
    }
    if (more && enough && !state->stopping) {
        stop_receiving(poller, state);
    }
}

/* The state a completion is of; NULL if that is gone. */
static uring_fd *state_of_tag(const cori_uring *poller, uint64_t tag)
{
    cori_pollfd *pollfd = (cori_pollfd *)(uintptr_t)(tag & ((UINT64_C(1) << POINTER_BITS) - 1) & ~(uint64_t)OP_MASK);
    bool current = pollfd != NULL &&
                   __atomic_load_n(&pollfd->generation, __ATOMIC_ACQUIRE) == (uint16_t)(tag >> POINTER_BITS) &&
                   __atomic_load_n(&pollfd->poller, __ATOMIC_ACQUIRE) == &poller->base;
    return current ? state_of(pollfd) : NULL;
}

/* Turns one completion into at most one event. */
static cori_event *complete(cori_uring *poller, const struct io_uring_cqe *cqe, cori_event *event)
{
    enum op op = cqe->user_data & OP_MASK;
    uring_fd *state = state_of_tag(poller, cqe->user_data);
    if (state == NULL) {
        if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
            cori_uring_give_back(poller, buffer_of(cqe));
        }
        return event;
    }
    if (op == OP_RECV) {
        received(poller, state, cqe);
        return add_event(event, state->pollfd, CORI_READ);
    }
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (op == OP_POLL_OUT) {
        state->armed_write = more;
        /* The kernel reports POLLRDHUP too, though nobody asked: no reason to try a write. */
        bool worth = !more || cqe->res < 0 || (cqe->res & (POLLOUT | POLLERR | POLLHUP)) != 0;
        return worth ? add_event(event, state->pollfd, CORI_WRITE) : event;
    }
    state->armed_read = more;
    if (cqe->res < 0 || (cqe->res & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)) != 0) {
        __atomic_store_n(&state->pollfd->sticky, 1, __ATOMIC_SEQ_CST);
    }
    return add_event(event, state->pollfd, CORI_READ);
}

static cori_event *harvest(cori_uring *poller, cori_event *event, const cori_event *end)
{
    struct io_uring_cqe *cqe;
    while (event < end && io_uring_peek_cqe(&poller->ring, &cqe) == 0) {
        struct io_uring_cqe copy = *cqe;
        io_uring_cqe_seen(&poller->ring, cqe); /* at once: completing may enter the ring, which wants room */
        if (copy.user_data == CORI_URING_KICK) {
            poller->kicked = true;
            poller->kick_armed = (copy.flags & IORING_CQE_F_MORE) != 0;
        } else if (copy.user_data != CORI_URING_NONE) {
            event = complete(poller, &copy, event);
        }
    }
    return event;
}

/* Submits, and sleeps until there is a completion. */
static void sleep_for_events(cori_uring *poller, int64_t timeout_ns)
{
    if (CORI_TSAN != 0) { /* TSan runs signal handlers only in calls it knows, and io_uring_enter is none of them */
        (void)poll(NULL, 0, 0);
        timeout_ns = timeout_ns < 0 || timeout_ns > TSAN_SLEEP_NS ? TSAN_SLEEP_NS : timeout_ns;
    }
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    (void)io_uring_submit_and_wait_timeout(&poller->ring, &cqe, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
}

static int uring_wait(cori_poller *base, int64_t timeout_ns, cori_event *events, int max)
{
    cori_uring *poller = (cori_uring *)base;
    const cori_event *end = events + max;
    if (cori_sys_faulted(CORI_SYS_EPOLL_WAIT) != 0) {
        return 0;
    }
    poller->kicked = false;
    cori_uring_take_returned(poller);
    cori_uring_arm_kick(poller);
    cori_event *event = read_mail(poller, events, end);
    event = harvest(poller, event, end);
    /* A kick that was met before waiting is answered now: what it announced may have come after the mail was read. */
    if (event != events || poller->kicked || !poller->kick_armed || timeout_ns == 0) {
        (void)io_uring_submit_and_get_events(&poller->ring);
    } else {
        sleep_for_events(poller, timeout_ns);
    }
    return (int)(harvest(poller, event, end) - events);
}

/* Copies out of the queue; guard: state->spin. */
static size_t copy_out(cori_uring *poller, uring_fd *state, char *buf, size_t size)
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

static ssize_t uring_receive(cori_poller *base, cori_pollfd *pollfd, void *buf, size_t size)
{
    cori_uring *poller = (cori_uring *)base;
    uring_fd *state = base != NULL ? state_of(pollfd) : NULL;
    if (state == NULL) {
        return cori_sys_recv(pollfd->fd, buf, size);
    }
    cori_spin_lock(&state->spin);
    ssize_t count = (ssize_t)copy_out(poller, state, buf, size);
    bool direct = count == 0 && state->error == 0 && !state->receiving;
    if (count == 0) {
        count = state->error != 0 ? state->error : -EAGAIN;
        state->error = 0;
    }
    cori_spin_unlock(&state->spin);
    return direct ? cori_sys_recv(pollfd->fd, buf, size) : count;
}

static bool uring_holds(cori_pollfd *pollfd)
{
    uring_fd *state = state_of(pollfd);
    if (state == NULL) {
        return false;
    }
    cori_spin_lock(&state->spin);
    bool holds = state->head != CORI_URING_NO_BUFFER || state->error != 0;
    cori_spin_unlock(&state->spin);
    return holds;
}

static int uring_accept(cori_poller *base, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len)
{
    (void)base;
    return cori_sys_accept(pollfd->fd, addr, len);
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
    while (harvest(poller, events, events + CORI_POLL_EVENTS) != events) {}
    cori_uring_own = NULL;
    __atomic_store_n(&poller->stopped, 1, __ATOMIC_RELEASE);
}

static void uring_close(cori_poller *base)
{
    cori_uring *poller = (cori_uring *)base;
    while (poller->mail != NULL) {
        uring_fd *state = poller->mail;
        poller->mail = state->mail_next;
        free(state);
    }
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
    for (int i = 0; i < 3 && rc == 0 && !uring_holds(&pollfd) && state_of(&pollfd)->armed_read; i++) {
        (void)uring_wait(poller, 1000000000, &event, 1);
    }
    bool lasts = rc == 0 && uring_holds(&pollfd) && state_of(&pollfd)->armed_read;
    (void)uring_remove(poller, &pollfd, true);
    uring_stop(poller);
    return lasts ? 0 : -EINVAL;
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
    .receive = uring_receive,
    .accept = uring_accept,
    .holds = uring_holds,
};

/* SPDX-License-Identifier: MIT */
/*
 * The ring and its receive buffers.
 *
 * The ring is made disabled by the thread that makes all workers, and enabled by its owner: with SINGLE_ISSUER that
 * fixes who may enter. From then on the kernel takes nothing but the requests made here and in the other files of the
 * poller (restrict_ring): no filter of system calls sees what a ring is asked for, and an intruder could ask for files
 * and sockets. The buffers are few, so that they stay in the cache, and begin in different cache sets.
 */
#include "poll/uring_ring.h"

#include "base/atomic.h"
#include "base/memory.h"
#include "base/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SQE_TRIES = 3,
    RING_BYTES = 65536, /* whole pages, whatever their size */
};
_Static_assert(CORI_URING_BUFFERS * sizeof(struct io_uring_buf) <= RING_BYTES, "the buffer ring must fit");

cori_uring_size cori_uring_size_now = {.entries = 256, .completions = 4096, .buffers = CORI_URING_BUFFERS};
__thread cori_uring *cori_uring_own;

void cori_uring_return(cori_uring *poller, uint16_t id)
{
    uint32_t head = cori_load_relaxed(&poller->returned);
    do {
        poller->next[id] = (uint16_t)head;
    } while (!cori_cas_release(&poller->returned, &head, id));
}

void cori_uring_take_returned(cori_uring *poller)
{
    if (cori_load_relaxed(&poller->returned) == CORI_URING_NO_BUFFER) {
        return;
    }
    uint32_t id = cori_swap_acquire(&poller->returned, CORI_URING_NO_BUFFER);
    while (id != CORI_URING_NO_BUFFER) {
        uint32_t next = poller->next[id];
        cori_uring_lend(poller, (uint16_t)id);
        id = next;
    }
}

static void enter(cori_uring *poller)
{
    bool outermost = cori_uring_turn_begin(poller);
    (void)io_uring_submit_and_get_events(&poller->ring);
    cori_uring_turn_end(poller, outermost);
}

struct io_uring_sqe *cori_uring_sqe(cori_uring *poller)
{
    if (cori_sys_faulted(CORI_SYS_URING_ENTRY) != 0) {
        return NULL;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&poller->ring);
    for (int i = 0; i < SQE_TRIES && sqe == NULL; i++) {
        enter(poller);
        sqe = io_uring_get_sqe(&poller->ring);
    }
    return sqe;
}

void cori_uring_arm_kick(cori_uring *poller)
{
    struct io_uring_sqe *sqe = poller->kick_armed ? NULL : cori_uring_sqe(poller);
    if (sqe != NULL) {
        io_uring_prep_poll_multishot(sqe, poller->kick_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, CORI_URING_KICK);
        poller->kick_armed = true;
    }
}

/* Asks for a cancel by `user_data`, or, with `flags`, of more; the kernel does it when the ring is entered. */
static void ask_cancel(cori_uring *poller, uint64_t user_data, unsigned flags)
{
    struct io_uring_sqe *sqe = cori_uring_sqe(poller);
    if (sqe != NULL) {
        io_uring_prep_cancel64(sqe, user_data, (int)flags);
        io_uring_sqe_set_data64(sqe, CORI_URING_NONE);
        return;
    }
    /* This way needs no entry, but a call of its own; and what is to be cancelled must be in the kernel by then. */
    struct io_uring_sync_cancel_reg now = {.addr = user_data, .fd = -1, .flags = flags, .timeout = {-1, -1}};
    enter(poller);
    (void)io_uring_register_sync_cancel(&poller->ring, &now);
}

void cori_uring_cancel(cori_uring *poller, const uint64_t *user_data, int count)
{
    for (int i = 0; i < count; i++) {
        ask_cancel(poller, user_data[i], 0);
    }
    /* Completions run, and files are dropped, when the ring is entered for events. */
    enter(poller);
}

void cori_uring_cancel_all(cori_uring *poller)
{
    ask_cancel(poller, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    enter(poller);
}

bool cori_uring_brings(const cori_uring *poller, uint64_t user_data)
{
    const struct io_uring_cq *cq = &poller->ring.cq;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail);
    for (unsigned head = cori_load_acquire(cq->khead); head != tail; head++) { /* few: those since the last turn */
        const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
        if (cori_load_relaxed(&cqe->user_data) == user_data && cori_load_relaxed(&cqe->res) > 0) {
            return true;
        }
    }
    return false;
}

void cori_uring_start(cori_poller *base)
{
    cori_uring *poller = (cori_uring *)base;
    (void)cori_sys_uring_register(poller->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    cori_uring_own = poller;
    cori_uring_arm_kick(poller);
}

/* Makes the ring with the best set-up the kernel knows. */
static int make_ring(cori_uring *poller)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL, /* Linux 6.1 */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,                               /* 5.19 */
        0,
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
                                         .cq_entries = cori_uring_size_now.completions};
        rc = cori_sys_faulted(CORI_SYS_URING_SETUP);
        rc = rc == 0 ? io_uring_queue_init_params(cori_uring_size_now.entries, &poller->ring, &params) : rc;
        poller->deferred = (flags[i] & IORING_SETUP_DEFER_TASKRUN) != 0;
    }
    return rc;
}

/* What may be asked of the ring once it is enabled: these requests, with these flags, and one call beside. */
static int restrict_ring(cori_uring *poller)
{
    static const struct io_uring_restriction allowed[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECV},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ACCEPT},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ASYNC_CANCEL},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_BUFFER_SELECT},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_SYNC_CANCEL},
    };
    return cori_sys_uring_register(poller->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
                                   sizeof(allowed) / sizeof(allowed[0]));
}

static int make_buffers(cori_uring *poller)
{
    poller->buffers =
        cori_aligned_alloc(RING_BYTES, (CORI_URING_BUFFERS * CORI_URING_STRIDE / RING_BYTES + 1) * RING_BYTES);
    poller->buffer_ring = cori_aligned_alloc(RING_BYTES, RING_BYTES);
    if (poller->buffers == NULL || poller->buffer_ring == NULL) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)poller->buffer_ring,
                                            .ring_entries = CORI_URING_BUFFERS};
    io_uring_buf_ring_init(poller->buffer_ring);
    int rc = io_uring_register_buf_ring(&poller->ring, &registration, 0);
    for (uint16_t id = 0; id < cori_uring_size_now.buffers && rc == 0; id++) {
        cori_uring_lend(poller, id);
    }
    return rc;
}

void cori_uring_free(cori_uring *poller)
{
    if (cori_uring_own == poller) {
        cori_uring_own = NULL;
    }
    if (poller->kick_fd >= 0) {
        (void)close(poller->kick_fd);
    }
    io_uring_queue_exit(&poller->ring);
    free(poller->buffer_ring);
    free(poller->buffers);
    free(poller);
}

int cori_uring_make(const cori_poll_ops *ops, cori_uring **out)
{
    cori_uring *poller = cori_calloc(1, sizeof(*poller));
    if (poller == NULL) {
        return -ENOMEM;
    }
    poller->base.ops = ops;
    poller->returned = CORI_URING_NO_BUFFER;
    int rc = make_ring(poller);
    if (rc < 0) {
        free(poller);
        return rc;
    }
    poller->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = poller->kick_fd < 0 ? -errno : restrict_ring(poller);
    rc = rc < 0 ? rc : make_buffers(poller);
    if (rc < 0) {
        cori_uring_free(poller);
        return rc;
    }
    *out = poller;
    return 0;
}

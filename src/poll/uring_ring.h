/* SPDX-License-Identifier: MIT */
/* The ring of an io_uring poller, with its receive buffers. */
#ifndef CORI_POLL_URING_RING_H
#define CORI_POLL_URING_RING_H

#include "base/atomic.h"
#include "base/limits.h"
#include "base/platform.h"
#include "poll/poll.h"

#include <liburing.h>

/* Buffers begin in different sets of the cache. */
enum { CORI_URING_NO_BUFFER = 0xffff, CORI_URING_STRIDE = CORI_URING_BUFFER_BYTES + 192 };
/* User data of the requests that are on no descriptor of a connection. */
enum { CORI_URING_NONE = 0, CORI_URING_KICK = 4 };

typedef struct cori_uring {
    cori_poller base;
    struct io_uring ring;
    bool deferred; /* the kernel accepts and receives only inside the owner's calls */
    int kick_fd;
    bool kick_armed;
    bool kicked;      /* a kick was seen since the last wait began */
    uint32_t turn;    /* atomic, the owner writes: odd while it may be moving what the kernel has received */
    uint32_t stopped; /* atomic: its owner has left and nothing is armed any more */
    char *buffers;
    struct io_uring_buf_ring *buffer_ring;
    uint16_t next[CORI_URING_BUFFERS];   /* links of the queues and of `returned` */
    uint32_t length[CORI_URING_BUFFERS]; /* bytes received */
    uint32_t returned;                   /* atomic: stack of buffers emptied by other threads */
    struct cori_uring_fd *mail;          /* atomic: states with a request of another thread's, newest first */
    struct cori_uring_fd *spare;         /* states to use again */
    unsigned spare_count;
} cori_uring;

/* How large rings are made; a test may set it to less while no cor_run is active. */
typedef struct cori_uring_size {
    unsigned entries, completions;
    uint16_t buffers; /* at most CORI_URING_BUFFERS */
} cori_uring_size;
extern cori_uring_size cori_uring_size_now;

/* The poller whose ring this thread may enter. */
extern __thread cori_uring *cori_uring_own;

/* Makes a poller with its ring disabled; undoes that. The caller of free has taken care of `mail`. */
int cori_uring_make(const cori_poll_ops *ops, cori_uring **out);
void cori_uring_free(cori_uring *poller);

/* Makes the calling thread the one that enters the ring. */
void cori_uring_start(cori_poller *base);

/*
 * Around all that moves received bytes from the kernel to the ring and from there to the queues: in between they are
 * nowhere to be seen. Another thread has seen all there was if `turn` was even and has not changed meanwhile. Begin
 * gives false within another turn; hand it to end. Owner only.
 */
static inline bool cori_uring_turn_begin(cori_uring *poller)
{
    uint32_t turn = cori_load_relaxed(&poller->turn);
    bool outermost = turn % 2 == 0;
    cori_store_relaxed(&poller->turn, turn | 1u); /* what moves bytes has a release after this: see say_goodbye */
    return outermost;
}

static inline void cori_uring_turn_end(cori_uring *poller, bool outermost)
{
    if (outermost) {
        cori_store_release(&poller->turn, cori_load_relaxed(&poller->turn) + 1);
    }
}

/* A free submission entry; makes room by submitting. NULL if the kernel takes none now. */
struct io_uring_sqe *cori_uring_sqe(cori_uring *poller);

/* Makes kicks end a wait, unless they do already. */
void cori_uring_arm_kick(cori_uring *poller);

/* Cancels the requests with these user data, and lets the kernel drop their files. Owner only. */
void cori_uring_cancel(cori_uring *poller, const uint64_t *user_data, int count);

/* The same for all that is armed. */
void cori_uring_cancel_all(cori_uring *poller);

/* Tells whether completions that nobody has looked at yet bring something for the request `user_data`. */
bool cori_uring_brings(const cori_uring *poller, uint64_t user_data);

/* The bytes of a buffer. */
static inline char *cori_uring_buffer(const cori_uring *poller, uint16_t id)
{
    return poller->buffers + (size_t)id * CORI_URING_STRIDE;
}

/* Lends a buffer to the kernel. Owner only. */
static inline void cori_uring_lend(cori_uring *poller, uint16_t id)
{
    io_uring_buf_ring_add(poller->buffer_ring, cori_uring_buffer(poller, id), CORI_URING_BUFFER_BYTES, id,
                          io_uring_buf_ring_mask(CORI_URING_BUFFERS), 0);
    io_uring_buf_ring_advance(poller->buffer_ring, 1);
}

/* Gives an empty buffer back by way of the owner; any thread. */
void cori_uring_return(cori_uring *poller, uint16_t id);

static inline void cori_uring_give_back(cori_uring *poller, uint16_t id)
{
    if (cori_likely(cori_uring_own == poller)) {
        cori_uring_lend(poller, id);
    } else {
        cori_uring_return(poller, id);
    }
}

/* Owner only: hands to the kernel what others gave back. */
void cori_uring_take_returned(cori_uring *poller);

#endif

/* SPDX-License-Identifier: MIT */
/* The io_uring poller's ring with its buffers, and the state of one descriptor: what its parts share. */
#ifndef CORI_POLL_URING_H
#define CORI_POLL_URING_H

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

/* What is known of a connection's hanging up: see uring_recv.c. */
enum cori_uring_watch {
    CORI_URING_WATCH_NONE,  /* nothing received: the receive itself will meet a reset */
    CORI_URING_WATCH_ARMED, /* a poll for it is in the ring */
    CORI_URING_WATCH_DUE,   /* bytes came: arm that poll before the next wait */
    CORI_URING_WATCH_FIRED, /* it has hung up: the receive must end, so that reads ask the kernel */
};

/* State of one registered descriptor. */
typedef struct cori_uring_fd {
    uint32_t spin;       /* guards the queue and its end; all else belongs to the owner */
    uint16_t head, tail; /* queue of filled buffers; CORI_URING_NO_BUFFER: empty */
    uint16_t queued;
    bool receiving;                     /* a receive is armed, or about to be; atomic */
    bool ended;                         /* after the queue: the peer has closed */
    int error;                          /* after the queue: -errno to report once */
    uint32_t offset;                    /* bytes of the head buffer already read */
    bool armed_read, armed_write;       /* a request is in the ring */
    bool stopping;                      /* what receives or accepts is being cancelled: enough is queued */
    uint8_t watch;                      /* enum cori_uring_watch; atomic, set by the owner */
    uint8_t mail;                       /* bits; atomic; not 0: in the mail list */
    cori_pollfd *pollfd;                /* NULL: removed, and freed when the mail is read */
    struct cori_uring_fd *next;         /* in the mail, or among the spare ones */
    struct cori_uring_accepts *accepts; /* connections accepted ahead; NULL if it accepts none */
} cori_uring_fd;

static inline cori_uring_fd *cori_uring_state(const cori_pollfd *pollfd)
{
    return cori_load_acquire(&pollfd->backend);
}

/* What a completion is of; in the low bits of its user data, below the pollfd's address. */
enum cori_uring_op {
    CORI_URING_RECV = 1,
    CORI_URING_POLL_IN = 2,
    CORI_URING_POLL_OUT = 3,
    CORI_URING_ACCEPT = 5,
    CORI_URING_WATCH = 6,
    CORI_URING_OP_MASK = 7
};
enum { CORI_URING_POINTER_BITS = 48 };

static inline uint64_t cori_uring_tag(const cori_pollfd *pollfd, enum cori_uring_op op)
{
    return (uint64_t)(uintptr_t)pollfd | (uint64_t)pollfd->generation << CORI_URING_POINTER_BITS | (uint64_t)op;
}

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

/* A free submission entry; makes room by submitting. NULL if the kernel takes none now. */
struct io_uring_sqe *cori_uring_sqe(cori_uring *poller);

/* Makes kicks end a wait, unless they do already. */
void cori_uring_arm_kick(cori_uring *poller);

/* Cancels what is armed, on one descriptor (fd >= 0) or at all, and lets the kernel drop the files. Owner only. */
void cori_uring_cancel(cori_uring *poller, int fd);

/*
 * Ends the request of a descriptor whose queue holds enough, or that waits in vain; armed again when somebody waits.
 * False: the ring takes no entry now. Owner only.
 */
bool cori_uring_enough(cori_uring *poller, cori_uring_fd *state, enum cori_uring_op op);

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

/* uring_recv.c: receiving ahead. */
void cori_uring_prepare_recv(struct io_uring_sqe *sqe, const cori_uring_fd *state);
void cori_uring_prepare_watch(struct io_uring_sqe *sqe, const cori_uring_fd *state);
void cori_uring_received(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe);
/* Gives back the buffer of a completion that nobody is left to look at. */
void cori_uring_drop_received(cori_uring *poller, const struct io_uring_cqe *cqe);
/* Forgets what is queued; true if there was something. */
bool cori_uring_drop_queue(cori_uring *poller, cori_uring_fd *state);
ssize_t cori_uring_receive(cori_poller *base, cori_pollfd *pollfd, void *buf, size_t size);
bool cori_uring_holds(cori_pollfd *pollfd);

/* uring_accept.c: accepting ahead. All of it is the owner's. */
int cori_uring_accepts_new(cori_uring_fd *state); /* 0 or -ENOMEM */
void cori_uring_accepts_free(cori_uring_fd *state);
void cori_uring_prepare_accept(struct io_uring_sqe *sqe, const cori_uring_fd *state);
void cori_uring_accepted(cori_uring *poller, cori_uring_fd *state, const struct io_uring_cqe *cqe);
/* Ends an accepted connection that nobody will take: the peer gets a reset, as from a closed listener's queue. */
void cori_uring_refuse(int fd);
int cori_uring_accept(cori_poller *base, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len);

#endif

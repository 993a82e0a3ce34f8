/* SPDX-License-Identifier: MIT */
/* What the io_uring poller knows of one registered descriptor, and how its requests are told apart. */
#ifndef CORI_POLL_URING_FD_H
#define CORI_POLL_URING_FD_H

#include "poll/uring_ring.h"

/* What is known of a connection's hanging up: see uring_recv.c. */
enum cori_uring_watch {
    CORI_URING_WATCH_NONE,  /* nothing received: the receive itself will meet a reset */
    CORI_URING_WATCH_ARMED, /* a poll for it is in the ring */
    CORI_URING_WATCH_DUE,   /* bytes came: arm that poll before the next wait */
    CORI_URING_WATCH_FIRED, /* it has hung up: the receive must end, so that reads ask the kernel */
};

/* State of one registered descriptor: 56 bytes, which malloc rounds to 64. Each idle connection has one. */
typedef struct cori_uring_fd {
    uint32_t spin;       /* guards the queue and its end; all else belongs to the owner */
    uint16_t head, tail; /* queue of filled buffers; CORI_URING_NO_BUFFER: empty */
    uint8_t queued;      /* buffers in the queue */
    bool receiving;      /* the poller may receive, its reader may not; atomic: see uring_pause.c */
    bool ended;          /* after the queue: the peer has closed */
    bool armed_poll;     /* a stream's poll for bytes is in the ring; atomic, set by the owner */
    int fd;
    union {
        struct cori_uring_accepts *accepts; /* if it `accepts_ahead`: connections accepted ahead */
        struct {
            int error;       /* after the queue: -errno to report once */
            uint32_t offset; /* bytes of the head buffer already read */
        };
    };
    bool armed_read, armed_write; /* a request is in the ring */
    bool stopping;                /* what receives or accepts is being cancelled: enough is queued */
    uint8_t watch;                /* enum cori_uring_watch; atomic, set by the owner */
    bool unread;                  /* bytes received for it were dropped */
    uint8_t mail;                 /* bits; atomic; not 0: in the mail list */
    uint8_t kind;                 /* enum cori_fd_kind */
    bool accepts_ahead;           /* a listener whose connections are accepted ahead */
    uint64_t tag;                 /* user data of its requests, but for the operation */
    cori_pollfd *pollfd;          /* NULL: removed, and freed when the mail is read */
    struct cori_uring_fd *next;   /* in the mail, or among the spare ones */
} cori_uring_fd;

_Static_assert(CORI_URING_BUFFERS <= UINT8_MAX, "`queued` counts to that");
_Static_assert(sizeof(cori_uring_fd) <= 56 || sizeof(void *) != 8, "an idle connection's memory grows with this");

/* True for what is received ahead, or could be. */
static inline bool cori_uring_is_stream(const cori_uring_fd *state)
{
    return state->kind == CORI_FD_STREAM || state->kind == CORI_FD_DIRECT;
}

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

/* The user data of a request. */
static inline uint64_t cori_uring_tag(const cori_uring_fd *state, enum cori_uring_op op)
{
    return state->tag | (uint64_t)op;
}

/* A new state, all zero; NULL: no memory. */
cori_uring_fd *cori_uring_fd_new(cori_uring *poller);
void cori_uring_fd_free(cori_uring *poller, cori_uring_fd *state);

/* Adds an event; gives the place of the next. */
static inline cori_event *cori_uring_event(cori_event *event, cori_pollfd *pollfd, int direction)
{
    event->pollfd = pollfd;
    event->mask = 1u << direction;
    return event + 1;
}

/*
 * Ends the request of a descriptor whose queue holds enough, or that waits in vain; armed again when somebody waits.
 * False: the ring takes no entry now. Owner only.
 */
bool cori_uring_enough(cori_uring *poller, cori_uring_fd *state, enum cori_uring_op op);

#endif

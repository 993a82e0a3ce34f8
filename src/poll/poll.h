/* SPDX-License-Identifier: MIT */
/*
 * How to wait for the kernel: THE seam between the scheduler, the descriptors and a kernel interface (epoll; io_uring
 * and the tests' fake one fit the same shape). A poller belongs to one worker. It knows no tasks: what waits is a
 * word.
 *
 * The object is the pollfd, one per open descriptor, in memory that stays mapped while the poller lives (a late event
 * may still be looked at after the descriptor was closed; `generation` tells). Each direction has one wait word:
 *
 *      CORI_IDLE (0)   nothing known, nobody waits
 *      CORI_READY (1)  the kernel said: try again
 *      a waiter        an address (even, > 1) whose owner parks until the word changes
 *
 * Who moves it:  0 -> waiter      the task that waits, by compare-and-swap (fails if READY came first: it tries again)
 *                any -> READY     the poller, by exchange, when the kernel reports the direction; it wakes that waiter
 *                READY -> 0       the task that is about to try, by exchange, BEFORE the system call
 *                waiter -> 0      the waiter itself when it gives up (deadline, cancel)
 *
 * No lost wake-up: events are edge-triggered, so one comes after every change. A try consumes READY first; data that
 * arrives later, during or after the try, makes a new edge and so a new READY, which the compare-and-swap then meets.
 * A try that ends "drained" (EAGAIN, or fewer bytes than asked for on a stream) may therefore leave the word 0 and
 * need not probe. Spurious READYs are harmless: they cost one try.
 *
 * What an event tells besides (`sticky`, `backend`, a request that has ended) is written before the word is looked at,
 * and read after READY was consumed or the waiter published, all sequentially consistent: a poller that finds READY
 * leaves the word alone, and then whoever consumes that sees what was written.
 *
 * Contract of a backend, besides the comments below: `add` reports the state at that moment as a first event. `wait`
 * is called by the owning worker only. `kick` makes the current or the next `wait` return early; any thread, also a
 * signal handler.
 */
#ifndef CORI_POLL_POLL_H
#define CORI_POLL_POLL_H

#include "base/atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { CORI_READ = 0, CORI_WRITE = 1 };

/* What a descriptor is to a poller. */
enum cori_fd_kind {
    CORI_FD_PLAIN,   /* it is waited for, and the call made when it is ready */
    CORI_FD_SOCKET,  /* the same; a connected socket of ours alone: no other process has it */
    CORI_FD_STREAM,  /* a connected TCP socket of ours alone: may be received from before a read asks */
    CORI_FD_DIRECT,  /* a stream whose user wants to read it itself: nothing more is received ahead */
    CORI_FD_CLONE,   /* a listener that other workers serve too: a connection needs to wake only one of them */
    CORI_FD_ACCEPTS, /* a TCP listener with one worker to serve it: may accept before a call asks */
    CORI_FD_FILE,    /* the kernel cannot poll it: never wait */
};

#define CORI_IDLE ((uintptr_t)0)
#define CORI_READY ((uintptr_t)1)

typedef struct cori_poller cori_poller;

typedef struct cori_pollfd {
    uintptr_t wait[2];   /* the wait words; atomic */
    cori_poller *poller; /* where it is registered, NULL: nowhere; atomic; guard for writing: its owner's lock */
    void *backend;       /* the poller's own, NULL while it has none; atomic */
    int fd;
    uint16_t generation; /* changes each time the object is used for a new descriptor; atomic */
    uint8_t sticky;      /* reads must always be tried: the peer has closed, an error, urgent data; atomic */
    uint8_t kind;        /* enum cori_fd_kind; atomic */
} cori_pollfd;

/* One event: `pollfd` became ready in the directions of `mask` (bit CORI_READ, bit CORI_WRITE). */
typedef struct cori_event {
    cori_pollfd *pollfd;
    unsigned mask;
} cori_event;

/* What a poller has that receives and accepts ahead of the calls: descriptors then stay with it, and ask it. */
typedef struct cori_poll_ahead {
    /*
     * Makes sure that an operation is under way that will report `direction`; before each wait, by any thread. 0 or
     * -errno; -EBUSY: not before `wait` was called.
     */
    int (*arm)(cori_poller *poller, cori_pollfd *pollfd, int direction);
    /*
     * Tries to receive, or to accept, on a registered or unregistered descriptor: the count or descriptor, or -errno.
     */
    ssize_t (*receive)(cori_poller *poller, cori_pollfd *pollfd, void *buf, size_t size);
    int (*accept)(cori_poller *poller, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len);
    /* Tells whether the poller itself holds something for `receive`. */
    bool (*holds)(cori_pollfd *pollfd);
    /*
     * Has the poller stop receiving from a stream, which is DIRECT then; for its reader. 0: it holds nothing, and the
     * next bytes are to be had from the descriptor itself, until the reader's next `arm` of a stream that was resumed
     * meanwhile. -EAGAIN: `receive` what has come and, when there is nothing, wait as ever; then ask again.
     */
    int (*pause)(cori_poller *poller, cori_pollfd *pollfd);
    /* Lets the next `arm` receive ahead again; any thread. */
    void (*resume)(cori_pollfd *pollfd);
    /*
     * Gives the descriptor, to be closed, to the poller's owner if that is another thread, which does it at its next
     * turn without anybody waiting; a peer is told the end at once. The pollfd may be used again at once. If it is not,
     * `backend` becomes NULL when it is done, and a read event is reported. False: `remove` it, and close it.
     */
    bool (*give)(cori_poller *poller, cori_pollfd *pollfd);
} cori_poll_ahead;

typedef struct cori_poll_ops {
    const char *name;
    /* Makes a poller. 0 or -errno. */
    int (*open)(cori_poller **out);
    void (*close)(cori_poller *poller);
    /* Tells the poller that the calling thread is its owner from now on, and for no longer. NULL: it need not know. */
    void (*start)(cori_poller *poller);
    void (*stop)(cori_poller *poller);
    /* Registers both directions, once for the life of the descriptor. 0, or -errno: then it cannot be waited for. */
    int (*add)(cori_poller *poller, cori_pollfd *pollfd);
    /*
     * Ends the registration, by any thread, when nobody waits: because the descriptor is `closing`, or to register it
     * elsewhere. False: the owner has yet to do it, and will then set `backend` to NULL and report a read event.
     */
    bool (*remove)(cori_poller *poller, cori_pollfd *pollfd, bool closing);
    /*
     * Waits up to timeout_ns (0: not at all, < 0: for ever) and gives at most `max` events; their number. -errno: the
     * kernel refuses to wait, and always will. What passes (a signal, no memory) is 0 events.
     */
    int (*wait)(cori_poller *poller, int64_t timeout_ns, cori_event *events, int max);
    void (*kick)(cori_poller *poller);
    /* NULL: it tells what is ready and no more. Then a registration may move to another worker's poller. */
    const cori_poll_ahead *ahead;
} cori_poll_ops;

/* What every backend's object begins with. */
struct cori_poller {
    const cori_poll_ops *ops;
    uint64_t overflows; /* waits before which the kernel had more to tell than its ring holds; written by the owner */
};

/*
 * Starts using the object for `fd`: nobody waits, and the first read is tried; on a stream it waits, since a peer's
 * first bytes come a moment later than the connection.
 */
void cori_pollfd_open(cori_pollfd *pollfd, int fd, enum cori_fd_kind kind);

/* Marks a direction ready; gives the waiter that must be woken, or NULL. Any thread. */
static inline void *cori_pollfd_ready(cori_pollfd *pollfd, int direction)
{
    if (cori_load(&pollfd->wait[direction]) == CORI_READY) {
        return NULL;
    }
    uintptr_t old = cori_swap(&pollfd->wait[direction], CORI_READY);
    return old > CORI_READY ? (void *)old : NULL;
}

#endif

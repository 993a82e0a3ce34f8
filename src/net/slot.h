/* SPDX-License-Identifier: MIT */
/*
 * Slots: what a cor_conn or cor_listener pointer really leads to. The pointer, the user's handle, is not an address but
 * a slot's number and generation; each call checks them. A slot is reused with a new generation only after its last
 * call has left, so a handle that was closed, even by another task a moment ago, is an error and never somebody else's
 * connection.
 *
 * A slot's state word, changed by compare-and-swap only:
 *
 *      | generation (32) | calls (24) | new, 0 | write queue | read queue | 0 | write lock | read lock | closed |
 *
 *      new     not published yet: its maker alone works on it, as on an open one. Nobody enters, not even a walk over
 *              all slots, which needs no handle
 *      enter   generation right, neither new nor closed: calls + 1, with the read or write lock if asked for and free
 *      leave   calls - 1, lock handed to the next in the queue or freed; the last one out of a closed slot destroys
 *      close   sets `closed` (new calls fail from then on), evicts those parked inside, leaves, waits for its end
 *
 * The last one out ends the kind in two steps, `detach` and `destroy` (which closes the descriptor), then raises the
 * generation, then wakes the closer, which therefore returns only when the descriptor is closed. Nobody can reach a
 * descriptor number that was reused. Only `detach` may park. A task abandoned there at the end of cor_run leaves a slot
 * in use, and cor_run's end takes the same two steps for every slot in use.
 *
 * A second reader (or writer) waits in the slot's lock queue, first come first served. The queue bits are changed
 * under the queue's spin lock together with the queue, so a leaver that sees no bit knows that nobody waits. Closing
 * evicts the holder of the lock; that one hands it on, and each in the queue finds the slot closed and does the same.
 */
#ifndef CORI_NET_SLOT_H
#define CORI_NET_SLOT_H

#include "base/atomic.h"
#include "net/addr.h"
#include "net/lock_queue.h"
#include "poll/poll.h"
#include "sched/park.h"

#include <coracle/net.h>
#include <coracle/time.h>
#include <errno.h>

enum cori_kind { CORI_KIND_CONN = 0, CORI_KIND_LISTENER = 1 };
/* What a connection's reader hears of the end of its server: the next read that would wait gives COR_ECLOSING, once. */
enum cori_ending { CORI_ENDS_UNHEARD = 0, CORI_HEARS_OF_END = 1, CORI_END_HAS_BEGUN = 2 };
enum cori_access { CORI_SHARED = 0, CORI_LOCK_READ = 2, CORI_LOCK_WRITE = 4 };

/*
 * Slots keep an address in union with what other kinds need, so that 10,000 idle connections cost 10,000 small slots.
 */
typedef struct cori_slot {
    uint64_t state;                  /* atomic: see above */
    const struct cori_conn_ops *ops; /* what it is; set while open */
    cori_pollfd pollfd;              /* descriptor kinds */
    int64_t deadline[2];             /* CORI_READ, CORI_WRITE; 0: none; atomic */
    uint32_t spin;                   /* guards the lock queue, registration and the listener's clones */
    uint32_t number;                 /* of this slot */
    cori_lock_waiter *queue;         /* calls that wait for the read or write lock; guard: spin */
    union {
        cori_task *closer;  /* closed: parked until destroyed */
        uint32_t next_free; /* free; guard: the table's lock */
    };
    union {
        cor_addr peer; /* tcp, udp; no address: not connected */
        char *path;    /* unix: the peer's address text, owned; NULL: unnamed */
        void *impl;    /* pipe, listener: what else they need; owned */
    } is;
    uint8_t network; /* index in cori_networks */
    uint8_t kind;    /* enum cori_kind */
    bool in_use;     /* from new to destroyed */
    bool lingers;    /* close(2) may wait: cor_set_linger(> 0); guard: spin */
    uint8_t ending;  /* enum cori_ending; atomic */
    uint8_t family;  /* udp: AF_INET or AF_INET6, of the socket */
    bool many;       /* udp: the last batch read was full; guard: the read lock */
} cori_slot;
/* A pair of cache lines, which CPUs fetch together; what calls use comes first. */
enum { CORI_SLOT_BYTES = 2 * CORI_CACHE_LINE };
_Static_assert(sizeof(cori_slot) == CORI_SLOT_BYTES, "slots are many");

/*
 * A deadline that one read has of its own. The connection's stays where it is: it counts as well, whichever is earlier,
 * unless it is the one that does not count.
 */
typedef struct cori_limit {
    int64_t until;    /* absolute, not 0 */
    int64_t left_out; /* the read deadline that does not count: one set before the call; 0: any does */
} cori_limit;

/* One kind of thing a handle can be. Calls get the slot entered, with the lock their access needs. */
typedef struct cori_conn_ops {
    int (*wait_readable)(cori_slot *slot, const cori_limit *limit); /* parks until a read is worth trying; NULL: none */
    ssize_t (*read_now)(cori_slot *slot, void *buf, size_t size);   /* never parks: -EAGAIN if nothing was there */
    int (*write)(cori_slot *slot, const void *buf, size_t size, size_t *written);
    int (*shutdown)(cori_slot *slot, int how);
    void (*deadline_moved)(cori_slot *slot, int direction); /* makes a parked call look at the deadline again */
    void (*evict)(cori_slot *slot);                         /* slot is closed: makes parked calls return */
    /*
     * The last call has left. First others let go of the slot: this may park, so it may be abandoned and begun again.
     * NULL: nobody holds it. Then everything is released; this never parks.
     */
    void (*detach)(cori_slot *slot);
    void (*destroy)(cori_slot *slot);
    void (*local_text)(cori_slot *slot, char *text, size_t size);
    void (*remote_text)(cori_slot *slot, char *text, size_t size);
    const struct cori_fd_ops *fd; /* descriptor kinds: what is theirs, see fd.h; NULL: not a descriptor */
} cori_conn_ops;

/* Takes a free slot, for its maker alone until cori_slot_publish. NULL: out of memory or slots. */
cori_slot *cori_slot_new(enum cori_kind kind, const cori_conn_ops *ops);
/* Opens the slot to calls; gives the handle. The slot must not be touched afterwards but by entering. */
void *cori_slot_publish(cori_slot *slot);
/* Gives back a slot that was never published. */
void cori_slot_discard(cori_slot *slot);

/* Begins a call: 0 and *out; COR_ECLOSED, -EINVAL (NULL or wrong kind), COR_ENOT_TASK. May park for the lock. */
int cori_slot_enter(const void *handle, enum cori_kind kind, enum cori_access access, cori_slot **out);
/* The same, but COR_ETIMEOUT if the lock is not to be had before `until`, 0: never. */
int cori_slot_enter_until(const void *handle, enum cori_kind kind, enum cori_access access, int64_t until,
                          cori_slot **out);
/* Ends a call. */
void cori_slot_leave(cori_slot *slot, enum cori_access access);
/* Ends one that a connection of this kind does not have: -EOPNOTSUPP. */
int cori_slot_refuse(cori_slot *slot, enum cori_access access);
/* Closes: 0, COR_ECLOSED, -EINVAL, COR_ENOT_TASK. Parks until destroyed. */
int cori_slot_close(const void *handle, enum cori_kind kind);

/* Calls `look` for each open connection, inside a call on it. */
void cori_slot_each_conn(void (*look)(cori_slot *slot));

/*
 * A deadline as it is stored: one that is past by the real clock is "long past", because calls compare with their
 * worker's coarse clock, which may be a little late.
 */
enum { CORI_LONG_PAST = 1 };
/* Whether it is none, or so far ahead of this turn's beginning that only a task that computed for long is past it. */
static inline bool cori_slot_is_far(int64_t deadline)
{
    return deadline == 0 || deadline >= cori_here_round_now() + COR_SECOND;
}
int64_t cori_slot_deadline(int64_t deadline);
/* Sets a deadline and makes parked calls look at it; inside a call. */
void cori_slot_move_deadline(cori_slot *slot, int direction, int64_t deadline);

/* When a wait in `direction` ends, 0: never. Asked for anew each time round: the connection's deadline may be moved. */
static inline int64_t cori_slot_until(const cori_slot *slot, int direction, const cori_limit *limit)
{
    int64_t deadline = cori_load(&slot->deadline[direction]);
    if (cori_likely(limit == NULL)) {
        return deadline;
    }
    bool counts = deadline != 0 && deadline != limit->left_out && deadline < limit->until;
    return counts ? deadline : limit->until;
}

/*
 * Waits for the rest of something, inside a call that holds the read lock: the end of the server is heard of when that
 * is complete.
 */
static inline int cori_slot_wait_for_rest(cori_slot *slot, const cori_limit *limit)
{
    int rc = slot->ops->wait_readable(slot, limit);
    if (rc == COR_ECLOSING) {
        rc = slot->ops->wait_readable(slot, limit);
        cori_store(&slot->ending, CORI_END_HAS_BEGUN);
    }
    return rc;
}

/* Reads inside a call that holds the read lock: waits, tries, and waits again when the sign was wrong. */
static inline ssize_t cori_slot_read(cori_slot *slot, void *buf, size_t size)
{
    ssize_t count;
    do {
        int rc = slot->ops->wait_readable(slot, NULL);
        count = rc < 0 ? rc : slot->ops->read_now(slot, buf, size);
    } while (count == -EAGAIN);
    return count;
}

/* True once the slot is being closed; for loops inside a call. */
static inline bool cori_slot_closed(const cori_slot *slot)
{
    return (cori_load(&slot->state) & 1) != 0;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Calls on slots that are descriptors: the ONE loop "try, park, try again" that every read, write, accept and connect
 * uses.
 */
#ifndef CORI_NET_FD_H
#define CORI_NET_FD_H

#include "base/atomic.h"
#include "net/fd_close.h"
#include "net/slot.h"

/* What kinds on descriptors have of their own; the rest of their cori_conn_ops is CORI_CONN_ON_FD. */
typedef struct cori_fd_ops {
    /* One system call each, -EAGAIN when it would wait. */
    ssize_t (*try_read)(cori_slot *slot, void *buf, size_t size);
    ssize_t (*try_write)(cori_slot *slot, const void *buf, size_t size);
    void (*local)(cori_slot *slot, char *text, size_t size); /* address texts */
    void (*remote)(cori_slot *slot, char *text, size_t size);
    void (*forget)(cori_slot *slot); /* frees what is kept in slot->is; NULL: nothing */
    bool endless;                    /* reading 0 bytes is an empty packet, and no end */
    bool short_read_drains;          /* fewer bytes than asked for means: nothing is left */
    bool packets;                    /* one write is one packet, and one read takes one */
    bool streams;                    /* a stream socket: sendmsg and recvmsg move what try_write and try_read would */
} cori_fd_ops;

/* The cori_conn_ops of a kind with these cori_fd_ops; and of one that reads and half-closes in ways of its own. */
#define CORI_CONN_ON_FD(fd_ops) CORI_CONN_LIKE_FD(fd_ops, cori_fd_read_now, cori_fd_shutdown)
#define CORI_CONN_LIKE_FD(fd_ops, reads, shuts)                                                                        \
    {                                                                                                                  \
        .wait_readable = cori_fd_wait_readable, .read_now = (reads), .write = cori_fd_write, .shutdown = (shuts),      \
        .deadline_moved = cori_fd_deadline_moved, .evict = cori_fd_evict, .detach = cori_fd_detach,                    \
        .destroy = cori_fd_destroy, .local_text = cori_fd_local, .remote_text = cori_fd_remote, .fd = (fd_ops),        \
    }

/* Makes the slot's descriptor `fd` (owned from now on). */
void cori_fd_open(cori_slot *slot, int fd, enum cori_fd_kind kind);

/* True for a descriptor that the kernel cannot poll: no call on it waits. */
static inline bool cori_fd_never_waits(const cori_slot *slot)
{
    return cori_load_acquire(&slot->pollfd.kind) == CORI_FD_FILE;
}

/* Why a call in `direction` must not go on: COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, or 0. */
int cori_fd_check(const cori_slot *slot, int direction);

/* Parks until the poller reports `direction`; 0 means try again. Others: as cori_fd_check, or -errno of registering. */
int cori_fd_wait(cori_slot *slot, int direction, const char *what);

/*
 * For a task that waits for several slots at once: look, cori_fd_arm each one, wait, look again. The look comes after
 * `wait[direction]` has been set to CORI_IDLE, as everywhere. arm: 0 or -errno; 1: not yet, arm it once more. wait_any
 * returns after an event on one of them, at the limit (NULL: none) or a deadline of one, when the task's group ends, or
 * for no reason. It looks at the deadlines once it is in the words: one that is moved at that moment is not missed.
 */
int cori_fd_arm(cori_slot *slot, int direction);
void cori_fd_wait_any(cori_slot *const *slots, int count, int direction, const cori_limit *limit, const char *what);

/* Entries of cori_conn_ops for descriptor kinds. */
int cori_fd_wait_readable(cori_slot *slot, const cori_limit *limit);
ssize_t cori_fd_read_now(cori_slot *slot, void *buf, size_t size);
int cori_fd_write(cori_slot *slot, const void *buf, size_t size, size_t *written);
int cori_fd_shutdown(cori_slot *slot, int how);
void cori_fd_deadline_moved(cori_slot *slot, int direction);
void cori_fd_evict(cori_slot *slot);
void cori_fd_destroy(cori_slot *slot);
void cori_fd_local(cori_slot *slot, char *text, size_t size);
void cori_fd_remote(cori_slot *slot, char *text, size_t size);

/*
 * The same loops around calls of their own. A try makes one system call: the count or -errno, -EAGAIN when it would
 * wait; it may park, and then returns -EAGAIN.
 */
typedef ssize_t cori_fd_try(cori_slot *slot, void *arg);
/* Waits and tries until something was written, or `try_it` fails; with the write lock. The count, or an error. */
ssize_t cori_fd_put(cori_slot *slot, cori_fd_try *try_it, void *arg);
/* Tries to read after wait_readable, as read_now does; `size`: what it asks for, 0: any count may leave some. */
ssize_t cori_fd_take(cori_slot *slot, cori_fd_try *try_it, void *arg, size_t size);

/*
 * As read_now, for readers that see a stream whatever the kind: an empty packet that is no end is -EAGAIN, and one that
 * `size` would cut is -EMSGSIZE, because the reader could not tell.
 */
ssize_t cori_fd_read_stream(cori_slot *slot, void *buf, size_t size);

/* True for a stream socket of ours alone, which has O_NONBLOCK: splice(2) and sendfile(2) do not wait on it. */
static inline bool cori_fd_splices(const cori_slot *slot)
{
    enum cori_fd_kind kind = (enum cori_fd_kind)cori_load_relaxed(&slot->pollfd.kind);
    bool ours = kind == CORI_FD_STREAM || kind == CORI_FD_DIRECT || kind == CORI_FD_SOCKET;
    return slot->ops->fd != NULL && slot->ops->fd->streams && ours;
}

/* True if the poller may hold bytes that it has received ahead: then they are not to be had from the kernel. */
static inline bool cori_fd_is_ahead(const cori_slot *slot)
{
    enum cori_fd_kind kind = (enum cori_fd_kind)cori_load_relaxed(&slot->pollfd.kind);
    return cori_poll_ops_used()->ahead != NULL && (kind == CORI_FD_STREAM || kind == CORI_FD_DIRECT);
}

/*
 * For a reader that wants the socket itself: has the poller stop receiving ahead. 0: it has stopped, and what comes
 * next is in the socket; look again after each wait. -EAGAIN: read what it holds, or wait, and look again. A copy that
 * has paused a source lets it be received from again when it ends; any call inside may do so.
 */
int cori_fd_pause_ahead(cori_slot *slot);
void cori_fd_resume_ahead(cori_slot *slot);

/* The usual try_read and try_write: those of sockets. */
ssize_t cori_fd_receive(cori_slot *slot, void *buf, size_t size);
ssize_t cori_fd_send(cori_slot *slot, const void *buf, size_t size);

/* Asks the kernel whether a read would not wait, after wait_readable; if not, forgets the sign. */
bool cori_fd_confirm_readable(cori_slot *slot);

/* Waits for the next connection: its descriptor, with the peer's address, or an error. */
int cori_fd_accept(cori_slot *slot, cori_sockaddr *peer, socklen_t *len);

#endif

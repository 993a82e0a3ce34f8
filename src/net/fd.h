/* SPDX-License-Identifier: MIT */
/*
 * Calls on slots that are descriptors: the ONE loop "try, park, try again" that every read, write, accept and connect
 * uses.
 */
#ifndef CORI_NET_FD_H
#define CORI_NET_FD_H

#include "base/atomic.h"
#include "net/handle.h"

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

/* Entries of cori_conn_ops for descriptor kinds. */
int cori_fd_wait_readable(cori_slot *slot);
ssize_t cori_fd_read_now(cori_slot *slot, void *buf, size_t size);
int cori_fd_write(cori_slot *slot, const void *buf, size_t size, size_t *written);
int cori_fd_shutdown(cori_slot *slot, int how);
void cori_fd_deadline_moved(cori_slot *slot, int direction);
void cori_fd_evict(cori_slot *slot);
void cori_fd_close(cori_slot *slot);

/* Asks the kernel whether a read would not wait, after wait_readable; if not, forgets the sign. */
bool cori_fd_confirm_readable(cori_slot *slot);

/* Waits for the next connection: its descriptor, with the peer's address, or an error. */
int cori_fd_accept(cori_slot *slot, cori_sockaddr *peer, socklen_t *len);

#endif

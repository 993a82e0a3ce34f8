/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of connections: taken from elsewhere, given away, and used by calls that are not the library's.
 *
 * A socket in two hands. Whoever has a copy shares the open description with the connection, so two things are avoided
 * that hold for sockets of ours alone: taking it for registered no longer once our number is closed (epoll would go on
 * reporting for the copy), and telling the peer goodbye by shutdown(2) before close(2), which ends the copy as well.
 * Its kind is CORI_FD_PLAIN from then on. The library never needs O_NONBLOCK on a connection (MSG_DONTWAIT does it), so
 * it sets that on none that it is given; but accept(2) has no such flag.
 *
 * Received ahead. Over io_uring the bytes of a stream may be in the poller's buffers, or on their way there, and a raw
 * read would not find them. Whoever holds the read lock has that stopped, and waits until it has: usually a turn of the
 * poller's owner. What has come meanwhile only a read of the library's can give: then the call is refused, and works
 * once that has been read. A copied stream is never received ahead again; one that was read raw is not, until a
 * cor_copy has ended.
 *
 * A raw call is a try in the loops of fd.c: the same locks, deadlines, close, cancel and wake-ups as for the library's
 * own calls. The descriptor cannot be closed meanwhile, because the call is inside the slot.
 */
#include "net/raw.h"

#include "base/lock.h"
#include "base/sys.h"
#include "net/conn.h"

#include <coracle/time.h>
#include <errno.h>

#define OWNER_WAIT_NS (5 * COR_SECOND) /* a copy waits for a worker that computes */

/* A raw call under way. */
typedef struct raw {
    cor_raw_call *call;
    void *arg;
    ssize_t result;
} raw;

int cori_fd_network(int fd, const cori_network **network)
{
    int family = 0, type = 0;
    int rc = cori_sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family);
    rc = rc < 0 ? rc : cori_sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type);
    if (rc < 0) {
        return rc;
    }
    bool ip = family == AF_INET || family == AF_INET6;
    if (ip && (type == SOCK_STREAM || type == SOCK_DGRAM)) {
        *network = &cori_networks[type == SOCK_STREAM ? CORI_NETWORK_TCP : CORI_NETWORK_UDP];
        return 0;
    }
    *network = &cori_networks[CORI_NETWORK_UNIX];
    return family == AF_UNIX && type == SOCK_STREAM ? 0 : -EOPNOTSUPP;
}

/* The connection's slot on `own`, taken in every case; NULL: no memory. */
static cori_slot *slot_on(const cori_network *network, int own, bool connected, const cori_sockaddr *peer,
                          socklen_t len)
{
    cori_sockaddr local = {0};
    socklen_t local_len = sizeof(local);
    if (!connected) { /* its family is the socket's */
        (void)cori_sys_getsockname(own, &local.any, &local_len);
    }
    cori_slot *slot = cori_conn_slot(network, own, connected ? peer : &local, connected ? len : local_len);
    if (slot != NULL) {
        cori_store_relaxed(&slot->pollfd.kind, CORI_FD_PLAIN);
    }
    if (slot != NULL && !connected) {
        slot->is.peer = (cor_addr){0};
    }
    return slot;
}

int cor_conn_of_fd(cor_conn **out, int fd)
{
    const cori_network *network;
    cori_sockaddr peer;
    socklen_t len = sizeof(peer);
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = cori_fd_network(fd, &network);
    int connected = rc < 0 ? rc : cori_sys_getpeername(fd, &peer.any, &len);
    if (connected < 0 && (rc < 0 || connected != -ENOTCONN || !network->datagram)) {
        return connected;
    }
    int own = cori_sys_dup(fd);
    if (own < 0) {
        return own;
    }
    cori_slot *slot = slot_on(network, own, connected == 0, &peer, len);
    if (slot == NULL) {
        return -ENOMEM;
    }
    *out = cori_slot_publish(slot);
    return 0;
}

/* Parks until the poller may have stopped receiving: 0, also for no reason, or why not. */
static int wait_for_poller(cori_slot *slot, int64_t until)
{
    const cori_limit own = {.until = until, .left_out = cori_load(&slot->deadline[CORI_READ])};
    const cori_limit *limit = until != 0 ? &own : NULL;
    int rc = cori_fd_arm(slot, CORI_READ);
    if (rc == 0) {
        cori_fd_wait_any(&slot, 1, CORI_READ, limit, "IO wait (read)");
    }
    until = until != 0 ? until : cori_load(&slot->deadline[CORI_READ]);
    rc = rc < 0 ? rc : cori_interrupted(cori_here_task(), until);
    return cori_slot_closed(slot) ? COR_ECLOSED : rc;
}

/*
 * Makes the reads, whose lock is held, the only ones that take bytes from the socket. 0, -EBUSY if bytes (or an error)
 * have been received ahead, COR_ETIMEOUT at `until` (0: the read deadline), COR_ECLOSED, COR_ECANCELED, or an error of
 * registering.
 */
static int end_ahead(cori_slot *slot, int64_t until)
{
    int rc = 0;
    while (rc == 0 && cori_fd_is_ahead(slot)) {
        (void)cori_swap(&slot->pollfd.wait[CORI_READ], CORI_IDLE); /* before the look: what follows makes an event */
        rc = cori_fd_pause_ahead(slot);
        if (rc != -EAGAIN || cori_poll_ops_used()->ahead->holds(&slot->pollfd)) {
            cori_store(&slot->pollfd.wait[CORI_READ], CORI_READY); /* as far as is known */
            return rc == -EAGAIN ? -EBUSY : rc;
        }
        rc = wait_for_poller(slot, until);
    }
    return rc;
}

/* Others have the socket too from now on. */
static void share(cori_slot *slot)
{
    cori_spin_lock(&slot->spin);
    if (!cori_fd_never_waits(slot)) {
        cori_store(&slot->pollfd.kind, CORI_FD_PLAIN);
    }
    cori_spin_unlock(&slot->spin);
}

/* Begins a call on a connection that has a descriptor; ended with cori_slot_leave. */
static int enter(cor_conn *conn, enum cori_access access, cori_slot **out)
{
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, out);
    return rc == 0 && (*out)->ops->fd == NULL ? cori_slot_refuse(*out, access) : rc;
}

int cor_conn_fd(cor_conn *conn)
{
    cori_slot *slot;
    enum cori_access access = CORI_SHARED;
    int rc = enter(conn, access, &slot);
    if (rc == 0 && cori_fd_is_ahead(slot)) { /* its reader alone can have that ended */
        cori_slot_leave(slot, access);
        access = CORI_LOCK_READ;
        rc = enter(conn, access, &slot);
    }
    if (rc < 0) {
        return rc;
    }
    rc = access == CORI_SHARED ? 0 : end_ahead(slot, cor_after(OWNER_WAIT_NS));
    int copy = rc < 0 ? rc : cori_sys_dup(slot->pollfd.fd);
    if (copy >= 0) {
        share(slot);
    }
    cori_slot_leave(slot, access);
    return copy == COR_ETIMEOUT ? -EBUSY : copy;
}

ssize_t cor_raw_control(cor_conn *conn, cor_raw_call *call, void *arg)
{
    cori_slot *slot;
    ssize_t result = enter(conn, CORI_SHARED, &slot);
    if (result == 0) {
        result = call(slot->pollfd.fd, arg);
        cori_slot_leave(slot, CORI_SHARED);
    }
    return result;
}

/* One call of the user's, as a try: nothing is counted, and a file, which is never waited for, is refused. */
static ssize_t try_call(cori_slot *slot, void *arg)
{
    raw *given = arg;
    if (cori_fd_never_waits(slot)) {
        return -EOPNOTSUPP;
    }
    given->result = given->call(slot->pollfd.fd, given->arg);
    return given->result < 0 ? given->result : 0;
}

ssize_t cor_raw_read(cor_conn *conn, cor_raw_call *call, void *arg)
{
    cori_slot *slot;
    raw given = {.call = call, .arg = arg};
    ssize_t rc = enter(conn, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = cori_fd_check(slot, CORI_READ);
    rc = rc < 0 ? rc : end_ahead(slot, 0);
    rc = rc < 0 ? cori_in_vain((int)rc) : 0;
    while (rc == 0) {
        ssize_t tried = cori_fd_take(slot, try_call, &given, 0);
        if (tried != -EAGAIN) {
            rc = tried < 0 ? tried : given.result;
            break;
        }
        rc = slot->ops->wait_readable(slot, NULL);
    }
    cori_slot_leave(slot, CORI_LOCK_READ);
    return rc;
}

ssize_t cor_raw_write(cor_conn *conn, cor_raw_call *call, void *arg)
{
    cori_slot *slot;
    raw given = {.call = call, .arg = arg};
    ssize_t rc = enter(conn, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = cori_fd_put(slot, try_call, &given);
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return rc < 0 ? rc : given.result;
}

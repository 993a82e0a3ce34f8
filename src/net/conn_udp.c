/* SPDX-License-Identifier: MIT */
/*
 * UDP sockets, connected or not: what is theirs beside fd.c. A connection like others, so that locks, deadlines and
 * closing are those of all descriptors; what reads and writes with addresses is in packet.c. It differs in this:
 *
 *   a read takes one datagram     so one that has taken fewer bytes than it could has not emptied the socket
 *   an empty datagram is read     as 0 bytes, which is no end: there is none
 *   no half-close                 the kernel has one for connected sockets, after which reads give 0 for ever and are
 *                                 not to be told from empty datagrams. Go has none either
 *
 * An error that an ICMP message brings comes once, to whichever call asks first. The event wakes the readers and the
 * writers; those that find nothing wait again.
 */
#include "base/sys.h"
#include "net/conn.h"

#include <errno.h>

void cori_udp_defaults(int fd)
{
    (void)cori_sys_setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1); /* a preference: it works without */
}

typedef struct room {
    void *buf;
    size_t size;
} room;

static ssize_t try_read(cori_slot *slot, void *arg)
{
    const room *into = arg;
    return cori_sys_recv(slot->pollfd.fd, into->buf, into->size);
}

static ssize_t udp_read_now(cori_slot *slot, void *buf, size_t size)
{
    room into = {.buf = buf, .size = size};
    return cori_fd_take(slot, try_read, &into, 0);
}

static int udp_shutdown(cori_slot *slot, int how)
{
    (void)slot;
    (void)how;
    return -EOPNOTSUPP;
}

static const cori_fd_ops udp = {
    .try_read = cori_fd_receive, /* not used: see udp_read_now */
    .try_write = cori_fd_send,
    .local = cori_tcp_local_text,
    .remote = cori_tcp_remote_text,
    .short_read_drains = true, /* counted in datagrams: fewer than asked for are all */
};
const cori_conn_ops cori_udp_ops = CORI_CONN_LIKE_FD(&udp, udp_read_now, udp_shutdown);

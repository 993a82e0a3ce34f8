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
 * Sockets of bare IP are such sockets too, but for their addresses, which have no port.
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

ssize_t cori_datagram_read_now(cori_slot *slot, void *buf, size_t size)
{
    room into = {.buf = buf, .size = size};
    return cori_fd_take(slot, try_read, &into, 0);
}

int cori_datagram_shutdown(cori_slot *slot, int how)
{
    (void)slot;
    (void)how;
    return -EOPNOTSUPP;
}

bool cori_datagram_connected(const cori_slot *slot)
{
    return slot->ops == &cori_unixgram_ops ? slot->is.path != NULL : slot->is.peer.ip.family != AF_UNSPEC;
}

int cori_datagram_name(const cori_slot *slot, const cor_addr *to, cori_sockaddr *name, socklen_t *len)
{
    bool none = to->ip.family == AF_UNSPEC && to->port == 0;
    *len = 0;
    if (cori_datagram_connected(slot)) {
        return none ? 0 : COR_EWRITE_TO_CONNECTED;
    }
    if (none) {
        return COR_EMISSING_ADDRESS;
    }
    if (slot->ops == &cori_unixgram_ops) {
        return -EAFNOSUPPORT;
    }
    if (slot->family == AF_INET && to->ip.family == AF_INET6) {
        return COR_ENOT_IPV4;
    }
    cor_addr at = *to;
    at.port = slot->ops == &cori_raw_ops ? 0 : at.port; /* which the kernel would take for the protocol */
    *len = cori_addr_to_sockaddr(&at, slot->family, name);
    return 0;
}

static const cori_fd_ops udp = {
    .try_read = cori_fd_receive, /* not used: see cori_datagram_read_now */
    .try_write = cori_fd_send,
    .local = cori_tcp_local_text,
    .remote = cori_tcp_remote_text,
    .endless = true,
    .short_read_drains = true, /* counted in datagrams: fewer than asked for are all */
    .packets = true,
};
const cori_conn_ops cori_udp_ops = CORI_CONN_LIKE_FD(&udp, cori_datagram_read_now, cori_datagram_shutdown);

static void raw_text(const cori_slot *slot, cor_addr addr, char *text, size_t size)
{
    text[0] = '\0';
    if (addr.ip.family != AF_UNSPEC) {
        (void)cori_network_text(&cori_networks[slot->network], addr, text, size);
    }
}

static void raw_local_text(cori_slot *slot, char *text, size_t size)
{
    raw_text(slot, cori_tcp_local(slot), text, size);
}

static void raw_remote_text(cori_slot *slot, char *text, size_t size)
{
    raw_text(slot, slot->is.peer, text, size);
}

static const cori_fd_ops raw = {
    .try_read = cori_fd_receive, /* not used, as above */
    .try_write = cori_fd_send,
    .local = raw_local_text,
    .remote = raw_remote_text,
    .endless = true,
    .short_read_drains = true, /* as above */
    .packets = true,
};
const cori_conn_ops cori_raw_ops = CORI_CONN_LIKE_FD(&raw, cori_datagram_read_now, cori_datagram_shutdown);

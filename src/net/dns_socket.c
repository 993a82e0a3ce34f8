/* SPDX-License-Identifier: MIT */
/*
 * What c-ares does with sockets. It would do the same by itself, but then it would not tell which server has answered,
 * and it needs two more system calls for each socket. Given these functions it sets no option: they are set here. They
 * answer as the system calls do, with errno, which the entry of dns.c puts back.
 */
#include "net/dns_socket.h"

#include "base/sys.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/uio.h>

/* As a system call says it. */
static ssize_t as_errno(ssize_t result)
{
    if (result < 0) {
        cori_errno_restore((int)-result);
        return -1;
    }
    return result;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    (void)arg;
    int fd = cori_sys_socket(family, type, protocol);
    if (fd >= 0 && type == SOCK_STREAM) {
        (void)cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
    return (int)as_errno(fd);
}

static int close_socket(ares_socket_t fd, void *arg)
{
    (void)arg;
    cori_sys_close(fd);
    return 0;
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *arg)
{
    (void)arg;
    return (int)as_errno(cori_sys_connect(fd, to, len));
}

/* c-ares asks for the sender of datagrams, and takes those of the server only that it has sent to. */
static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t size, int flags, struct sockaddr *from,
                            ares_socklen_t *len, void *arg)
{
    cori_sockaddr peer = {0}, *last = &((cori_dns_wire *)arg)->source;
    socklen_t peer_len = sizeof(peer);
    (void)flags;
    if (from == NULL) {
        ssize_t count = cori_sys_recv(fd, buf, size);
        if (count > 0 && cori_sys_getpeername(fd, &peer.any, &peer_len) == 0) {
            *last = peer;
        }
        return as_errno(count);
    }
    ssize_t count = cori_sys_recvfrom(fd, buf, size, from, len);
    if (count > 0 && *len <= sizeof(peer)) {
        memcpy(&peer, from, *len);
        *last = peer;
    }
    return as_errno(count);
}

/*
 * Sets the AD bit of questions; c-ares has no option for it. Each part is one question, after its length if this is a
 * stream; only the rest of one that was cut is not, which a question is too short for to happen.
 */
static void set_trust(ares_socket_t fd, const struct iovec *parts, int count)
{
    enum { FLAGS = 3, LENGTH = 2, AD = 0x20 };
    int type = SOCK_DGRAM;
    (void)cori_sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type);
    size_t at = FLAGS + (type == SOCK_STREAM ? LENGTH : 0);
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > at) {
            ((unsigned char *)parts[i].iov_base)[at] |= AD;
        }
    }
}

static ares_ssize_t send_parts(ares_socket_t fd, const struct iovec *parts, int count, void *arg)
{
    if (((const cori_dns_wire *)arg)->trust_ad) {
        set_trust(fd, parts, count);
    }
    ssize_t sent = cori_sys_send_parts(fd, parts, (size_t)count);
    if (sent == -ECONNREFUSED) { /* of an earlier question, which the next receive must see: c-ares goes on for both */
        sent = cori_sys_send_parts(fd, parts, (size_t)count);
    }
    return as_errno(sent);
}

const struct ares_socket_functions cori_dns_sockets = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_parts,
};

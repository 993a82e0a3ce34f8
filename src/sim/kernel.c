/* SPDX-License-Identifier: MIT */
/*
 * The system calls on simulated sockets. They give what Linux gives on a non-blocking descriptor, in its order: bytes
 * that have arrived come before the error that came after them, an error is told once, and then the end.
 */
#include "sim/kernel.h"

#include "sched/here.h"
#include "sim/names.h"
#include "sim/socket.h"

#include <coracle/time.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG_MOST = 4096, CALL_NS = 1000 };

static cori_sim_socket *find(int number)
{
    const cori_sim_fd *fd = cori_sim_fd_find(number);
    return fd != NULL ? fd->to : NULL;
}

static int sim_socket(int family, int type, int protocol)
{
    (void)protocol;
    bool known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
    if (!known) {
        return -EAFNOSUPPORT;
    }
    if (type != SOCK_STREAM && (type != SOCK_DGRAM || family == AF_UNIX)) {
        return -ESOCKTNOSUPPORT;
    }
    if (cori_sim_host_is_down(cori_here_host())) {
        return -ENETDOWN;
    }
    cori_sim_socket *made = cori_sim_socket_new(family, type, cori_here_host());
    int fd = cori_sim_fd_new(made);
    if (fd < 0) {
        made->closed = true;
        cori_sim_socket_release(made);
    }
    return fd;
}

/* An address that this host has, or any. */
static int check_own(const cori_sim_socket *socket, const cori_sim_address *address)
{
    if ((socket->family == AF_UNIX) != (address->family == AF_UNIX) ||
        (socket->family == AF_INET && address->family == AF_INET6)) {
        return -EAFNOSUPPORT;
    }
    bool own = address->family == AF_UNIX || cori_sim_host_of(socket->host, address) == socket->host;
    return own ? 0 : -EADDRNOTAVAIL;
}

static int sim_bind(int number, const struct sockaddr *addr, socklen_t len)
{
    cori_sim_socket *socket = find(number);
    cori_sim_address address;
    if (socket == NULL || socket->bound || !cori_sim_address_from(&address, addr, len)) {
        return socket == NULL ? -EBADF : -EINVAL;
    }
    int rc = check_own(socket, &address);
    if (rc < 0) {
        return rc;
    }
    if (address.family != AF_UNIX && address.port == 0) {
        address.port = cori_sim_port(socket->host, socket->type);
    } else if (cori_sim_socket_at(socket->host, &address, socket->type, true) != NULL ||
               cori_sim_socket_at(socket->host, &address, socket->type, false) != NULL) {
        return -EADDRINUSE;
    }
    socket->local = address;
    socket->bound = true;
    return 0;
}

static int sim_listen(int number, int backlog)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL || socket->type != SOCK_STREAM) {
        return socket == NULL ? -EBADF : -EOPNOTSUPP;
    }
    if (!socket->bound || socket->state != CORI_SIM_NEW) {
        return -EINVAL;
    }
    socket->state = CORI_SIM_LISTENING;
    socket->backlog = backlog < BACKLOG_MOST ? backlog : BACKLOG_MOST;
    return 0;
}

/* What an accept on the host fails with that would find somebody, by plan or by the seed; 0: it does not. */
static int accept_failure(uint16_t host)
{
    static const int full[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};
    int planned = cori_sim_host_take_accept(host);
    if (planned == 0 && cori_sim_happens(CORI_SIM_FULL)) {
        return full[cori_sim_more_below(sizeof(full) / sizeof(*full))];
    }
    return planned;
}

static int sim_accept(int number, struct sockaddr *addr, socklen_t *len)
{
    cori_sim_socket *listener = find(number);
    if (listener == NULL || listener->state != CORI_SIM_LISTENING) {
        return listener == NULL ? -EBADF : -EINVAL;
    }
    cori_sim_socket *child = listener->accept_head;
    if (child != NULL && cori_sim_happens(CORI_SIM_ABORTED)) {
        return cori_sim_once_in(2) ? -ECONNABORTED : -EMFILE;
    }
    int failure = child != NULL ? accept_failure(listener->host) : 0;
    if (failure != 0) {
        return failure;
    }
    int fd = child != NULL ? cori_sim_fd_new(child) : -EAGAIN;
    if (fd < 0) {
        return fd;
    }
    listener->accept_head = child->accept_next;
    listener->queued--;
    child->listener = NULL;
    if (addr != NULL) {
        cori_sim_address_to(&child->peer, child->family, addr, len);
    }
    return fd;
}

static int sim_connect(int number, const struct sockaddr *addr, socklen_t len)
{
    cori_sim_socket *socket = find(number);
    cori_sim_address address;
    if (socket == NULL || !cori_sim_address_from(&address, addr, len)) {
        return socket == NULL ? -EBADF : -EINVAL;
    }
    if (socket->type == SOCK_STREAM) {
        return cori_sim_connect(socket, &address);
    }
    if (cori_sim_address_is_any(&address)) { /* this host */
        address.ip = cori_sim_host_address(socket->host, &address).ip;
    }
    socket->peer = address;
    if (!socket->bound) {
        socket->local = cori_sim_host_address(socket->host, &address);
        socket->local.port = cori_sim_port(socket->host, socket->type);
        socket->bound = true;
    }
    return 0;
}

static int take_error(cori_sim_socket *socket)
{
    int error = socket->error;
    socket->error = 0;
    return error;
}

static size_t size_of(const struct msghdr *message)
{
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size += message->msg_iov[i].iov_len;
    }
    return size;
}

static ssize_t sim_send(int number, const struct msghdr *message)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL) {
        return -EBADF;
    }
    cori_sim_pass(CALL_NS); /* a writer that never has to wait takes its time, too */
    if (socket->error != 0) {
        return -take_error(socket);
    }
    if (socket->crashed) {
        return -ENETDOWN;
    }
    if (socket->type == SOCK_DGRAM) {
        return cori_sim_datagram_send(socket, message, size_of(message));
    }
    if (socket->sent_fin || socket->state == CORI_SIM_DEAD) {
        return -EPIPE;
    }
    if (socket->state != CORI_SIM_CONNECTED) {
        return socket->state == CORI_SIM_CONNECTING ? -EAGAIN : -ENOTCONN;
    }
    if (socket->family == AF_UNIX && (socket->other->closed || socket->other->shut_read)) {
        return -EPIPE;
    }
    size_t size = size_of(message), room = CORI_SIM_WINDOW_BYTES - socket->outstanding;
    size = size < room ? size : room;
    if (size == 0) {
        socket->blocked = room == 0;
        return room == 0 ? -EAGAIN : 0;
    }
    if (cori_sim_happens(CORI_SIM_SHORT)) {
        size = 1 + cori_sim_below(size);
    }
    if (cori_sim_happens(CORI_SIM_RESET)) {
        cori_sim_break(socket);
        return -ECONNRESET;
    }
    socket->outstanding += size;
    cori_sim_send_bytes(socket, message, size);
    return (ssize_t)size;
}

/* Copies from one segment into the parts of a message, from `done` bytes on; how much. */
static size_t copy_out(cori_sim_segment *from, const struct msghdr *to, size_t done)
{
    size_t copied = 0;
    for (size_t i = 0; i < to->msg_iovlen && from->taken < from->size; i++) {
        size_t length = to->msg_iov[i].iov_len;
        if (done >= length) {
            done -= length;
            continue;
        }
        size_t rest = from->size - from->taken, part = length - done < rest ? length - done : rest;
        memcpy((char *)to->msg_iov[i].iov_base + done, from->bytes + from->taken, part);
        from->taken += part;
        copied += part;
        done = 0;
    }
    return copied;
}

/* The reader has taken `size` bytes: a writer that waits may go on when a third of the window is free. */
static void took(cori_sim_socket *reader, size_t size)
{
    cori_sim_socket *writer = reader->other;
    if (writer == NULL || writer->state != CORI_SIM_CONNECTED) {
        return;
    }
    writer->outstanding -= size;
    if (writer->blocked && writer->outstanding <= CORI_SIM_WINDOW_BYTES / 3 * 2 && !reader->closed) {
        writer->blocked = false;
        cori_sim_send_segment(reader, CORI_SIM_WINDOW);
    }
}

static ssize_t sim_receive(int number, struct msghdr *message)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL) {
        return -EBADF;
    }
    cori_sim_pass(CALL_NS);
    if (socket->type == SOCK_DGRAM) { /* here an error comes before what has arrived */
        return socket->error != 0 ? -take_error(socket) : cori_sim_datagram_take(socket, message);
    }
    size_t size = size_of(message), done = 0;
    while (done < size && socket->inbox.head != NULL) {
        cori_sim_segment *first = socket->inbox.head;
        size_t part = copy_out(first, message, done);
        done += part;
        if (first->taken == first->size) {
            cori_sim_segment_free(cori_sim_queue_take(&socket->inbox));
        }
    }
    if (done > 0) {
        took(socket, done);
        return (ssize_t)done;
    }
    if (socket->error != 0) {
        return -take_error(socket);
    }
    if (socket->got_fin || socket->shut_read || size == 0) {
        return 0;
    }
    return socket->state == CORI_SIM_CONNECTED || socket->state == CORI_SIM_CONNECTING ? -EAGAIN : -ENOTCONN;
}

static int sim_shutdown(int number, int how)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL || socket->state != CORI_SIM_CONNECTED) {
        return socket == NULL ? -EBADF : -ENOTCONN;
    }
    if (how != SHUT_WR) {
        socket->shut_read = true;
        cori_sim_edge(socket, 1u << CORI_READ);
    }
    if (how != SHUT_RD && !socket->sent_fin) {
        socket->sent_fin = true;
        cori_sim_send_segment(socket, CORI_SIM_FIN);
    }
    return 0;
}

/* How long it bears that nothing comes back. */
static void set_patience(cori_sim_socket *socket, int level, int option, int value)
{
    cori_sim_patience *patience = &socket->patience;
    if (level == SOL_SOCKET && option == SO_KEEPALIVE) {
        patience->keep_alive = value != 0;
        cori_sim_probe_if_cut(socket);
    } else if (level == IPPROTO_TCP && option == TCP_USER_TIMEOUT) {
        patience->user_ns = value * COR_MILLISECOND;
    } else if (level == IPPROTO_TCP && option == TCP_KEEPIDLE) {
        patience->idle_ns = value * COR_SECOND;
    } else if (level == IPPROTO_TCP && option == TCP_KEEPINTVL) {
        patience->interval_ns = value * COR_SECOND;
    } else if (level == IPPROTO_TCP && option == TCP_KEEPCNT) {
        patience->probes = value;
    }
}

static int sim_set_option(int number, int level, int option, const void *value, socklen_t len)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL) {
        return -EBADF;
    }
    if (level == SOL_SOCKET && option == SO_LINGER && len >= sizeof(struct linger)) {
        const struct linger *linger = value;
        socket->lingers_not = linger->l_onoff != 0 && linger->l_linger == 0;
    } else if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY && len >= sizeof(int)) {
        socket->v6_only = *(const int *)value != 0;
    } else if (len >= sizeof(int)) {
        set_patience(socket, level, option, *(const int *)value);
    }
    return 0; /* the others change nothing that a program could see here */
}

static int sim_get_option(int number, int level, int option, void *value, socklen_t *len)
{
    cori_sim_socket *socket = find(number);
    if (socket == NULL || *len < sizeof(int)) {
        return socket == NULL ? -EBADF : -EINVAL;
    }
    int found = 0;
    if (level == SOL_SOCKET && option == SO_ERROR) {
        found = take_error(socket);
    } else if (level == SOL_SOCKET && option == SO_TYPE) {
        found = socket->type;
    } else if (level == SOL_SOCKET && option == SO_DOMAIN) {
        found = socket->family;
    } else if (level == SOL_SOCKET && option == SO_PROTOCOL && socket->family != AF_UNIX) {
        found = socket->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    } else if (level == SOL_SOCKET && option == SO_ACCEPTCONN) {
        found = socket->state == CORI_SIM_LISTENING;
    }
    memcpy(value, &found, sizeof(found));
    *len = sizeof(found);
    return 0;
}

static int sim_name(int number, bool peer, struct sockaddr *addr, socklen_t *len)
{
    const cori_sim_socket *socket = find(number);
    if (socket == NULL) {
        return -EBADF;
    }
    bool connected = socket->state == CORI_SIM_CONNECTED || (socket->type == SOCK_DGRAM && socket->peer.family != 0) ||
                     socket->state == CORI_SIM_DEAD;
    if (peer && !connected) {
        return -ENOTCONN;
    }
    cori_sim_address_to(peer ? &socket->peer : &socket->local, socket->family, addr, len);
    return 0;
}

static int sim_dup(int number)
{
    cori_sim_socket *socket = find(number);
    return socket != NULL ? cori_sim_fd_new(socket) : -EBADF;
}

static void sim_close(int number)
{
    cori_sim_fd *fd = cori_sim_fd_find(number);
    if (fd != NULL) {
        cori_sim_fd_close(fd);
    }
}

static int sim_poll(int number, short events)
{
    const cori_sim_socket *socket = find(number);
    if (socket == NULL) {
        return POLLNVAL;
    }
    unsigned ready = cori_sim_readiness(socket);
    short found = (short)((ready & 1u << CORI_READ ? POLLIN : 0) | (ready & 1u << CORI_WRITE ? POLLOUT : 0) |
                          (socket->got_fin || socket->shut_read ? POLLRDHUP : 0));
    short always = (short)((socket->error != 0 ? POLLERR : 0) | (socket->state == CORI_SIM_DEAD ? POLLHUP : 0));
    return (found & events) | always;
}

const cori_sys_other_ops cori_sim_kernel = {
    .socket = sim_socket,
    .bind = sim_bind,
    .listen = sim_listen,
    .accept = sim_accept,
    .connect = sim_connect,
    .send = sim_send,
    .receive = sim_receive,
    .shutdown = sim_shutdown,
    .set_option = sim_set_option,
    .get_option = sim_get_option,
    .name = sim_name,
    .dup = sim_dup,
    .close = sim_close,
    .poll = sim_poll,
    .look_up = cori_sim_look_up,
};

/* SPDX-License-Identifier: MIT */
/* TCP connections: what is theirs beside fd.c. Also the parts of a socket that unix connections share. */
#include "base/atomic.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/kinds.h"

#include <netinet/tcp.h>
#include <string.h>

ssize_t cori_socket_receive(cori_slot *slot, void *buf, size_t size)
{
    if (cori_likely(cori_poll_ops_used()->plain_receive)) {
        return cori_sys_recv(slot->pollfd.fd, buf, size);
    }
    cori_poller *poller = cori_load_acquire(&slot->pollfd.poller);
    return cori_poll_ops_used()->receive(poller, &slot->pollfd, buf, size);
}

ssize_t cori_socket_send(cori_slot *slot, const void *buf, size_t size)
{
    return cori_sys_send(slot->pollfd.fd, buf, size);
}

void cori_tcp_local_text(cori_slot *slot, char *text, size_t size)
{
    cori_sockaddr local;
    socklen_t len = sizeof(local);
    text[0] = '\0';
    if (cori_sys_getsockname(slot->pollfd.fd, &local.any, &len) == 0) {
        cori_addr addr = cori_addr_of(&local);
        cori_addr_text(&addr, text, size);
    }
}

static void tcp_remote_text(cori_slot *slot, char *text, size_t size)
{
    cori_addr_text(&slot->is.peer, text, size);
}

void cori_tcp_defaults(int fd)
{
    /* Each is a preference: a connection works without it, so a refusal is no error. */
    (void)cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)cori_sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    (void)cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, CORI_KEEPALIVE_S);
    (void)cori_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, CORI_KEEPALIVE_S);
}

const cori_conn_ops cori_tcp_ops = {
    .wait_readable = cori_fd_wait_readable,
    .read_now = cori_fd_read_now,
    .write = cori_fd_write,
    .shutdown = cori_fd_shutdown,
    .deadline_moved = cori_fd_deadline_moved,
    .evict = cori_fd_evict,
    .destroy = cori_fd_close,
    .local_text = cori_tcp_local_text,
    .remote_text = tcp_remote_text,
    .try_read = cori_socket_receive,
    .try_write = cori_socket_send,
    .short_read_drains = true,
};

cori_slot *cori_conn_slot(const cori_network *network, int fd, const cori_sockaddr *peer, socklen_t peer_len)
{
    cori_slot *slot = cori_slot_new(CORI_KIND_CONN, network->unix_stream ? &cori_unix_ops : &cori_tcp_ops);
    if (slot == NULL) {
        cori_sys_close(fd);
        return NULL;
    }
    slot->network = (uint8_t)(network - cori_networks);
    cori_fd_open(slot, fd, network->unix_stream ? CORI_FD_PLAIN : CORI_FD_STREAM);
    if (!network->unix_stream) {
        slot->is.peer = cori_addr_of(peer);
    } else {
        char text[COR_ADDR_TEXT];
        cori_unix_text(peer, peer_len, text, sizeof(text));
        slot->is.path = strcmp(text, "@") != 0 ? strdup(text) : NULL; /* without memory it prints as unnamed */
    }
    return slot;
}

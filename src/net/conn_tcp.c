/* SPDX-License-Identifier: MIT */
/* TCP connections: what is theirs beside fd.c. Also opening a connection of any kind around a socket. */
#include "base/memory.h"
#include "base/sys.h"
#include "net/conn.h"

#include <string.h>

cor_addr cori_tcp_local(cori_slot *slot)
{
    cori_sockaddr local;
    socklen_t len = sizeof(local);
    int rc = cori_sys_getsockname(slot->pollfd.fd, &local.any, &len);
    return rc == 0 ? cori_addr_of(&local) : (cor_addr){.port = 0};
}

void cori_tcp_local_text(cori_slot *slot, char *text, size_t size)
{
    cor_addr addr = cori_tcp_local(slot);
    text[0] = '\0';
    if (addr.ip.family != AF_UNSPEC) {
        cor_addr_text(addr, text, size);
    }
}

void cori_tcp_remote_text(cori_slot *slot, char *text, size_t size)
{
    text[0] = '\0';
    if (slot->is.peer.ip.family != AF_UNSPEC || slot->is.peer.port != 0) {
        cor_addr_text(slot->is.peer, text, size);
    }
}

static const cori_fd_ops tcp = {
    .try_read = cori_fd_receive,
    .try_write = cori_fd_send,
    .local = cori_tcp_local_text,
    .remote = cori_tcp_remote_text,
    .short_read_drains = true,
    .streams = true,
};
const cori_conn_ops cori_tcp_ops = CORI_CONN_ON_FD(&tcp);

static const cori_conn_ops *ops_of(const cori_network *network)
{
    if (network->local) {
        return network->datagram ? &cori_unixgram_ops : network->records ? &cori_unixpacket_ops : &cori_unix_ops;
    }
    if (network->raw) {
        return &cori_raw_ops;
    }
    return network->datagram ? &cori_udp_ops : &cori_tcp_ops;
}

cori_slot *cori_conn_slot(const cori_network *network, int fd, const cori_sockaddr *peer, socklen_t peer_len)
{
    cori_slot *slot = cori_slot_new(CORI_KIND_CONN, ops_of(network));
    if (slot == NULL) {
        cori_sys_close(fd);
        return NULL;
    }
    slot->network = (uint8_t)(network - cori_networks);
    enum cori_fd_kind kind = network->datagram ? CORI_FD_PLAIN : CORI_FD_STREAM;
    cori_fd_open(slot, fd, network->local && !network->datagram ? CORI_FD_SOCKET : kind);
    if (!network->local) {
        slot->is.peer = cori_addr_of(peer);
        slot->family = (uint8_t)peer->any.sa_family;
    } else {
        char text[COR_ADDR_TEXT];
        cori_unix_text(peer, peer_len, text, sizeof(text));
        slot->is.path = strcmp(text, "@") != 0 ? cori_strdup(text) : NULL; /* without memory it prints as unnamed */
    }
    return slot;
}

/* SPDX-License-Identifier: MIT */
/* The kinds of socket connections, and opening one around a descriptor. */
#ifndef CORI_NET_CONN_H
#define CORI_NET_CONN_H

#include "net/fd.h"

extern const cori_conn_ops cori_tcp_ops; /* conn_tcp.c; `peer` is kept: the kernel forgets it when the peer resets */
extern const cori_conn_ops cori_unix_ops, cori_unixpacket_ops, cori_unixgram_ops; /* conn_unix.c */
extern const cori_conn_ops cori_udp_ops, cori_raw_ops;                            /* conn_udp.c */

/* Makes a connection slot around a connected `fd` (taken in every case); NULL: no memory. Unpublished. */
cori_slot *cori_conn_slot(const cori_network *network, int fd, const cori_sockaddr *peer, socklen_t peer_len);

/*
 * Sets up a TCP socket as Go does: no delay, and keep-alive as `keep_alive` has it (option.c). Accepted sockets inherit
 * both from the listener. Each is a preference: a connection works without it, so a refusal is no error.
 */
void cori_tcp_set_up(int fd, const cor_keep_alive *keep_alive);

/* Sets Go's default on a UDP socket: sending to broadcast addresses is allowed. */
void cori_udp_defaults(int fd);

static inline bool cori_is_datagram(const cori_slot *slot)
{
    return slot->ops == &cori_udp_ops || slot->ops == &cori_unixgram_ops || slot->ops == &cori_raw_ops;
}

/* Datagram sockets of every family: read_now and shutdown of their cori_conn_ops; true if there is a peer. */
ssize_t cori_datagram_read_now(cori_slot *slot, void *buf, size_t size);
int cori_datagram_shutdown(cori_slot *slot, int how);
bool cori_datagram_connected(const cori_slot *slot);
/* The kernel's form of where a datagram goes; its length in *len, 0 if it goes to the connected peer. 0 or an error. */
int cori_datagram_name(const cori_slot *slot, const cor_addr *to, cori_sockaddr *name, socklen_t *len);

/* The socket's local end, and its text. */
cor_addr cori_tcp_local(cori_slot *slot);
void cori_tcp_local_text(cori_slot *slot, char *text, size_t size);
void cori_tcp_remote_text(cori_slot *slot, char *text, size_t size); /* "": not connected */
void cori_unix_local_text(cori_slot *slot, char *text, size_t size);

/* Tells the readers of all connections with CORI_HEARS_OF_END. */
void cori_conn_begin_end(void);

/* Makes `to` the address of an error that has its network. */
void cori_error_to(cor_error *error, cor_addr to);
/* Fills *error but for its `where`; error may be NULL. Gives `code` back. */
int cori_error_fill(cor_error *error, const char *op, const char *network, const char *address, int code);

#endif

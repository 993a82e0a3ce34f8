/* SPDX-License-Identifier: MIT */
/* The kinds of descriptor connections, and opening them around a descriptor. */
#ifndef CORI_NET_KINDS_H
#define CORI_NET_KINDS_H

#include "net/fd.h"

/* conn_tcp.c. `peer` is kept, because the kernel forgets it when the peer resets. */
extern const cori_conn_ops cori_tcp_ops;
/* conn_unix.c */
extern const cori_conn_ops cori_unix_ops;
/* listener.c */
extern const cori_conn_ops cori_listener_ops;

/* Makes a connection slot around a connected `fd` (taken in every case); NULL: no memory. Unpublished. */
cori_slot *cori_conn_slot(const cori_network *network, int fd, const cori_sockaddr *peer, socklen_t peer_len);

/*
 * Sets Go's defaults on a TCP socket: no delay, keep-alive 15 s / 15 s. Accepted sockets inherit them from the
 * listener.
 */
void cori_tcp_defaults(int fd);

/* Address text of the socket's local end. */
void cori_tcp_local_text(cori_slot *slot, char *text, size_t size);
void cori_unix_local_text(cori_slot *slot, char *text, size_t size);
ssize_t cori_socket_receive(cori_slot *slot, void *buf, size_t size);
ssize_t cori_socket_send(cori_slot *slot, const void *buf, size_t size);

/* Fills *error but for its `where`; error may be NULL. Gives `code` back. */
int cori_error_fill(cor_error *error, const char *op, const char *network, const char *address, int code);

/* What cor_listener_on_pause has set. */
typedef struct cori_on_pause {
    void (*told)(int code, int64_t pause_ns, void *arg); /* NULL: nothing */
    void *arg;
} cori_on_pause;

/* listener.c: for cor_serve. */
cori_on_pause cori_listener_on_pause(cor_listener *listener);
/*
 * listener.c: a second handle on the same listening socket, closed together with the first; for accepting on another
 * worker.
 */
int cori_listener_clone(cor_listener *listener, cor_listener **out);
/* Closes such a handle alone; nothing to do if the listener is closed, whose closer closes all. */
void cori_listener_drop_clone(cor_listener *listener, cor_listener *clone);

#endif

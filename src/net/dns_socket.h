/* SPDX-License-Identifier: MIT */
/* The sockets of c-ares: what it does with them goes through base/sys.h, which tests can make fail. */
#ifndef CORI_NET_DNS_SOCKET_H
#define CORI_NET_DNS_SOCKET_H

#include "net/addr.h"

#include <ares.h>

/* What the sockets of a channel have in common; their functions' last argument. */
typedef struct cori_dns_wire {
    cori_sockaddr source; /* the server whose bytes were received last */
    bool trust_ad;        /* questions say that the server may tell whether it has verified the answer */
} cori_dns_wire;

extern const struct ares_socket_functions cori_dns_sockets;

#endif

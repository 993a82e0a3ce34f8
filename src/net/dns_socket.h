/* SPDX-License-Identifier: MIT */
/* The sockets of c-ares: what it does with them goes through base/sys.h, which tests can make fail. */
#ifndef CORI_NET_DNS_SOCKET_H
#define CORI_NET_DNS_SOCKET_H

#include "net/addr.h"

#include <ares.h>

/* Their last argument is a cori_sockaddr: the server whose bytes were received last. */
extern const struct ares_socket_functions cori_dns_sockets;

#endif

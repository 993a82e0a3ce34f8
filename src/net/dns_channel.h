/* SPDX-License-Identifier: MIT */
/* A channel of c-ares as resolv.conf wants it, and its words for what went wrong: see dns_channel.c. */
#ifndef CORI_NET_DNS_CHANNEL_H
#define CORI_NET_DNS_CHANNEL_H

#include "net/dns_socket.h"
#include "net/resolv_conf.h"

/*
 * Opens a channel. `wanted(arg, ...)` hears which sockets c-ares waits for; `wire` stays with the sockets. 0 and *out;
 * or an error, and *out is NULL.
 */
int cori_dns_channel_open(ares_channel *out, cori_resolv_conf *says, ares_sock_state_cb wanted, void *arg,
                          cori_dns_wire *wire);

/* A status of c-ares that is no success, as an error of a lookup. */
int cori_dns_code(int status);

#endif

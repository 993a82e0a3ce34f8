/* SPDX-License-Identifier: MIT */
/*
 * Addresses as the command line takes them: "host:port", ":port", "[::1]:port", or "NETWORK://..." for another network.
 */
#ifndef CORACLE_CMD_ADDRESS_H
#define CORACLE_CMD_ADDRESS_H

#include <coracle/net.h>
#include <stdbool.h>
#include <stddef.h>

/* One address in the two parts that the library takes. */
typedef struct address {
    char network[16];
    const char *text; /* borrowed: points into what was split */
} address;

/* Splits; without "NETWORK://" the network is tcp. Nothing is checked: judging the parts is the library's. */
address address_split(const char *text);

/*
 * Splits an address for operators: without a host it is the loopback's, not all interfaces' as elsewhere, and a port
 * alone will do. Those have to be written out ("0.0.0.0:9100", "[::]:9100"). `text` is for the result's text if that is
 * not the given one. Nothing is checked.
 */
address address_of_admin(const char *given, char *text, size_t size);

/* Whether the network is one of datagrams; and whether it is one of bare IP, "ip:icmp". */
bool address_is_packets(const address *of);
bool address_is_raw_ip(const address *of);

/* Whether a listener can be reached from other hosts. */
bool address_is_public(cor_listener *listener);

/* Dials as cor_dial_until does, but networks of streams only: what the commands say and hear has no edges. */
int address_dial(cor_conn **out, const address *to, int64_t deadline, cor_error *error);

/*
 * Writes the address a client on this machine would dial to reach a listener bound to `bound` on `network`: a wildcard
 * becomes the loopback address, a network other than tcp is written in front. Returns `text`.
 */
char *address_to_dial(const char *network, const char *bound, char *text, size_t size);

/*
 * Writes the arguments that make nc talk to it: "127.0.0.1 5000", "-u 127.0.0.1 5000", "-U /run/x.sock". Returns
 * `text`.
 */
char *address_for_nc(const char *network, const char *bound, char *text, size_t size);

#endif

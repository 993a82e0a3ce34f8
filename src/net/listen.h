/* SPDX-License-Identifier: MIT */
/* Making sockets that others reach by an address: listening ones, and those for packets. */
#ifndef CORI_NET_LISTEN_H
#define CORI_NET_LISTEN_H

#include "base/sys.h"
#include "net/addr.h"

#include <coracle/net.h>

/*
 * A socket that listens: its descriptor, or a negative code with error->address and error->where filled. *file is the
 * socket file that was made. `with` is complete. Parks for a moment while the address is in use.
 */
int cori_listen_socket(const cori_network *network, const char *address, const cor_listen_options *with,
                       cori_file_id *file, cor_error *error);

/* A bound datagram socket: its descriptor, or a negative code as above. */
int cori_packet_socket(const cori_network *network, int protocol, const char *address, const cor_listen_options *with,
                       cor_error *error);

/* What the caller's struct says, as far as it reaches: 0, or -EINVAL. */
int cori_listen_options_of(const cor_listen_options *given, cor_listen_options *complete);

#endif

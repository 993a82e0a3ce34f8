/* SPDX-License-Identifier: MIT */
/* Making listening sockets. */
#ifndef CORI_NET_LISTEN_H
#define CORI_NET_LISTEN_H

#include "net/addr.h"

/* A socket that listens: its descriptor, or a negative code with error->address and error->where filled. */
int cori_listen_socket(const cori_network *network, const char *address, cor_error *error);

#endif

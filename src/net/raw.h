/* SPDX-License-Identifier: MIT */
/* Sockets that come from elsewhere. */
#ifndef CORI_NET_RAW_H
#define CORI_NET_RAW_H

#include "net/addr.h"

#include <coracle/fd.h>

/* The network of a socket, of those that there are: 0 and *network, -EOPNOTSUPP, or another error. */
int cori_fd_network(int fd, const cori_network **network);

#endif

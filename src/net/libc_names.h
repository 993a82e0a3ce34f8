/* SPDX-License-Identifier: MIT */
/* Addresses of hosts as the C library finds them: see libc_names.c. */
#ifndef CORI_NET_LIBC_NAMES_H
#define CORI_NET_LIBC_NAMES_H

#include "net/addr.h"

/* Whether the C library is to be asked in place of files and name servers: COR_RESOLVER=libc. */
bool cori_libc_wanted(void);

/*
 * The addresses of a host of `family` (AF_UNSPEC: both), in the C library's order: their number and the caller's own
 * *list, to be freed; or an error of cor_lookup_host, -EAGAIN where no thread can be started. Parks. Tasks only.
 */
int cori_libc_lookup(const char *host, int family, int64_t deadline, cor_addr **list);

#endif

/* SPDX-License-Identifier: MIT */
/* What files say about names: see hosts.c. */
#ifndef CORI_NET_HOSTS_H
#define CORI_NET_HOSTS_H

#include "net/addr.h"

/* Whether a word of the file and a name, which may have a last dot, are one. */
bool cori_same_host(const char *word, const char *name);

/*
 * The names of an address in the file's order, one after the other in `text`, each with its NUL; those with a dot get a
 * last one. Their number; what does not fit is left out.
 */
int cori_hosts_names(const char *file, const cor_addr *addr, char *text, size_t size);

/* The first name of the line that names `name`, with its last dot; false: there is none. */
bool cori_hosts_canonical(const char *file, const char *name, char *text, size_t size);

#endif

/* SPDX-License-Identifier: MIT */
/* What files say about names: see hosts.c. */
#ifndef CORI_NET_HOSTS_H
#define CORI_NET_HOSTS_H

#include "net/addr.h"

/* What tells that a file has changed. */
typedef struct cori_file_stamp {
    uint64_t inode; /* all 0: no such file */
    int64_t size, changed_ns;
} cori_file_stamp;

cori_file_stamp cori_file_stamp_of(const char *path);
bool cori_file_stamp_same(const cori_file_stamp *a, const cori_file_stamp *b);

/* How long after a look at hosts or resolv.conf the next one comes; tests shorten it. */
extern int64_t cori_files_check_ns;

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

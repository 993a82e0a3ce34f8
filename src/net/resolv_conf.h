/* SPDX-License-Identifier: MIT */
/* What /etc/resolv.conf says, with Go's rules. */
#ifndef CORI_NET_RESOLV_CONF_H
#define CORI_NET_RESOLV_CONF_H

#include <stdbool.h>

enum { CORI_RESOLV_SERVERS = 3, CORI_RESOLV_DOMAINS = 6, CORI_RESOLV_TEXT = 512 };

typedef struct cori_resolv_conf {
    char servers[CORI_RESOLV_TEXT];     /* separated by commas */
    char search[CORI_RESOLV_TEXT];      /* one after the other, each with its NUL */
    char *domains[CORI_RESOLV_DOMAINS]; /* in `search` */
    int domain_count;
    int ndots, timeout_s, attempts;
    bool rotate, use_tcp;
    bool single_request; /* IPv4 is asked for, and then IPv6 */
    bool trust_ad, no_reload;
} cori_resolv_conf;

/* Reads the file; one that cannot be read names the servers of this host, as in Go. */
void cori_resolv_read(const char *path, cori_resolv_conf *out);

/* The same, but a file that once said no-reload is not read again: what it said then is what it says. Any thread. */
void cori_resolv_take(const char *path, cori_resolv_conf *out);

#endif

/* SPDX-License-Identifier: MIT */
/* Asking name servers for the addresses of a host: see dns.c. */
#ifndef CORI_NET_DNS_H
#define CORI_NET_DNS_H

#include "net/addr.h"

#include <stdint.h>

/* Which addresses are asked for. */
enum cori_dns_family { CORI_DNS_ANY, CORI_DNS_V4, CORI_DNS_V6 };

typedef struct cori_dns_question {
    const char *name;
    enum cori_dns_family family;
    int64_t deadline; /* absolute; 0: none */
} cori_dns_question;

/*
 * Asks for the addresses of a name, in the order of RFC 6724: their number, or COR_ENO_SUCH_HOST, COR_ETIMEOUT,
 * COR_ECANCELED, COR_ESERVER_MISBEHAVING, COR_EBAD_ANSWER, -errno. Parks. Tasks only.
 */
int cori_dns_lookup(const cori_dns_question *question, cor_addr *list, int max);

#endif

/* SPDX-License-Identifier: MIT */
/* Asking name servers for the addresses of a host, or for other records: see dns.c. */
#ifndef CORI_NET_DNS_H
#define CORI_NET_DNS_H

#include "net/addr.h"

#include <stdint.h>

/* Types of records, by their numbers in messages. */
enum cori_dns_type {
    CORI_DNS_ANY = 0, /* of questions for addresses only: A and AAAA */
    CORI_DNS_A = 1,
    CORI_DNS_NS = 2,
    CORI_DNS_CNAME = 5,
    CORI_DNS_PTR = 12,
    CORI_DNS_MX = 15,
    CORI_DNS_TXT = 16,
    CORI_DNS_AAAA = 28,
    CORI_DNS_SRV = 33
};

typedef struct cori_dns_question {
    const char *name;
    enum cori_dns_type type;
    bool whole;       /* the message is wanted, not addresses */
    int64_t deadline; /* absolute; 0: none */
} cori_dns_question;

typedef struct cori_dns_answer {
    cor_addr server; /* the one that answered last; its family is 0 if none did, or several waited for no answer */
    cor_addr *list;  /* what a question for addresses gets; the caller's, to be freed */
    unsigned char *message; /* what a question for the whole of it gets; likewise */
    size_t size_bytes;
} cori_dns_answer;

#if COR_HAVE_CARES
/*
 * Asks for the addresses of a name, in the order of RFC 6724: their number, or COR_ENO_SUCH_HOST, COR_ETIMEOUT,
 * COR_ECANCELED, COR_ESERVER_MISBEHAVING, COR_EBAD_ANSWER, -errno. A question for the whole message has the result 1,
 * or the same errors. Parks. Tasks only.
 */
int cori_dns_lookup(const cori_dns_question *question, cori_dns_answer *answer);
#else
static inline int cori_dns_lookup(const cori_dns_question *question, cori_dns_answer *answer)
{
    (void)question;
    *answer = (cori_dns_answer){0};
    return COR_ENO_SUCH_HOST;
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/* Reading messages of name servers: see message.c. */
#ifndef CORI_NET_MESSAGE_H
#define CORI_NET_MESSAGE_H

#include "net/dns.h"

#include <coracle/lookup.h>

/*
 * Takes the records of a type out of a message: 0 and *out, the caller's, in the message's order; COR_ENO_SUCH_HOST if
 * there are none, COR_EBAD_ANSWER, -ENOMEM. For CORI_DNS_CNAME there is no record, only the name after all aliases; a
 * message without a record of any kind is COR_ENO_SUCH_HOST then.
 */
int cori_message_records(const unsigned char *message, size_t size, enum cori_dns_type type, cor_records **out);

/* resolve.c: Go's rule for names that are worth asking for, and may be answers: not one of digits and dots alone. */
bool cori_is_domain_name(const char *name);

#endif

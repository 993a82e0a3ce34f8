/* SPDX-License-Identifier: MIT */
/* Writing and reading IP addresses: what the texts of addresses, prefixes and endpoints have in common. */
#ifndef CORI_NET_IP_H
#define CORI_NET_IP_H

#include <coracle/addr.h>

/* Writes the digits of `value`, of base 10 or 16 (lower case), or an address, without a NUL; gives the end. */
char *cori_put_number(char *to, uint32_t value, uint32_t base);
char *cori_put_ip(char *to, const cor_ip *ip);

/* Copies `length` bytes to `text` with a NUL, cut at `size`; gives `text`. */
char *cori_put_text(char *text, size_t size, const char *from, size_t length);

/* Reads bytes as they are written, IPv4-mapped ones too: "::ffff:1.2.3.4" gives 16. */
bool cori_ip_read(cor_ip *out, int family, const char *text);

/* Whether the first `bits` bits are those of `prefix`. */
bool cori_begins_with(const uint8_t *bytes, const uint8_t *prefix, unsigned bits);

#endif

/* SPDX-License-Identifier: MIT */
/* Blocks of addresses: "192.0.2.0/24". A mask is always its number of bits; others have no use since CIDR. */
#include "net/ip.h"

#include <arpa/inet.h>
#include <coracle/error.h>
#include <string.h>

enum { MAPPED_BITS = 96 };

static unsigned bits_of(const cor_ip *ip)
{
    return ip->family == AF_INET ? 32 : ip->family == AF_INET6 ? 128 : 0;
}

cor_prefix cor_prefix_masked(cor_prefix prefix)
{
    unsigned size = bits_of(&prefix.ip), kept = prefix.bits / 8;
    if (size == 0 || prefix.bits > size) {
        return (cor_prefix){.bits = 0};
    }
    for (unsigned i = kept; i < size / 8; i++) {
        prefix.ip.bytes[i] &= i == kept ? (uint8_t)(0xff00U >> prefix.bits % 8) : 0;
    }
    return prefix;
}

bool cor_prefix_contains(cor_prefix prefix, cor_ip ip)
{
    return ip.family == prefix.ip.family && prefix.bits <= bits_of(&ip) && ip.family != AF_UNSPEC &&
           cori_begins_with(ip.bytes, prefix.ip.bytes, prefix.bits);
}

/* Digits only, at least one; more than `limit` is invalid. */
static bool read_bits(const char *text, unsigned limit, uint8_t *out)
{
    unsigned value = 0;
    const char *digit = text;
    for (; *digit >= '0' && *digit <= '9' && value <= limit; digit++) {
        value = value * 10 + (unsigned)(*digit - '0');
    }
    *out = (uint8_t)value;
    return digit != text && *digit == '\0' && value <= limit;
}

int cor_prefix_parse(cor_prefix *out, const char *text)
{
    char address[INET6_ADDRSTRLEN];
    cor_prefix prefix;
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : sizeof(address);
    if (length >= sizeof(address)) {
        return COR_EINVALID_CIDR;
    }
    memcpy(address, text, length);
    address[length] = '\0';
    if ((!cori_ip_read(&prefix.ip, AF_INET, address) && !cori_ip_read(&prefix.ip, AF_INET6, address)) ||
        !read_bits(slash + 1, bits_of(&prefix.ip), &prefix.bits)) {
        return COR_EINVALID_CIDR;
    }
    cor_ip kept = cor_ip_of(prefix.ip.bytes, bits_of(&prefix.ip) / 8);
    if (kept.family == prefix.ip.family) {
        *out = prefix;
    } else if (prefix.bits >= MAPPED_BITS) {
        *out = (cor_prefix){kept, (uint8_t)(prefix.bits - MAPPED_BITS)};
    } else {
        *out = cor_prefix_masked(prefix); /* no longer mapped */
    }
    return 0;
}

char *cor_prefix_text(cor_prefix prefix, char *text, size_t size)
{
    char form[INET6_ADDRSTRLEN + sizeof("/128")];
    char *to = cori_put_ip(form, &prefix.ip);
    if (bits_of(&prefix.ip) != 0) {
        *to++ = '/';
        to = cori_put_number(to, prefix.bits, 10);
    }
    return cori_put_text(text, size, form, (size_t)(to - form));
}

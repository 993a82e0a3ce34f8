/* SPDX-License-Identifier: MIT */
/*
 * IP addresses as values.
 *
 * An address has one form: IPv4-mapped IPv6 becomes IPv4 wherever a value is made, and the bytes that a family does
 * not use are zero. Comparing is therefore comparing bytes, and nothing needs to ask which form it was given.
 *
 * Texts are written by hand: every server that logs its clients writes one for each of them, and libc's way takes 3,000
 * instructions. They are read by libc, which is as strict as Go: exactly four decimal parts without leading zeros, at
 * most four digits in a group.
 */
#include "net/ip.h"

#include <arpa/inet.h>
#include <coracle/error.h>
#include <string.h>

_Static_assert(AF_INET < AF_INET6 && AF_INET6 <= UINT8_MAX, "no address comes first, then IPv4, then IPv6");
_Static_assert(sizeof(cor_ip) == 17, "compared as bytes");

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

cor_ip cor_ip_of(const void *bytes, size_t size)
{
    cor_ip ip = {.family = AF_UNSPEC};
    if (size == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return cor_ip_of((const uint8_t *)bytes + sizeof(mapped), 4);
    }
    if (size == 4 || size == 16) {
        ip.family = size == 4 ? AF_INET : AF_INET6;
        memcpy(ip.bytes, bytes, size);
    }
    return ip;
}

bool cori_ip_read(cor_ip *out, int family, const char *text)
{
    cor_ip ip = {.family = (uint8_t)family};
    if (inet_pton(family, text, ip.bytes) != 1) {
        return false;
    }
    *out = ip;
    return true;
}

int cor_ip_parse(cor_ip *out, const char *text)
{
    cor_ip ip;
    if (cori_ip_read(&ip, AF_INET, text)) {
        *out = ip;
    } else if (cori_ip_read(&ip, AF_INET6, text)) {
        *out = cor_ip_of(ip.bytes, sizeof(ip.bytes));
    } else {
        return COR_EINVALID_IP;
    }
    return 0;
}

char *cori_put_number(char *to, uint32_t value, uint32_t base)
{
    size_t size = 1;
    for (uint32_t left = value; left >= base; left /= base) {
        size++;
    }
    for (size_t i = size; i > 0; i--) {
        to[i - 1] = "0123456789abcdef"[value % base];
        value /= base;
    }
    return to + size;
}

static char *put_ipv4(char *to, const uint8_t *ip)
{
    for (int i = 0; i < 4; i++) {
        to = cori_put_number(to, ip[i], 10);
        *to++ = '.';
    }
    return to - 1;
}

/* The longest run of zero groups, the first of them if there are several; *length is less than 2 if there is none. */
static int longest_zeros(const uint8_t *ip, int *length)
{
    int best = 0, run = 0;
    *length = 0;
    for (int i = 0; i < 8; i++) {
        run = ip[2 * i] == 0 && ip[2 * i + 1] == 0 ? run + 1 : 0;
        if (run > *length) {
            *length = run;
            best = i + 1 - run;
        }
    }
    return best;
}

/* RFC 5952, as Go has it: two zero groups or more become "::", and no address is written with an IPv4 part. */
static char *put_ipv6(char *to, const uint8_t *ip)
{
    int zeros;
    int first = longest_zeros(ip, &zeros);
    for (int i = 0; i < 8; i++) {
        if (zeros >= 2 && i == first) {
            to = i == 0 ? mempcpy(to, "::", 2) : mempcpy(to, ":", 1);
            i += zeros - 1;
        } else {
            to = cori_put_number(to, (uint32_t)ip[2 * i] << 8 | ip[2 * i + 1], 16);
            *to++ = ':';
        }
    }
    return zeros >= 2 && first + zeros == 8 ? to : to - 1;
}

char *cori_put_ip(char *to, const cor_ip *ip)
{
    switch (ip->family) {
    case AF_INET:
        return put_ipv4(to, ip->bytes);
    case AF_INET6:
        return put_ipv6(to, ip->bytes);
    default:
        return mempcpy(to, "<nil>", 5);
    }
}

char *cori_put_text(char *text, size_t size, const char *from, size_t length)
{
    if (size > 0) {
        length = length < size ? length : size - 1;
        memcpy(text, from, length);
        text[length] = '\0';
    }
    return text;
}

char *cor_ip_text(cor_ip ip, char *text, size_t size)
{
    char form[INET6_ADDRSTRLEN];
    return cori_put_text(text, size, form, (size_t)(cori_put_ip(form, &ip) - form));
}

int cor_ip_compare(cor_ip a, cor_ip b)
{
    int order = memcmp(&a, &b, sizeof(a));
    return (order > 0) - (order < 0);
}

bool cori_begins_with(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(bytes, prefix, whole) == 0 && (rest == 0 || (bytes[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

/* A block of addresses and what they are. */
typedef struct block {
    uint8_t bytes[4];
    uint8_t bits;
    uint16_t traits;
} block;

static const block blocks4[] = {
    {{0}, 32, COR_IP_UNSPECIFIED},
    {{127}, 8, COR_IP_LOOPBACK},
    {{10}, 8, COR_IP_PRIVATE},
    {{172, 16}, 12, COR_IP_PRIVATE},
    {{192, 168}, 16, COR_IP_PRIVATE},
    {{224}, 4, COR_IP_MULTICAST},
    {{224, 0, 0}, 24, COR_IP_LINK_LOCAL_MULTICAST},
    {{169, 254}, 16, COR_IP_LINK_LOCAL},
    {{255, 255, 255, 255}, 32, COR_IP_BROADCAST},
};

static const block blocks6[] = {
    {{0xfc}, 7, COR_IP_PRIVATE},
    {{0xff}, 8, COR_IP_MULTICAST},
    {{0xfe, 0x80}, 10, COR_IP_LINK_LOCAL},
};

static unsigned traits_of(const block *blocks, size_t count, const uint8_t *bytes)
{
    unsigned traits = 0;
    for (size_t i = 0; i < count; i++) {
        traits |= cori_begins_with(bytes, blocks[i].bytes, blocks[i].bits) ? blocks[i].traits : 0;
    }
    return traits;
}

/* The two single addresses, and the scope that a multicast address has in its second byte. */
static unsigned more_traits6(const uint8_t *ip)
{
    static const uint8_t zeros[15];
    if (memcmp(ip, zeros, sizeof(zeros)) == 0) {
        return ip[15] == 0 ? COR_IP_UNSPECIFIED : ip[15] == 1 ? COR_IP_LOOPBACK : 0;
    }
    unsigned scope = ip[0] == 0xff ? ip[1] & 0x0f : 0;
    return scope == 1 ? COR_IP_INTERFACE_LOCAL_MULTICAST : scope == 2 ? COR_IP_LINK_LOCAL_MULTICAST : 0;
}

unsigned cor_ip_traits(cor_ip ip)
{
    const unsigned not_global =
        COR_IP_UNSPECIFIED | COR_IP_LOOPBACK | COR_IP_MULTICAST | COR_IP_LINK_LOCAL | COR_IP_BROADCAST;
    unsigned traits;
    if (ip.family == AF_INET) {
        traits = traits_of(blocks4, sizeof(blocks4) / sizeof(blocks4[0]), ip.bytes);
    } else if (ip.family == AF_INET6) {
        traits = traits_of(blocks6, sizeof(blocks6) / sizeof(blocks6[0]), ip.bytes) | more_traits6(ip.bytes);
    } else {
        return 0;
    }
    return (traits & not_global) != 0 ? traits : traits | COR_IP_GLOBAL;
}

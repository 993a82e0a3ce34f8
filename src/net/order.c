/* SPDX-License-Identifier: MIT */
/*
 * The order in which the addresses of a host are tried: RFC 6724, section 6, with the rules that Go has.
 *
 *      1   what can be reached at all comes first
 *      2   then what has the scope of the source from which it would be reached
 *      5   then what has the source's label
 *      6   then by precedence, the higher first
 *      8   then by scope, the smaller first
 *      9   then, for IPv6, by how much of the first 64 bits is the source's
 *      10  then as they were
 *
 * 3, 4 and 7 need what the kernel does not tell, or tells by its choice of the source: deprecated addresses, home
 * addresses, tunnels. Each rule compares one property of an address and its source with those of another, so all of
 * them together are a number, made once per address. What cannot be reached has the highest, whatever else it is.
 *
 * The source is what the kernel gives a datagram socket that is connected to the address; nothing is sent. An answer
 * may have thousands of addresses, and the order is made on the worker's time: of each family CORI_ORDER_SOURCES are
 * asked about, and the others are taken to be reached from where the last of those was.
 */
#include "net/order.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/sys.h"
#include "net/addr.h"

#include <stdlib.h>
#include <string.h>

enum { SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14, NEAR_BITS = 64, UNREACHABLE = 1 << 30 };

/* The policies of RFC 6724, section 2.1, longest prefix first: the first that fits is an address's. */
typedef struct policy {
    uint8_t prefix[16];
    uint8_t bits, precedence, label;
} policy;

static const policy policies[] = {
    {{[15] = 1}, 128, 50, 0},                /* ::1 */
    {{[10] = 0xff, [11] = 0xff}, 96, 35, 4}, /* IPv4 */
    {{0}, 96, 1, 3},                         /* IPv4-compatible */
    {{0x20, 0x01, 0, 0}, 32, 5, 5},          /* Teredo */
    {{0x20, 0x02}, 16, 30, 2},               /* 6to4 */
    {{0x3f, 0xfe}, 16, 1, 12},               /* 6bone */
    {{0xfe, 0xc0}, 10, 1, 11},               /* site-local */
    {{0xfc}, 7, 3, 13},                      /* unique local */
    {{0}, 0, 40, 1},                         /* all others */
};

static const policy *policy_of(const cor_ip *ip)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(ip->family == AF_INET ? bytes + 12 : bytes, ip->bytes, ip->family == AF_INET ? 4 : 16);
    const policy *one = policies;
    while (!cori_begins_with(bytes, one->prefix, one->bits)) {
        one++;
    }
    return one;
}

static uint32_t scope_of(const cor_ip *ip)
{
    unsigned traits = cor_ip_traits(*ip);
    if ((traits & (COR_IP_LOOPBACK | COR_IP_LINK_LOCAL)) != 0) {
        return SCOPE_LINK;
    }
    if (ip->family == AF_INET6 && (traits & COR_IP_MULTICAST) != 0) {
        return ip->bytes[1] & 15U;
    }
    bool site = ip->family == AF_INET6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0U) == 0xc0;
    return site ? SCOPE_SITE : SCOPE_GLOBAL;
}

/* How many of the first bits are the same. */
static uint32_t common_bits(const cor_ip *a, const cor_ip *b)
{
    uint32_t bits = 0;
    while (bits < NEAR_BITS && cori_begins_with(a->bytes, b->bytes, bits + 1)) {
        bits++;
    }
    return bits;
}

uint32_t cori_order_key(const cor_ip *to, const cor_ip *source)
{
    if (source->family == 0) {
        return UNREACHABLE;
    }
    const policy *own = policy_of(to);
    uint32_t scope = scope_of(to);
    uint32_t near = to->family == AF_INET6 && source->family == AF_INET6 ? common_bits(to, source) : 0;
    uint32_t key = scope != scope_of(source);
    key = key << 1U | (own->label != policy_of(source)->label);
    key = key << 8U | (255U - own->precedence);
    key = key << 4U | scope;
    return key << 7U | (NEAR_BITS - near);
}

/* From where the kernel would send to an address; family 0: nowhere. */
static cor_ip source_of(int fd, const cor_addr *to)
{
    const struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    cori_sockaddr target, source = {0};
    cor_addr discard = *to;
    discard.port = 9; /* any but 0 */
    socklen_t len = cori_addr_to_sockaddr(&discard, to->ip.family, &target), source_len = sizeof(source);
    (void)cori_sys_connect(fd, &nothing, sizeof(nothing)); /* or the last source would be the next one's, too */
    if (fd < 0 || cori_sys_connect(fd, &target.any, len) < 0 ||
        cori_sys_getsockname(fd, &source.any, &source_len) < 0) {
        return (cor_ip){0};
    }
    return cori_addr_of(&source).ip;
}

typedef struct ranked {
    uint32_t key;
    int index;
    cor_addr addr;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *left = a, *right = b;
    return left->key != right->key ? (left->key > right->key) - (left->key < right->key) : left->index - right->index;
}

/* Gives the addresses of one family their keys. */
static void rank(ranked *list, int count, int family)
{
    int asked = 0, fd = -1;
    cor_ip source = {0};
    for (int i = 0; i < count; i++) {
        if (list[i].addr.ip.family == family) {
            if (asked == 0) {
                fd = cori_sys_socket(family, SOCK_DGRAM, 0);
            }
            source = asked++ < CORI_ORDER_SOURCES ? source_of(fd, &list[i].addr) : source;
            list[i].key = cori_order_key(&list[i].addr.ip, &source);
        }
    }
    if (fd >= 0) {
        cori_sys_close(fd);
    }
}

void cori_order(cor_addr *list, int count)
{
    ranked *all = count > 1 ? cori_malloc((size_t)count * sizeof(*all)) : NULL;
    if (all == NULL) {
        return;
    }
    for (int i = 0; i < count; i++) {
        all[i] = (ranked){.index = i, .addr = list[i]};
    }
    rank(all, count, AF_INET);
    rank(all, count, AF_INET6);
    qsort(all, (size_t)count, sizeof(*all), by_key);
    for (int i = 0; i < count; i++) {
        list[i] = all[i].addr;
    }
    free(all);
}

/* SPDX-License-Identifier: MIT */
/* The texts of address.h's tables: who has which address, and how long the way is. */
#include "sim/address.h"

#include "sim/event.h"

#include <arpa/inet.h>
#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LOOPBACK_NS = 5000, LATENCY_NS = 200000, JITTER_NS = 100000, DELAY_MOST_NS = 50000000 };
enum { QUEUE_BYTES = 256 * 1024, SENT_AGAIN_MOST = 6, NARROWEST_BYTES_PER_S = 8 * 1024, PER_MILLION = 1000000 };
#define SENT_AGAIN_NS (200 * COR_MILLISECOND)

typedef struct known_host {
    char name[64];
    cori_sim_address address; /* family 0: loopback only */
    bool down;
    int accept_code, accepts_to_fail;
} known_host;

static known_host hosts[CORI_SIM_HOSTS_MAX];
static int host_count;
static cori_sim_link links[CORI_SIM_HOSTS_MAX][CORI_SIM_HOSTS_MAX];

static void map_ipv4(struct in6_addr *out, const void *ip)
{
    memset(out, 0, sizeof(*out));
    out->s6_addr[10] = out->s6_addr[11] = 0xff;
    memcpy(&out->s6_addr[12], ip, 4);
}

bool cori_sim_address_from(cori_sim_address *out, const struct sockaddr *addr, socklen_t len)
{
    *out = (cori_sim_address){.family = addr->sa_family};
    if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const void *)addr;
        map_ipv4(&out->ip, &in->sin_addr);
        out->port = ntohs(in->sin_port);
        return true;
    }
    if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const void *)addr;
        out->ip = in->sin6_addr;
        out->port = ntohs(in->sin6_port);
        return true;
    }
    size_t head = offsetof(struct sockaddr_un, sun_path);
    if (addr->sa_family == AF_UNIX && len >= head && len - head <= sizeof(out->path)) {
        out->path_len = (socklen_t)(len - head);
        memcpy(out->path, ((const struct sockaddr_un *)(const void *)addr)->sun_path, out->path_len);
        if (out->path_len > 0 && out->path[0] != '\0') { /* a path ends where its text does */
            out->path_len = (socklen_t)strnlen(out->path, out->path_len);
        }
        return true;
    }
    return false;
}

void cori_sim_address_to(const cori_sim_address *from, int family, struct sockaddr *addr, socklen_t *len)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } text;
    memset(&text, 0, sizeof(text));
    socklen_t size = sizeof(text.in);
    text.any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        text.in.sin_port = htons(from->port);
        memcpy(&text.in.sin_addr, &from->ip.s6_addr[12], 4);
    } else if (family == AF_INET6) {
        size = sizeof(text.in6);
        text.in6.sin6_port = htons(from->port);
        text.in6.sin6_addr = from->ip;
    } else {
        memcpy(text.un.sun_path, from->path, from->path_len);
        size = (socklen_t)offsetof(struct sockaddr_un, sun_path) + from->path_len +
               (from->path_len > 0 && from->path[0] != '\0' ? 1 : 0);
    }
    memcpy(addr, &text, size < *len ? size : *len);
    *len = size;
}

void cori_sim_address_text(const cori_sim_address *address, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN];
    if (address->family == 0) {
        (void)snprintf(text, size, "-");
    } else if (address->family == AF_UNIX) {
        bool abstract = address->path_len > 0 && address->path[0] == '\0';
        (void)snprintf(text, size, "%s%.*s", abstract ? "@" : "", (int)address->path_len - abstract,
                       address->path + abstract);
    } else if (IN6_IS_ADDR_V4MAPPED(&address->ip)) {
        (void)inet_ntop(AF_INET, &address->ip.s6_addr[12], ip, sizeof(ip));
        (void)snprintf(text, size, "%s:%u", ip, address->port);
    } else {
        (void)inet_ntop(AF_INET6, &address->ip, ip, sizeof(ip));
        (void)snprintf(text, size, "[%s]:%u", ip, address->port);
    }
}

bool cori_sim_address_is_any(const cori_sim_address *address)
{
    static const struct in6_addr any4 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    return memcmp(&address->ip, &in6addr_any, sizeof(any4)) == 0 || memcmp(&address->ip, &any4, sizeof(any4)) == 0;
}

static bool is_loopback(const cori_sim_address *address)
{
    return memcmp(&address->ip, &in6addr_loopback, sizeof(address->ip)) == 0 ||
           (IN6_IS_ADDR_V4MAPPED(&address->ip) && address->ip.s6_addr[12] == 127);
}

bool cori_sim_address_same_ip(const cori_sim_address *a, const cori_sim_address *b)
{
    if ((a->family == AF_UNIX) != (b->family == AF_UNIX)) {
        return false;
    }
    return a->family == AF_UNIX ? a->path_len == b->path_len && memcmp(a->path, b->path, a->path_len) == 0
                                : memcmp(&a->ip, &b->ip, sizeof(a->ip)) == 0;
}

void cori_sim_hosts_begin(void)
{
    hosts[0] = (known_host){.name = "main"};
    host_count = 1;
    links[0][0] = (cori_sim_link){.is.latency_ns = LOOPBACK_NS}; /* the others: when their hosts are added */
}

/* The usual link, or, where the seed has it, a narrow one or one that loses. */
static cori_sim_link new_link(void)
{
    cori_sim_link link = {.is = {.latency_ns = LATENCY_NS, .jitter_ns = JITTER_NS}};
    if (cori_sim_strength(CORI_SIM_NARROW) != 0 && cori_sim_more_below(2) == 0) {
        link.is.bytes_per_s = (uint64_t)NARROWEST_BYTES_PER_S << cori_sim_more_below(11);
    }
    if (cori_sim_strength(CORI_SIM_LOSSY) != 0 && cori_sim_more_below(2) == 0) {
        link.is.lost_per_million = PER_MILLION / (2 * cori_sim_strength(CORI_SIM_LOSSY));
    }
    return link;
}

int cori_sim_host_add(const char *name, const cori_sim_address *address)
{
    if (host_count == CORI_SIM_HOSTS_MAX || strlen(name) >= sizeof(hosts->name)) {
        return -ENOSPC;
    }
    if (cori_sim_host_of(0, address) >= 0) {
        return -EEXIST;
    }
    known_host *added = &hosts[host_count];
    *added = (known_host){0};
    (void)snprintf(added->name, sizeof(added->name), "%s", name);
    added->address = *address;
    for (int i = 0; i <= host_count; i++) {
        links[i][host_count] = links[host_count][i] = new_link();
    }
    links[host_count][host_count] = (cori_sim_link){.is.latency_ns = LOOPBACK_NS};
    return host_count++;
}

int cori_sim_host_count(void)
{
    return host_count;
}

const char *cori_sim_host_name(uint16_t host)
{
    return hosts[host].name;
}

void cori_sim_host_set_down(uint16_t host, bool down)
{
    hosts[host].down = down;
}

bool cori_sim_host_is_down(uint16_t host)
{
    return hosts[host].down;
}

bool cori_sim_is_cut(uint16_t from, uint16_t to)
{
    return links[from][to].cut || hosts[to].down;
}

bool cori_sim_same_name(const char *a, const char *b)
{
    size_t length = strlen(a), other = strlen(b);
    length -= length > 0 && a[length - 1] == '.';
    other -= other > 0 && b[other - 1] == '.';
    return length > 0 && length == other && strncasecmp(a, b, length) == 0;
}

int cori_sim_hosts_named(const char *name, struct in6_addr *list, int max)
{
    int count = 0;
    for (int i = 1; i < host_count && count < max; i++) {
        if (cori_sim_same_name(hosts[i].name, name)) {
            list[count++] = hosts[i].address.ip;
        }
    }
    return count;
}

int cori_sim_host_of(uint16_t from, const cori_sim_address *address)
{
    if (is_loopback(address) || cori_sim_address_is_any(address)) {
        return from; /* as Linux has it: dialing the wildcard means this host */
    }
    for (int i = 1; i < host_count; i++) {
        if (cori_sim_address_same_ip(&hosts[i].address, address)) {
            return i;
        }
    }
    return -1;
}

cori_sim_address cori_sim_host_address(uint16_t host, const cori_sim_address *to)
{
    cori_sim_address own = hosts[host].address;
    if (own.family == 0 || is_loopback(to) || cori_sim_address_is_any(to)) {
        own = (cori_sim_address){.family = to->family, .ip = in6addr_loopback};
        if (IN6_IS_ADDR_V4MAPPED(&to->ip)) {
            static const unsigned char localhost[4] = {127, 0, 0, 1};
            map_ipv4(&own.ip, localhost);
        }
    }
    own.port = 0;
    return own;
}

cori_sim_link *cori_sim_link_of(uint16_t from, uint16_t to)
{
    return &links[from][to];
}

int64_t cori_sim_link_arrival(uint16_t from, uint16_t to, size_t size)
{
    cori_sim_link *link = &links[from][to];
    int64_t now = cori_sim_now();
    link->free_at = link->free_at > now ? link->free_at : now;
    if (link->is.bytes_per_s != 0) {
        link->free_at += (int64_t)((unsigned __int128)size * COR_SECOND / link->is.bytes_per_s);
    }
    int64_t jitter_ns = link->is.jitter_ns > 0 ? (int64_t)cori_sim_below((uint64_t)link->is.jitter_ns) : 0;
    if (from != to && cori_sim_happens(CORI_SIM_DELAY)) { /* nothing overtakes within a host */
        jitter_ns += (int64_t)cori_sim_below(DELAY_MOST_NS);
    }
    return link->free_at + link->is.latency_ns + jitter_ns;
}

static bool is_lost(const cori_sim_link *link)
{
    return link->is.lost_per_million != 0 && cori_sim_more_below(PER_MILLION) < link->is.lost_per_million;
}

bool cori_sim_link_loses(uint16_t from, uint16_t to)
{
    const cori_sim_link *link = &links[from][to];
    int64_t waits_ns = link->free_at - cori_sim_now();
    if (link->is.bytes_per_s != 0 && waits_ns > 0 &&
        (unsigned __int128)waits_ns * link->is.bytes_per_s > (unsigned __int128)QUEUE_BYTES * COR_SECOND) {
        return true;
    }
    return is_lost(link);
}

int64_t cori_sim_link_stall(uint16_t from, uint16_t to)
{
    int64_t stall_ns = 0;
    for (int i = 0; i < SENT_AGAIN_MOST && is_lost(&links[from][to]); i++) {
        stall_ns += SENT_AGAIN_NS << i;
    }
    return stall_ns;
}

void cori_sim_host_fail_accepts(uint16_t host, int code, int count)
{
    hosts[host].accept_code = code;
    hosts[host].accepts_to_fail = count;
}

int cori_sim_host_take_accept(uint16_t host)
{
    known_host *of = &hosts[host];
    if (of->accepts_to_fail == 0) {
        return 0;
    }
    of->accepts_to_fail--;
    return of->accept_code;
}

/* SPDX-License-Identifier: MIT */
/* Address texts and forms: splitting, joining, IP literals, unix paths. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cori_network cori_networks[] = {
    [CORI_NETWORK_NONE] = {.name = ""},
    [CORI_NETWORK_TCP] = {"tcp", true, true, false},
    {"tcp4", true, false, false},
    {"tcp6", false, true, false},
    [CORI_NETWORK_UNIX] = {"unix", false, false, true},
    [CORI_NETWORK_PIPE] = {.name = "pipe"},
};

const cori_network *cori_network_find(const char *name)
{
    for (int i = CORI_NETWORK_TCP; i <= CORI_NETWORK_UNIX; i++) {
        if (strcmp(cori_networks[i].name, name) == 0) {
            return &cori_networks[i];
        }
    }
    return NULL;
}

static int copy_part(char *out, size_t out_size, const char *from, size_t length)
{
    if (length >= out_size) {
        return -ENAMETOOLONG;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return 0;
}

/* Finds host and port in `address`; the error order is Go's. */
static int split(const char *address, const char **host, size_t *host_length, const char **port)
{
    const char *colon = strrchr(address, ':');
    const char *rest_open = address, *rest_close = address;
    if (colon == NULL) {
        return COR_EMISSING_PORT;
    }
    if (address[0] == '[') {
        const char *end = strchr(address, ']');
        if (end == NULL) {
            return COR_EMISSING_BRACKET;
        }
        if (end[1] == '\0') {
            return COR_EMISSING_PORT;
        }
        if (end + 1 != colon) {
            return end[1] == ':' ? COR_ETOO_MANY_COLONS : COR_EMISSING_PORT;
        }
        *host = address + 1;
        *host_length = (size_t)(end - address) - 1;
        rest_open = address + 1;
        rest_close = end + 1;
    } else {
        *host = address;
        *host_length = (size_t)(colon - address);
        if (memchr(address, ':', *host_length) != NULL) {
            return COR_ETOO_MANY_COLONS;
        }
    }
    if (strchr(rest_open, '[') != NULL) {
        return COR_EUNEXPECTED_OPEN;
    }
    if (strchr(rest_close, ']') != NULL) {
        return COR_EUNEXPECTED_CLOSE;
    }
    *port = colon + 1;
    return 0;
}

int cor_split_host_port(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *host_start = NULL, *port_start = NULL;
    size_t host_length = 0;
    int rc = split(address, &host_start, &host_length, &port_start);
    if (rc < 0) {
        return rc;
    }
    if (host_length >= host_size || strlen(port_start) >= port_size) {
        return -ENAMETOOLONG;
    }
    (void)copy_part(host, host_size, host_start, host_length);
    return copy_part(port, port_size, port_start, strlen(port_start));
}

char *cor_join_host_port(const char *host, const char *port, char *text, size_t size)
{
    const char *format = strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s";
    (void)snprintf(text, size, format, host, port);
    return text;
}

cori_addr cori_addr_of(const cori_sockaddr *kernel)
{
    cori_addr addr = {.family = kernel->any.sa_family};
    if (addr.family == AF_INET) {
        memcpy(addr.ip, &kernel->v4.sin_addr, 4);
        addr.port = ntohs(kernel->v4.sin_port);
    } else if (addr.family == AF_INET6) {
        addr.port = ntohs(kernel->v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&kernel->v6.sin6_addr)) {
            addr.family = AF_INET;
            memcpy(addr.ip, kernel->v6.sin6_addr.s6_addr + 12, 4);
        } else {
            memcpy(addr.ip, &kernel->v6.sin6_addr, 16);
            addr.scope = kernel->v6.sin6_scope_id;
        }
    }
    return addr;
}

socklen_t cori_addr_to_sockaddr(const cori_addr *addr, int family, cori_sockaddr *out)
{
    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(addr->port);
        memcpy(&out->v4.sin_addr, addr->ip, 4);
        return sizeof(out->v4);
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(addr->port);
    out->v6.sin6_scope_id = addr->scope;
    if (addr->family == AF_INET6) {
        memcpy(&out->v6.sin6_addr, addr->ip, 16);
    } else if (!cori_addr_is_wildcard(addr)) { /* v4-mapped; the v4 wildcard becomes :: */
        out->v6.sin6_addr.s6_addr[10] = 0xff;
        out->v6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(out->v6.sin6_addr.s6_addr + 12, addr->ip, 4);
    }
    return sizeof(out->v6);
}

/* Digits of `value`, without leading zeros: of base 10, or of base 16 in lower case. Returns the end. */
static inline char *put_number(char *to, uint32_t value, uint32_t base)
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
        to = put_number(to, ip[i], 10);
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
            to = put_number(to, (uint32_t)ip[2 * i] << 8 | ip[2 * i + 1], 16);
            *to++ = ':';
        }
    }
    return zeros >= 2 && first + zeros == 8 ? to : to - 1;
}

static char *put_zone(char *to, uint32_t scope)
{
    char name[IF_NAMESIZE];
    *to++ = '%';
    if (if_indextoname(scope, name) == NULL) {
        return put_number(to, scope, 10);
    }
    return mempcpy(to, name, strnlen(name, sizeof(name)));
}

/* By hand: every server that logs its clients calls this for each of them, and libc's way takes 3,000 instructions. */
void cori_addr_text(const cori_addr *addr, char *text, size_t size)
{
    char form[INET6_ADDRSTRLEN + IF_NAMESIZE + sizeof("[%]:65535")];
    char *to = form;
    if (addr->family == AF_INET) {
        to = put_ipv4(to, addr->ip);
    } else {
        *to++ = '[';
        to = put_ipv6(to, addr->ip);
        to = addr->scope != 0 ? put_zone(to, addr->scope) : to;
        *to++ = ']';
    }
    *to++ = ':';
    to = put_number(to, addr->port, 10);
    size_t length = (size_t)(to - form) < size ? (size_t)(to - form) : size - 1;
    memcpy(text, form, length);
    text[length] = '\0';
}

void cori_unix_text(const cori_sockaddr *kernel, socklen_t len, char *text, size_t size)
{
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t length = len > offset ? len - offset : 0;
    const char *path = kernel->local.sun_path;
    if (length == 0) {
        (void)snprintf(text, size, "@");
    } else if (path[0] == '\0') {
        (void)snprintf(text, size, "@%.*s", (int)length - 1, path + 1);
    } else {
        (void)snprintf(text, size, "%.*s", (int)length, path);
    }
}

int cori_unix_sockaddr(const char *path, cori_sockaddr *out, socklen_t *len)
{
    size_t length = strlen(path);
    bool abstract = path[0] == '@';
    memset(out, 0, sizeof(*out));
    out->local.sun_family = AF_UNIX;
    if (length > sizeof(out->local.sun_path) || (length == sizeof(out->local.sun_path) && !abstract)) {
        return -EINVAL;
    }
    memcpy(out->local.sun_path, path, length);
    if (abstract) {
        out->local.sun_path[0] = '\0';
    }
    /* A path keeps its NUL; "@" alone means "let the kernel choose". */
    size_t taken = abstract ? (length > 1 ? length : 0) : (length > 0 ? length + 1 : 0);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + taken);
    return 0;
}

static uint32_t parse_zone(const char *zone)
{
    unsigned index = if_nametoindex(zone);
    if (index != 0) {
        return index;
    }
    char *end = NULL;
    unsigned long number = strtoul(zone, &end, 10);
    return *end == '\0' && number < 0xFFFFFF ? (uint32_t)number : CORI_NO_SUCH_ZONE;
}

bool cori_addr_parse_ip(const char *text, cori_addr *out)
{
    char copy[INET6_ADDRSTRLEN + IF_NAMESIZE];
    cori_sockaddr kernel = {0};
    if (copy_part(copy, sizeof(copy), text, strlen(text)) < 0) {
        return false;
    }
    if (inet_pton(AF_INET, copy, &kernel.v4.sin_addr) == 1) {
        kernel.v4.sin_family = AF_INET;
        *out = cori_addr_of(&kernel);
        return true;
    }
    char *zone = strrchr(copy, '%');
    if (zone == copy || (zone != NULL && zone[1] == '\0')) {
        return false;
    }
    if (zone != NULL) {
        *zone++ = '\0';
    }
    if (inet_pton(AF_INET6, copy, &kernel.v6.sin6_addr) != 1) {
        return false;
    }
    kernel.v6.sin6_family = AF_INET6;
    kernel.v6.sin6_scope_id = zone != NULL ? parse_zone(zone) : 0;
    *out = cori_addr_of(&kernel);
    return true;
}

bool cori_addr_is_wildcard(const cori_addr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->ip, zero, addr->family == AF_INET ? 4 : 16) == 0;
}

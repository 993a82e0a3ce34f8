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

void cori_addr_text(const cori_addr *addr, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN];
    if (inet_ntop(addr->family == AF_INET ? AF_INET : AF_INET6, addr->ip, ip, sizeof(ip)) == NULL) {
        ip[0] = '\0';
    }
    if (addr->family != AF_INET && strchr(ip, '.') != NULL) { /* libc's "::1.2.3.4": Go writes ::102:304 */
        (void)snprintf(ip, sizeof(ip), "::%x:%x", addr->ip[12] << 8 | addr->ip[13], addr->ip[14] << 8 | addr->ip[15]);
    }
    if (addr->family == AF_INET) {
        (void)snprintf(text, size, "%s:%u", ip, addr->port);
        return;
    }
    char zone[IF_NAMESIZE] = "";
    if (addr->scope != 0 && if_indextoname(addr->scope, zone) == NULL) {
        (void)snprintf(zone, sizeof(zone), "%u", addr->scope);
    }
    (void)snprintf(text, size, "[%s%s%s]:%u", ip, zone[0] != '\0' ? "%" : "", zone, addr->port);
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

/* SPDX-License-Identifier: MIT */
/* Endpoints: their texts, split and joined; their form in the kernel; literals; unix paths. */
#include "net/addr.h"

#include "base/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cori_network cori_networks[] = {
    [CORI_NETWORK_NONE] = {.name = ""},
    [CORI_NETWORK_TCP] = {.name = "tcp", .v4 = true, .v6 = true},
    {.name = "tcp4", .v4 = true},
    {.name = "tcp6", .v6 = true},
    [CORI_NETWORK_UNIX] = {.name = "unix", .local = true},
    [CORI_NETWORK_UDP] = {.name = "udp", .v4 = true, .v6 = true, .datagram = true},
    {.name = "udp4", .v4 = true, .datagram = true},
    {.name = "udp6", .v6 = true, .datagram = true},
    [CORI_NETWORK_UNIXGRAM] = {.name = "unixgram", .local = true, .datagram = true},
    [CORI_NETWORK_UNIXPACKET] = {.name = "unixpacket", .local = true, .records = true},
    [CORI_NETWORK_IP] = {.name = "ip", .v4 = true, .v6 = true, .datagram = true, .raw = true},
    {.name = "ip4", .v4 = true, .datagram = true, .raw = true},
    [CORI_NETWORK_IP6] = {.name = "ip6", .v6 = true, .datagram = true, .raw = true},
    [CORI_NETWORK_PIPE] = {.name = "pipe"},
};

const cori_network *cori_network_find(const char *name)
{
    for (int i = CORI_NETWORK_TCP; i <= CORI_NETWORK_UNIXPACKET; i++) {
        if (strcmp(cori_networks[i].name, name) == 0) {
            return &cori_networks[i];
        }
    }
    return NULL;
}

int cori_network_type(const cori_network *network)
{
    if (network->raw) {
        return SOCK_RAW;
    }
    return network->datagram ? SOCK_DGRAM : network->records ? SOCK_SEQPACKET : SOCK_STREAM;
}

const char *cori_network_exact(const cori_network *network, int family)
{
    bool v4 = family == AF_INET;
    if (network->local) {
        return network->name;
    }
    if (network->raw) {
        return v4 ? "ip4" : "ip6";
    }
    if (network->datagram) {
        return v4 ? "udp4" : "udp6";
    }
    return v4 ? "tcp4" : "tcp6";
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

cor_addr cori_addr_of(const cori_sockaddr *kernel)
{
    cor_addr addr = {.port = 0};
    if (kernel->any.sa_family == AF_INET) {
        addr.ip = cor_ip_of(&kernel->v4.sin_addr, 4);
        addr.port = ntohs(kernel->v4.sin_port);
    } else if (kernel->any.sa_family == AF_INET6) {
        addr.ip = cor_ip_of(&kernel->v6.sin6_addr, 16);
        addr.port = ntohs(kernel->v6.sin6_port);
        addr.zone = addr.ip.family == AF_INET6 ? kernel->v6.sin6_scope_id : 0;
    }
    return addr;
}

socklen_t cori_addr_to_sockaddr(const cor_addr *addr, int family, cori_sockaddr *out)
{
    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(addr->port);
        memcpy(&out->v4.sin_addr, addr->ip.bytes, 4);
        return sizeof(out->v4);
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(addr->port);
    out->v6.sin6_scope_id = addr->zone;
    if (addr->ip.family == AF_INET6) {
        memcpy(&out->v6.sin6_addr, addr->ip.bytes, 16);
    } else if (!cori_addr_is_wildcard(addr)) { /* v4-mapped; the v4 wildcard becomes :: */
        out->v6.sin6_addr.s6_addr[10] = 0xff;
        out->v6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(out->v6.sin6_addr.s6_addr + 12, addr->ip.bytes, 4);
    }
    return sizeof(out->v6);
}

static char *put_zone(char *to, uint32_t zone)
{
    char name[IF_NAMESIZE];
    *to++ = '%';
    int before = cori_errno_keep();
    if (if_indextoname(zone, name) == NULL) {
        cori_errno_restore(before);
        return cori_put_number(to, zone, 10);
    }
    return mempcpy(to, name, strnlen(name, sizeof(name)));
}

char *cor_addr_text(cor_addr addr, char *text, size_t size)
{
    char form[INET6_ADDRSTRLEN + IF_NAMESIZE + sizeof("[%]:65535")];
    char *to = form;
    if (addr.ip.family == AF_INET6) {
        *to++ = '[';
        to = cori_put_ip(to, &addr.ip);
        to = addr.zone != 0 ? put_zone(to, addr.zone) : to;
        *to++ = ']';
    } else if (addr.ip.family == AF_INET) {
        to = cori_put_ip(to, &addr.ip);
    }
    *to++ = ':';
    to = cori_put_number(to, addr.port, 10);
    return cori_put_text(text, size, form, (size_t)(to - form));
}

char *cori_network_text(const cori_network *network, cor_addr addr, char *text, size_t size)
{
    char form[INET6_ADDRSTRLEN + IF_NAMESIZE + sizeof("%")];
    if (!network->raw) {
        return cor_addr_text(addr, text, size);
    }
    char *to = cori_put_ip(form, &addr.ip);
    to = addr.zone != 0 ? put_zone(to, addr.zone) : to;
    return cori_put_text(text, size, form, (size_t)(to - form));
}

int cor_addr_compare(cor_addr a, cor_addr b)
{
    int order = cor_ip_compare(a.ip, b.ip);
    order = order != 0 ? order : (a.zone > b.zone) - (a.zone < b.zone);
    return order != 0 ? order : (a.port > b.port) - (a.port < b.port);
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
    int before = cori_errno_keep();
    unsigned index = if_nametoindex(zone);
    cori_errno_restore(before);
    if (index != 0) {
        return index;
    }
    char *end = NULL;
    unsigned long number = *zone >= '0' && *zone <= '9' ? strtoul(zone, &end, 10) : CORI_NO_SUCH_ZONE;
    return number < 0xFFFFFF && *end == '\0' ? (uint32_t)number : CORI_NO_SUCH_ZONE;
}

bool cori_addr_parse_ip(const char *text, cor_addr *out)
{
    char copy[INET6_ADDRSTRLEN + IF_NAMESIZE];
    cor_addr addr = {.port = 0};
    if (copy_part(copy, sizeof(copy), text, strlen(text)) < 0) {
        return false;
    }
    char *zone = strrchr(copy, '%');
    if (zone == NULL) {
        if (cor_ip_parse(&addr.ip, copy) < 0) {
            return false;
        }
        *out = addr;
        return true;
    }
    *zone++ = '\0';
    if (*zone == '\0' || !cori_ip_read(&addr.ip, AF_INET6, copy)) {
        return false;
    }
    uint32_t index = parse_zone(zone);
    addr.ip = cor_ip_of(addr.ip.bytes, sizeof(addr.ip.bytes));
    addr.zone = addr.ip.family == AF_INET6 ? index : 0; /* IPv4 has no zones */
    *out = addr;
    return true;
}

bool cori_addr_is_wildcard(const cor_addr *addr)
{
    return (cor_ip_traits(addr->ip) & COR_IP_UNSPECIFIED) != 0;
}

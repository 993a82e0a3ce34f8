/* SPDX-License-Identifier: MIT */
/*
 * From "host:port" to endpoints, with Go's rules and words, from literals, files (hosts.c) and name servers (dns.c).
 */
#include "base/memory.h"
#include "base/sys_other.h"
#include "net/hosts.h"
#include "net/libc_names.h"
#include "net/message.h"
#include "net/order.h"
#include "net/slot.h"
#include "sched/park.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_LIMIT = 1 << 30, NAME_MAX_BYTES = 254, LABEL_MAX_BYTES = 63 };

static void set_where(cor_error *error, const char *before, const char *middle, const char *text)
{
    (void)snprintf(error->where, sizeof(error->where), "%s%s%s", before, middle, text);
}

/* Go's number rule: one sign, digits, saturating; false if it is a name. */
static bool parse_number(const char *text, int64_t *number)
{
    const char *digit = text + (*text == '+' || *text == '-');
    int64_t value = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (*digit - '0');
        value = value > PORT_LIMIT ? PORT_LIMIT : value;
    }
    *number = *text == '-' ? -value : value;
    return *digit == '\0';
}

/* The port that a text names: a number, or a service of one of the protocols. Or why it names none. */
static int port_of(const char *text, const char *network, const char *const *protocols, cor_error *error)
{
    int64_t number = 0;
    if (!parse_number(text, &number)) {
        number = -ENOENT;
        while (number < 0 && *protocols != NULL) {
            number = cori_service_port(*protocols++, text);
        }
        if (number < 0) {
            char before[24];
            (void)snprintf(before, sizeof(before), "lookup %s", network);
            set_where(error, before, "/", text);
            return COR_EUNKNOWN_PORT;
        }
    }
    if (number < 0 || number > 65535) {
        set_where(error, "address ", "", text);
        return COR_EINVALID_PORT;
    }
    return (int)number;
}

static int resolve_port(const cori_network *network, const char *text, uint16_t *port, cor_error *error)
{
    const char *const protocols[] = {network->datagram ? "udp" : "tcp", NULL};
    int rc = port_of(text, network->name, protocols, error);
    *port = rc < 0 ? *port : (uint16_t)rc;
    return rc < 0 ? rc : 0;
}

int cori_lookup_port(const char *network, const char *service, cor_error *error)
{
    const char *const either[] = {"tcp", "udp", NULL};
    const cori_network *known = cori_network_find(network);
    if (known != NULL && (known->v4 || known->v6)) {
        const char *const protocols[] = {either[known->datagram], NULL};
        return port_of(service, protocols[0], protocols, error);
    }
    bool any = network[0] == '\0' || strcmp(network, "ip") == 0;
    int64_t number = 0;
    if (!any && !parse_number(service, &number)) {
        set_where(error, network, "", "");
        return COR_EUNKNOWN_NETWORK;
    }
    return port_of(service, "ip", either, error);
}

static bool allowed(const cori_network *network, const cor_addr *addr)
{
    return addr->ip.family == AF_INET ? network->v4 : network->v6;
}

/* Drops what the network does not allow; a single "::" also stands for 0.0.0.0 (Go issue 18806). */
static void filter(const cori_network *network, cori_candidates *out)
{
    int kept = 0;
    if (out->count == 1 && out->list[0].ip.family == AF_INET6 && cori_addr_is_wildcard(&out->list[0])) {
        out->list[out->count++] = (cor_addr){.ip.family = AF_INET};
    }
    for (int i = 0; i < out->count; i++) {
        if (allowed(network, &out->list[i])) {
            out->list[kept] = out->list[i];
            out->list[kept++].port = out->port;
        }
    }
    out->count = kept;
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_' || byte == '-';
}

static bool is_label(const char *label, size_t length)
{
    bool good = length > 0 && length <= LABEL_MAX_BYTES && label[0] != '-' && label[length - 1] != '-';
    for (size_t i = 0; good && i < length; i++) {
        good = is_name_byte(label[i]);
    }
    return good;
}

bool cori_is_domain_name(const char *name)
{
    size_t size = strlen(name);
    if (strcmp(name, ".") == 0) {
        return true;
    }
    if (size == 0 || size > NAME_MAX_BYTES || (size == NAME_MAX_BYTES && name[size - 1] != '.')) {
        return false;
    }
    if (strspn(name, "0123456789.") == size) {
        return false;
    }
    for (const char *label = name; *label != '\0';) {
        size_t length = strcspn(label, ".");
        if (!is_label(label, length)) {
            return false;
        }
        label += length + (label[length] == '.');
    }
    return true;
}

static int family_of(const cori_network *network)
{
    return network->v4 && network->v6 ? AF_UNSPEC : network->v4 ? AF_INET : AF_INET6;
}

/* The addresses that the hosts file has, in *list, the caller's; 0: none. Or -ENOMEM. */
static int hosts_of_file(const char *host, cor_addr **list)
{
    cor_addr *found = NULL;
    int room = 4, count = room;
    for (; count == room && room < CORI_LOOKUP_ADDRS_MAX;) { /* full: there may be more */
        room *= 4;
        cor_addr *more = cori_realloc(found, (size_t)room * sizeof(*found));
        if (more == NULL) {
            free(found);
            return -ENOMEM;
        }
        found = more;
        count = cori_hosts_lookup(CORI_HOSTS_FILE, host, found, room);
    }
    if (count == 0 && cori_same_host("localhost", host)) { /* RFC 6761: also where no file says it */
        found[count++] = (cor_addr){.ip.family = AF_INET, .ip.bytes = {127, 0, 0, 1}};
        found[count++] = (cor_addr){.ip.family = AF_INET6, .ip.bytes = {[15] = 1}};
    }
    if (count == 0) {
        free(found);
        return 0;
    }
    *list = found;
    return count;
}

/* Waits as long as an answer takes. */
static int await_answer(int64_t after_ns, int64_t deadline)
{
    int64_t until = cor_after(after_ns);
    int64_t end = deadline != 0 && deadline < until ? deadline : until;
    int rc = 0;
    while (rc == 0 && (rc = cori_interrupted(cori_here_task(), deadline)) == 0 && cori_here_now() < until) {
        cori_park(cori_here_task(), end, "lookup");
    }
    return rc;
}

/* The names of a simulated run, as cori_resolve_host. */
static int simulated_host(const cori_network *network, const char *host, int64_t deadline, cor_addr **list)
{
    struct in6_addr found[CORI_DIAL_ADDRS_MAX];
    int64_t after_ns = 0;
    int count = cori_sys_other->look_up(host, found, CORI_DIAL_ADDRS_MAX, &after_ns), kept = 0;
    int rc = await_answer(after_ns, cori_slot_deadline(deadline));
    cor_addr *made = rc == 0 && count > 0 ? cori_calloc((size_t)count, sizeof(*made)) : NULL;
    if (made == NULL) {
        return rc < 0 ? rc : count > 0 ? -ENOMEM : count;
    }
    for (int i = 0; i < count; i++) {
        made[kept].ip = cor_ip_of(&found[i], sizeof(found[i]));
        kept += allowed(network, &made[kept]);
    }
    if (kept == 0) {
        free(made);
        return COR_ENO_SUCH_HOST;
    }
    cori_order(made, kept);
    *list = made;
    return kept;
}

int cori_resolve_host(const cori_network *network, const char *host, int64_t deadline, cor_addr **list,
                      cor_addr *server)
{
    int family = family_of(network);
    *server = (cor_addr){0};
    if (cori_sys_other != NULL && cori_self() != NULL) {
        return simulated_host(network, host, deadline, list);
    }
    if (cori_libc_wanted() && host[0] != '\0' && cori_self() != NULL) {
        return cori_libc_lookup(host, family, deadline, list);
    }
    int count = hosts_of_file(host, list);
    if (count == 0 && cori_is_domain_name(host) && host[0] != '.' && cori_self() != NULL) {
        cori_dns_answer answer;
        const cori_dns_question question = {
            .name = host,
            .type = family == AF_UNSPEC ? CORI_DNS_ANY
                    : family == AF_INET ? CORI_DNS_A
                                        : CORI_DNS_AAAA,
            .deadline = deadline,
        };
        count = cori_dns_lookup(&question, &answer);
        *list = answer.list;
        *server = answer.server;
        return count;
    }
    return count != 0 ? count : COR_ENO_SUCH_HOST;
}

void cori_set_lookup_where(cor_error *error, const char *name, const cor_addr *server)
{
    char text[COR_ADDR_TEXT];
    bool known = server->ip.family != 0;
    (void)snprintf(error->where, sizeof(error->where), "lookup %s%s%s", name, known ? " on " : "",
                   known ? cor_addr_text(*server, text, sizeof(text)) : "");
}

/* Takes host and port from an address; bare IP has no port. */
static int split_address(const cori_network *network, const char *address, char *host, size_t host_size, uint16_t *port,
                         cor_error *error)
{
    char service[COR_ADDR_TEXT];
    if (network->raw) {
        (void)snprintf(host, host_size, "%s", address);
        return 0;
    }
    int rc = cor_split_host_port(address, host, host_size, service, sizeof(service));
    if (rc < 0) {
        set_where(error, "address ", "", address);
        return rc;
    }
    return resolve_port(network, service, port, error);
}

int cori_resolve(const cori_network *network, const char *address, cori_candidates *out, cor_error *error)
{
    return cori_resolve_until(network, address, 0, out, error);
}

/* The first addresses of a host, for a dial; their number, or an error. */
static int resolve_name(const cori_network *network, const char *host, int64_t deadline, cori_candidates *out,
                        cor_error *error)
{
    cor_addr server, *list = NULL;
    int count = cori_resolve_host(network, host, deadline, &list, &server);
    if (count < 0) {
        cori_set_lookup_where(error, host, &server);
        return count;
    }
    count = count < CORI_DIAL_ADDRS_MAX ? count : CORI_DIAL_ADDRS_MAX;
    memcpy(out->list, list, (size_t)count * sizeof(*list));
    free(list);
    return count;
}

int cori_resolve_until(const cori_network *network, const char *address, int64_t deadline, cori_candidates *out,
                       cor_error *error)
{
    char host[COR_ADDR_TEXT];
    *out = (cori_candidates){0};
    if (address[0] == '\0') {
        out->any = true;
        return 0;
    }
    int rc = split_address(network, address, host, sizeof(host), &out->port, error);
    if (rc < 0) {
        return rc;
    }
    if (host[0] == '\0') {
        out->any = true;
        return 0;
    }
    rc = cori_addr_parse_ip(host, &out->list[0]) ? 1 : resolve_name(network, host, deadline, out, error);
    if (rc < 0) {
        return rc;
    }
    out->count = rc;
    if (out->count == 1 && out->list[0].zone == CORI_NO_SUCH_ZONE) {
        set_where(error, "zone ", "", strrchr(host, '%') + 1);
        return -ENODEV;
    }
    filter(network, out);
    if (out->count == 0) {
        set_where(error, "address ", "", host);
        return COR_ENO_SUITABLE_ADDRESS;
    }
    return 0;
}

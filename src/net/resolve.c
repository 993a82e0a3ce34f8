/* SPDX-License-Identifier: MIT */
/*
 * From "host:port" to endpoints, with Go's rules and words, from literals, /etc/hosts, /etc/services and name
 * servers (dns.c). Lines are read with stdio: its buffer is on the heap, so a task stack is enough. errno is put back
 * where stdio may have changed it: it is the task's.
 */
#include "base/sys.h"
#include "net/dns.h"
#include "sched/park.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PORT_LIMIT = 1 << 30, HOSTS_MAX = 15, NAME_MAX_BYTES = 254, LABEL_MAX_BYTES = 63 };

/* Services of TCP that Go knows even without /etc/services; of UDP it knows the first only. */
static const struct {
    const char *name;
    int port;
} known_services[] = {{"domain", 53}, {"ftp", 21},    {"ftps", 990},        {"gopher", 70}, {"http", 80},
                      {"https", 443}, {"imap2", 143}, {"imap3", 220},       {"imaps", 993}, {"pop3", 110},
                      {"pop3s", 995}, {"smtp", 25},   {"submissions", 465}, {"ssh", 22},    {"telnet", 23}};

/* Gives the next word and moves *rest after it. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r\n");
    size_t length = strcspn(word, " \t\r\n");
    if (length == 0) {
        return NULL;
    }
    *rest = word + length + (word[length] != '\0');
    word[length] = '\0';
    return word;
}

/* A file read line by line, each of any length. */
typedef struct line_file {
    FILE *file;
    char *line;
    size_t room;
    int errno_before;
} line_file;

static line_file open_lines(const char *path)
{
    int before = cori_errno_keep();
    return (line_file){.errno_before = before, .file = fopen(path, "re")};
}

/* The next line without its comment; NULL: there is none. */
static char *next_line(line_file *reading)
{
    if (reading->file == NULL || getline(&reading->line, &reading->room, reading->file) < 0) {
        return NULL;
    }
    reading->line[strcspn(reading->line, "#")] = '\0';
    return reading->line;
}

static void close_lines(line_file *reading)
{
    free(reading->line);
    if (reading->file != NULL) {
        (void)fclose(reading->file);
    }
    cori_errno_restore(reading->errno_before);
}

/* The port of a "name 80/tcp alias..." line if it names `service` of `protocol`, else -ENOENT. */
static int service_line(char *line, const char *protocol, const char *service)
{
    char *rest = line;
    char *name = next_word(&rest);
    char *port = name != NULL ? next_word(&rest) : NULL;
    char *slash = port != NULL ? strchr(port, '/') : NULL;
    if (slash == NULL || strcmp(slash + 1, protocol) != 0) {
        return -ENOENT;
    }
    for (char *alias = name; alias != NULL; alias = next_word(&rest)) {
        if (strcasecmp(alias, service) == 0) {
            return (int)strtol(port, NULL, 10);
        }
    }
    return -ENOENT;
}

int cori_service_port(const char *protocol, const char *service)
{
    size_t known = strcmp(protocol, "udp") == 0 ? 1 : sizeof(known_services) / sizeof(known_services[0]);
    for (size_t i = 0; i < known; i++) {
        if (strcasecmp(known_services[i].name, service) == 0) {
            return known_services[i].port;
        }
    }
    line_file services = open_lines("/etc/services");
    int port = -ENOENT;
    for (char *line = next_line(&services); line != NULL && port < 0; line = next_line(&services)) {
        port = service_line(line, protocol, service);
    }
    close_lines(&services);
    return port;
}

static bool same_host(const char *word, const char *name)
{
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.') {
        length--;
    }
    return strncasecmp(word, name, length) == 0 && (word[length] == '\0' || strcmp(word + length, ".") == 0);
}

/* The address of a "1.2.3.4 name alias..." line in *out if it names `name`. */
static bool hosts_line(char *line, const char *name, cor_addr *out)
{
    char *rest = line;
    char *ip = next_word(&rest);
    for (char *word = ip != NULL ? next_word(&rest) : NULL; word != NULL; word = next_word(&rest)) {
        if (same_host(word, name)) {
            return cori_addr_parse_ip(ip, out) && out->zone != CORI_NO_SUCH_ZONE;
        }
    }
    return false;
}

int cori_hosts_lookup(const char *file, const char *name, cor_addr *list, int max)
{
    line_file hosts = open_lines(file);
    int count = 0;
    for (char *line = next_line(&hosts); line != NULL && count < max; line = next_line(&hosts)) {
        count += hosts_line(line, name, &list[count]);
    }
    close_lines(&hosts);
    return count;
}

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

/* Go's rule for names that are worth asking for: not one of digits and dots alone. */
static bool is_domain_name(const char *name)
{
    size_t size = strlen(name);
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

#if COR_HAVE_CARES
static int ask_servers(const cori_network *network, const char *host, int64_t deadline, cor_addr *list, int max)
{
    const cori_dns_question question = {
        .name = host,
        .family = network->v4 && network->v6 ? CORI_DNS_ANY
                  : network->v4              ? CORI_DNS_V4
                                             : CORI_DNS_V6,
        .deadline = deadline,
    };
    return cori_dns_lookup(&question, list, max);
}
#else
static int ask_servers(const cori_network *network, const char *host, int64_t deadline, cor_addr *list, int max)
{
    (void)network, (void)host, (void)deadline, (void)list, (void)max;
    return COR_ENO_SUCH_HOST;
}
#endif

int cori_resolve_host(const cori_network *network, const char *host, int64_t deadline, cor_addr *list, int max)
{
    int count = cori_hosts_lookup(CORI_HOSTS_FILE, host, list, max);
    if (count == 0 && max > 1 && same_host("localhost", host)) { /* RFC 6761: also where no hosts file says so */
        list[count++] = (cor_addr){.ip.family = AF_INET, .ip.bytes = {127, 0, 0, 1}};
        list[count++] = (cor_addr){.ip.family = AF_INET6, .ip.bytes = {[15] = 1}};
    }
    if (count == 0 && is_domain_name(host) && cori_self() != NULL) {
        return ask_servers(network, host, deadline, list, max);
    }
    return count > 0 ? count : COR_ENO_SUCH_HOST;
}

int cori_resolve(const cori_network *network, const char *address, cori_candidates *out, cor_error *error)
{
    return cori_resolve_until(network, address, 0, out, error);
}

int cori_resolve_until(const cori_network *network, const char *address, int64_t deadline, cori_candidates *out,
                       cor_error *error)
{
    char host[COR_ADDR_TEXT], port[COR_ADDR_TEXT];
    *out = (cori_candidates){0};
    if (address[0] == '\0') {
        out->any = true;
        return 0;
    }
    int rc = cor_split_host_port(address, host, sizeof(host), port, sizeof(port));
    if (rc < 0) {
        set_where(error, "address ", "", address);
        return rc;
    }
    rc = resolve_port(network, port, &out->port, error);
    if (rc < 0) {
        return rc;
    }
    if (host[0] == '\0') {
        out->any = true;
        return 0;
    }
    rc = cori_addr_parse_ip(host, &out->list[0]) ? 1 : cori_resolve_host(network, host, deadline, out->list, HOSTS_MAX);
    if (rc < 0) {
        set_where(error, "lookup ", "", host);
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

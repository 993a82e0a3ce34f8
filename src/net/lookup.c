/* SPDX-License-Identifier: MIT */
/*
 * The public lookups, with Go's words for what comes of them. Addresses are asked for as a dial does it, other records
 * of name servers only, and their messages read by message.c. Records are returned in one allocation.
 */
#include "base/memory.h"
#include "base/rand.h"
#include "base/sys_other.h"
#include "net/hosts.h"
#include "net/libc_names.h"
#include "net/message.h"
#include "net/slot.h"

#include <coracle/addr.h>
#include <coracle/lookup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_BYTES = 2048 };

/* The text of an address without a port. */
static void host_text(const cor_addr *addr, char text[COR_ADDR_TEXT])
{
    char whole[COR_ADDR_TEXT], port[8];
    cor_addr_text(*addr, whole, sizeof(whole));
    if (cor_split_host_port(whole, text, COR_ADDR_TEXT, port, sizeof(port)) < 0) {
        text[0] = '\0';
    }
}

int cor_lookup_port(const char *network, const char *service, cor_error *error)
{
    cor_error unseen;
    cor_error *filled = error != NULL ? error : &unseen;
    *filled = (cor_error){0};
    int rc = cori_lookup_port(network, service, filled);
    filled->code = rc < 0 ? rc : 0;
    return rc;
}

/* Begins a lookup, which pays for itself: many are answered at once. False outside a task. */
static bool begin(void)
{
    cori_task *self = cori_self();
    if (self != NULL) {
        cori_charge(self);
    }
    return self != NULL;
}

static int failed(int code, const char *name, const cor_addr *server, cor_error *error)
{
    if (error != NULL) {
        *error = (cor_error){.code = code};
        cori_set_lookup_where(error, name, server);
    }
    return code;
}

static int unknown_network(const char *network, cor_error *error)
{
    if (error != NULL) {
        *error = (cor_error){.code = COR_EUNKNOWN_NETWORK};
        (void)snprintf(error->where, sizeof(error->where), "%s", network);
    }
    return COR_EUNKNOWN_NETWORK;
}

/* Drops what the network does not allow, of literals and of the hosts file. */
static int keep_family(const cori_network *network, cor_addr *list, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (list[i].ip.family == AF_INET ? network->v4 : network->v6) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* The addresses of a host; their number and the caller's own *list, or an error. */
static int look_up_addresses(const cori_network *network, const char *name, int64_t deadline, cor_addr **list,
                             cor_addr *server, cor_error *error)
{
    cor_addr asked = {0};
    int rc = cori_interrupted(cori_here_task(), cori_slot_deadline(deadline));
    rc = rc < 0 ? rc : cori_resolve_host(network, name, deadline, list, &asked);
    *server = asked;
    return rc < 0 ? failed(rc, name, &asked, error) : rc;
}

int cor_lookup_host(char (*out)[COR_ADDR_TEXT], int max, const char *name, int64_t deadline, cor_error *error)
{
    cor_addr literal, server, *list = NULL;
    if (!begin()) {
        return COR_ENOT_TASK;
    }
    if (max > 0 && cori_addr_parse_ip(name, &literal) && strlen(name) < COR_ADDR_TEXT) {
        memcpy(out[0], name, strlen(name) + 1);
        return 1;
    }
    int count = look_up_addresses(&cori_networks[CORI_NETWORK_TCP], name, deadline, &list, &server, error);
    count = count > max ? max : count;
    for (int i = 0; i < count; i++) {
        host_text(&list[i], out[i]);
    }
    free(list);
    return count;
}

void cor_records_free(cor_records *records)
{
    free(records);
}

/* Room for this many records and bytes of text after them; NULL: no memory. */
static cor_records *new_records(int count, size_t text_bytes)
{
    cor_records *made = cori_calloc(1, sizeof(*made) + (size_t)count * sizeof(cor_record) + text_bytes);
    if (made != NULL) {
        made->list = (cor_record *)(made + 1);
        made->count = count;
    }
    return made;
}

/* Who answered: a name server, or else what is asked in its place. */
static void set_server(cor_records *records, const cor_addr *server, const char *file)
{
    if (server->ip.family != 0) {
        cor_addr_text(*server, records->server, sizeof(records->server));
    } else {
        (void)snprintf(records->server, sizeof(records->server), "%s", file);
    }
}

/* The network whose hosts a lookup is for: "ip", "ip4" or "ip6"; NULL: none. */
static const cori_network *ip_network(const char *name)
{
    static const char *const names[] = {"ip", "ip4", "ip6"};
    for (int i = 0; i < 3; i++) { /* in the order of tcp, tcp4, tcp6 */
        if (strcmp(name, names[i]) == 0) {
            return &cori_networks[CORI_NETWORK_TCP + i];
        }
    }
    return NULL;
}

/* Addresses as records; NULL: no memory. */
static cor_records *records_of_addresses(const char *name, const cor_addr *list, int count)
{
    cor_records *made = new_records(count, (size_t)count * COR_ADDR_TEXT);
    if (made == NULL) {
        return NULL;
    }
    char *text = (char *)&made->list[count];
    for (int i = 0; i < count; i++, text += COR_ADDR_TEXT) {
        host_text(&list[i], text);
        made->list[i] = (cor_record){.text = text, .size_bytes = strlen(text), .addr = list[i]};
    }
    (void)snprintf(made->name, sizeof(made->name), "%s", name);
    return made;
}

int cor_lookup_ip(cor_records **out, const char *network, const char *name, int64_t deadline, cor_error *error)
{
    const cori_network *as = ip_network(network);
    cor_addr literal, server = {0}, *found = NULL;
    if (!begin()) {
        return COR_ENOT_TASK;
    }
    if (as == NULL) {
        return unknown_network(network, error);
    }
    bool is_literal = cori_addr_parse_ip(name, &literal);
    int count = is_literal ? 1 : look_up_addresses(as, name, deadline, &found, &server, error);
    cor_addr *list = is_literal ? &literal : found;
    count = count > 0 ? keep_family(as, list, count) : count;
    if (count <= 0) {
        free(found);
        return count < 0 ? count : failed(COR_ENO_SUITABLE_ADDRESS, name, &server, error);
    }
    cor_records *made = records_of_addresses(name, list, count);
    free(found);
    if (made == NULL) {
        return failed(-ENOMEM, name, &server, error);
    }
    if (!is_literal) {
        set_server(made, &server, cori_sys_other != NULL ? "" : cori_libc_wanted() ? "libc" : CORI_HOSTS_FILE);
    }
    *out = made;
    return 0;
}

/* Asks name servers for records. `shown` is the name in errors. */
static int ask(cor_records **out, const char *name, enum cori_dns_type type, int64_t deadline, const char *shown,
               cor_error *error)
{
    cori_dns_answer answer = {0};
    cori_dns_question question = {.name = name, .type = type, .whole = true, .deadline = deadline};
    if (!begin()) {
        return COR_ENOT_TASK;
    }
    int rc = cori_interrupted(cori_here_task(), cori_slot_deadline(deadline));
    if (rc == 0 && !cori_is_domain_name(name)) {
        rc = COR_ENO_SUCH_HOST;
    }
    if (type == CORI_DNS_CNAME) { /* a server tells all aliases together with the addresses only */
        question.type = CORI_DNS_A;
    }
    if (rc == 0) {
        rc = cori_dns_lookup(&question, &answer);
    }
    if (rc == COR_ENO_SUCH_HOST && type == CORI_DNS_CNAME && cori_is_domain_name(name)) {
        question.type = CORI_DNS_AAAA;
        rc = cori_dns_lookup(&question, &answer);
    }
    if (rc > 0) {
        rc = cori_message_records(answer.message, answer.size_bytes, type, out);
        free(answer.message);
    }
    if (rc < 0) {
        return failed(rc, shown, &answer.server, error);
    }
    set_server(*out, &answer.server, CORI_HOSTS_FILE);
    return 0;
}

/* Puts records that are random already, as cards are, into the order of their priorities. */
static int by_priority(const void *a, const void *b)
{
    return (int)((const cor_record *)a)->priority - (int)((const cor_record *)b)->priority;
}

/* Records in random order, then by priority. */
static void shuffle(cor_records *records)
{
    for (int i = records->count - 1; i > 0; i--) {
        uint32_t other = cori_rand_below(cori_here_rand(), (uint32_t)i + 1);
        cor_record kept = records->list[i];
        records->list[i] = records->list[other];
        records->list[other] = kept;
    }
    qsort(records->list, (size_t)records->count, sizeof(cor_record), by_priority);
}

/*
 * The records of one priority by weight, as RFC 2782 has it: each next one is drawn with its share of the weights that
 * are left. A record of weight 0 comes last, if others are left.
 */
static void draw(cor_record *list, int count)
{
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += list[i].weight;
    }
    for (int i = 0; i < count && sum > 0; i++) {
        uint32_t drawn = cori_rand_below(cori_here_rand(), sum);
        int at = i;
        while (drawn >= list[at].weight) {
            drawn -= list[at++].weight;
        }
        cor_record kept = list[at];
        sum -= kept.weight;
        list[at] = list[i];
        list[i] = kept;
    }
}

int cor_lookup_mx(cor_records **out, const char *name, int64_t deadline, cor_error *error)
{
    int rc = ask(out, name, CORI_DNS_MX, deadline, name, error);
    if (rc == 0) {
        shuffle(*out);
    }
    return rc;
}

int cor_lookup_txt(cor_records **out, const char *name, int64_t deadline, cor_error *error)
{
    return ask(out, name, CORI_DNS_TXT, deadline, name, error);
}

int cor_lookup_ns(cor_records **out, const char *name, int64_t deadline, cor_error *error)
{
    return ask(out, name, CORI_DNS_NS, deadline, name, error);
}

int cor_lookup_srv(cor_records **out, const char *service, const char *proto, const char *name, int64_t deadline,
                   cor_error *error)
{
    char target[COR_NAME_TEXT + 2];
    bool bare = service[0] == '\0' && proto[0] == '\0';
    (void)snprintf(target, sizeof(target), "%s%s%s%s%s%s", bare ? "" : "_", service, bare ? "" : "._", proto,
                   bare ? "" : ".", name);
    int rc = ask(out, target, CORI_DNS_SRV, deadline, target, error);
    if (rc < 0) {
        return rc;
    }
    shuffle(*out);
    for (int i = 0, next; i < (*out)->count; i = next) {
        for (next = i; next < (*out)->count && (*out)->list[next].priority == (*out)->list[i].priority; next++) {}
        draw(&(*out)->list[i], next - i);
    }
    return 0;
}

int cor_lookup_cname(char *out, size_t size, const char *name, int64_t deadline, cor_error *error)
{
    char text[COR_NAME_TEXT];
    if (!begin()) {
        return COR_ENOT_TASK;
    }
    if (cori_sys_other != NULL || !cori_hosts_canonical(CORI_HOSTS_FILE, name, text, sizeof(text))) {
        cor_records *records = NULL;
        int rc = ask(&records, name, CORI_DNS_CNAME, deadline, name, error);
        if (rc < 0) {
            return rc;
        }
        (void)snprintf(text, sizeof(text), "%s", records->name);
        cor_records_free(records);
    }
    (void)snprintf(out, size, "%s", text);
    return (int)strlen(text);
}

/* The name under which an address is asked for. */
static void reverse_name(const cor_ip *ip, char *out, size_t size)
{
    if (ip->family == AF_INET) {
        (void)snprintf(out, size, "%u.%u.%u.%u.in-addr.arpa.", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
        return;
    }
    for (int i = 15; i >= 0; i--, out += 4, size -= 4) {
        (void)snprintf(out, size, "%x.%x.", ip->bytes[i] & 15U, ip->bytes[i] >> 4U);
    }
    (void)snprintf(out, size, "ip6.arpa.");
}

/* The names of the hosts file as records; 0, or -ENOMEM. */
static int records_of_file(cor_records **out, const char *names, int count)
{
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        used += strlen(names + used) + 1;
    }
    cor_records *made = new_records(count, used);
    if (made == NULL) {
        return -ENOMEM;
    }
    char *text = (char *)&made->list[count];
    memcpy(text, names, used);
    for (int i = 0; i < count; i++) {
        made->list[i] = (cor_record){.text = text, .size_bytes = strlen(text)};
        text += made->list[i].size_bytes + 1;
    }
    set_server(made, &(cor_addr){0}, CORI_HOSTS_FILE);
    *out = made;
    return 0;
}

int cor_lookup_addr(cor_records **out, const char *address, int64_t deadline, cor_error *error)
{
    cor_addr addr = {0};
    char name[COR_NAME_TEXT], names[NAMES_BYTES];
    if (!begin()) {
        return COR_ENOT_TASK;
    }
    if (!cori_addr_parse_ip(address, &addr)) {
        return failed(COR_EUNRECOGNIZED_ADDRESS, address, &addr, error);
    }
    int count = cori_sys_other == NULL ? cori_hosts_names(CORI_HOSTS_FILE, &addr, names, sizeof(names)) : 0;
    if (count > 0) {
        int rc = records_of_file(out, names, count);
        return rc < 0 ? failed(rc, address, &(cor_addr){0}, error) : rc;
    }
    reverse_name(&addr.ip, name, sizeof(name));
    return ask(out, name, CORI_DNS_PTR, deadline, address, error);
}

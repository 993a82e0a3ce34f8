/* SPDX-License-Identifier: MIT */
/*
 * Texts that people type: addresses of both kinds, durations, sizes. What is taken reads back to the same, what is
 * refused writes nothing, and nothing is read or written beyond its end.
 *
 * Input: text, NUL, then choices: two bytes with the room for host and port, one with the room for a joined text, one
 * with the network, one with the place where the text is cut in two.
 */
/* sources: cmd/coracle/address.c cmd/coracle/parse.c */
#include "address.h"
#include "input.h"
#include "net/addr.h"
#include "net/message.h"
#include "parse.h"

#include <coracle/lookup.h>
#include <errno.h>

enum { UNTOUCHED = 0x5A };

static bool is_untouched(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != UNTOUCHED) {
            return false;
        }
    }
    return true;
}

/* Memory of exactly this size, filled with the mark. */
static char *make_room(size_t size)
{
    char *room = malloc(size > 0 ? size : 1);
    CHECK(room != NULL);
    memset(room, UNTOUCHED, size > 0 ? size : 1);
    return room;
}

static bool is_split_error(int rc)
{
    return rc <= COR_EMISSING_PORT && rc >= COR_EUNEXPECTED_CLOSE;
}

/* A text that splits joins to itself, but for brackets that were not needed. */
static void check_parts(const char *text, const char *host, const char *port)
{
    size_t size = strlen(text) + 1;
    char *joined = make_room(size);
    CHECK(strpbrk(host, "[]") == NULL && strpbrk(port, "[]:") == NULL);
    CHECK(cor_join_host_port(host, port, joined, size) == joined);
    bool needless = text[0] == '[' && strchr(host, ':') == NULL;
    CHECK(strlen(joined) + 2 * needless == strlen(text));
    CHECK(needless || strcmp(joined, text) == 0);
    free(joined);
}

/* A choice of room for `length` bytes: the small ones are about as much as it takes. */
static size_t room_for(size_t length, size_t choice)
{
    return choice >= 8 ? choice : length + choice < 3 ? 0 : length + choice - 3;
}

static void check_split(const char *text, size_t host_choice, size_t port_choice)
{
    size_t size = strlen(text) + 1;
    char *all_host = make_room(size), *all_port = make_room(size);
    int all = cor_split_host_port(text, all_host, size, all_port, size);
    size_t host_size = room_for(all == 0 ? strlen(all_host) : 0, host_choice);
    size_t port_size = room_for(all == 0 ? strlen(all_port) : 0, port_choice);
    char *host = make_room(host_size), *port = make_room(port_size);
    int rc = cor_split_host_port(text, host, host_size, port, port_size);
    CHECK(all == 0 || is_split_error(all));
    if (all == 0) {
        check_parts(text, all_host, all_port);
        bool fits = strlen(all_host) < host_size && strlen(all_port) < port_size;
        CHECK(rc == (fits ? 0 : -ENAMETOOLONG));
    } else {
        CHECK(rc == all && is_untouched(all_host, size) && is_untouched(all_port, size));
    }
    if (rc == 0) {
        CHECK(strcmp(host, all_host) == 0 && strcmp(port, all_port) == 0);
    } else {
        CHECK(is_untouched(host, host_size) && is_untouched(port, port_size));
    }
    free(all_host);
    free(all_port);
    free(host);
    free(port);
}

/* Joining any two texts: what is cut is a beginning of the whole; a host without brackets splits off again. */
static void check_join(const char *host, const char *port, size_t room)
{
    size_t size = strlen(host) + strlen(port) + 4;
    char *whole = make_room(size), *cut = make_room(room), *host_again = make_room(size), *port_again = make_room(size);
    cor_join_host_port(host, port, whole, size);
    cor_join_host_port(host, port, cut, room);
    if (room > 0) {
        CHECK(strlen(cut) == (strlen(whole) < room ? strlen(whole) : room - 1));
        CHECK(strncmp(cut, whole, strlen(cut)) == 0);
    }
    if (strpbrk(host, "[]") == NULL && strpbrk(port, "[]:") == NULL) {
        CHECK(cor_split_host_port(whole, host_again, size, port_again, size) == 0);
        CHECK(strcmp(host_again, host) == 0 && strcmp(port_again, port) == 0);
    }
    free(whole);
    free(cut);
    free(host_again);
    free(port_again);
}

static bool same_address(const cor_addr *a, const cor_addr *b)
{
    return cor_addr_compare(*a, *b) == 0;
}

/* An address through the kernel's form and back. The v4 wildcard on a v6 socket becomes the v6 one. */
static void check_kernel_form(const cor_addr *addr)
{
    cori_sockaddr kernel;
    CHECK(cori_addr_to_sockaddr(addr, AF_INET6, &kernel) == sizeof(kernel.v6));
    cor_addr again = cori_addr_of(&kernel);
    CHECK(cori_addr_is_wildcard(addr) ? cori_addr_is_wildcard(&again) : same_address(&again, addr));
    if (addr->ip.family == AF_INET) {
        CHECK(cori_addr_to_sockaddr(addr, AF_INET, &kernel) == sizeof(kernel.v4));
        again = cori_addr_of(&kernel);
        CHECK(same_address(&again, addr));
    }
}

/* What a user of `coracle serve` is told to dial leads to the same address, or to loopback for a wildcard. */
static void check_dial_text(const cor_addr *addr, const char *bound, const char *network)
{
    char text[COR_ADDR_TEXT + 32], host[COR_ADDR_TEXT], port[COR_ADDR_TEXT];
    cor_addr target;
    CHECK(address_to_dial(network, bound, text, sizeof(text)) == text);
    CHECK(strlen(text) < sizeof(text) - 1);
    CHECK(cor_split_host_port(text, host, sizeof(host), port, sizeof(port)) == 0);
    CHECK(cori_addr_parse_ip(host, &target) && !cori_addr_is_wildcard(&target));
    target.port = addr->port;
    CHECK(cori_addr_is_wildcard(addr) || same_address(&target, addr));
    CHECK(address_for_nc(network, bound, text, sizeof(text)) == text && strchr(text, ' ') != NULL);
    CHECK(strpbrk(text, "[]") == NULL);
}

/* A literal's text parses to the same address. */
static void check_literal(const char *text, uint16_t port_number, const char *network)
{
    cor_addr addr = {0}, again;
    if (!cori_addr_parse_ip(text, &addr)) {
        CHECK(addr.ip.family == 0);
        return;
    }
    CHECK(addr.ip.family == AF_INET || addr.ip.family == AF_INET6);
    CHECK(text[strlen(text) - 1] != '%'); /* a zone has a name, says Go */
    char shown[COR_ADDR_TEXT], host[COR_ADDR_TEXT], port[8];
    addr.port = port_number;
    cor_addr_text(addr, shown, sizeof(shown));
    CHECK(strlen(shown) < sizeof(shown) - 1);
    CHECK(cor_split_host_port(shown, host, sizeof(host), port, sizeof(port)) == 0);
    CHECK((unsigned)atoi(port) == port_number);
    CHECK(cori_addr_parse_ip(host, &again));
    again.port = addr.port;
    CHECK(same_address(&addr, &again));
    check_kernel_form(&addr);
    if (addr.zone == 0) {
        check_dial_text(&addr, shown, network);
    }
}

static void check_candidates(const cori_network *network, const char *text, const cori_candidates *found)
{
    char host[COR_ADDR_TEXT], port[COR_ADDR_TEXT];
    CHECK(found->count >= 0 && found->count <= 16 && (found->count > 0) == !found->any);
    for (int i = 0; i < found->count; i++) {
        CHECK(found->list[i].port == found->port);
        CHECK(found->list[i].ip.family == AF_INET ? network->v4 : network->v6);
    }
    if (*text != '\0') {
        CHECK(cor_split_host_port(text, host, sizeof(host), port, sizeof(port)) == 0);
        CHECK(found->any == (host[0] == '\0'));
        CHECK(strspn(port, "0123456789") < strlen(port) || strtoul(port, NULL, 10) == found->port);
    }
}

static void check_resolve(const char *text, unsigned choice)
{
    static const char *const names[] = {"tcp", "tcp4", "tcp6"};
    const cori_network *network = cori_network_find(names[choice % 3]);
    cori_candidates found;
    cor_error error = {.op = "dial"};
    CHECK(network != NULL);
    int rc = cori_resolve(network, text, &found, &error);
    if (rc == 0) {
        check_candidates(network, text, &found);
        return;
    }
    CHECK(is_split_error(rc) || rc == COR_EINVALID_PORT || rc == COR_EUNKNOWN_PORT || rc == COR_ENO_SUCH_HOST ||
          rc == COR_ENO_SUITABLE_ADDRESS || rc == -ENAMETOOLONG || rc == -ENODEV); /* no such zone */
    CHECK(memchr(error.where, 0, sizeof(error.where)) != NULL && error.where[0] != '\0');
    char printed[COR_ERROR_TEXT];
    error.code = rc;
    CHECK(cor_error_text(&error, printed, sizeof(printed)) == printed);
    CHECK(strlen(printed) < sizeof(printed) - 1 && strstr(printed, cor_strerror(rc)) != NULL);
}

/* A port by itself: the same as behind a host, if it is one there; and of networks that there are. */
static void check_port(const char *network, const char *service)
{
    cor_error error = {.code = 0};
    int port = cor_lookup_port(network, service, &error);
    CHECK(port >= 0 ? port <= 65535 : error.code == port);
    CHECK(port >= 0 || port == COR_EUNKNOWN_PORT || port == COR_EINVALID_PORT || port == COR_EUNKNOWN_NETWORK);
    size_t digits = strspn(service, "0123456789");
    if (digits > 0 && digits <= 9 && service[digits] == '\0') {
        int number = atoi(service);
        CHECK(port == (number <= 65535 ? number : COR_EINVALID_PORT));
    }
    CHECK(cor_lookup_port("ip", service, NULL) == cor_lookup_port("", service, NULL));
}

/* What is a name of a domain has labels that are not empty, between dots, and not all of it is a number. */
static void check_domain(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t size = strlen(name);
    bool good = size > 0 && size <= 254 && strspn(name, letters) == size && strspn(name, "0123456789.") < size;
    good = good && (size < 254 || name[253] == '.') && name[0] != '.' && name[0] != '-';
    good = good && name[size - 1] != '-' && strstr(name, "..") == NULL && strstr(name, ".-") == NULL;
    good = good && strstr(name, "-.") == NULL;
    for (const char *label = name; good && *label != '\0';) {
        size_t length = strcspn(label, ".");
        good = length <= 63;
        label += length + (label[length] == '.');
    }
    CHECK(cori_is_domain_name(name) == (good || strcmp(name, ".") == 0));
}

static void check_unix(const char *text)
{
    cori_sockaddr kernel;
    socklen_t length;
    int rc = cori_unix_sockaddr(text, &kernel, &length);
    CHECK(rc == 0 || (rc == -EINVAL && strlen(text) >= sizeof(kernel.local.sun_path)));
    if (rc == 0) {
        char shown[COR_ADDR_TEXT];
        CHECK(length <= sizeof(kernel.local));
        cori_unix_text(&kernel, length, shown, sizeof(shown));
        CHECK(strcmp(shown, *text == '\0' ? "@" : text) == 0);
    }
}

static void check_typed(const char *text)
{
    address parts = address_split(text);
    const char *mark = strstr(text, "://");
    CHECK(parts.text == (mark != NULL ? mark + 3 : text));
    CHECK(memchr(parts.network, 0, sizeof(parts.network)) != NULL);
    CHECK(mark != NULL ? strncmp(parts.network, text, strlen(parts.network)) == 0 : strcmp(parts.network, "tcp") == 0);
}

/* What --admin is given is as it was, or a port that is on the loopback of its network. */
static void check_admin(const char *text)
{
    size_t room = strlen(text) + sizeof("127.0.0.1:");
    char *own = make_room(room);
    address given = address_split(text), at = address_of_admin(text, own, room);
    CHECK(strcmp(at.network, given.network) == 0);
    if (at.text == own) {
        bool six = strcmp(at.network, "tcp6") == 0;
        const char *port = given.text + (given.text[0] == ':');
        CHECK(strncmp(own, six ? "[::1]:" : "127.0.0.1:", six ? 6 : 10) == 0);
        CHECK(strcmp(own + (six ? 6 : 10), port) == 0 && strncmp(at.network, "tcp", 3) == 0);
    } else {
        CHECK(at.text == given.text && (strncmp(at.network, "tcp", 3) != 0 || given.text[0] != ':'));
    }
    bool raw = address_is_raw_ip(&given), packets = address_is_packets(&given);
    CHECK(!raw || (packets && strncmp(given.network, "ip", 2) == 0));
    CHECK(!packets || strncmp(given.network, "tcp", 3) != 0);
    free(own);
}

/* A unix socket's address is dialled as it is bound. */
static void check_unix_dial(const char *path)
{
    char text[512], expected[512];
    snprintf(expected, sizeof(expected), "unix://%s", path);
    CHECK(strcmp(address_to_dial("unix", path, text, sizeof(text)), expected) == 0 ||
          strncmp(path, "0.0.0.0:", 8) == 0 || strncmp(path, "[::]:", 5) == 0);
    CHECK(strncmp(address_for_nc("unix", path, text, sizeof(text)), "-U ", 3) == 0);
}

/* A duration prints back to itself, and two durations written one after the other are their sum. */
static void check_duration(const char *text, size_t cut)
{
    int64_t whole = -1, again = -1, first = -1, second = -1;
    char shown[32];
    bool taken = parse_duration(text, &whole);
    CHECK(taken ? whole >= 0 : whole == -1);
    if (taken) {
        snprintf(shown, sizeof(shown), "%lldns", (long long)whole);
        CHECK(parse_duration(shown, &again) && again == whole);
    }
    char *head = exact_copy(text, cut, 1);
    const char *tail = text + cut;
    bool both = strcmp(head, "0") != 0 && strcmp(tail, "0") != 0 && parse_duration(head, &first) &&
                parse_duration(tail, &second);
    int64_t sum;
    if (both && !__builtin_add_overflow(first, second, &sum)) {
        CHECK(taken && whole == sum);
    }
    free(head);
}

static void check_size(const char *text)
{
    uint64_t count = UINT64_MAX;
    size_t size = SIZE_MAX - 1;
    bool counted = parse_count(text, 10, 1000, &count), sized = parse_size(text, &size);
    CHECK(counted ? count >= 10 && count <= 1000 : count == UINT64_MAX);
    CHECK(sized || size == SIZE_MAX - 1);
    CHECK(!counted || (sized && size == count));
    if (sized) {
        char shown[32];
        size_t again;
        snprintf(shown, sizeof(shown), "%zu", size);
        CHECK(parse_size(shown, &again) && again == size);
        CHECK(strspn(text, "0123456789") > 0);
    }
}

/* A number with a decimal suffix is what strtod(3) makes of it, a thousand times as much for each step. */
static void check_number(const char *text)
{
    double number = -1;
    bool taken = parse_number(text, &number);
    CHECK(taken ? number >= 0 : number == -1.0);
    if (taken) {
        char *unit;
        double value = strtod(text, &unit);
        value *= *unit == 'k' ? 1e3 : *unit == 'M' ? 1e6 : *unit == 'G' ? 1e9 : 1;
        CHECK(number >= value * (1 - 1e-9) && number <= value * (1 + 1e-9));
        CHECK(strspn(text, "0123456789.kMG") == strlen(text) && text[0] >= '0' && text[0] <= '9');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    char *text = input_text(&in);
    size_t host_size = input_byte(&in), port_size = input_byte(&in), joined_size = input_byte(&in);
    unsigned choice = input_byte(&in);
    size_t cut = input_byte(&in) % (strlen(text) + 1);
    char *head = exact_copy(text, cut, 1);
    check_split(text, host_size, port_size);
    check_join(head, text + cut, joined_size);
    check_literal(text, (uint16_t)(host_size << 8 | port_size), choice % 2 ? "tcp6" : "tcp");
    check_resolve(text, choice);
    check_unix(text);
    check_port(head, text + cut);
    check_domain(text);
    check_typed(text);
    check_admin(text);
    check_unix_dial(text);
    check_number(text);
    check_duration(text, cut);
    check_size(text);
    free(head);
    free(text);
    return 0;
}

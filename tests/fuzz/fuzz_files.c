/* SPDX-License-Identifier: MIT */
/*
 * Files about names and the kernel's lists of groups: hosts, services, protocols, resolv.conf, igmp and igmp6. What is
 * found in the first three is found here once more by a search line by line; of the others it is checked that what is
 * given may be given.
 *
 * Input: a byte that chooses the file, a name up to a NUL, then the file.
 */
/* link: -Wl,--wrap=fopen */
#include "input.h"
#include "net/addr.h"
#include "net/hosts.h"
#include "net/resolv_conf.h"

#include <coracle/interface.h>
#include <coracle/lookup.h>
#include <errno.h>
#include <strings.h>

enum { FOUND_MAX = 16, GROUPS_MAX = 64, BYTES_OF_A_LINE = 510 };
static const char blanks[] = " \t\r\n";

static const char *text; /* every file is this one; NULL: files are files */
static size_t text_size;

FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__real_fopen(const char *path, const char *mode);

FILE *__wrap_fopen(const char *path, const char *mode)
{
    if (text == NULL) {
        return __real_fopen(path, mode);
    }
    errno = ENOENT;
    return text_size > 0 ? fmemopen((char *)(uintptr_t)text, text_size, "r") : NULL;
}

/* Words of a line, without its comment. */
typedef struct words {
    char *line, *list[256];
    int count;
} words;

/* Takes the next line of the file; false: there is none. */
static bool next_line(const char **at, words *of)
{
    const char *end = text + text_size;
    if (*at == end) {
        return false;
    }
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    stop = stop != NULL ? stop : end;
    *of = (words){.line = exact_copy(*at, (size_t)(stop - *at), 1)};
    of->line[strcspn(of->line, "#")] = '\0';
    char *rest = of->line;
    for (char *word = strtok_r(rest, blanks, &rest); word != NULL && of->count < 256;
         word = strtok_r(NULL, blanks, &rest)) {
        of->list[of->count++] = word;
    }
    *at = stop < end ? stop + 1 : end;
    return true;
}

/* Whether two names are one, but for case and a dot at the end. */
static bool same_name(const char *a, const char *b)
{
    size_t sizes[] = {strlen(a), strlen(b)};
    sizes[0] -= sizes[0] > 1 && a[sizes[0] - 1] == '.';
    sizes[1] -= sizes[1] > 1 && b[sizes[1] - 1] == '.';
    return sizes[0] == sizes[1] && strncasecmp(a, b, sizes[0]) == 0;
}

static void check_hosts(const char *name)
{
    cor_addr found[FOUND_MAX], expected[FOUND_MAX];
    char canonical[COR_NAME_TEXT] = "", first[COR_NAME_TEXT] = "";
    words line;
    int count = 0;
    for (const char *at = text; next_line(&at, &line); free(line.line)) {
        cor_addr addr = {0};
        bool good = line.count > 1 && cori_addr_parse_ip(line.list[0], &addr) && addr.zone != CORI_NO_SUCH_ZONE;
        bool here = false;
        for (int i = 1; good && i < line.count; i++) {
            here |= same_name(line.list[i], name);
        }
        if (here && *name != '\0') {
            size_t size = strlen(line.list[1]);
            if (first[0] == '\0') {
                snprintf(first, sizeof(first), "%.*s.", (int)(size - (size > 1 && line.list[1][size - 1] == '.')),
                         line.list[1]);
            }
            if (count < FOUND_MAX) {
                expected[count++] = addr;
            }
        }
    }
    int got = cori_hosts_lookup("hosts", name, found, FOUND_MAX);
    CHECK(got == count);
    for (int i = 0; i < count; i++) {
        CHECK(cor_addr_compare(found[i], expected[i]) == 0);
    }
    CHECK(cori_hosts_canonical("hosts", name, canonical, sizeof(canonical)) == (count > 0));
    CHECK(strcmp(canonical, first) == 0);
    if (count > 0) {
        char all[4096];
        CHECK(cori_hosts_names("hosts", &expected[0], all, sizeof(all)) > 0 || text_size > sizeof(all));
        CHECK(cori_hosts_names("hosts", &expected[0], all, 1) == 0);
    }
}

/* "80/tcp": the port of that protocol; -ENOENT: it is none. */
static int port_in(const char *word, const char *protocol)
{
    size_t digits = strspn(word, "0123456789"), zeros = strspn(word, "0");
    bool good = digits > 0 && digits - zeros <= 5 && word[digits] == '/' && strcmp(word + digits + 1, protocol) == 0;
    int port = good ? atoi(word + (zeros < digits ? zeros : digits - 1)) : 0;
    return port > 0 && port <= 65535 ? port : -ENOENT;
}

static void check_services(const char *name)
{
    words line;
    int expected = strcasecmp(name, "domain") == 0 ? 53 : -ENOENT;
    for (const char *at = text; next_line(&at, &line); free(line.line)) {
        for (int i = 0; i < line.count && line.count > 1 && expected < 0; i++) {
            expected = i != 1 && strcasecmp(line.list[i], name) == 0 ? port_in(line.list[1], "udp") : expected;
        }
    }
    CHECK(cori_service_port("udp", name) == expected);
}

static void check_protocols(const char *name)
{
    char whole[300];
    const cori_network *network = NULL;
    cor_error error = {.op = "listen"};
    int protocol = -1;
    snprintf(whole, sizeof(whole), "ip4:%.250s", name);
    int rc = cori_network_parse(whole, &network, &protocol, &error);
    CHECK(rc == 0 || rc == COR_EUNKNOWN_PROTOCOL || rc == COR_EUNKNOWN_NETWORK);
    CHECK(rc != 0 || (protocol >= 0 && protocol <= 9999999 && network != NULL));
    bool number = *name != '\0' && strspn(name, "0123456789") == strlen(name) && strlen(name) <= 7;
    CHECK(!number || (rc == 0 && protocol == atoi(name)));
    words line;
    bool named = false;
    for (const char *at = text; next_line(&at, &line); free(line.line)) {
        for (int i = 0; i < line.count; i++) {
            named |= strcasecmp(line.list[i], name) == 0;
        }
    }
    bool known = strcasecmp(name, "icmp") == 0 || strcasecmp(name, "igmp") == 0 || strcasecmp(name, "tcp") == 0 ||
                 strcasecmp(name, "udp") == 0 || strcasecmp(name, "ipv6-icmp") == 0;
    CHECK(rc != 0 || number || known || named || strchr(name, ':') != NULL);
}

static void check_resolv_conf(void)
{
    cori_resolv_conf conf;
    cori_resolv_read("resolv.conf", &conf);
    CHECK(memchr(conf.servers, 0, sizeof(conf.servers)) != NULL && conf.servers[0] != '\0');
    int servers = 1;
    for (const char *at = conf.servers; (at = strstr(at, ",")) != NULL; at++) {
        servers++;
    }
    CHECK(servers <= CORI_RESOLV_SERVERS || strpbrk(text, ",") != NULL);
    CHECK(conf.domain_count >= 0 && conf.domain_count <= CORI_RESOLV_DOMAINS);
    for (int i = 0; i < conf.domain_count; i++) {
        const char *domain = conf.domains[i];
        CHECK(domain >= conf.search && domain + strlen(domain) < conf.search + sizeof(conf.search));
        CHECK(*domain != '\0' && strpbrk(domain, blanks) == NULL);
    }
    CHECK(conf.ndots >= 0 && conf.ndots <= 15 && conf.timeout_s >= 1 && conf.attempts >= 1);
}

static void check_groups(int index)
{
    cor_ip some[GROUPS_MAX], none[1];
    int count = cor_interface_groups(index, some, GROUPS_MAX);
    CHECK(count >= 0 && cor_interface_groups(index, none, 0) == count);
    CHECK(cor_interface_groups(0, none, 0) >= count);
    for (int i = 0; i < count && i < GROUPS_MAX; i++) {
        CHECK(some[i].family == AF_INET || some[i].family == AF_INET6);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    unsigned choice = input_byte(&in);
    char *name = input_text(&in);
    size_t nul = 0;
    while (nul < in.left && in.next[nul] != '\0') { /* of a line with a NUL everybody knows the beginning only */
        nul++;
    }
    char *copy = exact_copy(in.next, nul, 1);
    text = copy;
    text_size = nul;
    switch (choice % 5) {
    case 0:
        check_hosts(name);
        break;
    case 1:
        check_services(name);
        break;
    case 2:
        check_protocols(name);
        break;
    case 3:
        check_resolv_conf();
        break;
    default:
        check_groups(choice / 5);
        break;
    }
    text = NULL;
    free(copy);
    free(name);
    return 0;
}

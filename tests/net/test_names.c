/* SPDX-License-Identifier: MIT */
/* Names in addresses, as far as files and the kernel answer: services and hosts of files, zones of link-local ends. */
/* link: -Wl,--wrap=fopen,--wrap=stat */
#include "net/netcase.h"

#include "net/addr.h"
#include "net/hosts.h"

#include <coracle/lookup.h>

#include <linux/ipv6.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const cor_options one_worker = {.workers = 1};

/* What the library reads in place of /etc/services. */
static char services[] = "# nothing here: 99/tcp\n"
                         "\n"
                         "only-udp\t4242/udp\n"
                         "both 4243/udp\n"
                         "both 4244/tcp\n"
                         "cut 4245/tcp # behind\n"
                         "tabs\t\t4246/tcp\tfirst SECOND\n"
                         "smtp 4248/tcp\n"
                         "odd 70000/tcp\n"
                         "odd -5/tcp\n"
                         "odd 0/tcp\n"
                         "odd 9x/tcp\n"
                         "odd 4294967301/tcp\n"
                         "odd 4249/tcp\n"
                         "odd 4250/tcp\n"
                         "last 4247/tcp";

/* Of /etc/protocols. */
static char protocols[] = "# none 7\n"
                          "\n"
                          "one 11 ONE first # second\n"
                          "tcp 99\n"
                          "bare\n"
                          "letters x\n"
                          "big 12345678\n"
                          "last\t12";

/* And in place of /etc/hosts. */
static char hosts[] = "# 192.0.2.9 many\n"
                      "192.0.2.1\tmany first\n"
                      "2001:db8::2 many second # 192.0.2.8 third\n"
                      "fe80::3%1 zoned\n"
                      "not-an-address many\n"
                      "192.0.2.4 other MANY dotted.\n"
                      "192.0.2.5 last";
static int opened; /* how often a file was asked for; atomic */

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

FILE *__wrap_fopen(const char *path, const char *mode)
{
    bool is_services = strcmp(path, "/etc/services") == 0;
    if (strcmp(path, "/etc/protocols") == 0) {
        return fmemopen(protocols, sizeof(protocols) - 1, "r");
    }
    if (!is_services && strcmp(path, "/etc/hosts") != 0) {
        return __real_fopen(path, mode);
    }
    (void)add(&opened, 1);
    return is_services ? fmemopen(services, sizeof(services) - 1, "r") : fmemopen(hosts, sizeof(hosts) - 1, "r");
}

static int64_t hosts_changed; /* its time in seconds, as the library sees it */

int __real_stat(const char *path, struct stat *out);
int __wrap_stat(const char *path, struct stat *out);

int __wrap_stat(const char *path, struct stat *out)
{
    int rc = __real_stat(path, out);
    if (strcmp(path, "/etc/hosts") == 0) {
        *out = (struct stat){
            .st_ino = 1, .st_size = 1, .st_mtim.tv_sec = __atomic_load_n(&hosts_changed, __ATOMIC_RELAXED)};
        return 0;
    }
    return rc;
}

static void expect_host(const char *name, const char *const *wants, int count)
{
    cor_addr list[8];
    T_EQ(cori_hosts_lookup(CORI_HOSTS_FILE, name, list, 8), count);
    for (int i = 0; i < count; i++) {
        char text[COR_ADDR_TEXT];
        list[i].port = 7;
        cor_addr_text(list[i], text, sizeof(text));
        T_STR(text, wants[i]);
    }
}

/* N277: all addresses of a name in the file's order, in any case, with aliases, zones and without comments. */
TASK_TEST(hosts_of_the_file)
{
    static const char *const many[] = {"192.0.2.1:7", "[2001:db8::2]:7", "192.0.2.4:7"};
    static const char *const zoned[] = {"[fe80::3%lo]:7"}, *const last[] = {"192.0.2.5:7"};
    char loopback[IF_NAMESIZE] = "";
    expect_host("many", many, 3);
    expect_host("Many.", many, 3);
    expect_host("first", many, 1);
    expect_host("SECOND", many + 1, 1);
    expect_host("dotted", many + 2, 1);
    expect_host("last", last, 1);
    expect_host("third", NULL, 0);
    expect_host("192.0.2.1", NULL, 0);
    if (if_indextoname(1, loopback) != NULL && strcmp(loopback, "lo") == 0) {
        expect_host("zoned", zoned, 1);
    }
}

/* N278, N277: all names of an address in the file's order, those with dots as whole ones; N281: a line's first name. */
TASK_TEST(names_of_the_file)
{
    char name[COR_NAME_TEXT];
    cor_records *found = NULL;
    T_CODE(cor_lookup_addr(&found, "192.0.2.1", 0, NULL), 0);
    T_EQ(found->count, 2);
    T_STR(found->list[0].text, "many");
    T_STR(found->list[1].text, "first");
    T_STR(found->server, "/etc/hosts");
    cor_records_free(found);
    T_CODE(cor_lookup_addr(&found, "::ffff:192.0.2.4", 0, NULL), 0);
    T_EQ(found->count, 3);
    T_STR(found->list[2].text, "dotted.");
    cor_records_free(found);
    T_EQ(cor_lookup_cname(name, sizeof(name), "Second", 0, NULL), 5);
    T_STR(name, "many.");
}

/* N277: the file is read once, looked at every 5 s (here: at once), and read anew when it has changed. */
TASK_TEST(the_file_is_kept)
{
    static const char *const first[] = {"192.0.2.1:7"}, *const later[] = {"192.0.2.3:7"};
    expect_host("first", first, 1);
    expect_host("first", first, 1);
    T_EQ(get(&opened), 1);
    memcpy(strstr(hosts, "192.0.2.1\t"), "192.0.2.3", 9);
    hosts_changed++;
    expect_host("first", first, 1); /* the 5 s are not over */
    cori_files_check_ns = 0;
    expect_host("first", later, 1);
    T_EQ(get(&opened), 2);
    expect_host("first", later, 1);
    T_EQ(get(&opened), 2);
}

static void look_often(void *arg)
{
    cor_addr list[8];
    for (int i = 0; i < 200; i++) {
        *(int *)arg += cori_hosts_lookup(CORI_HOSTS_FILE, "many", list, 8) == 3;
        cor_yield();
    }
}

/* Any number of tasks may look while the file is read anew. */
TASK_TEST(the_file_changes_under_lookups)
{
    enum { LOOKING = 8 };
    cor_group group = {0};
    int found[LOOKING] = {0};
    cori_files_check_ns = 0;
    for (int i = 0; i < LOOKING; i++) {
        go_on(i, &group, look_often, &found[i]);
    }
    for (int i = 0; i < 200; i++) {
        __atomic_fetch_add(&hosts_changed, 1, __ATOMIC_RELAXED);
        cor_yield();
    }
    wait_for(&group);
    for (int i = 0; i < LOOKING; i++) {
        T_EQ(found[i], 200);
    }
}

/* N274: a literal asks no file, a name does. */
TASK_TEST(literals_ask_no_file)
{
    cor_listener *listener;
    cor_conn *conn;
    char address[COR_ADDR_TEXT];
    T_CODE(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), 0);
    T_CODE(cor_dial(&conn, "tcp", cor_listener_addr(listener, address, sizeof(address)), NULL), 0);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_dial(&conn, "tcp4", "[fe80::1%1]:80", NULL), COR_ENO_SUITABLE_ADDRESS);
    T_EQ(get(&opened), 0);
    T_CODE(cor_dial(&conn, "tcp6", "first:80", NULL), COR_ENO_SUITABLE_ADDRESS);
    T_EQ(get(&opened), 1);
}

/* N025: of the file too, aliases, in any case, and those of TCP only. */
TASK_TEST(services_of_the_file)
{
    static const struct {
        const char *name;
        int port;
    } wants[] = {{"both", 4244},        {"cut", 4245},       {"tabs", 4246}, {"first", 4246},      {"second", 4246},
                 {"FIRST", 4246},       {"Second", 4246},    {"smtp", 25},   {"last", 4247},       {"LAST", 4247},
                 {"only-udp", -ENOENT}, {"behind", -ENOENT}, {"#", -ENOENT}, {"nothing", -ENOENT}, {"fir", -ENOENT},
                 {"odd", 4249} /* its first line with a port */};
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        T_REQUIRE(cori_service_port("tcp", wants[i].name) == wants[i].port, "%s is %d", wants[i].name,
                  cori_service_port("tcp", wants[i].name));
    }
    static const char *const networks[] = {"tcp", "tcp4"};
    for (int i = 0; i < 2; i++) { /* tcp4 has the services of tcp */
        cor_conn *conn;
        cor_error error;
        char text[COR_ERROR_TEXT];
        T_CODE(cor_dial(&conn, networks[i], "127.0.0.1:SECOND", &error), -ECONNREFUSED);
        T_CONTAINS(cor_error_text(&error, text, sizeof(text)), " 127.0.0.1:4246: ");
        T_CODE(cor_dial(&conn, networks[i], "127.0.0.1:only-udp", &error), COR_EUNKNOWN_PORT);
        T_CONTAINS(cor_error_text(&error, text, sizeof(text)), "/only-udp: unknown port");
    }
}

/* Numbers and names of protocols: the known ones, then those of the file, each with its other names. */
TASK_TEST(protocols_of_the_file)
{
    static const struct {
        const char *name;
        int protocol;
    } wants[] = {{"ip4:icmp", 1},
                 {"ip6:IPv6-ICMP", 58},
                 {"ip:tcp", 6}, /* not the file's 99 */
                 {"ip4:one", 11},
                 {"ip4:ONE", 11},
                 {"ip4:First", 11},
                 {"ip4:last", 12},
                 {"ip4:253", 253},
                 {"ip4:1234567", 1234567},
                 {"ip4:12345678", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:second", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:none", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:bare", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:letters", COR_EUNKNOWN_PROTOCOL},
                 {"ip4:big", COR_EUNKNOWN_PROTOCOL},
                 {"tcp:icmp", COR_EUNKNOWN_NETWORK},
                 {"ip5:icmp", COR_EUNKNOWN_NETWORK}};
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        const cori_network *network = NULL;
        cor_error error = {.code = 0};
        int protocol = -1, rc = cori_network_parse(wants[i].name, &network, &protocol, &error);
        T_REQUIRE((rc < 0 ? rc : protocol) == wants[i].protocol, "%s is %d", wants[i].name, rc < 0 ? rc : protocol);
        T_EQ(network == NULL, rc == COR_EUNKNOWN_NETWORK);
    }
}

/* A network of its own, with fe80::1 on its loopback; false if that is not allowed here. */
static bool own_network(void)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct in6_ifreq address = {.ifr6_prefixlen = 64, .ifr6_ifindex = 1};
    address.ifr6_addr.s6_addr[0] = 0xfe;
    address.ifr6_addr.s6_addr[1] = 0x80;
    address.ifr6_addr.s6_addr[15] = 1;
    if (unshare(CLONE_NEWNET) < 0) {
        return false;
    }
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0 && ioctl(fd, SIOCSIFADDR, &address) == 0;
    (void)close(fd);
    return done;
}

static void expect_begins(const char *text, const char *begin)
{
    T_REQUIRE(strncmp(text, begin, strlen(begin)) == 0, "\"%s\" does not begin with \"%s\"", text, begin);
}

/* N020: the zone stays in every text of a link-local end, and without it the kernel refuses. */
TASK_TEST_WITH(link_local_ends_keep_their_zone, &one_worker)
{
    if (!own_network()) {
        T_SKIP("needs a network namespace, which is refused here");
    }
    cor_listener *listener;
    cor_conn *dialed, *accepted;
    cor_error error;
    char address[COR_ADDR_TEXT], text[COR_ADDR_TEXT], without[COR_ADDR_TEXT], words[COR_ERROR_TEXT];
    /* The kernel makes a new address usable in its own time. */
    T_EVENTUALLY(cor_listen(&listener, "tcp", "[fe80::1%lo]:0", NULL) == 0, SOON);
    expect_begins(cor_listener_addr(listener, address, sizeof(address)), "[fe80::1%lo]:");
    T_CODE(cor_dial(&dialed, "tcp", address, NULL), 0);
    T_CODE(cor_accept(listener, &accepted), 0);
    expect_begins(cor_local_addr(dialed, text, sizeof(text)), "[fe80::1%lo]:");
    T_STR(cor_remote_addr(accepted, words, sizeof(words)), text);
    T_STR(cor_remote_addr(dialed, text, sizeof(text)), address);
    T_STR(cor_local_addr(accepted, text, sizeof(text)), address);
    close_pair(dialed, accepted);
    (void)snprintf(without, sizeof(without), "[fe80::1]%s", strrchr(address, ':'));
    T_CODE(cor_dial(&dialed, "tcp", without, &error), -EINVAL);
    T_CONTAINS(cor_error_text(&error, words, sizeof(words)), "connect: invalid argument");
    T_CODE(cor_listener_close(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_of_the_file), cmocka_unit_test(protocols_of_the_file),
        cmocka_unit_test(hosts_of_the_file),    cmocka_unit_test(names_of_the_file),
        cmocka_unit_test(the_file_is_kept),     cmocka_unit_test(the_file_changes_under_lookups),
        cmocka_unit_test(literals_ask_no_file), cmocka_unit_test(link_local_ends_keep_their_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

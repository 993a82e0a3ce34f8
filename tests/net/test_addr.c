/* SPDX-License-Identifier: MIT */
/*
 * Network names, address texts, ports and names from files: what they mean, and Go's words for what they cannot mean.
 */
#include "net/netcase.h"

#include <arpa/inet.h>
#include <coracle/lookup.h>
#include <net/if.h>

/* An error's text, in a buffer that the next call overwrites. */
static const char *text_of(const cor_error *error)
{
    static char text[COR_ERROR_TEXT];
    return cor_error_text(error, text, sizeof(text));
}

static void expect_listen_error(const char *network, const char *address, int code, const char *text)
{
    cor_listener *listener = NULL;
    cor_error error;
    T_CODE(cor_listen(&listener, network, address, &error), code);
    T_ASSERT(listener == NULL);
    T_STR(text_of(&error), text);
}

static void expect_dial_error(const char *network, const char *address, int code, const char *text)
{
    cor_conn *conn = NULL;
    cor_error error;
    T_CODE(cor_dial(&conn, network, address, &error), code);
    T_ASSERT(conn == NULL);
    T_STR(text_of(&error), text);
}

/* The text of the address that a listener got. */
static const char *listening_at(const char *network, const char *address)
{
    static char text[COR_ADDR_TEXT];
    cor_listener *listener = NULL;
    T_CODE(cor_listen(&listener, network, address, NULL), 0);
    (void)cor_listener_addr(listener, text, sizeof(text));
    T_CODE(cor_listener_close(listener), 0);
    return text;
}

/* N001, N002, N003 */
TASK_TEST(unknown_networks)
{
    static const char *const names[] = {"TCP", "Unix", "tcp:80", "unix:1", "ip::", "ip4::", "ip", "tcp5", "tcp4 "};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "listen %s: unknown network %s", names[i], names[i]);
        expect_listen_error(names[i], "127.0.0.1:0", COR_EUNKNOWN_NETWORK, text);
        (void)snprintf(text, sizeof(text), "dial %s: unknown network %s", names[i], names[i]);
        expect_dial_error(names[i], "127.0.0.1:1", COR_EUNKNOWN_NETWORK, text);
    }
    expect_listen_error("", ":0", COR_EUNKNOWN_NETWORK, "listen: unknown network ");
}

/* N005 */
TASK_TEST(checks_have_an_order)
{
    expect_dial_error("foo", "", COR_EUNKNOWN_NETWORK, "dial foo: unknown network foo");
    expect_dial_error("tcp", "", COR_EMISSING_ADDRESS, "dial tcp: missing address");
    expect_dial_error("tcp", "nohost.invalid", COR_EMISSING_PORT,
                      "dial tcp: address nohost.invalid: missing port in address");
    expect_dial_error("tcp", "nohost.invalid:99999", COR_EINVALID_PORT, "dial tcp: address 99999: invalid port");
}

typedef struct split_case {
    const char *text;
    int code;
    const char *host, *port;
} split_case;

static const split_case splits[] = {
    {"golang.org", COR_EMISSING_PORT, NULL, NULL},
    {"127.0.0.1", COR_EMISSING_PORT, NULL, NULL},
    {"[::1]", COR_EMISSING_PORT, NULL, NULL},
    {"[foo:bar]baz", COR_EMISSING_PORT, NULL, NULL},
    {"[foo]bar:baz", COR_EMISSING_PORT, NULL, NULL},
    {"", COR_EMISSING_PORT, NULL, NULL},
    {"::1", COR_ETOO_MANY_COLONS, NULL, NULL},
    {"fe80::1%lo0:80", COR_ETOO_MANY_COLONS, NULL, NULL},
    {"[foo]:[bar]:baz", COR_ETOO_MANY_COLONS, NULL, NULL},
    {"[foo]:[bar]baz", COR_EUNEXPECTED_OPEN, NULL, NULL},
    {"foo[bar]:baz", COR_EUNEXPECTED_OPEN, NULL, NULL},
    {"foo]bar:baz", COR_EUNEXPECTED_CLOSE, NULL, NULL},
    {"[foo:80", COR_EMISSING_BRACKET, NULL, NULL},
    {":80", 0, "", "80"},
    {":", 0, "", ""},
    {"host:", 0, "host", ""},
    {"[::1]:", 0, "::1", ""},
    {"[::1]:80", 0, "::1", "80"},
    {"[host%zone]:http", 0, "host%zone", "http"},
    {"host%zone:http", 0, "host%zone", "http"},
    {"[fe80::1%lo0]:80", 0, "fe80::1%lo0", "80"},
    {"host:https%foo", 0, "host", "https%foo"},
    {"[localhost]:http", 0, "localhost", "http"},
};

/* N010, N011 */
TASK_TEST(host_and_port_are_split)
{
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        char host[64] = "untouched", port[64] = "untouched";
        int rc = cor_split_host_port(splits[i].text, host, sizeof(host), port, sizeof(port));
        T_REQUIRE(rc == splits[i].code, "\"%s\" gives %d (%s)", splits[i].text, rc, taskcase_text(rc));
        T_STR(host, rc == 0 ? splits[i].host : "untouched");
        T_STR(port, rc == 0 ? splits[i].port : "untouched");
    }
    char small[4], large[64];
    T_CODE(cor_split_host_port("host:80", small, sizeof(small), large, sizeof(large)), -ENAMETOOLONG);
    T_CODE(cor_split_host_port("host:8080", large, sizeof(large), small, sizeof(small)), -ENAMETOOLONG);
}

/* N012 */
TASK_TEST(host_and_port_are_joined)
{
    static const char *const joins[][3] = {
        {"localhost", "80", "localhost:80"},     {"::1", "80", "[::1]:80"},   {"", "80", ":80"},
        {"fe80::1%lo0", "0", "[fe80::1%lo0]:0"}, {"1.2.3.4", "", "1.2.3.4:"}, {"a b", "x", "a b:x"},
    };
    char text[64], cut[6];
    for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++) {
        T_STR(cor_join_host_port(joins[i][0], joins[i][1], text, sizeof(text)), joins[i][2]);
    }
    T_STR(cor_join_host_port("host", "80", cut, sizeof(cut)), "host:");
}

/* N013 */
TASK_TEST(address_errors_have_gos_words)
{
    expect_listen_error("tcp4", "127.0.0.1", COR_EMISSING_PORT,
                        "listen tcp4: address 127.0.0.1: missing port in address");
    expect_listen_error("tcp", "::1:80", COR_ETOO_MANY_COLONS,
                        "listen tcp: address ::1:80: too many colons in address");
    expect_listen_error("tcp", "[::1:80", COR_EMISSING_BRACKET, "listen tcp: address [::1:80: missing ']' in address");
}

/* N021, N023 */
TASK_TEST(port_numbers)
{
    T_CONTAINS(listening_at("tcp4", "127.0.0.1:"), "127.0.0.1:");
    T_CONTAINS(listening_at("tcp4", "127.0.0.1:-0"), "127.0.0.1:");
    T_CONTAINS(listening_at("tcp4", "127.0.0.1:+00000"), "127.0.0.1:");
    expect_dial_error("tcp", "127.0.0.1:+00001", -ECONNREFUSED, "dial tcp 127.0.0.1:1: connect: connection refused");
    expect_listen_error("tcp4", "tcp4:-10", COR_EINVALID_PORT, "listen tcp4: address -10: invalid port");
    expect_listen_error("tcp4", ":-10", COR_EINVALID_PORT, "listen tcp4: address -10: invalid port");
    expect_listen_error("tcp", ":65536", COR_EINVALID_PORT, "listen tcp: address 65536: invalid port");
    expect_listen_error("tcp", ":70000", COR_EINVALID_PORT, "listen tcp: address 70000: invalid port");
    expect_listen_error("tcp", ":99999999999999999999", COR_EINVALID_PORT,
                        "listen tcp: address 99999999999999999999: invalid port");
    expect_listen_error("tcp", ":-99999999999999999999", COR_EINVALID_PORT,
                        "listen tcp: address -99999999999999999999: invalid port");
}

/* N022, N026 */
TASK_TEST(other_ports_are_service_names)
{
    expect_listen_error("tcp4", ":12a", COR_EUNKNOWN_PORT, "listen tcp4: lookup tcp4/12a: unknown port");
    expect_listen_error("tcp", ":0x50", COR_EUNKNOWN_PORT, "listen tcp: lookup tcp/0x50: unknown port");
    expect_listen_error("tcp", ": 80", COR_EUNKNOWN_PORT, "listen tcp: lookup tcp/ 80: unknown port");
    expect_dial_error("tcp", "127.0.0.1:+80x", COR_EUNKNOWN_PORT, "dial tcp: lookup tcp/+80x: unknown port");
    expect_dial_error("tcp6", "[::1]:\xc3\xa9", COR_EUNKNOWN_PORT, "dial tcp6: lookup tcp6/\xc3\xa9: unknown port");
}

/* N025 */
TASK_TEST(services_known_without_a_file)
{
    static const struct {
        const char *name;
        int port;
    } known[] = {{"ftp", 21},    {"ssh", 22},    {"telnet", 23}, {"smtp", 25},   {"gopher", 70},       {"http", 80},
                 {"pop3", 110},  {"imap2", 143}, {"imap3", 220}, {"https", 443}, {"submissions", 465}, {"ftps", 990},
                 {"imaps", 993}, {"pop3s", 995}, {"HTTP", 80},   {"Https", 443}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        T_EQ(cori_service_port("tcp", known[i].name), known[i].port);
    }
    T_CODE(cori_service_port("tcp", "no-such-service"), -ENOENT);
    T_CODE(cori_service_port("tcp", ""), -ENOENT);
}

static void expect_port_error(const char *network, const char *service, int code, const char *text)
{
    cor_error error;
    T_CODE(cor_lookup_port(network, service, &error), code);
    T_CODE(cor_lookup_port(network, service, NULL), code);
    T_STR(text_of(&error), text);
}

/* N024, N027: a number is its own port for any network; "ip" and none look in tcp, then in udp */
TASK_TEST(ports_are_looked_up)
{
    cor_error error;
    T_EQ(cor_lookup_port("foo", "80", &error), 80);
    T_EQ(cor_lookup_port("", "0", NULL), 0);
    T_EQ(cor_lookup_port("unix", "+65535", NULL), 65535);
    T_EQ(cor_lookup_port("tcp4", "https", &error), 443);
    T_EQ(cor_lookup_port("udp6", "domain", &error), 53);
    T_EQ(cor_lookup_port("ip", "https", &error), 443);
    T_EQ(cor_lookup_port("", "domain", &error), 53);
    int tftp = cori_service_port("udp", "tftp");
    T_EQ(cor_lookup_port("ip", "tftp", &error), tftp < 0 ? COR_EUNKNOWN_PORT : tftp);
    T_EQ(cor_lookup_port("tcp", "tftp", &error), COR_EUNKNOWN_PORT);
    expect_port_error("udp4", "gopher", COR_EUNKNOWN_PORT, "lookup udp/gopher: unknown port");
    expect_port_error("tcp6", "12a", COR_EUNKNOWN_PORT, "lookup tcp/12a: unknown port");
    expect_port_error("", "12a", COR_EUNKNOWN_PORT, "lookup ip/12a: unknown port");
    expect_port_error("tcp", "65536", COR_EINVALID_PORT, "address 65536: invalid port");
    expect_port_error("foo", "-1", COR_EINVALID_PORT, "address -1: invalid port");
    expect_port_error("foo", "http", COR_EUNKNOWN_NETWORK, "unknown network foo");
    expect_port_error("unix", "http", COR_EUNKNOWN_NETWORK, "unknown network unix");
}

/* N017, N018, N033 */
TASK_TEST(families_must_fit_the_network)
{
    expect_listen_error("tcp6", "[::ffff:127.0.0.1]:0", COR_ENO_SUITABLE_ADDRESS,
                        "listen tcp6: address ::ffff:127.0.0.1: no suitable address found");
    expect_listen_error("tcp6", "127.0.0.1:0", COR_ENO_SUITABLE_ADDRESS,
                        "listen tcp6: address 127.0.0.1: no suitable address found");
    expect_listen_error("tcp6", "0.0.0.0:0", COR_ENO_SUITABLE_ADDRESS,
                        "listen tcp6: address 0.0.0.0: no suitable address found");
    expect_listen_error("tcp4", "[::1]:0", COR_ENO_SUITABLE_ADDRESS,
                        "listen tcp4: address ::1: no suitable address found");
    expect_dial_error("tcp6", "127.0.0.1:1", COR_ENO_SUITABLE_ADDRESS,
                      "dial tcp6: address 127.0.0.1: no suitable address found");
    T_CONTAINS(listening_at("tcp4", "[::ffff:127.0.0.1]:0"), "127.0.0.1:");
    T_ASSERT(strncmp(listening_at("tcp4", "[::]:0"), "0.0.0.0:", 8) == 0);
}

static void expect_ip(const char *text, const char *printed)
{
    cor_addr addr = {0};
    char shown[COR_ADDR_TEXT], wanted[COR_ADDR_TEXT];
    bool valid = cori_addr_parse_ip(text, &addr);
    T_REQUIRE(valid == (printed != NULL), "\"%s\" is %svalid", text, valid ? "" : "in");
    if (valid) {
        addr.port = 7;
        cor_addr_text(addr, shown, sizeof(shown));
        T_STR(shown, cor_join_host_port(printed, "7", wanted, sizeof(wanted)));
    }
}

/* N035, N036, N037, N038, N032 */
TASK_TEST(ip_literals)
{
    static const char *const invalid[] = {"010.0.0.1",
                                          "127.001.002.003",
                                          "1.2.3",
                                          "1.2..4",
                                          "127.0.0.256",
                                          "127.0.0.-1",
                                          "+1.2.3.4",
                                          "1.2.3.4 ",
                                          "",
                                          "123:",
                                          "1:2:3:4:5:6:7:8:9",
                                          "::12345",
                                          "g::",
                                          "1::2::3",
                                          "1.2.3.4:5",
                                          "::1.2.3.4.5",
                                          "%lo"};
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        expect_ip(invalid[i], NULL);
    }
    expect_ip("127.0.0.1", "127.0.0.1");
    expect_ip("0.0.0.0", "0.0.0.0");
    expect_ip("::ffff:127.0.0.1", "127.0.0.1");
    expect_ip("::FFFF:7f01:0203", "127.1.2.3");
    expect_ip("::1.2.3.4", "::102:304");
    expect_ip("::", "::");
    expect_ip("::1", "::1");
    expect_ip("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    expect_ip("2001:db8:0:0:1:0:0:0", "2001:db8:0:0:1::");
    expect_ip("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
    expect_ip("1:0:0:2:3:0:0:4", "1::2:3:0:0:4");
    expect_ip("0001:002:03:4:5:6:7:8", "1:2:3:4:5:6:7:8");
}

/*
 * Every shape of an IPv6 address, each of its groups zero, short or long, as libc writes it; but Go shows no IPv4 part
 * in one, and libc does where the first six groups are zero.
 */
TASK_TEST(ipv6_as_libc)
{
    static const uint16_t groups[] = {0, 0xa, 0xb0c};
    int seen = 0;
    for (int shape = 0; shape < 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3; shape++) {
        cor_addr addr = {.ip.family = AF_INET6, .port = 7};
        for (int i = 0, rest = shape; i < 8; i++, rest /= 3) {
            addr.ip.bytes[2 * i] = (uint8_t)(groups[rest % 3] >> 8);
            addr.ip.bytes[2 * i + 1] = (uint8_t)groups[rest % 3];
        }
        char shown[COR_ADDR_TEXT], wanted[COR_ADDR_TEXT], ip[INET6_ADDRSTRLEN];
        T_REQUIRE(inet_ntop(AF_INET6, addr.ip.bytes, ip, sizeof(ip)) != NULL, "inet_ntop");
        if (strchr(ip, '.') == NULL) {
            cor_addr_text(addr, shown, sizeof(shown));
            T_STR(shown, cor_join_host_port(ip, "7", wanted, sizeof(wanted)));
            seen++;
        }
    }
    T_ASSERT(seen > 6500);
}

/* An address that does not fit is cut, as snprintf cuts. */
TASK_TEST(cut_short)
{
    const cor_addr addr = {.ip.family = AF_INET, .ip.bytes = {192, 168, 0, 10}, .port = 65535};
    char shown[COR_ADDR_TEXT];
    const char whole[] = "192.168.0.10:65535";
    for (size_t size = 1; size <= sizeof(whole) + 1; size++) {
        memset(shown, 'x', sizeof(shown));
        cor_addr_text(addr, shown, size);
        size_t length = size < sizeof(whole) ? size - 1 : sizeof(whole) - 1;
        T_EQ(strlen(shown), length);
        T_ASSERT(memcmp(shown, whole, length) == 0);
        T_EQ(shown[length + 1], 'x');
    }
    shown[0] = 'x';
    T_ASSERT(cor_addr_text(addr, shown, 0) == shown && cor_ip_text(addr.ip, shown, 0) == shown);
    T_EQ(shown[0], 'x');
    T_STR(cor_ip_text(addr.ip, shown, 8), "192.168");
}

static cor_ip ip_of(const char *text)
{
    cor_ip ip = {0};
    T_CODE(cor_ip_parse(&ip, text), 0);
    return ip;
}

/* N040: an address has one form, so that equal ones are equal however they came */
TASK_TEST(addresses_are_ordered)
{
    static const char *const ascending[] = {
        "0.0.0.0", "9.255.255.255", "10.0.0.0", "255.255.255.255", "::", "::1", "::fffe:ffff:ffff", "1::", "ff02::1"};
    enum { COUNT = sizeof(ascending) / sizeof(ascending[0]) };
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            T_EQ(cor_ip_compare(ip_of(ascending[i]), ip_of(ascending[j])), (i > j) - (i < j));
        }
        T_EQ(cor_ip_compare((cor_ip){0}, ip_of(ascending[i])), -1);
    }
    static const uint8_t four[4] = {192, 0, 2, 1}, sixteen[16] = {[10] = 255, 255, 192, 0, 2, 1};
    T_EQ(cor_ip_compare(ip_of("192.0.2.1"), ip_of("::ffff:c000:201")), 0);
    T_EQ(cor_ip_compare(ip_of("192.0.2.1"), cor_ip_of(four, 4)), 0);
    T_EQ(cor_ip_compare(ip_of("192.0.2.1"), cor_ip_of(sixteen, 16)), 0);
    T_EQ(cor_ip_compare((cor_ip){0}, cor_ip_of(sixteen, 15)), 0);
    const cor_addr low = {ip_of("fe80::1"), 9, 1}, port = {ip_of("fe80::1"), 10, 1}, zone = {ip_of("fe80::1"), 0, 2};
    T_EQ(cor_addr_compare(low, low), 0);
    T_EQ(cor_addr_compare(low, port), -1);
    T_EQ(cor_addr_compare(zone, port), 1);
    T_EQ(cor_addr_compare((cor_addr){ip_of("1.2.3.4"), 65535, 0}, low), -1);
}

/* N031, N032, N039: what is no address prints as Go's nil does, and failing writes nothing. N036: no zone. */
TASK_TEST(no_address)
{
    char text[COR_ADDR_TEXT];
    cor_ip ip = ip_of("192.0.2.1");
    T_CODE(cor_ip_parse(&ip, "192.0.2"), COR_EINVALID_IP);
    T_CODE(cor_ip_parse(&ip, "fe80::1%lo"), COR_EINVALID_IP);
    T_STR(cor_strerror(COR_EINVALID_IP), "invalid IP address");
    T_STR(cor_ip_text(ip, text, sizeof(text)), "192.0.2.1");
    T_STR(cor_ip_text((cor_ip){0}, text, sizeof(text)), "<nil>");
    T_STR(cor_addr_text((cor_addr){.port = 80}, text, sizeof(text)), ":80");
    T_STR(cor_addr_text((cor_addr){.port = 0}, text, sizeof(text)), ":0");
    T_EQ(cor_ip_traits((cor_ip){0}), 0);
}

/* N045: the first and the last address of each block, and their neighbours outside */
TASK_TEST(addresses_are_classified)
{
    static const struct {
        const char *ip;
        unsigned traits;
    } cases[] = {
        {"0.0.0.0", COR_IP_UNSPECIFIED},
        {"0.0.0.1", COR_IP_GLOBAL},
        {"9.255.255.255", COR_IP_GLOBAL},
        {"10.0.0.0", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"10.255.255.255", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"11.0.0.0", COR_IP_GLOBAL},
        {"126.255.255.255", COR_IP_GLOBAL},
        {"127.0.0.0", COR_IP_LOOPBACK},
        {"127.255.255.255", COR_IP_LOOPBACK},
        {"::ffff:127.0.0.1", COR_IP_LOOPBACK},
        {"169.253.255.255", COR_IP_GLOBAL},
        {"169.254.0.0", COR_IP_LINK_LOCAL},
        {"169.254.255.255", COR_IP_LINK_LOCAL},
        {"172.15.255.255", COR_IP_GLOBAL},
        {"172.16.0.0", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"172.31.255.255", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"172.32.0.0", COR_IP_GLOBAL},
        {"192.167.255.255", COR_IP_GLOBAL},
        {"192.168.0.0", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"192.169.0.0", COR_IP_GLOBAL},
        {"223.255.255.255", COR_IP_GLOBAL},
        {"224.0.0.255", COR_IP_MULTICAST | COR_IP_LINK_LOCAL_MULTICAST},
        {"224.0.1.0", COR_IP_MULTICAST},
        {"239.255.255.255", COR_IP_MULTICAST},
        {"240.0.0.0", COR_IP_GLOBAL},
        {"255.255.255.254", COR_IP_GLOBAL},
        {"255.255.255.255", COR_IP_BROADCAST},
        {"::", COR_IP_UNSPECIFIED},
        {"::1", COR_IP_LOOPBACK},
        {"::2", COR_IP_GLOBAL},
        {"::127.0.0.1", COR_IP_GLOBAL},
        {"fbff::1", COR_IP_GLOBAL},
        {"fc00::", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"fdff::1", COR_IP_PRIVATE | COR_IP_GLOBAL},
        {"fe00::1", COR_IP_GLOBAL},
        {"fe80::", COR_IP_LINK_LOCAL},
        {"febf::1", COR_IP_LINK_LOCAL},
        {"fec0::1", COR_IP_GLOBAL},
        {"ff00::1", COR_IP_MULTICAST},
        {"ff31::1", COR_IP_MULTICAST | COR_IP_INTERFACE_LOCAL_MULTICAST},
        {"ff02::1", COR_IP_MULTICAST | COR_IP_LINK_LOCAL_MULTICAST},
        {"ff05::1", COR_IP_MULTICAST},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned traits = cor_ip_traits(ip_of(cases[i].ip));
        T_REQUIRE(traits == cases[i].traits, "%s: %#x, not %#x", cases[i].ip, traits, cases[i].traits);
    }
}

/* N019 */
TASK_TEST(zones)
{
    char loopback[IF_NAMESIZE] = "", text[COR_ERROR_TEXT];
    if (if_indextoname(1, loopback) == NULL) {
        T_SKIP("there is no interface number 1");
    }
    (void)snprintf(text, sizeof(text), "fe80::1%%%s", loopback);
    expect_ip(text, text);
    expect_ip("fe80::1%1", text);
    cor_addr addr;
    T_ASSERT(cori_addr_parse_ip("fe80::1%nonexistent", &addr));
    T_ASSERT(addr.zone == CORI_NO_SUCH_ZONE);
    cor_listener *listener;
    cor_error error;
    T_CODE(cor_listen(&listener, "tcp6", "[::1%nonexistent]:0", &error), -ENODEV);
    T_STR(cor_error_text(&error, text, sizeof(text)), "listen tcp6: zone nonexistent: no such device");
    expect_dial_error("tcp", "[fe80::1%nonexistent]:9", -ENODEV, "dial tcp: zone nonexistent: no such device");
}

/* N028: a zone's or a prefix's number has digits only, and a limit; a port's is saturated and out of range */
TASK_TEST(decimal_numbers_have_a_limit)
{
    static const char *const no_numbers[] = {
        "16777215", "99999999999999999999", "+1", "-1", "-18446744073709551615", "1x", "0x1"};
    cor_addr addr;
    cor_prefix prefix;
    T_ASSERT(cori_addr_parse_ip("fe80::1%16777214", &addr));
    T_EQ(addr.zone, 16777214);
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "fe80::1%%%s", no_numbers[i]);
        T_ASSERT(cori_addr_parse_ip(text, &addr));
        T_REQUIRE(addr.zone == CORI_NO_SUCH_ZONE, "%s has zone %u", text, (unsigned)addr.zone);
        (void)snprintf(text, sizeof(text), "10.0.0.0/%s", no_numbers[i]);
        T_CODE(cor_prefix_parse(&prefix, text), COR_EINVALID_CIDR);
    }
    expect_listen_error("tcp", ":16777215", COR_EINVALID_PORT, "listen tcp: address 16777215: invalid port");
}

/* N277, N029, N080, N280 */
TASK_TEST(names_of_the_hosts_file)
{
    static const char *const names[] = {"localhost", "LOCALHOST", "localhost."};
    cor_addr list[8];
    if (cori_hosts_lookup(CORI_HOSTS_FILE, "localhost", list, 8) == 0) {
        T_SKIP("the hosts file does not know localhost");
    }
    for (size_t i = 0; i < 3; i++) {
        char address[64];
        T_ASSERT(cori_hosts_lookup(CORI_HOSTS_FILE, names[i], list, 8) > 0);
        (void)snprintf(address, sizeof(address), "%s:0", names[i]);
        T_ASSERT(strncmp(listening_at("tcp", address), "127.0.0.1:", 10) == 0);
    }
    T_EQ(cori_hosts_lookup(CORI_HOSTS_FILE, "localhos", list, 8), 0);
    T_EQ(cori_hosts_lookup(CORI_HOSTS_FILE, "localhostx", list, 8), 0);
    expect_dial_error("tcp", "no-such-host.invalid:80", COR_ENO_SUCH_HOST,
                      "dial tcp: lookup no-such-host.invalid: no such host");
}

/* A line of the hosts file may be of any length. */
TASK_TEST(long_lines_of_the_hosts_file)
{
    char path[] = "/tmp/cor-test-hosts-XXXXXX";
    cor_addr list[4];
    int fd = mkstemp(path);
    T_ASSERT(fd >= 0);
    FILE *file = fdopen(fd, "w");
    T_ASSERT(file != NULL);
    (void)fprintf(file, "10.0.0.1");
    for (int i = 0; i < 1000; i++) {
        (void)fprintf(file, " alias-%d", i);
    }
    (void)fprintf(file, " the-last\n# 10.0.0.2 the-last\nfe80::1%%nonexistent the-last\n10.0.0.3 the-last # no more");
    T_EQ(fclose(file), 0);
    T_EQ(cori_hosts_lookup(path, "the-last", list, 4), 2);
    T_EQ(list[0].ip.bytes[3], 1);
    T_EQ(list[1].ip.bytes[3], 3);
    T_EQ(cori_hosts_lookup(path, "alias-999", list, 4), 1);
    T_EQ(cori_hosts_lookup(path, "alias-1000", list, 4), 0);
    T_EQ(cori_hosts_lookup(path, "the-last", list, 1), 1);
    T_EQ(unlink(path), 0);
    T_EQ(cori_hosts_lookup(path, "the-last", list, 4), 0);
}

/* Longer than any buffer on the way. */
TASK_TEST(absurd_lengths_are_errors)
{
    static char address[70000];
    memset(address, 'a', sizeof(address) - 1);
    cor_listener *listener;
    cor_conn *conn;
    cor_error error;
    T_ASSERT(cor_listen(&listener, "tcp", address, &error) < 0);
    T_ASSERT(strlen(text_of(&error)) < COR_ERROR_TEXT);
    address[300] = ':';
    T_ASSERT(cor_listen(&listener, "tcp", address, &error) < 0);
    T_ASSERT(cor_dial(&conn, "tcp", address, &error) < 0);
    T_ASSERT(cor_dial(&conn, "unix", address, &error) < 0);
    T_ASSERT(cor_dial(&conn, address, ":1", &error) < 0);
    T_ASSERT(strlen(text_of(&error)) < COR_ERROR_TEXT);
}

static void expect_ends(conn_kind kind, const char *ip)
{
    cor_conn *near, *far;
    make_pair(kind, &near, &far);
    cor_addr ends[] = {cor_local_endpoint(near), cor_remote_endpoint(near), cor_remote_endpoint(far),
                       cor_local_endpoint(far)};
    char shown[COR_ADDR_TEXT], wanted[COR_ADDR_TEXT];
    T_EQ(cor_addr_compare(ends[0], ends[2]), 0);
    T_EQ(cor_addr_compare(ends[1], ends[3]), 0);
    if (ip == NULL) {
        T_EQ(cor_addr_compare(ends[0], (cor_addr){.port = 0}), 0);
        T_EQ(cor_addr_compare(ends[1], (cor_addr){.port = 0}), 0);
    } else {
        T_EQ(cor_ip_compare(ends[0].ip, ip_of(ip)), 0);
        T_EQ(cor_ip_compare(ends[1].ip, ip_of(ip)), 0);
        T_ASSERT(ends[0].port != 0 && ends[1].port != 0 && ends[0].port != ends[1].port);
        T_STR(cor_addr_text(ends[0], shown, sizeof(shown)), cor_local_addr(near, wanted, sizeof(wanted)));
        T_STR(cor_addr_text(ends[1], shown, sizeof(shown)), cor_remote_addr(near, wanted, sizeof(wanted)));
    }
    close_pair(near, far);
    T_EQ(cor_addr_compare(cor_local_endpoint(near), (cor_addr){.port = 0}), 0);
    T_EQ(cor_addr_compare(cor_remote_endpoint(near), (cor_addr){.port = 0}), 0);
}

TASK_TEST(both_ends_as_values)
{
    expect_ends(KIND_TCP, "127.0.0.1");
    expect_ends(KIND_UNIX, NULL);
    expect_ends(KIND_PIPE, NULL);
    if (has_ipv6()) {
        expect_ends(KIND_TCP6, "::1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_networks),
        cmocka_unit_test(checks_have_an_order),
        cmocka_unit_test(host_and_port_are_split),
        cmocka_unit_test(host_and_port_are_joined),
        cmocka_unit_test(address_errors_have_gos_words),
        cmocka_unit_test(port_numbers),
        cmocka_unit_test(other_ports_are_service_names),
        cmocka_unit_test(services_known_without_a_file),
        cmocka_unit_test(ports_are_looked_up),
        cmocka_unit_test(families_must_fit_the_network),
        cmocka_unit_test(ip_literals),
        cmocka_unit_test(ipv6_as_libc),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(addresses_are_ordered),
        cmocka_unit_test(no_address),
        cmocka_unit_test(addresses_are_classified),
        cmocka_unit_test(both_ends_as_values),
        cmocka_unit_test(zones),
        cmocka_unit_test(decimal_numbers_have_a_limit),
        cmocka_unit_test(names_of_the_hosts_file),
        cmocka_unit_test(long_lines_of_the_hosts_file),
        cmocka_unit_test(absurd_lengths_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

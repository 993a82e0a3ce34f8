/* SPDX-License-Identifier: MIT */
/* Multicast groups and broadcast, on the loopback interface. */
#include "net/netcase.h"

#include "base/sys.h"

#include <coracle/multicast.h>
#include <coracle/packet.h>
#include <net/if.h>
#include <netinet/in.h>

static unsigned loopback(void)
{
    return if_nametoindex("lo");
}

/* A group that no other process of a test uses at the same time. */
static char *group_text(char *text, size_t size, unsigned port)
{
    unsigned number = (unsigned)getpid();
    (void)snprintf(text, size, "239.%u.%u.%u:%u", 1 + number / 65536 % 250, number / 256 % 256, number % 256, port);
    return text;
}

static cor_conn *listen_on(const char *group)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_multicast(&conn, "udp4", loopback(), group, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_conn *sender(void)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet(&conn, "udp4", ":0", NULL), 0);
    T_CODE(cor_set_multicast_interface(conn, loopback()), 0);
    return conn;
}

static cor_addr addr_of(const char *text)
{
    char host[COR_ADDR_TEXT], port[8];
    cor_addr addr = {.port = 0};
    T_CODE(cor_split_host_port(text, host, sizeof(host), port, sizeof(port)), 0);
    T_CODE(cor_ip_parse(&addr.ip, host), 0);
    addr.port = (uint16_t)atoi(port);
    return addr;
}

static void expect(cor_conn *conn, const char *text)
{
    char data[32];
    cor_addr from;
    T_EQ(cor_read_from(conn, data, sizeof(data), &from), strlen(text));
    T_MEM(data, text, strlen(text));
}

/* N221, N222: bound to the wildcard, twice to one group and port; both hear what is sent to it */
TASK_TEST(two_listeners_of_a_group)
{
    char text[COR_ADDR_TEXT], want[COR_ADDR_TEXT];
    int value = -1;
    cor_conn *first = listen_on(group_text(text, sizeof(text), 0));
    unsigned port = cor_local_endpoint(first).port;
    cor_conn *second = listen_on(group_text(text, sizeof(text), port)), *from = sender();
    (void)snprintf(want, sizeof(want), "0.0.0.0:%u", port);
    char here[COR_ADDR_TEXT];
    T_STR(cor_local_addr(second, here, sizeof(here)), want);
    T_CODE(cori_sys_getsockopt(raw_fd(first), SOL_SOCKET, SO_REUSEADDR, &value), 0);
    T_EQ(value, 1);
    T_CODE(cori_sys_getsockopt(raw_fd(first), IPPROTO_IP, IP_MULTICAST_LOOP, &value), 0);
    T_EQ(value, 0);
    T_EQ(cor_write_to(from, "all", 3, addr_of(text)), 3);
    expect(first, "all");
    expect(second, "all");
    close_pair(first, second);
    T_CODE(cor_close(from), 0);
}

/* N224: joining and leaving: without a group that somebody has joined nothing comes */
TASK_TEST(joining_and_leaving)
{
    char text[COR_ADDR_TEXT];
    cor_conn *conn = NULL, *from = sender();
    T_CODE(cor_listen_packet(&conn, "udp4", ":0", NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    cor_addr group = addr_of(group_text(text, sizeof(text), cor_local_endpoint(conn).port));
    cor_addr directly = addr_of("127.0.0.1:0");
    directly.port = group.port;
    T_EQ(cor_write_to(from, "early", 5, group), 5);
    T_CODE(cor_join_group(conn, group.ip, loopback()), 0);
    T_CODE(cor_join_group(conn, group.ip, loopback()), -EADDRINUSE);
    T_EQ(cor_write_to(from, "joined", 6, group), 6);
    T_CODE(cor_leave_group(conn, group.ip, loopback()), 0);
    T_CODE(cor_leave_group(conn, group.ip, loopback()), -EADDRNOTAVAIL);
    T_EQ(cor_write_to(from, "late", 4, group), 4);
    T_EQ(cor_write_to(from, "direct", 6, directly), 6);
    expect(conn, "joined");
    expect(conn, "direct");
    close_pair(conn, from);
}

/* The sender's side: whether its own host hears, and on IPv6 too. */
TASK_TEST(options_of_senders)
{
    int value = -1;
    cor_conn *conn = NULL, *both = NULL;
    T_CODE(cor_listen_packet(&conn, "udp4", ":0", NULL), 0);
    T_CODE(cor_set_multicast_loop(conn, false), 0);
    T_CODE(cori_sys_getsockopt(raw_fd(conn), IPPROTO_IP, IP_MULTICAST_LOOP, &value), 0);
    T_EQ(value, 0);
    T_CODE(cor_set_multicast_loop(conn, true), 0);
    T_CODE(cori_sys_getsockopt(raw_fd(conn), IPPROTO_IP, IP_MULTICAST_LOOP, &value), 0);
    T_EQ(value, 1);
    T_CODE(cor_set_multicast_interface(conn, 99999), -EADDRNOTAVAIL);
    if (has_ipv6()) {
        T_CODE(cor_listen_packet(&both, "udp", ":0", NULL), 0);
        T_CODE(cor_set_multicast_loop(both, false), 0);
        T_CODE(cori_sys_getsockopt(raw_fd(both), IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &value), 0);
        T_EQ(value, 0);
        T_CODE(cor_set_multicast_interface(both, loopback()), 0);
        T_CODE(cori_sys_getsockopt(raw_fd(both), IPPROTO_IPV6, IPV6_MULTICAST_IF, &value), 0);
        T_EQ(value, loopback());
        T_CODE(cor_close(both), 0);
    }
    T_CODE(cor_close(conn), 0);
}

/* A group of IPv6, on a socket of both families. */
TASK_TEST(groups_of_ipv6)
{
    char text[COR_ADDR_TEXT], want[COR_ADDR_TEXT], here[COR_ADDR_TEXT];
    cor_conn *conn = NULL, *from = NULL;
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    (void)snprintf(text, sizeof(text), "[ff11::%x]:0", (unsigned)getpid() % 65536);
    T_CODE(cor_listen_multicast(&conn, "udp6", loopback(), text, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    cor_addr group = {.port = cor_local_endpoint(conn).port};
    (void)snprintf(want, sizeof(want), "[::]:%u", group.port);
    T_STR(cor_local_addr(conn, here, sizeof(here)), want);
    (void)snprintf(text, sizeof(text), "ff11::%x", (unsigned)getpid() % 65536);
    T_CODE(cor_ip_parse(&group.ip, text), 0);
    T_CODE(cor_listen_packet(&from, "udp6", ":0", NULL), 0);
    T_CODE(cor_set_multicast_interface(from, loopback()), 0);
    ssize_t sent = cor_write_to(from, "six", 3, group);
    if (sent != -ENETUNREACH) { /* this host has no route for groups on its loopback */
        T_EQ(sent, 3);
        expect(conn, "six");
    }
    close_pair(conn, from);
}

/* Broadcast needs no option. */
TASK_TEST(broadcast)
{
    cor_conn *conn = NULL, *from = NULL;
    T_CODE(cor_listen_packet(&conn, "udp4", ":0", NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    T_CODE(cor_listen_packet(&from, "udp4", ":0", NULL), 0);
    cor_addr to = addr_of("127.255.255.255:0");
    to.port = cor_local_endpoint(conn).port;
    T_EQ(cor_write_to(from, "everybody", 9, to), 9);
    expect(conn, "everybody");
    close_pair(conn, from);
}

/* N223: what is no group, no address, no network, no interface; and Go's words */
TASK_TEST(errors)
{
    static const struct {
        const char *network, *group;
        unsigned interface;
        int code;
        const char *text;
    } cases[] = {
        {"udp4", "127.0.0.1:0", 0, -EINVAL, "listen udp4 127.0.0.1:0: setsockopt: invalid argument"},
        {"udp4", "", 0, COR_EMISSING_ADDRESS, "listen udp4: missing address"},
        {"tcp", "224.0.0.250:0", 0, COR_EUNKNOWN_NETWORK, "listen tcp 224.0.0.250:0: unknown network tcp"},
        {"unixgram", "224.0.0.250:0", 0, COR_EUNKNOWN_NETWORK,
         "listen unixgram 224.0.0.250:0: unknown network unixgram"},
    };
    char text[COR_ERROR_TEXT];
    cor_error error;
    cor_conn *conn = NULL, *a, *b;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        T_CODE(cor_listen_multicast(&conn, cases[i].network, cases[i].interface, cases[i].group, &error),
               cases[i].code);
        T_STR(cor_error_text(&error, text, sizeof(text)), cases[i].text);
    }
    T_ASSERT(cor_listen_multicast(&conn, "udp4", 99999, "239.1.2.3:0", NULL) < 0);
    T_ASSERT(conn == NULL);
    T_CODE(cor_listen_packet(&conn, "udp4", ":0", NULL), 0);
    T_CODE(cor_join_group(conn, (cor_ip){0}, 0), -EINVAL);
    T_CODE(cor_join_group(conn, addr_of("127.0.0.1:0").ip, loopback()), -EINVAL);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_set_multicast_loop(conn, true), COR_ECLOSED);
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_join_group(a, addr_of("239.1.2.3:0").ip, 0), -EOPNOTSUPP);
    T_CODE(cor_set_multicast_interface(a, 0), -EOPNOTSUPP);
    close_pair(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_listeners_of_a_group),
        cmocka_unit_test(joining_and_leaving),
        cmocka_unit_test(options_of_senders),
        cmocka_unit_test(groups_of_ipv6),
        cmocka_unit_test(broadcast),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

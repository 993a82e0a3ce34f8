/* SPDX-License-Identifier: MIT */
/*
 * Packets of bare IP, which only a process with CAP_NET_RAW may have; elsewhere the tests are skipped. Protocol 253 is
 * one for experiments. Each process has its own addresses, because a raw socket hears everybody.
 */
#include "net/netcase.h"

#include <coracle/message.h>
#include <coracle/packet.h>
#include <linux/capability.h>
#include <sys/syscall.h>

enum { HEADER = 20, IP_VERSION_4 = 0x45 };

static cor_ip own_ip(unsigned last)
{
    unsigned number = (unsigned)getpid();
    return (cor_ip){.family = AF_INET,
                    .bytes = {127, (uint8_t)(1 + number / 256 % 250), (uint8_t)number, (uint8_t)last}};
}

static cor_conn *listen_on(const char *network, const char *address)
{
    cor_conn *conn = NULL;
    int rc = cor_listen_packet(&conn, network, address, NULL);
    if (rc == -EPERM) {
        T_SKIP("this process may not open raw sockets");
    }
    T_CODE(rc, 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_conn *listen_ip(unsigned last, char *text)
{
    return listen_on("ip4:253", cor_ip_text(own_ip(last), text, COR_ADDR_TEXT));
}

/* N225, N226, N228: dialed and bound; the names; the header of IPv4 is off what read_from gives, and on a read */
TASK_TEST(with_and_without_header)
{
    char at[COR_ADDR_TEXT], text[COR_ADDR_TEXT], data[64];
    cor_conn *server = listen_ip(1, at), *client = NULL;
    cor_addr from;
    cor_packet packet = {.data = data, .room_bytes = sizeof(data)};
    cor_message message = {.data = data, .room_bytes = sizeof(data)};
    T_CODE(cor_dial(&client, "ip4:253", at, NULL), 0);
    T_STR(cor_local_addr(server, text, sizeof(text)), at);
    T_STR(cor_remote_addr(client, text, sizeof(text)), at);
    T_EQ(cor_local_endpoint(server).port, 0);
    for (int i = 0; i < 4; i++) {
        write_all(client, "hello", 5);
    }
    T_EQ(cor_read_from(server, data, sizeof(data), &from), 5);
    T_MEM(data, "hello", 5);
    T_EQ(cor_addr_compare(from, cor_local_endpoint(client)), 0);
    T_EQ(cor_read_packets(server, &packet, 1), 1);
    T_EQ(packet.size_bytes, 5);
    T_MEM(data, "hello", 5);
    T_EQ(cor_read(server, data, sizeof(data)), HEADER + 5);
    T_EQ(data[0], IP_VERSION_4);
    T_EQ(cor_read_message(server, &message), HEADER + 5);
    T_EQ(cor_ip_compare(message.addr.ip, from.ip), 0);
    close_pair(server, client);
}

/* N227: what is too short for a header stays as it is */
TASK_TEST(short_rooms)
{
    char at[COR_ADDR_TEXT], data[64];
    cor_addr from;
    cor_conn *server = listen_ip(2, at);
    cor_addr to = {.ip = own_ip(2), .port = 80}; /* a port means nothing */
    T_EQ(cor_write_to(server, "hello", 5, to), 5);
    T_EQ(cor_write_to(server, "hello", 5, to), 5);
    T_EQ(cor_write_to(server, "", 0, to), 0);
    T_EQ(cor_read_from(server, data, HEADER - 1, &from), HEADER - 1);
    T_EQ(data[0], IP_VERSION_4);
    T_EQ(cor_read_from(server, data, HEADER + 2, &from), 2);
    T_MEM(data, "he", 2);
    T_EQ(cor_read_from(server, data, sizeof(data), &from), 0);
    T_CODE(cor_close(server), 0);
}

/* N228, N229: refusals, and how they print */
TASK_TEST(destinations)
{
    char at[COR_ADDR_TEXT], text[COR_ERROR_TEXT], want[COR_ERROR_TEXT], here[COR_ADDR_TEXT];
    cor_error error;
    cor_conn *server = listen_ip(3, at), *client = NULL;
    cor_addr to = {.ip = own_ip(3)};
    T_CODE(cor_dial(&client, "ip:253", at, NULL), 0);
    T_CODE(cor_write_to(client, "x", 1, to), COR_EWRITE_TO_CONNECTED);
    cor_packet_error(client, "write", to, COR_EWRITE_TO_CONNECTED, &error);
    (void)snprintf(want, sizeof(want), "write ip %s->%s: use of WriteTo with pre-connected connection",
                   cor_local_addr(client, here, sizeof(here)), at);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    T_CODE(cor_write_to(server, "x", 1, (cor_addr){0}), COR_EMISSING_ADDRESS);
    T_CODE(cor_write_to(server, "x", 1, (cor_addr){.ip = {.family = AF_INET6, .bytes = {[15] = 1}}}), COR_ENOT_IPV4);
    close_pair(server, client);
}

static struct __user_cap_data_struct *rights_of_thread(struct __user_cap_data_struct *rights, int call)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    T_EQ(syscall(call, &header, rights), 0);
    return rights;
}

/* N225: without CAP_NET_RAW there is a refusal, in Go's words */
TASK_TEST(without_the_right)
{
    struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3], less[_LINUX_CAPABILITY_U32S_3];
    char text[COR_ERROR_TEXT];
    cor_error error;
    cor_conn *conn;
    rights_of_thread(had, SYS_capget);
    rights_of_thread(less, SYS_capget)[0].effective &= ~(1U << CAP_NET_RAW);
    rights_of_thread(less, SYS_capset);
    int rc = cor_listen_packet(&conn, "ip4:253", "127.0.0.1", &error);
    rights_of_thread(had, SYS_capset);
    T_CODE(rc, -EPERM);
    T_STR(cor_error_text(&error, text, sizeof(text)), "listen ip4:253 127.0.0.1: socket: operation not permitted");
}

/* N226: IPv6 has no header on it */
TASK_TEST(over_ipv6)
{
    char data[64];
    cor_addr from;
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    cor_conn *server = listen_on("ip6:254", "::1"), *client = NULL;
    T_CODE(cor_dial(&client, "ip6:254", "::1", NULL), 0);
    write_all(client, "six", 3);
    do { /* another process may be in this test, too */
        T_EQ(cor_read_from(server, data, sizeof(data), &from), 3);
    } while (data[0] != 's');
    T_MEM(data, "six", 3);
    close_pair(server, client);
}

/* N001, N004, N225: names of networks and protocols; these need no right */
TASK_TEST(networks)
{
    static const struct {
        const char *network, *address;
        int code;
        const char *text;
    } cases[] = {
        {"ip:icmpx", "127.0.0.1", COR_EUNKNOWN_PROTOCOL, "ip:icmpx: address icmpx: unknown IP protocol specified"},
        {"ip4:", "127.0.0.1", COR_EUNKNOWN_PROTOCOL, "ip4:: unknown IP protocol specified"},
        {"ip", "127.0.0.1", COR_EUNKNOWN_NETWORK, "ip: unknown network ip"},
        {"ip4::1", "127.0.0.1", COR_EUNKNOWN_NETWORK, "ip4::1: unknown network ip4::1"},
        {"ip6:icmp", "127.0.0.1", COR_ENO_SUITABLE_ADDRESS, "ip6:icmp: address 127.0.0.1: no suitable address found"},
        {"ip4:300", "127.0.0.1", -EINVAL, "ip4:300 127.0.0.1: socket: invalid argument"},
        {"ip4:9999999999", "127.0.0.1", COR_EUNKNOWN_PROTOCOL,
         "ip4:9999999999: address 9999999999: unknown IP protocol specified"},
        {"ip4:ICMP", "127.0.0.1:80", COR_ENO_SUCH_HOST, "ip4:ICMP: lookup 127.0.0.1:80: no such host"},
        {"ip4:udp", "::1", COR_ENO_SUITABLE_ADDRESS, "ip4:udp: address ::1: no suitable address found"},
    };
    char text[COR_ERROR_TEXT], want[COR_ERROR_TEXT];
    cor_error error;
    cor_conn *conn;
    cor_listener *listener;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        T_CODE(cor_listen_packet(&conn, cases[i].network, cases[i].address, &error), cases[i].code);
        (void)snprintf(want, sizeof(want), "listen %s", cases[i].text);
        T_STR(cor_error_text(&error, text, sizeof(text)), want);
        T_CODE(cor_dial(&conn, cases[i].network, cases[i].address, &error), cases[i].code);
        (void)snprintf(want, sizeof(want), "dial %s", cases[i].text);
        T_STR(cor_error_text(&error, text, sizeof(text)), want);
    }
    if (access("/etc/protocols", R_OK) == 0) { /* a name that is no other's, and by another's alias */
        T_CODE(cor_dial(&conn, "ip4:sctp", "::1", NULL), COR_ENO_SUITABLE_ADDRESS);
        T_CODE(cor_dial(&conn, "ip4:oSpF", "::1", NULL), COR_ENO_SUITABLE_ADDRESS);
    }
    T_CODE(cor_listen(&listener, "ip4:icmp", "127.0.0.1", &error), COR_EUNEXPECTED_TYPE);
    T_STR(cor_error_text(&error, text, sizeof(text)),
          "listen ip4:icmp 127.0.0.1: address 127.0.0.1: unexpected address type");
    T_CODE(cor_dial(&conn, "ip4:icmp", "", &error), COR_EMISSING_ADDRESS);
    T_STR(cor_error_text(&error, text, sizeof(text)), "dial ip4:icmp: missing address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_and_without_header), cmocka_unit_test(short_rooms), cmocka_unit_test(destinations),
        cmocka_unit_test(without_the_right),       cmocka_unit_test(over_ipv6),   cmocka_unit_test(networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

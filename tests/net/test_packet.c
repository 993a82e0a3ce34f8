/* SPDX-License-Identifier: MIT */
/* Datagrams over UDP: what a read and a write are, with whom, when they end, and how errors come and print. */
/* test: simulated */
#include "net/netcase.h"

#include "base/sys.h"

#include <coracle/packet.h>

enum { LARGEST = 65507, MANY = 40, SENDERS = 4, ROUNDS = 200, UNDER_WAY = 64 };

static cor_conn *listen_on(const char *network, const char *address)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet(&conn, network, address, NULL), 0);
    return conn;
}

static cor_conn *bound(void)
{
    return listen_on("udp", "127.0.0.1:0");
}

static cor_conn *dialed(cor_conn *to)
{
    char address[COR_ADDR_TEXT];
    cor_conn *conn = NULL;
    T_CODE(cor_dial(&conn, "udp", cor_local_addr(to, address, sizeof(address)), NULL), 0);
    return conn;
}

/* The address under which `conn` is reached on this host. */
static cor_addr reached(cor_conn *conn)
{
    return cor_local_endpoint(conn);
}

/* A port of this host's loopback on which nobody listens: one of a moment ago, which is not given again soon. */
static cor_addr nobody(void)
{
    cor_conn *conn = bound();
    cor_addr addr = reached(conn);
    T_CODE(cor_close(conn), 0);
    return addr;
}

static void expect_from(cor_conn *conn, const char *bytes, cor_addr sender)
{
    char data[64];
    cor_addr from = {0};
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    T_EQ(cor_read_from(conn, data, sizeof(data), &from), strlen(bytes));
    T_MEM(data, bytes, strlen(bytes));
    T_EQ(cor_addr_compare(from, sender), 0);
}

static void expect_error(cor_conn *conn, const char *op, cor_addr addr, int code, const char *text)
{
    char shown[COR_ERROR_TEXT];
    cor_error error;
    cor_packet_error(conn, op, addr, code, &error);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
}

/* N217, N216: two bound sockets exchange datagrams; port 0 is a port afterwards. N214: addresses are values */
TASK_TEST(two_bound_sockets)
{
    cor_conn *a = bound(), *b = listen_on("udp4", ":0");
    cor_addr to_b = {.ip = reached(a).ip, .port = reached(b).port};
    T_ASSERT(reached(a).port != 0 && reached(b).port != 0);
    T_EQ(cor_write_to(a, "ping", 4, to_b), 4);
    expect_from(b, "ping", reached(a));
    T_EQ(cor_write_to(b, "pong!", 5, reached(a)), 5);
    expect_from(a, "pong!", to_b);
    close_pair(a, b);
}

/* N201, N204, N217: dialing sends nothing and fixes the peer; the stream's calls are for it too */
TASK_TEST(dialed_socket)
{
    char data[16], text[COR_ADDR_TEXT];
    cor_conn *server = bound(), *client = dialed(server);
    T_EQ(cor_addr_compare(cor_remote_endpoint(client), reached(server)), 0);
    T_ASSERT(cor_local_endpoint(client).port != 0);
    T_EQ(cor_remote_endpoint(server).ip.family, 0);
    T_STR(cor_remote_addr(server, text, sizeof(text)), "");
    T_EQ(cor_write(client, "one", 3), 3);
    expect_from(server, "one", reached(client));
    T_EQ(cor_write_to(server, "two", 3, reached(client)), 3);
    T_EQ(cor_read(client, data, sizeof(data)), 3);
    T_MEM(data, "two", 3);
    T_EQ(cor_write_to(server, "three", 5, reached(client)), 5);
    expect_from(client, "three", reached(server));
    close_pair(client, server);
}

/* N202, N203: who may send to whom, and the words */
TASK_TEST(destinations)
{
    char want[COR_ERROR_TEXT], here[COR_ADDR_TEXT], there[COR_ADDR_TEXT];
    cor_conn *server = bound(), *client = dialed(server);
    cor_addr to = reached(server);
    T_CODE(cor_write_to(client, "x", 1, to), COR_EWRITE_TO_CONNECTED);
    T_CODE(cor_write_to(client, "x", 1, (cor_addr){0}), COR_EWRITE_TO_CONNECTED);
    T_STR(cor_strerror(COR_EWRITE_TO_CONNECTED), "use of WriteTo with pre-connected connection");
    T_CODE(cor_write_packets(client, &(cor_packet){.data = "x", .size_bytes = 1, .addr = to}, 1),
           COR_EWRITE_TO_CONNECTED);
    T_EQ(cor_write_packets(client, &(cor_packet){.data = "x", .size_bytes = 1}, 1), 1);
    expect_from(server, "x", reached(client));
    T_CODE(cor_write(server, "x", 1), -EDESTADDRREQ);
    T_CODE(cor_write_to(server, "x", 1, (cor_addr){0}), COR_EMISSING_ADDRESS);
    (void)snprintf(want, sizeof(want), "write udp %s->%s: use of WriteTo with pre-connected connection",
                   cor_local_addr(client, here, sizeof(here)), cor_local_addr(server, there, sizeof(there)));
    expect_error(client, "write", to, COR_EWRITE_TO_CONNECTED, want);
    close_pair(client, server);
}

/* N205: a write is a datagram and a read takes one; what does not fit is lost. cor_packet tells. */
TASK_TEST(edges_are_kept)
{
    char data[16];
    cor_conn *server = bound(), *client = dialed(server);
    write_all(client, "0123456789", 10);
    write_all(client, "ab", 2);
    write_all(client, "0123456789", 10);
    write_all(client, "cd", 2);
    T_EQ(cor_read(server, data, 4), 4);
    T_MEM(data, "0123", 4);
    expect_from(server, "ab", reached(client));
    cor_packet packets[2] = {{.data = data, .room_bytes = 4}, {.data = data + 8, .room_bytes = 4}};
    T_EQ(cor_read_packets(server, packets, 1), 1);
    T_EQ(packets[0].size_bytes, 4);
    T_ASSERT(packets[0].cut);
    T_EQ(cor_read_packets(server, packets, 2), 1);
    T_EQ(packets[0].size_bytes, 2);
    T_ASSERT(!packets[0].cut);
    T_MEM(data, "cd", 2);
    close_pair(client, server);
}

/* N205: a datagram shorter than the room for it is not the last one, also if one event told of both. */
TASK_TEST(short_ones_follow_each_other)
{
    char data[16];
    cor_conn *server = bound(), *client = dialed(server);
    T_CODE(cor_set_read_deadline(server, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(server, data, sizeof(data)), COR_ETIMEOUT); /* from now on it is registered */
    T_CODE(cor_set_read_deadline(server, cor_after(SOON * taskcase_patience())), 0);
    write_all(client, "a", 1);
    write_all(client, "b", 1);
    T_EQ(cor_read(server, data, sizeof(data)), 1);
    T_EQ(cor_read(server, data, sizeof(data)), 1);
    T_EQ(data[0], 'b');
    close_pair(client, server);
}

/* N206, N207, N272: an empty datagram is no end; an empty buffer takes a datagram by read_from, and none by read */
TASK_TEST(nothing_to_send_and_no_room)
{
    char data[4];
    cor_addr from = {0};
    cor_conn *server = bound(), *client = dialed(server);
    write_all(client, "", 0);
    T_EQ(cor_write_to(server, "", 0, reached(client)), 0);
    write_all(client, "next", 4);
    T_EQ(cor_read(client, data, sizeof(data)), 0);
    T_EQ(cor_read_from(server, data, sizeof(data), &from), 0);
    T_EQ(cor_addr_compare(from, reached(client)), 0);
    T_EQ(cor_read(server, data, 0), 0);
    T_EQ(cor_read_from(server, data, 0, &from), 0);
    T_EQ(from.port, reached(client).port);
    T_CODE(cor_set_read_deadline(server, LONG_AGO), 0);
    T_CODE(cor_read(server, data, sizeof(data)), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(server, 0), 0);
    write_all(client, "last", 4);
    expect_from(server, "last", reached(client));
    close_pair(client, server);
}

/* N208, N050: too long for a datagram, and how it prints */
TASK_TEST(too_long)
{
    static char data[LARGEST + 1], got[LARGEST + 1];
    char want[COR_ERROR_TEXT], here[COR_ADDR_TEXT], there[COR_ADDR_TEXT];
    cor_addr from;
    cor_conn *a = bound(), *b = bound();
    T_CODE(cor_write_to(a, data, sizeof(data), reached(b)), -EMSGSIZE);
    (void)snprintf(want, sizeof(want), "write udp %s->%s: sendto: message too long",
                   cor_local_addr(a, here, sizeof(here)), cor_local_addr(b, there, sizeof(there)));
    expect_error(a, "write", reached(b), -EMSGSIZE, want);
    cor_packet packets[3] = {{.data = data, .size_bytes = 1, .addr = reached(b)},
                             {.data = data, .size_bytes = sizeof(data), .addr = reached(b)},
                             {.data = data, .size_bytes = LARGEST, .addr = reached(b)}};
    T_EQ(cor_write_packets(a, packets, 3), 1);
    T_CODE(cor_write_packets(a, packets + 1, 2), -EMSGSIZE);
    T_EQ(cor_write_packets(a, packets + 2, 1), 1);
    T_EQ(cor_read_from(b, got, sizeof(got), &from), 1);
    T_EQ(cor_read_from(b, got, sizeof(got), &from), LARGEST);
    close_pair(a, b);
}

/* N209: on a connected socket the next call hears that nobody listens, once; also one that is parked */
static void read_refused(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), -ECONNREFUSED);
}

TASK_TEST(nobody_listens)
{
    T_SKIP_SIMULATED("it is refused later, not at once");
    cor_addr gone = nobody();
    char text[COR_ADDR_TEXT], byte;
    cor_conn *client = NULL;
    cor_group group = {0};
    T_CODE(cor_dial(&client, "udp", cor_addr_text(gone, text, sizeof(text)), NULL), 0);
    write_all(client, "x", 1);
    T_CODE(cor_write(client, "x", 1), -ECONNREFUSED);
    write_all(client, "x", 1);
    T_CODE(cor_read(client, &byte, 1), -ECONNREFUSED);
    T_CODE(cor_set_read_deadline(client, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(client, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(client, 0), 0);
    go_in(&group, read_refused, client);
    T_PARKED(client, CORI_READ);
    write_all(client, "x", 1);
    wait_for(&group);
    T_CODE(cor_close(client), 0);
}

/* N210, N050: a read that times out gives nobody's address */
TASK_TEST(read_deadlines)
{
    char byte = 'b', want[COR_ERROR_TEXT], here[COR_ADDR_TEXT];
    cor_addr from = {.port = 7};
    cor_packet packet = {.data = &byte, .room_bytes = 1};
    cor_conn *conn = bound();
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read_from(conn, &byte, 1, &from), COR_ETIMEOUT);
    T_CODE(cor_read_packets(conn, &packet, 1), COR_ETIMEOUT);
    T_EQ(from.port, 7);
    T_EQ(byte, 'b');
    (void)snprintf(want, sizeof(want), "read udp %s: i/o timeout", cor_local_addr(conn, here, sizeof(here)));
    expect_error(conn, "read", (cor_addr){0}, COR_ETIMEOUT, want);
    T_CODE(cor_set_read_deadline(conn, 0), 0);
    T_EQ(cor_write_to(conn, "s", 1, reached(conn)), 1); /* a socket reaches itself */
    T_CODE(cor_set_read_deadline(conn, LONG_AGO), 0);
    T_CODE(cor_read_from(conn, &byte, 1, &from), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(conn, 0), 0);
    expect_from(conn, "s", reached(conn));
    T_CODE(cor_close(conn), 0);
}

/* N211: a write after its deadline sends nothing. N218: no destination, no peer, no size crash nothing */
TASK_TEST(write_deadlines)
{
    cor_conn *a = bound(), *b = bound();
    cor_packet packet = {.data = "x", .size_bytes = 1, .addr = reached(b)};
    T_CODE(cor_set_write_deadline(a, LONG_AGO), 0);
    T_CODE(cor_write_to(a, "x", 1, reached(b)), COR_ETIMEOUT);
    T_CODE(cor_write_packets(a, &packet, 1), COR_ETIMEOUT);
    T_CODE(cor_set_write_deadline(a, 0), 0);
    T_EQ(cor_write_to(a, "late", 4, reached(b)), 4);
    expect_from(b, "late", reached(a));
    T_CODE(cor_write_packets(a, &packet, 0), -EINVAL);
    T_CODE(cor_read_packets(a, &packet, -1), -EINVAL);
    T_CODE(cor_write_packets(a, &(cor_packet){0}, 1), COR_EMISSING_ADDRESS);
    T_CODE(cor_close_write(a), -EOPNOTSUPP);
    T_CODE(cor_close_read(a), -EOPNOTSUPP);
    T_CODE(cor_set_no_delay(a, true), -EOPNOTSUPP);
    close_pair(a, b);
}

/* N083, N212, N213, N220: families and ports */
TASK_TEST(families)
{
    char want[COR_ERROR_TEXT], here[COR_ADDR_TEXT];
    const cor_addr six = {.ip = {.family = AF_INET6, .bytes = {[15] = 1}}, .port = 9};
    cor_conn *four = bound();
    T_CODE(cor_write_to(four, "x", 1, six), COR_ENOT_IPV4);
    (void)snprintf(want, sizeof(want), "write udp %s->[::1]:9: address ::1: non-IPv4 address",
                   cor_local_addr(four, here, sizeof(here)));
    expect_error(four, "write", six, COR_ENOT_IPV4, want);
    T_CODE(cor_write_to(four, "x", 1, (cor_addr){.ip = reached(four).ip}), -EINVAL);
    cor_conn *zero = NULL;
    T_CODE(cor_dial(&zero, "udp", "127.0.0.1:0", NULL), 0);
    T_CODE(cor_close(zero), 0);
    if (has_ipv6()) {
        cor_conn *both = listen_on("udp", ":0"), *only = listen_on("udp6", "[::1]:0");
        cor_addr from_both = {.ip = reached(four).ip, .port = reached(both).port};
        T_EQ(cor_write_to(both, "v4", 2, reached(four)), 2);
        expect_from(four, "v4", from_both);
        T_EQ(cor_write_to(four, "back", 4, from_both), 4);
        expect_from(both, "back", reached(four));
        T_EQ(cor_write_to(both, "v6", 2, reached(only)), 2);
        expect_from(only, "v6", (cor_addr){.ip = six.ip, .port = from_both.port});
        T_EQ(cor_write_to(both, "self", 4, (cor_addr){.port = reached(four).port}), 4); /* no IP: this host, as :: */
        close_pair(both, only);
    }
    T_CODE(cor_close(four), 0);
}

/* N215: a server of each address, and clients of each network that reach it */
TASK_TEST(every_form_of_address)
{
    static const struct {
        const char *network, *address, *dials, *host;
    } cases[] = {{"udp", ":0", "udp", "127.0.0.1"},
                 {"udp", "0.0.0.0:0", "udp4", "127.0.0.1"},
                 {"udp", "[::ffff:0.0.0.0]:0", "udp", ""},
                 {"udp", "[::]:0", "udp6", "::1"},
                 {"udp4", ":0", "udp", "127.0.0.1"},
                 {"udp4", "0.0.0.0:0", "udp4", ""},
                 {"udp6", ":0", "udp6", "::1"},
                 {"udp6", "[::]:0", "udp", "::1"},
                 {"udp", "127.0.0.1:0", "udp", "127.0.0.1"},
                 {"udp", "[::ffff:127.0.0.1]:0", "udp4", "127.0.0.1"},
                 {"udp", "[::1]:0", "udp6", "::1"},
                 {"udp6", "[::1]:0", "udp", "::1"}};
    bool ipv6 = has_ipv6();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char port[8], address[COR_ADDR_TEXT];
        cor_addr from;
        cor_conn *client = NULL;
        if (!ipv6 && (strchr(cases[i].host, ':') != NULL || cases[i].network[3] == '6')) {
            continue;
        }
        cor_conn *server = listen_on(cases[i].network, cases[i].address);
        (void)snprintf(port, sizeof(port), "%d", reached(server).port);
        (void)cor_join_host_port(cases[i].host, port, address, sizeof(address));
        T_CODE(cor_dial(&client, cases[i].dials, address, NULL), 0);
        write_all(client, "a", 1);
        T_EQ(cor_read_from(server, port, sizeof(port), &from), 1);
        T_EQ(cor_write_to(server, "b", 1, from), 1);
        T_EQ(cor_read(client, port, sizeof(port)), 1);
        close_pair(client, server);
    }
}

/* N006, N007, N087, N025: the wrong kind of network, an address in use, a service of TCP */
TASK_TEST(errors_of_listening)
{
    static const struct {
        const char *network, *address;
        int code;
        const char *text;
    } cases[] = {
        {"tcp", ":0", COR_EUNEXPECTED_TYPE, "listen tcp :0: address :0: unexpected address type"},
        {"tcp", "", COR_EUNEXPECTED_TYPE, "listen tcp: unexpected address type"},
        {"unix", "x", COR_EUNEXPECTED_TYPE, "listen unix x: address x: unexpected address type"},
        {"UDP", ":0", COR_EUNKNOWN_NETWORK, "listen UDP: unknown network UDP"},
        {"udp", "127.0.0.1:http", COR_EUNKNOWN_PORT, "listen udp: lookup udp/http: unknown port"},
        {"udp4", "[::1]:0", COR_ENO_SUITABLE_ADDRESS, "listen udp4: address ::1: no suitable address found"},
    };
    char text[COR_ERROR_TEXT], address[COR_ADDR_TEXT], want[COR_ERROR_TEXT];
    cor_error error;
    cor_conn *conn, *taken = bound();
    cor_listener *listener;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        T_CODE(cor_listen_packet(&conn, cases[i].network, cases[i].address, &error), cases[i].code);
        T_STR(cor_error_text(&error, text, sizeof(text)), cases[i].text);
    }
    T_CODE(cor_listen(&listener, "udp", ":0", &error), COR_EUNEXPECTED_TYPE);
    T_STR(cor_error_text(&error, text, sizeof(text)), "listen udp :0: address :0: unexpected address type");
    (void)cor_local_addr(taken, address, sizeof(address));
    T_CODE(cor_listen_packet(&conn, "udp", address, &error), -EADDRINUSE);
    (void)snprintf(want, sizeof(want), "listen udp %s: bind: address already in use", address);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    T_EQ(cori_service_port("udp", "domain"), 53);
    T_CODE(cor_close(taken), 0);
}

/* N073, N074, N075: what is set on a new socket */
TASK_TEST(options)
{
    T_SKIP_SIMULATED("buffers have one size");
    int value = -1;
    cor_conn *four = bound();
    T_CODE(cori_sys_getsockopt(raw_fd(four), SOL_SOCKET, SO_BROADCAST, &value), 0);
    T_EQ(value, 1);
    T_CODE(cori_sys_getsockopt(raw_fd(four), SOL_SOCKET, SO_REUSEADDR, &value), 0);
    T_EQ(value, 0);
    cor_conn *client = dialed(four);
    T_CODE(cori_sys_getsockopt(raw_fd(client), SOL_SOCKET, SO_BROADCAST, &value), 0);
    T_EQ(value, 1);
    if (has_ipv6()) {
        cor_conn *both = listen_on("udp", ":0"), *only = listen_on("udp6", ":0");
        T_CODE(cori_sys_getsockopt(raw_fd(both), IPPROTO_IPV6, IPV6_V6ONLY, &value), 0);
        T_EQ(value, 0);
        T_CODE(cori_sys_getsockopt(raw_fd(only), IPPROTO_IPV6, IPV6_V6ONLY, &value), 0);
        T_EQ(value, 1);
        close_pair(both, only);
    }
    close_pair(client, four);
}

/* More than one system call carries, in order; and an empty one and one of another size among them. */
TASK_TEST(many_at_once)
{
    T_SKIP_SIMULATED("the test counts system calls");
    static char out[MANY][8], in[MANY][8];
    cor_packet sent[MANY], got[MANY];
    int have = 0, reads = 0;
    cor_conn *server = bound(), *client = dialed(server);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(out[i], sizeof(out[i]), "%d", i);
        sent[i] = (cor_packet){.data = out[i], .size_bytes = i == 5 ? 0 : strlen(out[i])};
        got[i] = (cor_packet){.data = in[i], .room_bytes = sizeof(in[i])};
    }
    T_EQ(cor_write_packets(client, sent, MANY), MANY);
    while (have < MANY) {
        int more = cor_read_packets(server, got + have, MANY - have);
        T_REQUIRE(more > 0, "%d (%s) after %d", more, taskcase_text(more), have);
        have += more;
        reads++;
    }
    T_ASSERT(reads <= 3); /* a few, then as many as go with one system call */
    for (int i = 0; i < MANY; i++) {
        T_EQ(got[i].size_bytes, sent[i].size_bytes);
        T_MEM(in[i], out[i], got[i].size_bytes);
        T_ASSERT(!got[i].cut);
        T_EQ(cor_addr_compare(got[i].addr, reached(client)), 0);
    }
    write_all(client, "after", 5); /* what is read in part of a batch leaves the socket empty: the next one wakes */
    expect_from(server, "after", reached(client));
    close_pair(client, server);
}

/* Calls for packets on what is none. */
TASK_TEST(streams_have_none)
{
    cor_conn *a, *b;
    cor_addr from;
    cor_packet packet = {.data = &from, .room_bytes = 1};
    for (int kind = KIND_TCP; kind <= KIND_PIPE; kind += KIND_PIPE - KIND_TCP) {
        make_pair(kind, &a, &b);
        T_CODE(cor_read_from(a, &from, 1, &from), -EOPNOTSUPP);
        T_CODE(cor_write_to(a, "", 0, (cor_addr){.port = 1}), -EOPNOTSUPP);
        T_CODE(cor_read_packets(a, &packet, 1), -EOPNOTSUPP);
        T_CODE(cor_write_packets(a, &packet, 1), -EOPNOTSUPP);
        close_pair(a, b);
    }
    T_CODE(cor_read_from(a, &from, 1, &from), COR_ECLOSED);
    T_CODE(cor_read_from(NULL, &from, 1, &from), -EINVAL);
}

/* N170: closing ends a call that is parked, and every later one */
static void read_closed(void *arg)
{
    char byte;
    cor_addr from;
    T_CODE(cor_read_from(arg, &byte, 1, &from), COR_ECLOSED);
}

static void read_canceled(void *arg)
{
    char byte;
    cor_packet packet = {.data = &byte, .room_bytes = 1};
    T_CODE(cor_read_packets(arg, &packet, 1), COR_ECANCELED);
}

TASK_TEST(closing_and_canceling)
{
    cor_group group = {0}, canceled = {0};
    cor_conn *conn = bound();
    for (int i = 0; i < SENDERS; i++) {
        go_on(i, &canceled, read_canceled, conn);
    }
    T_PARKED(conn, CORI_READ);
    cor_group_cancel(&canceled);
    wait_for(&canceled);
    for (int i = 0; i < SENDERS; i++) {
        go_on(i, &group, read_closed, conn);
    }
    T_PARKED(conn, CORI_READ);
    T_CODE(cor_close(conn), 0);
    wait_for(&group);
    T_CODE(cor_write_to(conn, "x", 1, (cor_addr){.port = 1}), COR_ECLOSED);
    T_CODE(cor_close(conn), COR_ECLOSED);
}

/* Readers and writers of one socket on all workers: each datagram comes once and whole. */
typedef struct crowd {
    cor_conn *server, *client;
    int sent, came, sum;
} crowd;

static void crowd_read(void *arg)
{
    crowd *all = arg;
    int value;
    cor_addr from;
    while (cor_read_from(all->server, &value, sizeof(value), &from) == (ssize_t)sizeof(value)) {
        (void)add(&all->sum, value);
        (void)add(&all->came, 1);
    }
}

static void crowd_write(void *arg)
{
    crowd *all = arg;
    for (int i = 0; i < ROUNDS; i++) {
        write_all(all->client, &i, sizeof(i));
        int sent = add(&all->sent, 1);
        T_EVENTUALLY(get(&all->came) + UNDER_WAY >= sent, SOON); /* the kernel drops what its buffer has no room for */
    }
}

TASK_TEST(readers_and_writers)
{
    crowd all = {.server = bound()};
    cor_group readers = {0}, writers = {0};
    all.client = dialed(all.server);
    for (int i = 0; i < SENDERS; i++) {
        go_on(i, &readers, crowd_read, &all);
        go_on(i + 1, &writers, crowd_write, &all);
    }
    wait_for(&writers);
    T_EVENTUALLY(get(&all.came) == SENDERS * ROUNDS, SOON);
    T_EQ(all.sum, SENDERS * (ROUNDS * (ROUNDS - 1) / 2));
    close_pair(all.server, all.client);
    wait_for(&readers);
}

/* Closing at any moment of reads and writes: all of them end, and nothing is left. */
static void echo_until_closed(void *arg)
{
    char data[8];
    cor_addr from;
    ssize_t count;
    do {
        count = cor_read_from(arg, data, sizeof(data), &from);
        count = count >= 0 ? cor_write_to(arg, data, (size_t)count, from) : count;
    } while (count >= 0);
    T_CODE(count, COR_ECLOSED);
}

TASK_TEST(close_meets_reads_and_writes)
{
    for (uint32_t i = 0; i < taskcase_scale(ROUNDS); i++) {
        cor_group group = {0};
        cor_conn *server = bound(), *client = bound();
        for (int worker = 0; worker < SENDERS; worker++) {
            go_on(worker, &group, echo_until_closed, server);
        }
        cor_addr to = reached(server);
        for (uint32_t sent = 0; sent <= i % 5; sent++) {
            T_EQ(cor_write_to(client, "x", 1, to), 1);
        }
        cor_yield();
        close_pair(server, client);
        wait_for(&group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_bound_sockets),
        cmocka_unit_test(dialed_socket),
        cmocka_unit_test(destinations),
        cmocka_unit_test(edges_are_kept),
        cmocka_unit_test(short_ones_follow_each_other),
        cmocka_unit_test(nothing_to_send_and_no_room),
        cmocka_unit_test(too_long),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(read_deadlines),
        cmocka_unit_test(write_deadlines),
        cmocka_unit_test(families),
        cmocka_unit_test(every_form_of_address),
        cmocka_unit_test(errors_of_listening),
        cmocka_unit_test(options),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(streams_have_none),
        cmocka_unit_test(closing_and_canceling),
        cmocka_unit_test(readers_and_writers),
        cmocka_unit_test(close_meets_reads_and_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

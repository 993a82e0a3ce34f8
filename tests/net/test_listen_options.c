/* SPDX-License-Identifier: MIT */
/* How to listen: backlog, shared ports, keep-alive of what is accepted, the hook on the socket. */
#include "net/netcase.h"
#include "support/faults.h"

#include "base/sys.h"

#include <coracle/packet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int option(int fd, int level, int name)
{
    int value = -1;
    T_CODE(cori_sys_getsockopt(fd, level, name, &value), 0);
    return value;
}

/* The longest queue of connections that wait to be accepted, as the kernel has it. */
static int backlog_of(cor_listener *listener)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    T_EQ(getsockopt(listener_fd(listener), IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return (int)info.tcpi_sacked;
}

static cor_listener *listen_with(const cor_listen_options *options, const char *network, const char *address)
{
    cor_listener *listener = NULL;
    T_CODE(cor_listen_with(&listener, options, network, address, NULL), 0);
    return listener;
}

/* N081 */
TASK_TEST(backlogs)
{
    cor_listen_options options = COR_LISTEN_INIT;
    cor_listener *usual = listen_with(&options, "tcp", "127.0.0.1:0");
    options.backlog = 7;
    cor_listener *chosen = listen_with(&options, "tcp", "127.0.0.1:0");
    T_EQ(backlog_of(chosen), 7);
    T_ASSERT(backlog_of(usual) > 7);
    T_CODE(cor_listener_close(usual), 0);
    T_CODE(cor_listener_close(chosen), 0);
}

/* Both must want it. */
TASK_TEST(shared_ports)
{
    char address[COR_ADDR_TEXT];
    cor_listener *third = NULL;
    cor_error error;
    cor_listen_options options = COR_LISTEN_INIT;
    options.reuse_port = true;
    cor_listener *first = listen_with(&options, "tcp", "127.0.0.1:0");
    (void)cor_listener_addr(first, address, sizeof(address));
    cor_listener *second = listen_with(&options, "tcp", address);
    T_EQ(cor_addr_compare(cor_listener_endpoint(first), cor_listener_endpoint(second)), 0);
    T_EQ(option(listener_fd(first), SOL_SOCKET, SO_REUSEPORT), 1);
    T_CODE(cor_listen(&third, "tcp", address, NULL), -EADDRINUSE);
    T_CODE(cor_listen_with(&third, &options, "unix", "@shared", &error), -EOPNOTSUPP);
    T_ASSERT(third == NULL);
    T_CODE(cor_listener_close(first), 0);
    T_CODE(cor_listener_close(second), 0);
}

static void expect_accepted(const cor_keep_alive *keep_alive, int on, int idle, int interval, int count)
{
    char address[COR_ADDR_TEXT];
    cor_conn *client, *server;
    cor_listen_options options = COR_LISTEN_INIT;
    options.keep_alive = *keep_alive;
    cor_listener *listener = listen_with(&options, "tcp", "127.0.0.1:0");
    T_CODE(cor_dial(&client, "tcp", cor_listener_addr(listener, address, sizeof(address)), NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_EQ(option(raw_fd(server), SOL_SOCKET, SO_KEEPALIVE), on);
    if (on != 0) {
        T_EQ(option(raw_fd(server), IPPROTO_TCP, TCP_KEEPIDLE), idle);
        T_EQ(option(raw_fd(server), IPPROTO_TCP, TCP_KEEPINTVL), interval);
        T_EQ(option(raw_fd(server), IPPROTO_TCP, TCP_KEEPCNT), count);
    }
    T_EQ(option(raw_fd(server), IPPROTO_TCP, TCP_NODELAY), 1);
    T_EQ(option(raw_fd(server), SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    T_EQ(option(raw_fd(client), SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

/* N086, N094, N178 */
TASK_TEST(keep_alive_of_accepted_connections)
{
    expect_accepted(&(cor_keep_alive){.count = 0}, 1, 15, 15, 9);
    expect_accepted(&(cor_keep_alive){.idle_ns = 1500 * COR_MILLISECOND, .interval_ns = 3 * COR_SECOND, .count = 4}, 1,
                    2, 3, 4);
    expect_accepted(&(cor_keep_alive){.off = true}, 0, 0, 0, 0);
}

/* What the hook was told, and what it answers. */
typedef struct heard {
    int calls, answer;
    char network[16], address[COR_ADDR_TEXT];
} heard;

static int hear(int fd, const char *network, const char *address, void *arg)
{
    heard *told = arg;
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(local);
    told->calls++;
    (void)snprintf(told->network, sizeof(told->network), "%s", network);
    (void)snprintf(told->address, sizeof(told->address), "%s", address);
    T_EQ(getsockname(fd, (struct sockaddr *)&local, &len), 0);
    int type = option(fd, SOL_SOCKET, SO_TYPE); /* with bare IP the kernel has the protocol for a port */
    T_ASSERT(local.ss_family == AF_UNIX || type == SOCK_RAW ||
             ((struct sockaddr_in *)&local)->sin_port == 0); /* not bound */
    T_EQ(option(fd, SOL_SOCKET, SO_REUSEADDR), type != SOCK_DGRAM);
    T_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){5000}, sizeof(int)), 0);
    return told->answer;
}

static void expect_heard(const char *network, const char *address, const char *exact)
{
    heard told = {0};
    cor_listen_options options = COR_LISTEN_INIT;
    options.control = hear;
    options.control_arg = &told;
    cor_listener *listener = listen_with(&options, network, address);
    T_EQ(told.calls, 1);
    T_STR(told.network, exact);
    T_STR(told.address, address);
    T_EQ(option(listener_fd(listener), SOL_SOCKET, SO_RCVBUF), 10000);
    T_CODE(cor_listener_close(listener), 0);
}

static cor_conn *listen_packet_with(const cor_listen_options *options, const char *network, const char *address)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet_with(&conn, options, network, address, NULL), 0);
    return conn;
}

static void expect_packets_heard(const char *network, const char *address, const char *exact)
{
    heard told = {0};
    cor_listen_options options = COR_LISTEN_INIT;
    options.control = hear;
    options.control_arg = &told;
    cor_conn *conn = listen_packet_with(&options, network, address);
    T_EQ(told.calls, 1);
    T_STR(told.network, exact);
    T_STR(told.address, address);
    T_EQ(option(raw_fd(conn), SOL_SOCKET, SO_RCVBUF), 10000);
    T_CODE(cor_close(conn), 0);
}

/* N084: for packets too */
TASK_TEST(control_hook_of_packets)
{
    char name[64], text[COR_ERROR_TEXT];
    heard told = {.answer = -EPERM};
    cor_conn *conn = NULL;
    cor_error error;
    cor_listen_options options = COR_LISTEN_INIT;
    expect_packets_heard("udp", "127.0.0.1:0", "udp4");
    expect_packets_heard("unixgram", abstract_name(name, sizeof(name)), "unixgram");
    if (has_ipv6()) {
        expect_packets_heard("udp", "[::1]:0", "udp6");
        expect_packets_heard("udp", ":0", "udp6");
    }
    if (cor_listen_packet(&conn, "ip4:253", "127.0.0.1", NULL) == 0) {
        T_CODE(cor_close(conn), 0);
        expect_packets_heard("ip:253", "127.0.0.1", "ip4");
        options.reuse_port = true;
        T_CODE(cor_listen_packet_with(&conn, &options, "ip4:253", "127.0.0.1", NULL), -EOPNOTSUPP);
        options.reuse_port = false;
    }
    options.control = hear;
    options.control_arg = &told;
    T_CODE(cor_listen_packet_with(&conn, &options, "udp", "127.0.0.1:0", &error), -EPERM);
    T_STR(cor_error_text(&error, text, sizeof(text)), "listen udp 127.0.0.1:0: operation not permitted");
    options.backlog = -1;
    T_CODE(cor_listen_packet_with(&conn, &options, "udp", "127.0.0.1:0", NULL), -EINVAL);
    options.size = 0;
    T_CODE(cor_listen_packet_with(&conn, &options, "udp", "127.0.0.1:0", NULL), -EINVAL);
    T_EQ(told.calls, 1);
}

/* Both must want it; without it the address is in use. Each sender has one of the two. */
TASK_TEST(shared_ports_of_packets)
{
    char address[COR_ADDR_TEXT];
    cor_conn *other = NULL, *client = NULL;
    cor_listen_options options = COR_LISTEN_INIT;
    options.reuse_port = true;
    cor_conn *first = listen_packet_with(&options, "udp", "127.0.0.1:0");
    (void)cor_local_addr(first, address, sizeof(address));
    cor_conn *second = listen_packet_with(&options, "udp", address);
    T_EQ(cor_addr_compare(cor_local_endpoint(first), cor_local_endpoint(second)), 0);
    T_CODE(cor_listen_packet(&other, "udp", address, NULL), -EADDRINUSE);
    T_CODE(cor_listen_packet_with(&other, &options, "unixgram", "@shared", NULL), -EOPNOTSUPP);
    T_CODE(cor_dial(&client, "udp", address, NULL), 0);
    T_CODE(cor_close(second), 0);
    T_CODE(cor_set_read_deadline(first, cor_after(SOON * taskcase_patience())), 0);
    write_all(client, "x", 1);
    T_EQ(cor_read(first, address, sizeof(address)), 1);
    close_pair(first, client);
}

/* N084, N085 */
TASK_TEST(control_hook)
{
    char name[64], text[COR_ERROR_TEXT];
    heard told = {.answer = -EPERM};
    cor_listener *listener = NULL;
    cor_error error;
    cor_listen_options options = COR_LISTEN_INIT;
    expect_heard("tcp", "127.0.0.1:0", "tcp4");
    expect_heard("unix", abstract_name(name, sizeof(name)), "unix");
    if (has_ipv6()) {
        expect_heard("tcp", "[::1]:0", "tcp6");
        expect_heard("tcp", ":0", "tcp6"); /* both families by one socket */
    }
    options.control = hear;
    options.control_arg = &told;
    T_CODE(cor_listen_with(&listener, &options, "tcp", "127.0.0.1:0", &error), -EPERM);
    T_STR(cor_error_text(&error, text, sizeof(text)), "listen tcp 127.0.0.1:0: operation not permitted");
    T_ASSERT(listener == NULL);
}

/* A caller that was compiled when the struct was shorter, and one that knows more than the library. */
TASK_TEST(sizes_of_the_struct)
{
    cor_listener *listener = NULL;
    cor_listen_options options = COR_LISTEN_INIT;
    options.keep_alive.off = true;
    options.size = offsetof(cor_listen_options, keep_alive);
    listener = listen_with(&options, "tcp", "127.0.0.1:0");
    T_EQ(option(listener_fd(listener), SOL_SOCKET, SO_KEEPALIVE), 1);
    T_CODE(cor_listener_close(listener), 0);
    options.size = sizeof(options) + 8;
    T_CODE(cor_listen_with(&listener, &options, "tcp", "127.0.0.1:0", NULL), -EINVAL);
    options.size = 0;
    T_CODE(cor_listen_with(&listener, &options, "tcp", "127.0.0.1:0", NULL), -EINVAL);
    options = (cor_listen_options){.size = sizeof(options), .backlog = -1};
    T_CODE(cor_listen_with(&listener, &options, "tcp", "127.0.0.1:0", NULL), -EINVAL);
}

TASK_TEST(endpoints)
{
    char name[64], address[COR_ADDR_TEXT], text[COR_ADDR_TEXT];
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), 0);
    cor_addr addr = cor_listener_endpoint(listener);
    T_STR(cor_addr_text(addr, text, sizeof(text)), cor_listener_addr(listener, address, sizeof(address)));
    T_CODE(cor_listener_close(listener), 0);
    T_EQ(cor_listener_endpoint(listener).ip.family, AF_UNSPEC);
    T_CODE(cor_listen(&listener, "unix", abstract_name(name, sizeof(name)), NULL), 0);
    T_EQ(cor_listener_endpoint(listener).ip.family, AF_UNSPEC);
    T_CODE(cor_listener_close(listener), 0);
}

/* Each call of listening fails once: the runner counts descriptors. */
TASK_TEST(listening_with_faults)
{
    char name[64];
    cor_listener *listener;
    cor_listen_options options = COR_LISTEN_INIT;
    options.reuse_port = true;
    if (cor_listen_with(&listener, &options, "tcp", "127.0.0.1:0", NULL) == 0) {
        T_CODE(cor_listener_close(listener), 0);
    }
    options.reuse_port = false;
    if (cor_listen_with(&listener, &options, "unix", abstract_name(name, sizeof(name)), NULL) == 0) {
        T_CODE(cor_listener_close(listener), 0);
    }
}

static void each_call_fails_once(void **state)
{
    static const int calls[] = {CORI_SYS_SOCKET, CORI_SYS_BIND, CORI_SYS_LISTEN, CORI_SYS_SETSOCKOPT};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (unsigned nth = 1; nth <= 8; nth++) {
            faults_set(calls[i], nth, -ENOBUFS);
            listening_with_faults(state);
            faults_clear();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backlogs),
        cmocka_unit_test(shared_ports),
        cmocka_unit_test(keep_alive_of_accepted_connections),
        cmocka_unit_test(control_hook),
        cmocka_unit_test(control_hook_of_packets),
        cmocka_unit_test(shared_ports_of_packets),
        cmocka_unit_test(sizes_of_the_struct),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(each_call_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

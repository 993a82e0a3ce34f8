/* SPDX-License-Identifier: MIT */
/* Dialers: time, local address, keep-alive, control hook. */
#include "net/dialercase.h"

#include <coracle/packet.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* N108, N109, N110: the earlier of the two counts. */
TASK_TEST(timeouts_and_deadlines)
{
    blackhole hole;
    cor_conn *client = NULL;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    open_blackhole(&hole);
    open_listener();
    dialer.timeout_ns = -1;
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, &error), COR_ETIMEOUT);
    expect_text(&error, "dial tcp ", address, ": i/o timeout");
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &client), COR_ETIMEOUT); /* not even a SYN was sent */
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    dialer.timeout_ns = 30 * COR_MILLISECOND;
    dialer.deadline = cor_after(FAR_AWAY);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", hole.address, NULL), COR_ETIMEOUT);
    dialer.timeout_ns = FAR_AWAY;
    dialer.deadline = cor_after(30 * COR_MILLISECOND);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", hole.address, NULL), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= dialer.deadline);
    dialer.timeout_ns = dialer.deadline = INT64_MAX;
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), 0);
    expect_peer(client, address);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N049, N116: where a connection comes from. */
TASK_TEST(local_addresses)
{
    char text[COR_ADDR_TEXT];
    uint16_t closed;
    cor_conn *client, *server;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    int bound = closed_port(&closed);
    open_listener();
    dialer.local = endpoint_of("127.0.0.2", 0);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, &error), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_EQ(cor_ip_compare(cor_remote_endpoint(server).ip, dialer.local.ip), 0);
    close_pair(client, server);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", closed);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", text, &error), -ECONNREFUSED);
    expect_text(&error, "dial tcp 127.0.0.2:0->", text, ": connect: connection refused");
    dialer.local = endpoint_of("127.0.0.1", port);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", text, &error), -EADDRINUSE);
    T_STR(error.where, "bind");
    dialer.local = endpoint_of("192.0.2.1", 0);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, &error), -EADDRNOTAVAIL);
    expect_text(&error, "dial tcp 192.0.2.1:0->", address, ": bind: cannot assign requested address");
    T_EQ(close(bound), 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N117, N118: addresses of the other family are left out; of the other kind they are an error. */
TASK_TEST(local_addresses_of_another_kind)
{
    cor_conn *client = NULL;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    open_listener();
    dialer.local = endpoint_of("::1", 0);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, &error), COR_ENO_SUITABLE_ADDRESS);
    expect_text(&error, "dial tcp: address [::1]:0: no suitable address found", "", "");
    dialer.local = endpoint_of("::", 0);
    T_CODE(cor_dial_with(&client, &dialer, "tcp4", address, NULL), COR_ENO_SUITABLE_ADDRESS);
    T_CODE(cor_dial_with(&client, &dialer, "unix", "@nobody", NULL), -EINVAL);
    if (has_ipv6()) {
        T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), 0);
        expect_peer(client, address);
    }
    dialer.local = endpoint_of("0.0.0.0", 0);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", both, NULL), 0); /* the first family refuses */
    expect_peer(client, address);
    dialer.local = (cor_addr){.port = 0};
    dialer.local_path = "@anybody";
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), -EINVAL);
    T_CODE(cor_listener_close(listener), 0);
}

TASK_TEST(local_paths)
{
    const char *network;
    char name[64], text[COR_ADDR_TEXT];
    cor_conn *client, *server;
    cor_dialer dialer = COR_DIALER_INIT;
    listener = listen_kind(KIND_UNIX, &network, address);
    dialer.local_path = abstract_name(name, sizeof(name));
    T_CODE(cor_dial_with(&client, &dialer, network, address, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_STR(cor_remote_addr(server, text, sizeof(text)), name);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    T_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void expect_keep_alive(const cor_dialer *dialer, int on, int idle, int interval, int count)
{
    cor_conn *client;
    T_CODE(cor_dial_with(&client, dialer, "tcp", address, NULL), 0);
    int fd = raw_fd(client);
    T_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), on);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), count);
    T_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    expect_peer(client, address);
}

/* N114, N178, N179: 0 is the default, less than that the kernel's. */
TASK_TEST(keep_alive)
{
    cor_dialer dialer = COR_DIALER_INIT;
    open_listener();
    int bare = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int idle = option(bare, IPPROTO_TCP, TCP_KEEPIDLE), interval = option(bare, IPPROTO_TCP, TCP_KEEPINTVL);
    int count = option(bare, IPPROTO_TCP, TCP_KEEPCNT);
    T_EQ(close(bare), 0);
    expect_keep_alive(&dialer, 1, 15, 15, 9);
    dialer.keep_alive = (cor_keep_alive){.idle_ns = 1500 * COR_MILLISECOND, .interval_ns = 2 * COR_SECOND, .count = 3};
    expect_keep_alive(&dialer, 1, 2, 2, 3);
    dialer.keep_alive = (cor_keep_alive){.idle_ns = -1, .interval_ns = -1, .count = -1};
    expect_keep_alive(&dialer, 1, idle, interval, count);
    dialer.keep_alive = (cor_keep_alive){.off = true};
    expect_keep_alive(&dialer, 0, idle, interval, count);
    T_CODE(cor_listener_close(listener), 0);
}

/* What a control hook was told, and what it answers. */
typedef struct heard {
    int calls, answer;
    char network[16], address[COR_ADDR_TEXT];
} heard;

static int hear(int fd, const char *network, const char *target, void *arg)
{
    heard *told = arg;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    told->calls++;
    (void)snprintf(told->network, sizeof(told->network), "%s", network);
    (void)snprintf(told->address, sizeof(told->address), "%s", target);
    T_ASSERT(getpeername(fd, (struct sockaddr *)&peer, &len) < 0 && errno == ENOTCONN);
    T_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){5000}, sizeof(int)), 0);
    return told->answer;
}

/* N084, N085 */
TASK_TEST(control_hook)
{
    const char *network;
    heard told = {0};
    cor_conn *client, *server;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    dialer.control = hear;
    dialer.control_arg = &told;
    open_listener();
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), 0);
    T_EQ(option(raw_fd(client), SOL_SOCKET, SO_RCVBUF), 10000);
    expect_peer(client, address);
    T_STR(told.network, "tcp4");
    T_STR(told.address, address);
    told = (heard){.answer = -EPERM};
    T_CODE(cor_dial_with(&client, &dialer, "tcp4", address, &error), -EPERM);
    expect_text(&error, "dial tcp4 ", address, ": operation not permitted");
    told = (heard){.answer = -EPERM};
    T_CODE(cor_dial_with(&client, &dialer, "tcp", both, NULL), -EPERM); /* each family is tried */
    T_EQ(told.calls, has_ipv6() ? 2 : 1);
    T_CODE(cor_listener_close(listener), 0);
    listener = listen_kind(KIND_UNIX, &network, address);
    told = (heard){.answer = 0};
    T_CODE(cor_dial_with(&client, &dialer, "unix", address, NULL), 0);
    T_STR(told.network, "unix");
    T_STR(told.address, address);
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

/* N084, N116: datagrams know where from, the hook, and no keep-alive. Over "udp" the families do not race. */
TASK_TEST(datagrams)
{
    heard told = {0};
    cor_conn *client, *server;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    T_CODE(cor_listen_packet(&server, "udp", "127.0.0.1:0", NULL), 0);
    (void)cor_local_addr(server, address, sizeof(address));
    dialer.local = endpoint_of("127.0.0.2", 0);
    dialer.control = hear;
    dialer.control_arg = &told;
    T_CODE(cor_dial_with(&client, &dialer, "udp", address, NULL), 0);
    T_STR(told.network, "udp4");
    T_STR(told.address, address);
    T_EQ(told.calls, 1);
    T_EQ(cor_ip_compare(cor_local_endpoint(client).ip, dialer.local.ip), 0);
    T_EQ(option(raw_fd(client), SOL_SOCKET, SO_KEEPALIVE), 0);
    T_CODE(cor_close(client), 0);
    dialer.local = cor_local_endpoint(server);
    T_CODE(cor_dial_with(&client, &dialer, "udp", address, &error), -EADDRINUSE);
    T_STR(error.where, "bind");
    told = (heard){.answer = -EPERM};
    dialer.local = (cor_addr){.port = 0};
    (void)snprintf(both, sizeof(both), "[::]:%u", port_of(address));
    T_CODE(cor_dial_with(&client, &dialer, "udp", both, &error), -EPERM);
    T_EQ(told.calls, has_ipv6() ? 2 : 1);
    T_CODE(cor_close(server), 0);
}

/* A caller that was compiled when the struct was shorter, and one that knows more than the library. */
TASK_TEST(sizes_of_the_struct)
{
    cor_conn *client = NULL;
    cor_dialer dialer = COR_DIALER_INIT;
    open_listener();
    dialer.keep_alive.off = true;
    dialer.size = offsetof(cor_dialer, keep_alive);
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), 0);
    T_EQ(option(raw_fd(client), SOL_SOCKET, SO_KEEPALIVE), 1);
    expect_peer(client, address);
    dialer.size = sizeof(dialer) + 8;
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), -EINVAL);
    dialer.size = 0;
    T_CODE(cor_dial_with(&client, &dialer, "tcp", address, NULL), -EINVAL);
    T_CODE(cor_listener_close(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_and_deadlines),
        cmocka_unit_test(local_addresses),
        cmocka_unit_test(local_addresses_of_another_kind),
        cmocka_unit_test(local_paths),
        cmocka_unit_test(keep_alive),
        cmocka_unit_test(control_hook),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(sizes_of_the_struct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

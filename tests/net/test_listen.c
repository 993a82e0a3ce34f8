/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets as the kernel sees them: options, families, which addresses exclude each other, when a port is
 * free.
 */
#include "net/netcase.h"

#include "base/sys.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int option(int fd, int level, int name)
{
    int value = -1;
    T_CODE(cori_sys_getsockopt(fd, level, name, &value), 0);
    return value;
}

static cor_listener *listen_on(const char *network, const char *address)
{
    cor_listener *listener = NULL;
    T_CODE(cor_listen(&listener, network, address, NULL), 0);
    return listener;
}

/* The port of "host:port". */
static const char *port_of(const char *address)
{
    return strrchr(address, ':') + 1;
}

/* N072, N073, N177 */
TASK_TEST(listener_options)
{
    char name[64];
    cor_listener *listeners[] = {listen_on("tcp", "127.0.0.1:0"), listen_on("unix", abstract_name(name, sizeof(name)))};
    for (size_t i = 0; i < 2; i++) {
        int fd = listener_fd(listeners[i]);
        T_EQ(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
        T_EQ(option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
        T_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
        T_ASSERT((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        T_ASSERT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        T_CODE(cor_listener_close(listeners[i]), 0);
    }
}

static void expect_connection_options(cor_conn *conn, int reuse_addr)
{
    int fd = raw_fd(conn);
    T_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    T_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 15);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 9);
    T_EQ(option(fd, SOL_SOCKET, SO_REUSEADDR), reuse_addr);
    T_ASSERT((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    T_ASSERT((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

/* N072, N073, N094, N114, N115, N116 */
TASK_TEST(connection_options)
{
    cor_conn *dialed, *accepted;
    make_pair(KIND_TCP, &dialed, &accepted);
    expect_connection_options(dialed, 0);
    expect_connection_options(accepted, 1);
    close_pair(dialed, accepted);
}

/* N273: what the pollers open for themselves is not inherited either. */
TASK_TEST(internal_descriptors_are_close_on_exec)
{
    int internal = 0;
    for (int fd = 3; fd < 1000; fd++) {
        char link[64], target[64];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strstr(target, "[event") != NULL || strstr(target, "[io_uring") != NULL) {
            internal++;
            T_REQUIRE((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "%s", target);
        }
    }
    T_ASSERT(internal >= 2); /* at least one worker's epoll or ring, and its kick */
}

/* N177, N171 */
TASK_TEST(setters_reach_the_socket)
{
    cor_conn *a, *b;
    struct linger linger = {0};
    socklen_t len = sizeof(linger);
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_no_delay(a, false), 0);
    T_EQ(option(raw_fd(a), IPPROTO_TCP, TCP_NODELAY), 0);
    T_CODE(cor_set_no_delay(a, true), 0);
    T_EQ(option(raw_fd(a), IPPROTO_TCP, TCP_NODELAY), 1);
    T_CODE(cor_set_linger(a, 5), 0);
    T_EQ(getsockopt(raw_fd(a), SOL_SOCKET, SO_LINGER, &linger, &len), 0);
    T_ASSERT(linger.l_onoff == 1 && linger.l_linger == 5);
    T_CODE(cor_set_linger(a, -1), 0);
    T_EQ(getsockopt(raw_fd(a), SOL_SOCKET, SO_LINGER, &linger, &len), 0);
    T_EQ(linger.l_onoff, 0);
    close_pair(a, b);
    make_pair(KIND_UNIX, &a, &b);
    T_CODE(cor_set_no_delay(a, true), -EOPNOTSUPP);
    T_CODE(cor_set_linger(a, 0), -EOPNOTSUPP);
    close_pair(a, b);
    T_CODE(cor_set_no_delay(a, true), COR_ECLOSED);
    T_CODE(cor_set_linger(a, 0), COR_ECLOSED);
}

static void expect_family(const char *network, const char *address, const char *prefix, int v6only)
{
    char text[COR_ADDR_TEXT];
    cor_listener *listener = listen_on(network, address);
    (void)cor_listener_addr(listener, text, sizeof(text));
    T_REQUIRE(strncmp(text, prefix, strlen(prefix)) == 0, "%s %s is %s", network, address, text);
    int family = option(listener_fd(listener), SOL_SOCKET, SO_DOMAIN);
    T_EQ(family, v6only < 0 ? AF_INET : AF_INET6);
    if (v6only >= 0) {
        T_EQ(option(listener_fd(listener), IPPROTO_IPV6, IPV6_V6ONLY), v6only);
    }
    T_ASSERT(strcmp(port_of(text), "0") != 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N079, N075, N076, N077, N014, N015 */
TASK_TEST(families)
{
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    static const char *const wildcards[] = {"", ":0", "0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0", ":"};
    for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++) {
        expect_family("tcp", wildcards[i], "[::]:", 0);
    }
    expect_family("tcp4", "", "0.0.0.0:", -1);
    expect_family("tcp4", ":0", "0.0.0.0:", -1);
    expect_family("tcp4", "[::]:0", "0.0.0.0:", -1);
    expect_family("tcp6", ":0", "[::]:", 1);
    expect_family("tcp6", "[::]:0", "[::]:", 1);
    expect_family("tcp6", "[::1]:0", "[::1]:", 1);
    expect_family("tcp", "[::1]:0", "[::1]:", 1); /* set by the kernel at bind, whatever was asked for */
    expect_family("tcp", "127.0.0.1:0", "127.0.0.1:", -1);
}

/* Dials `host` at the listener's port and checks the addresses that both ends see. */
static void expect_reached(cor_listener *listener, const char *network, const char *host, const char *ip)
{
    char at[COR_ADDR_TEXT], target[COR_ADDR_TEXT], server_local[COR_ADDR_TEXT], server_remote[COR_ADDR_TEXT];
    char client_local[COR_ADDR_TEXT], client_remote[COR_ADDR_TEXT], wanted[COR_ADDR_TEXT];
    cor_conn *client, *server;
    (void)cor_listener_addr(listener, at, sizeof(at));
    (void)snprintf(target, sizeof(target), "%s:%s", host, port_of(at));
    T_CODE(cor_dial(&client, network, target, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_STR(cor_remote_addr(client, client_remote, sizeof(client_remote)),
          cor_join_host_port(ip, port_of(at), wanted, 100));
    T_STR(cor_local_addr(server, server_local, sizeof(server_local)), wanted);
    T_STR(cor_remote_addr(server, server_remote, sizeof(server_remote)),
          cor_local_addr(client, client_local, sizeof(client_local)));
    write_all(server, "x", 1);
    read_all(client, wanted, 1);
    close_pair(client, server);
}

/* N015, N016, N017, N077, N078, N095 */
TASK_TEST(wildcard_reached_from_both_families)
{
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    cor_listener *listener = listen_on("tcp", "0.0.0.0:0");
    expect_reached(listener, "tcp", "", "127.0.0.1");
    expect_reached(listener, "tcp", "0.0.0.0", "127.0.0.1");
    expect_reached(listener, "tcp", "[::]", "::1");
    expect_reached(listener, "tcp", "127.0.0.1", "127.0.0.1");
    expect_reached(listener, "tcp", "[::1]", "::1");
    expect_reached(listener, "tcp4", "", "127.0.0.1");
    expect_reached(listener, "tcp6", "", "::1");
    expect_reached(listener, "tcp", "[::ffff:127.0.0.1]", "127.0.0.1");
    T_CODE(cor_listener_close(listener), 0);
}

/* N081 */
TASK_TEST(backlog_is_the_kernels_limit)
{
    int limit = 0;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    T_ASSERT(file != NULL && fscanf(file, "%d", &limit) == 1);
    T_EQ(fclose(file), 0);
    cor_listener *listener = listen_on("tcp", "127.0.0.1:0");
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    T_EQ(getsockopt(listener_fd(listener), IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    T_EQ(info.tcpi_sacked, limit); /* of a listening socket: its backlog, what ss shows as Send-Q */
    T_CODE(cor_listener_close(listener), 0);
}

/* Listens at `first`, then at `second` with the same port. */
static int try_second_listen(const char *first_network, const char *first, const char *network, const char *second)
{
    char at[COR_ADDR_TEXT], address[COR_ADDR_TEXT];
    cor_listener *held = listen_on(first_network, first), *other = NULL;
    (void)cor_listener_addr(held, at, sizeof(at));
    (void)snprintf(address, sizeof(address), "%s:%s", second, port_of(at));
    int rc = cor_listen(&other, network, address, NULL);
    if (rc == 0) {
        T_CODE(cor_listener_close(other), 0);
    }
    T_CODE(cor_listener_close(held), 0);
    return rc;
}

/* Another program may have the port in one family only, so what ought to work is tried on several ports. */
static void expect_second_listen(const char *first[2], const char *second[2], int code)
{
    int rc = -EADDRINUSE;
    for (int i = 0; i < 200 && rc == -EADDRINUSE && (i == 0 || code == 0); i++) {
        rc = try_second_listen(first[0], first[1], second[0], second[1]);
    }
    T_CODE(rc, code);
}

/* N087, N088 */
TASK_TEST(addresses_that_exclude_each_other)
{
    static const char *const wildcards[] = {"", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]"};
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            char first[64];
            (void)snprintf(first, sizeof(first), "%s:0", wildcards[i]);
            expect_second_listen((const char *[]){"tcp", first}, (const char *[]){"tcp", wildcards[j]}, -EADDRINUSE);
        }
    }
    expect_second_listen((const char *[]){"tcp4", "0.0.0.0:0"}, (const char *[]){"tcp6", "[::]"}, 0);
    expect_second_listen((const char *[]){"tcp6", "[::]:0"}, (const char *[]){"tcp4", "0.0.0.0"}, 0);
    expect_second_listen((const char *[]){"tcp", "127.0.0.1:0"}, (const char *[]){"tcp", "[::1]"}, 0);
    expect_second_listen((const char *[]){"tcp", "127.0.0.1:0"}, (const char *[]){"tcp", "127.0.0.1"}, -EADDRINUSE);
    expect_second_listen((const char *[]){"tcp6", "[::1]:0"}, (const char *[]){"tcp6", "[::1]"}, -EADDRINUSE);
}

static void expect_listen_text(const char *network, const char *address, const char *text)
{
    cor_listener *listener;
    cor_error error;
    char shown[COR_ERROR_TEXT];
    T_ASSERT(cor_listen(&listener, network, address, &error) < 0);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
}

/* N055, N049, N052, N089, N091 */
TASK_TEST(kernel_refusals)
{
    char at[COR_ADDR_TEXT], text[256];
    cor_listener *listener = listen_on("tcp", "127.0.0.1:0");
    (void)cor_listener_addr(listener, at, sizeof(at));
    (void)snprintf(text, sizeof(text), "listen tcp4 %s: bind: address already in use", at);
    expect_listen_text("tcp4", at, text);
    T_CODE(cor_listener_close(listener), 0);
    expect_listen_text("tcp", "192.0.2.1:0", "listen tcp 192.0.2.1:0: bind: cannot assign requested address");
    expect_listen_text("unix", "/no-such-folder/socket",
                       "listen unix /no-such-folder/socket: bind: no such file or directory");
}

/*
 * N092: what only a privileged user may do keeps the kernel's word. In a folder that this user must not enter, since a
 * machine may let everybody bind every port; root gives its right up for a moment.
 */
TASK_TEST(permission_denied)
{
    enum { NOBODY = 65534 };
    char folder[] = "/tmp/cor-test-denied-XXXXXX", address[64], text[256];
    uid_t before = geteuid();
    T_ASSERT(mkdtemp(folder) != NULL);
    T_EQ(chmod(folder, 0), 0);
    (void)snprintf(address, sizeof(address), "%s/socket", folder);
    if (before == 0 && seteuid(NOBODY) != 0) {
        T_EQ(rmdir(folder), 0);
        T_SKIP("this root cannot become another user");
    }
    (void)snprintf(text, sizeof(text), "listen unix %s: bind: permission denied", address);
    expect_listen_text("unix", address, text);
    cor_conn *conn;
    cor_error error;
    T_CODE(cor_dial(&conn, "unix", address, &error), -EACCES);
    T_EQ(before == 0 ? seteuid(before) : 0, 0);
    (void)snprintf(text, sizeof(text), "dial unix %s: connect: permission denied", address);
    char shown[COR_ERROR_TEXT];
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
    T_EQ(rmdir(folder), 0);
}

static void accept_until_closed(void *listener)
{
    cor_conn *conn = NULL;
    T_CODE(cor_accept(listener, &conn), COR_ECLOSED);
    T_ASSERT(conn == NULL);
}

/* N090, N096, N169 */
TASK_TEST(port_is_free_when_close_returns)
{
    char at[COR_ADDR_TEXT];
    cor_listener *listener = listen_on("tcp", "127.0.0.1:0");
    (void)cor_listener_addr(listener, at, sizeof(at));
    for (int round = 0; round < 50; round++) {
        cor_group acceptors = {0};
        cor_conn *client, *server;
        T_CODE(cor_dial(&client, "tcp", at, NULL), 0);
        T_CODE(cor_accept(listener, &server), 0);
        T_CODE(cor_close(server), 0); /* this end will be in TIME_WAIT */
        T_CODE(cor_close(client), 0);
        go_in(&acceptors, accept_until_closed, listener);
        go_in(&acceptors, accept_until_closed, listener);
        T_ACCEPTING(listener);
        T_CODE(cor_listener_close(listener), 0);
        T_CODE(cor_listen(&listener, "tcp", at, NULL), 0);
        wait_for(&acceptors);
    }
    T_CODE(cor_listener_close(listener), 0);
}

/* N096, N099, N103, N170 */
TASK_TEST(closed_listener)
{
    char text[COR_ADDR_TEXT];
    cor_conn *conn;
    cor_listener *listener = listen_on("tcp", "127.0.0.1:0");
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_listener_close(listener), COR_ECLOSED);
    T_CODE(cor_accept(listener, &conn), COR_ECLOSED);
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), COR_ECLOSED);
    T_CODE(cor_serve(listener, NULL, NULL, NULL), 0);
    T_STR(cor_listener_addr(listener, text, sizeof(text)), "");
    cor_listener *next = listen_on("tcp", "127.0.0.1:0"); /* in the same slot */
    T_CODE(cor_accept(listener, &conn), COR_ECLOSED);
    T_CODE(cor_listener_close(listener), COR_ECLOSED);
    T_CODE(cor_listener_close(next), 0);
}

/* N058: what is no open handle of the right kind. */
TASK_TEST(wrong_handles)
{
    cor_conn *conn, *a, *b;
    size_t written;
    char text[COR_ADDR_TEXT];
    cor_listener *listener = listen_on("tcp", "127.0.0.1:0");
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_accept(NULL, &conn), -EINVAL);
    T_CODE(cor_listener_close(NULL), -EINVAL);
    T_CODE(cor_close(NULL), 0);
    T_CODE(cor_read(NULL, NULL, 0), -EINVAL);
    T_CODE(cor_write(NULL, "x", 1), -EINVAL);
    T_CODE(cor_write_counted(NULL, "x", 1, &written), -EINVAL);
    T_CODE(cor_wait_readable(NULL), -EINVAL);
    T_CODE(cor_close_write(NULL), -EINVAL);
    T_CODE(cor_close_read(NULL), -EINVAL);
    T_CODE(cor_set_deadline(NULL, 1), -EINVAL);
    T_CODE(cor_set_read_deadline(NULL, 1), -EINVAL);
    T_CODE(cor_set_write_deadline(NULL, 1), -EINVAL);
    T_CODE(cor_set_no_delay(NULL, true), -EINVAL);
    T_CODE(cor_set_linger(NULL, 0), -EINVAL);
    T_CODE(cor_listener_set_deadline(NULL, 1), -EINVAL);
    T_CODE(cor_serve(NULL, NULL, NULL, NULL), -EINVAL);
    T_STR(cor_local_addr(NULL, text, sizeof(text)), "");
    T_STR(cor_remote_addr(NULL, text, sizeof(text)), "");
    T_STR(cor_listener_addr(NULL, text, sizeof(text)), "");
    T_CODE(cor_close((cor_conn *)listener), -EINVAL);
    T_CODE(cor_accept((cor_listener *)a, &conn), -EINVAL);
    T_CODE(cor_listener_close((cor_listener *)a), -EINVAL);
    T_CODE(cor_close((cor_conn *)(uintptr_t)0xfffffffffffffffe), -EINVAL);
    close_pair(a, b);
    T_CODE(cor_listener_close(listener), 0);
}

/* Calls outside a task give an error and do no harm. */
static void no_task(void **state)
{
    (void)state;
    cor_listener *listener;
    cor_conn *conn;
    char byte;
    assert_int_equal(cor_listen(&listener, "tcp", ":0", NULL), COR_ENOT_TASK);
    assert_int_equal(cor_dial(&conn, "tcp", ":1", NULL), COR_ENOT_TASK);
    assert_int_equal(cor_read((cor_conn *)(uintptr_t)0x100000000, &byte, 1), COR_ENOT_TASK);
    assert_int_equal(cor_close((cor_conn *)(uintptr_t)0x100000000), COR_ENOT_TASK);
    assert_int_equal(cor_serve((cor_listener *)(uintptr_t)0x100000001, NULL, NULL, NULL), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener_options),
        cmocka_unit_test(connection_options),
        cmocka_unit_test(internal_descriptors_are_close_on_exec),
        cmocka_unit_test(setters_reach_the_socket),
        cmocka_unit_test(families),
        cmocka_unit_test(wildcard_reached_from_both_families),
        cmocka_unit_test(backlog_is_the_kernels_limit),
        cmocka_unit_test(addresses_that_exclude_each_other),
        cmocka_unit_test(kernel_refusals),
        cmocka_unit_test(permission_denied),
        cmocka_unit_test(port_is_free_when_close_returns),
        cmocka_unit_test(closed_listener),
        cmocka_unit_test(wrong_handles),
        cmocka_unit_test(no_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Options: they reach every TCP socket, however the library came by it, and say so where there is none. */
#include "net/netcase.h"

#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    T_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void expect_keep_alive(int fd, int on, int idle_s, int interval_s, int count)
{
    T_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), on);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), idle_s);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval_s);
    T_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), count);
}

/* N178 */
TASK_TEST(keep_alive)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_keep_alive(a, 10 * COR_SECOND, 1, 3), 0);
    expect_keep_alive(raw_fd(a), 1, 10, 1, 3);
    T_CODE(cor_set_keep_alive(a, 0, 0, 0), 0);
    expect_keep_alive(raw_fd(a), 0, 10, 1, 3);
    T_CODE(cor_set_keep_alive(a, 10 * COR_SECOND + 1, 5 * COR_SECOND, 2), 0);
    expect_keep_alive(raw_fd(a), 1, 11, 5, 2);
    T_CODE(cor_set_keep_alive(a, -1, COR_SECOND, 1), -EINVAL);
    T_CODE(cor_set_keep_alive(a, COR_SECOND, 0, 1), -EINVAL);
    T_CODE(cor_set_keep_alive(a, COR_SECOND, COR_SECOND, 0), -EINVAL);
    T_CODE(cor_set_keep_alive(a, INT64_MAX, COR_SECOND, 1), -EINVAL);
    expect_keep_alive(raw_fd(a), 1, 11, 5, 2);
    close_pair(a, b);
    T_CODE(cor_set_keep_alive(a, COR_SECOND, COR_SECOND, 1), COR_ECLOSED);
}

/* What is set on a listener holds for what it accepts. */
TASK_TEST(accepted_connections_inherit)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    cor_conn *a, *b;
    cor_listener *listener = listen_kind(KIND_TCP, &network, address);
    T_CODE(cor_listener_set_keep_alive(listener, 20 * COR_SECOND, 5 * COR_SECOND, 4), 0);
    T_CODE(cor_listener_set_user_timeout(listener, 30 * COR_SECOND), 0);
    T_CODE(cor_dial(&a, network, address, NULL), 0);
    T_CODE(cor_accept(listener, &b), 0);
    expect_keep_alive(raw_fd(b), 1, 20, 5, 4);
    T_EQ(option(raw_fd(b), IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_listener_set_user_timeout(listener, 0), COR_ECLOSED);
    close_pair(a, b);
}

/* The kernel ends a connection whose peer takes nothing; a vanished one looks the same to it. */
TASK_TEST(user_timeout_ends_a_connection)
{
    cor_conn *a, *b;
    static char bytes[1 << 20];
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_user_timeout(a, -1), -EINVAL);
    T_CODE(cor_set_user_timeout(a, 300 * COR_MILLISECOND), 0);
    (void)fill_up(a);
    T_CODE(cor_set_write_deadline(a, cor_after(SOON * taskcase_patience())), 0);
    ssize_t rc;
    do {
        rc = cor_write(a, bytes, sizeof(bytes));
    } while (rc > 0);
    T_CODE(rc, -ETIMEDOUT);
    close_pair(a, b);
}

/* A TCP socket of somebody else's. */
static int plain_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_ASSERT(fd >= 0);
    return fd;
}

TASK_TEST(on_adopted_sockets)
{
    cor_conn *conn;
    struct linger linger = {0};
    socklen_t len = sizeof(linger);
    T_CODE(cor_open_fd(&conn, plain_socket()), 0);
    T_CODE(cor_set_no_delay(conn, true), 0);
    T_EQ(option(raw_fd(conn), IPPROTO_TCP, TCP_NODELAY), 1);
    T_CODE(cor_set_no_delay(conn, false), 0);
    T_EQ(option(raw_fd(conn), IPPROTO_TCP, TCP_NODELAY), 0);
    T_CODE(cor_set_linger(conn, 5), 0);
    T_EQ(getsockopt(raw_fd(conn), SOL_SOCKET, SO_LINGER, &linger, &len), 0);
    T_ASSERT(linger.l_onoff == 1 && linger.l_linger == 5);
    T_CODE(cor_set_keep_alive(conn, 7 * COR_SECOND, 3 * COR_SECOND, 2), 0);
    expect_keep_alive(raw_fd(conn), 1, 7, 3, 2);
    T_CODE(cor_set_user_timeout(conn, 4 * COR_SECOND), 0);
    T_EQ(option(raw_fd(conn), IPPROTO_TCP, TCP_USER_TIMEOUT), 4000);
    T_CODE(cor_close(conn), 0);
}

enum { WISHES = 10000 };

static void told(int code, int64_t pause_ns, void *arg)
{
    (void)code;
    (void)pause_ns;
    (void)arg;
}

typedef struct shared {
    cor_conn *conn;
    cor_listener *listener;
} shared;

static void wish(void *arg)
{
    const shared *of = arg;
    for (int i = 0; i < WISHES; i++) {
        T_CODE(cor_set_linger(of->conn, i % 2 == 0 ? 1 : -1), 0);
        T_CODE(cor_listener_on_pause(of->listener, i % 2 == 0 ? told : NULL, i % 2 == 0 ? arg : NULL), 0);
        cori_pause_hook found = cori_listener_hooks(of->listener).on_pause;
        T_ASSERT((found.told == NULL) == (found.arg == NULL));
    }
}

/* Tasks of several workers may set options of one connection, or listener, at the same time. */
TASK_TEST(set_by_many)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    cor_conn *other;
    cor_group setters = {0};
    shared of;
    make_pair(KIND_TCP, &of.conn, &other);
    of.listener = listen_kind(KIND_TCP, &network, address);
    for (int i = 0; i < 3; i++) {
        go_on(i, &setters, wish, &of);
    }
    wait_for(&setters);
    T_CODE(cor_listener_close(of.listener), 0);
    close_pair(of.conn, other);
}

static void expect_no_options(cor_conn *conn)
{
    T_CODE(cor_set_no_delay(conn, true), -EOPNOTSUPP);
    T_CODE(cor_set_linger(conn, 1), -EOPNOTSUPP);
    T_CODE(cor_set_keep_alive(conn, COR_SECOND, COR_SECOND, 1), -EOPNOTSUPP);
    T_CODE(cor_set_user_timeout(conn, COR_SECOND), -EOPNOTSUPP);
}

static void expect_no_options_on_fd(int fd)
{
    cor_conn *conn;
    T_ASSERT(fd >= 0);
    T_CODE(cor_open_fd(&conn, fd), 0);
    expect_no_options(conn);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(where_there_are_none)
{
    static const conn_kind kinds[] = {KIND_UNIX, KIND_PIPE};
    for (int i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i], &a, &b);
        expect_no_options(a);
        close_pair(a, b);
    }
    expect_no_options_on_fd(eventfd(0, EFD_CLOEXEC));
    expect_no_options_on_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    expect_no_options_on_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const char *network;
    char address[COR_ADDR_TEXT];
    cor_listener *listener = listen_kind(KIND_UNIX, &network, address);
    T_CODE(cor_listener_set_keep_alive(listener, COR_SECOND, COR_SECOND, 1), -EOPNOTSUPP);
    T_CODE(cor_listener_set_user_timeout(listener, COR_SECOND), -EOPNOTSUPP);
    T_CODE(cor_listener_close(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_alive),
        cmocka_unit_test(accepted_connections_inherit),
        cmocka_unit_test(user_timeout_ends_a_connection),
        cmocka_unit_test(on_adopted_sockets),
        cmocka_unit_test(set_by_many),
        cmocka_unit_test(where_there_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Sockets that come from elsewhere and go elsewhere: copies that live on, what they share, and what stays as it was. */
#include "net/netcase.h"
#include "support/faults.h"

#include "base/sys.h"

#include <coracle/fd.h>
#include <coracle/packet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RACES = 200 };

static bool is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

/* True where bytes of a TCP connection are received before a read asks. */
static bool receives_ahead(void)
{
    return strcmp(cor_poller_info(), "io_uring") == 0;
}

/* Bytes go both ways, and the end comes. */
static void expect_talk(cor_conn *a, cor_conn *b)
{
    char byte = 0;
    write_all(a, "x", 1);
    read_all(b, &byte, 1);
    T_EQ(byte, 'x');
    write_all(b, "y", 1);
    read_all(a, &byte, 1);
    T_EQ(byte, 'y');
}

static void expect_reached(cor_listener *listener, const char *network, const char *address)
{
    cor_conn *client, *server;
    T_CODE(cor_dial(&client, network, address, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    expect_talk(client, server);
    close_pair(client, server);
}

static void hand_listener_over(conn_kind kind)
{
    const char *network;
    char address[COR_ADDR_TEXT], text[COR_ADDR_TEXT];
    cor_conn *conn;
    cor_listener *second, *first = listen_kind(kind, &network, address);
    expect_reached(first, network, address);
    int copy = cor_listener_fd(first);
    T_ASSERT(copy >= 0 && copy != listener_fd(first));
    T_ASSERT(!is_blocking(copy) && (fcntl(copy, F_GETFD) & FD_CLOEXEC) != 0);
    T_CODE(cor_listener_set_deadline(first, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(first, &conn), COR_ETIMEOUT); /* the copy has made nothing block */
    T_CODE(cor_listener_close(first), 0);
    T_CODE(cor_listener_of_fd(&second, copy), 0);
    T_EQ(close(copy), 0);
    T_STR(cor_listener_addr(second, text, sizeof(text)), address);
    expect_reached(second, network, address);
    T_CODE(cor_listener_close(second), 0);
    T_CODE(cor_dial(&conn, network, address, NULL), -ECONNREFUSED);
}

/* N180, N181, N182, N245 */
TASK_TEST(a_listener_lives_on_in_a_copy)
{
    hand_listener_over(KIND_TCP);
    hand_listener_over(KIND_UNIX);
}

/* Who comes when there are two waits in the kernel's queue, and is no victim of the first one's end. */
TASK_TEST(a_copied_listener_takes_nothing_ahead)
{
    char address[COR_ADDR_TEXT];
    const char *network;
    cor_conn *early, *late, *server;
    cor_listener *second, *first = listen_kind(KIND_TCP, &network, address);
    expect_reached(first, network, address);
    T_CODE(cor_dial(&early, network, address, NULL), 0);
    int copy = cor_listener_fd(first);
    T_OK(copy);
    T_CODE(cor_accept(first, &server), 0); /* what has been taken ahead can still be had */
    expect_talk(early, server);
    T_CODE(cor_listener_set_deadline(first, cor_after(BRIEFLY)), 0);
    close_pair(early, server);
    T_CODE(cor_accept(first, &server), COR_ETIMEOUT);
    T_CODE(cor_dial(&late, network, address, NULL), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0); /* the worker's poller has its turn */
    T_CODE(cor_listener_close(first), 0);
    T_CODE(cor_listener_of_fd(&second, copy), 0);
    T_EQ(close(copy), 0);
    T_CODE(cor_accept(second, &server), 0);
    expect_talk(late, server);
    close_pair(late, server);
    T_CODE(cor_listener_close(second), 0);
}

/* N181, N182: what another program has made blocks; a listener of it does not. */
TASK_TEST(a_blocking_listener_is_taken_over)
{
    char text[COR_ADDR_TEXT];
    cor_conn *conn;
    cor_listener *listener;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    T_CODE(cor_listener_of_fd(&listener, fd), -EINVAL); /* it does not listen yet */
    T_EQ(listen(fd, 10), 0);
    T_CODE(cor_listener_of_fd(&listener, fd), 0);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    expect_reached(listener, "tcp", cor_listener_addr(listener, text, sizeof(text)));
    T_CODE(cor_listener_close(listener), 0);
    T_EQ(close(fd), 0);
}

/* N053, N182: what is none. */
TASK_TEST(what_is_no_socket_of_ours)
{
    cor_listener *listener = NULL;
    cor_conn *conn = NULL, *a, *b;
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int packets = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int lonely = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_CODE(cor_listener_of_fd(&listener, file), -ENOTSOCK);
    T_CODE(cor_listener_of_fd(&listener, -1), -EBADF);
    T_CODE(cor_listener_of_fd(&listener, packets), -EOPNOTSUPP);
    T_CODE(cor_conn_of_fd(&conn, file), -ENOTSOCK);
    T_CODE(cor_conn_of_fd(&conn, -1), -EBADF);
    T_CODE(cor_conn_of_fd(&conn, packets), -EOPNOTSUPP);
    T_CODE(cor_conn_of_fd(&conn, lonely), -ENOTCONN);
    T_ASSERT(listener == NULL && conn == NULL);
    T_EQ(close(file) | close(packets) | close(lonely), 0);
    make_pair(KIND_PIPE, &a, &b);
    T_CODE(cor_conn_fd(a), -EOPNOTSUPP);
    close_pair(a, b);
    make_pair(KIND_TCP, &a, &b);
    close_pair(a, b);
    T_CODE(cor_conn_fd(a), COR_ECLOSED);
    T_CODE(cor_conn_fd(NULL), -EINVAL);
    T_CODE(cor_listener_fd(NULL), -EINVAL);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static cor_listener *listen_at(const char *path)
{
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unix", path, NULL), 0);
    return listener;
}

/* A successor's listener on the socket of `listener`, which is closed. */
static cor_listener *successor_of(cor_listener *listener)
{
    cor_listener *next;
    int copy = cor_listener_fd(listener);
    T_OK(copy);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_listener_of_fd(&next, copy), 0);
    T_EQ(close(copy), 0);
    return next;
}

/* A client that is bound to a file leaves it. */
static void expect_client_file_stays(cor_listener *listener, const char *address, const char *path)
{
    cor_conn *client, *server;
    cor_dialer dialer = COR_DIALER_INIT;
    dialer.local_path = path;
    T_CODE(cor_dial_with(&client, &dialer, "unix", address, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_ASSERT(exists(path));
    close_pair(client, server);
    T_ASSERT(exists(path));
    T_EQ(unlink(path), 0);
}

/* N235, N236: who removes the file. */
TASK_TEST(socket_files)
{
    char folder[] = "/tmp/cor-test-XXXXXX", path[80], client[80];
    T_ASSERT(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(client, sizeof(client), "%s/client", folder);
    cor_listener *next = successor_of(listen_at(path));
    T_ASSERT(!exists(path)); /* the first one's end has removed it */
    T_CODE(cor_listener_close(next), 0);
    cor_listener *first = listen_at(path);
    T_CODE(cor_listener_unlink_on_close(first, false), 0);
    next = successor_of(first);
    T_ASSERT(exists(path));
    expect_reached(next, "unix", path);
    expect_client_file_stays(next, path, client);
    cor_listener *last = successor_of(next); /* one that was handed over does not remove it either */
    T_ASSERT(exists(path));
    expect_reached(last, "unix", path);
    T_CODE(cor_listener_unlink_on_close(last, true), 0);
    T_CODE(cor_listener_close(last), 0);
    T_ASSERT(!exists(path));
    T_CODE(cor_listener_unlink_on_close(last, true), COR_ECLOSED);
    T_EQ(rmdir(folder), 0);
}

static void hand_conn_over(conn_kind kind)
{
    char before[2][COR_ADDR_TEXT], after[2][COR_ADDR_TEXT], byte;
    cor_conn *client, *server, *second;
    make_pair(kind, &client, &server);
    (void)cor_local_addr(server, before[0], COR_ADDR_TEXT);
    (void)cor_remote_addr(server, before[1], COR_ADDR_TEXT);
    int copy = cor_conn_fd(server);
    T_ASSERT(copy >= 0 && copy != raw_fd(server));
    T_ASSERT(!is_blocking(copy) && (fcntl(copy, F_GETFD) & FD_CLOEXEC) != 0);
    expect_talk(client, server); /* it goes on */
    T_CODE(cor_close(server), 0);
    T_CODE(cor_set_read_deadline(client, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(client, &byte, 1), COR_ETIMEOUT); /* no end: the copy is open */
    T_CODE(cor_set_read_deadline(client, 0), 0);
    T_EQ(fcntl(copy, F_SETFL, 0), 0); /* as another program may have it */
    T_CODE(cor_conn_of_fd(&second, copy), 0);
    T_EQ(close(copy), 0);
    T_ASSERT(is_blocking(raw_fd(second)));
    T_STR(cor_local_addr(second, after[0], COR_ADDR_TEXT), before[0]);
    T_STR(cor_remote_addr(second, after[1], COR_ADDR_TEXT), before[1]);
    T_CODE(cor_set_read_deadline(second, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(second, &byte, 1), COR_ETIMEOUT); /* and a read of it does not hold the thread */
    T_CODE(cor_set_read_deadline(second, 0), 0);
    expect_talk(client, second);
    T_CODE(cor_close(second), 0);
    T_EQ(cor_read(client, &byte, 1), 0);
    T_CODE(cor_close(client), 0);
}

/* N180, N182 */
TASK_TEST(a_connection_lives_on_in_a_copy)
{
    hand_conn_over(KIND_TCP);
    hand_conn_over(KIND_UNIX);
    if (has_ipv6()) {
        hand_conn_over(KIND_TCP6);
    }
}

/* N182: datagram sockets, with a peer and without. */
TASK_TEST(packet_sockets_are_taken_over)
{
    char text[COR_ADDR_TEXT], byte = 0;
    cor_conn *server, *client, *copies[2];
    cor_addr from;
    T_CODE(cor_listen_packet(&server, "udp", "127.0.0.1:0", NULL), 0);
    cor_addr at = cor_local_endpoint(server);
    T_CODE(cor_dial(&client, "udp", cor_addr_text(at, text, sizeof(text)), NULL), 0);
    cor_conn *const given[2] = {server, client};
    for (int i = 0; i < 2; i++) {
        int copy = cor_conn_fd(given[i]);
        T_CODE(cor_conn_of_fd(&copies[i], copy), 0);
        T_EQ(close(copy), 0);
    }
    T_EQ(cor_addr_compare(cor_local_endpoint(copies[0]), at), 0);
    T_EQ(cor_remote_endpoint(copies[0]).ip.family, AF_UNSPEC);
    T_EQ(cor_addr_compare(cor_remote_endpoint(copies[1]), at), 0);
    close_pair(server, client);
    T_EQ(cor_write(copies[1], "x", 1), 1);
    T_EQ(cor_read_from(copies[0], &byte, 1, &from), 1);
    T_EQ(cor_write_to(copies[0], "y", 1, from), 1);
    T_EQ(cor_read(copies[1], &byte, 1), 1);
    T_EQ(byte, 'y');
    close_pair(copies[0], copies[1]);
}

static void wait_briefly(void *conn)
{
    char byte;
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(conn, &byte, 1), COR_ETIMEOUT);
}

static int computing, closed; /* atomic */

/* Keeps its worker from its poller. */
static void compute_until_closed(void *unused)
{
    int64_t end = cor_after(SOON);
    (void)unused;
    (void)add(&computing, 1);
    while (get(&closed) == 0 && cor_now() < end) {}
}

/*
 * N180: over io_uring a close by a worker that does not own the registration says goodbye for the owner, if that is
 * computing; but not for the copy.
 */
TASK_TEST(a_close_by_another_worker_leaves_the_copy)
{
    char byte = 0;
    cor_conn *client, *server;
    cor_group waiting = {0};
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    make_pair(KIND_UNIX, &client, &server);
    go_on(1, &waiting, wait_briefly, server);
    wait_for(&waiting);
    waiting = (cor_group){0};
    if (stats.workers > 1) {
        go_on(1, &waiting, compute_until_closed, NULL);
        T_EVENTUALLY(get(&computing) == 1, SOON);
    }
    int copy = cor_conn_fd(server);
    T_OK(copy);
    T_CODE(cor_close(server), 0);
    (void)add(&closed, 1);
    wait_for(&waiting);
    T_EQ(send(copy, "x", 1, MSG_NOSIGNAL), 1);
    read_all(client, &byte, 1);
    T_EQ(byte, 'x');
    T_EQ(close(copy), 0);
    T_EQ(cor_read(client, &byte, 1), 0);
    T_CODE(cor_close(client), 0);
}

/* N180: over io_uring what has been received ahead would be missed: it is to be read first. Then nothing more is. */
TASK_TEST(what_was_received_ahead_is_not_given_away)
{
    char bytes[2];
    cor_conn *client, *server;
    make_pair(KIND_TCP, &client, &server);
    wait_briefly(server);
    T_CODE(cor_set_read_deadline(server, 0), 0);
    write_all(client, "xyz", 3);
    read_all(server, bytes, 1);
    T_EQ(bytes[0], 'x');
    int copy = cor_conn_fd(server);
    T_ASSERT(receives_ahead() ? copy == -EBUSY : copy >= 0);
    T_ASSERT(copy < 0 || close(copy) == 0);
    read_all(server, bytes, 2);
    T_MEM(bytes, "yz", 2);
    copy = cor_conn_fd(server);
    T_OK(copy);
    write_all(client, "v", 1);
    T_EVENTUALLY(recv(copy, bytes, 1, MSG_DONTWAIT) == 1, SOON);
    T_EQ(bytes[0], 'v');
    T_EQ(close(copy), 0);
    close_pair(client, server);
}

static void read_one(void *conn)
{
    char byte;
    T_EQ(cor_read(conn, &byte, 1), 1);
    T_EQ(byte, 'x');
}

/* N180: a stream that has been waited for, with its deadline still past, and one with a reader inside. */
TASK_TEST(streams_in_use_are_copied)
{
    char byte;
    for (int read = 0; read < 2; read++) {
        cor_conn *client, *server;
        cor_group reading = {0};
        make_pair(KIND_TCP, &client, &server);
        if (read == 0) {
            wait_briefly(server);
        } else {
            go_on(1, &reading, read_one, server);
            T_PARKED(server, CORI_READ);
            write_all(client, "x", 1);
        }
        int copy = cor_conn_fd(server);
        T_OK(copy);
        wait_for(&reading);
        T_CODE(cor_close(server), 0);
        T_EQ(send(copy, "y", 1, MSG_NOSIGNAL), 1);
        read_all(client, &byte, 1);
        T_EQ(byte, 'y');
        T_EQ(close(copy), 0);
        T_EQ(cor_read(client, &byte, 1), 0);
        T_CODE(cor_close(client), 0);
    }
}

static void copy_until_closed(void *conn)
{
    int copy;
    while ((copy = cor_conn_fd(conn)) >= 0) {
        T_EQ(close(copy), 0);
        cor_yield();
    }
    T_CODE(copy, COR_ECLOSED);
}

/* N180: copying and closing at once. */
TASK_TEST(copies_race_with_close)
{
    for (uint32_t i = 0; i < taskcase_scale(RACES); i++) {
        cor_conn *client, *server;
        cor_group copying = {0};
        make_pair(i % 2 != 0 ? KIND_TCP : KIND_UNIX, &client, &server);
        go_on((int)i, &copying, copy_until_closed, server);
        go_on((int)i + 1, &copying, copy_until_closed, server);
        for (uint32_t yields = 0; yields < i % 5; yields++) {
            cor_yield();
        }
        close_pair(server, client);
        wait_for(&copying);
    }
}

/* Each call fails once: the runner counts descriptors. */
TASK_TEST(handed_over_in_spite_of_faults)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    cor_conn *conn;
    cor_listener *next, *listener = listen_kind(KIND_TCP, &network, address);
    int copy = cor_listener_fd(listener);
    if (copy >= 0 && cor_listener_of_fd(&next, copy) == 0) {
        T_CODE(cor_listener_close(next), 0);
    }
    T_ASSERT(copy < 0 || close(copy) == 0);
    T_CODE(cor_listener_close(listener), 0);
    int pair[2];
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    if (cor_conn_of_fd(&conn, pair[0]) == 0) {
        copy = cor_conn_fd(conn);
        T_ASSERT(copy < 0 || close(copy) == 0);
        T_CODE(cor_close(conn), 0);
    }
    T_EQ(close(pair[0]) | close(pair[1]), 0);
}

static void each_call_fails_once(void **state)
{
    static const int calls[] = {CORI_SYS_DUP, CORI_SYS_NEVER_WAIT, CORI_SYS_GETSOCKOPT, CORI_SYS_GETSOCKNAME};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (unsigned nth = 1; nth <= 6; nth++) {
            faults_set(calls[i], nth, -EMFILE);
            handed_over_in_spite_of_faults(state);
            faults_clear();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_lives_on_in_a_copy),
        cmocka_unit_test(a_copied_listener_takes_nothing_ahead),
        cmocka_unit_test(a_blocking_listener_is_taken_over),
        cmocka_unit_test(what_is_no_socket_of_ours),
        cmocka_unit_test(socket_files),
        cmocka_unit_test(a_connection_lives_on_in_a_copy),
        cmocka_unit_test(packet_sockets_are_taken_over),
        cmocka_unit_test(a_close_by_another_worker_leaves_the_copy),
        cmocka_unit_test(what_was_received_ahead_is_not_given_away),
        cmocka_unit_test(streams_in_use_are_copied),
        cmocka_unit_test(copies_race_with_close),
        cmocka_unit_test(each_call_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

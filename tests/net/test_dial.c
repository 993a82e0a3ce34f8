/* SPDX-License-Identifier: MIT */
/* Dialing: refused, blackholed, cancelled and racing dials; which error is told; nothing is left behind. */
/* test: simulated */
#include "net/dialcase.h"
#include "support/faults.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { RACING_DIALS = 2000, CANCELLED_DIALS = 500, SELF_DIALS = 1000 };

static const cor_options one_worker = {.workers = 1};
static cor_listener *listener;
static char address[COR_ADDR_TEXT];

static void open_listener(void)
{
    const char *network;
    listener = listen_kind(KIND_TCP, &network, address);
}

/* An address where nobody listens, nor will as long as the socket that is given is open. */
static int closed_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(bound, (struct sockaddr *)&at, len), 0);
    T_EQ(getsockname(bound, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
    return bound;
}

/* N107, N049, N053 */
TASK_TEST(refused)
{
    cor_conn *conn = NULL;
    cor_error error;
    int bound = closed_port();
    int64_t start = cor_now();
    T_CODE(cor_dial(&conn, "tcp", address, &error), -ECONNREFUSED);
    T_ASSERT(cor_now() - start < SOON);
    T_ASSERT(conn == NULL);
    expect_text(&error, "dial tcp ", address, ": connect: connection refused");
    T_CODE(cor_dial(&conn, "tcp4", address, &error), -ECONNREFUSED);
    expect_text(&error, "dial tcp4 ", address, ": connect: connection refused");
    T_STR(error.source, "");
    T_EQ(close(bound), 0);
}

/* N016, N119: the address as it was given; of several the first one's error. */
TASK_TEST(refused_wildcards)
{
    static const char *const hosts[] = {"", "0.0.0.0", "[::]"};
    cor_conn *conn;
    cor_error error;
    int bound = closed_port();
    for (size_t i = 0; i < (has_ipv6() ? 3 : 2); i++) {
        char target[COR_ADDR_TEXT];
        (void)snprintf(target, sizeof(target), "%s%s", hosts[i], strrchr(address, ':'));
        T_CODE(cor_dial(&conn, "tcp", target, &error), -ECONNREFUSED);
        expect_text(&error, "dial tcp ", target, ": connect: connection refused");
    }
    T_EQ(close(bound), 0);
}

/* N017, N119: "::" also stands for 0.0.0.0, tried when the first fails. */
TASK_TEST(second_candidate_is_tried)
{
    char target[COR_ADDR_TEXT];
    cor_conn *client, *server;
    open_listener(); /* 127.0.0.1 only */
    (void)snprintf(target, sizeof(target), "[::]%s", strrchr(address, ':'));
    T_CODE(cor_dial(&client, "tcp", target, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

static int dial_in_order(cor_conn **out, const char *target, int64_t deadline)
{
    cor_dialer dialer = COR_DIALER_INIT;
    dialer.deadline = deadline;
    dialer.fallback_delay_ns = -1;
    return cor_dial_with(out, &dialer, "tcp", target, NULL);
}

/* N119, N125: of two candidates the first does not answer; the second still gets its time. */
TASK_TEST(silent_candidate_does_not_use_up_the_time)
{
    T_SKIP_SIMULATED("the silent listener is a socket of the test's");
    char target[COR_ADDR_TEXT];
    cor_conn *client, *server;
    blackhole hole;
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    open_listener();
    T_ASSERT(open_blackhole6(&hole, port_of(address)));
    (void)snprintf(target, sizeof(target), "[::]%s", strrchr(address, ':'));
    int64_t start = cor_now();
    T_CODE(dial_in_order(&client, target, start + 5 * COR_SECOND), 0);
    T_ASSERT(cor_now() - start >= 5 * COR_SECOND / 2); /* half of the time for each */
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    int64_t deadline = cor_after(100 * COR_MILLISECOND); /* less than the least share: all of it for the first */
    T_CODE(dial_in_order(&client, target, deadline), COR_ETIMEOUT);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &server), COR_ETIMEOUT);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N108, N064 */
TASK_TEST(blackholed)
{
    T_SKIP_SIMULATED("the silent listener is a socket of the test's");
    blackhole hole;
    cor_conn *conn = NULL;
    cor_error error;
    open_blackhole(&hole);
    int64_t deadline = cor_after(50 * COR_MILLISECOND);
    T_CODE(cor_dial_until(&conn, "tcp", hole.address, deadline, &error), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_ASSERT(conn == NULL && cor_is_timeout(error.code));
    expect_text(&error, "dial tcp ", hole.address, ": i/o timeout");
    close_blackhole(&hole);
}

/* N109: not even a SYN is sent. */
TASK_TEST(past_deadlines)
{
    static const int64_t past[] = {1, -1, INT64_MIN};
    cor_conn *conn = NULL;
    cor_error error;
    open_listener();
    for (size_t i = 0; i < 3; i++) {
        T_CODE(cor_dial_until(&conn, "tcp", address, past[i], &error), COR_ETIMEOUT);
        expect_text(&error, "dial tcp ", address, ": i/o timeout");
    }
    T_CODE(cor_dial_until(&conn, "tcp", address, cor_now(), NULL), COR_ETIMEOUT);
    T_CODE(cor_dial_until(&conn, "tcp", address, cor_after(-1), NULL), COR_ETIMEOUT);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_CODE(cor_listener_close(listener), 0);
}

/* N106, N110 */
TASK_TEST(deadline_ends_with_the_dial)
{
    cor_conn *client, *server;
    char byte = 0;
    open_listener();
    T_CODE(cor_dial_until(&client, "tcp", address, INT64_MAX, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    int64_t deadline = cor_after(500 * COR_MILLISECOND);
    T_CODE(cor_dial_until(&client, "tcp", address, deadline, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_CODE(cor_sleep(deadline - cor_now()), 0);
    write_all(client, "x", 1);
    read_all(server, &byte, 1);
    write_all(server, "y", 1);
    read_all(client, &byte, 1);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

static void dial_is_cancelled(void *arg)
{
    cor_conn *conn = NULL;
    cor_error error;
    T_CODE(cor_dial(&conn, "tcp", arg, &error), COR_ECANCELED);
    T_ASSERT(conn == NULL && !cor_is_timeout(error.code));
    expect_text(&error, "dial tcp ", arg, ": operation was canceled");
}

static void dial_times_out(void *arg)
{
    cor_conn *conn;
    T_CODE(cor_dial(&conn, "tcp", arg, NULL), COR_ETIMEOUT);
}

/* N065, N105 */
TASK_TEST(cancelled_while_waiting)
{
    T_SKIP_SIMULATED("the silent listener is a socket of the test's");
    blackhole hole;
    cor_group dialing = {0}, timed = {0};
    open_blackhole(&hole);
    for (int i = 0; i < 5; i++) {
        go_on(i, &dialing, dial_is_cancelled, hole.address);
    }
    T_CODE(cor_sleep(20 * COR_MILLISECOND), 0);
    cor_group_cancel(&dialing);
    wait_for(&dialing);
    cor_group_set_deadline(&timed, cor_after(20 * COR_MILLISECOND));
    go_in(&timed, dial_times_out, hole.address);
    wait_for(&timed);
    close_blackhole(&hole);
}

static int met; /* atomic */

static void meet(cori_slot *slot)
{
    (void)slot;
    (void)add(&met, 1);
}

static int sockets_open(void)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    return (int)stats.connections;
}

/* Who goes through all connections (as the end of a server does) enters none that is being dialed still. */
TASK_TEST(nobody_enters_before_the_end)
{
    T_SKIP_SIMULATED("the silent listener is a socket of the test's");
    blackhole hole;
    cor_group dialing = {0};
    cor_conn *client, *server;
    open_blackhole(&hole);
    for (int i = 0; i < 5; i++) {
        go_on(i, &dialing, dial_is_cancelled, hole.address);
    }
    T_EVENTUALLY(sockets_open() == 5, SOON);
    for (int i = 0; i < 100; i++) {
        cori_slot_each_conn(meet);
        cor_yield();
    }
    T_EQ(get(&met), 0);
    cor_group_cancel(&dialing);
    wait_for(&dialing);
    close_blackhole(&hole);
    make_pair(KIND_TCP, &client, &server);
    cori_slot_each_conn(meet);
    T_EQ(get(&met), 2);
    close_pair(client, server);
}

/* N105 */
TASK_TEST(cancelled_before)
{
    cor_group dialing = {0};
    open_listener();
    cor_group_cancel(&dialing);
    for (int i = 0; i < 20; i++) {
        go_on(i, &dialing, dial_is_cancelled, address);
    }
    wait_for(&dialing);
    T_CODE(cor_listener_close(listener), 0);
}

static int started; /* atomic */

static void dial_or_be_cancelled(void *arg)
{
    cor_conn *conn;
    (void)add(&started, 1);
    int rc = cor_dial(&conn, "tcp", arg, NULL);
    if (rc == 0) {
        T_CODE(cor_close(conn), 0);
    } else {
        T_CODE(rc, COR_ECANCELED);
    }
}

static void accept_and_close(void *arg)
{
    cor_conn *conn;
    while (cor_accept(arg, &conn) == 0) {
        T_CODE(cor_close(conn), 0);
    }
}

/* N105, N123: cancelled at any moment; the runner counts descriptors afterwards. */
TASK_TEST(cancelled_at_any_moment)
{
    cor_group acceptors = {0};
    open_listener();
    go_on(1, &acceptors, accept_and_close, listener);
    for (int i = 0; i < CANCELLED_DIALS; i++) {
        cor_group dialing = {0};
        int before = get(&started);
        go_on(i, &dialing, dial_or_be_cancelled, address);
        for (int spins = 0; get(&started) == before && spins < i % 50; spins++) {
            cor_yield();
        }
        cor_group_cancel(&dialing);
        wait_for(&dialing);
    }
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&acceptors);
}

/*
 * N105: cancelled in the very moment of success: the connect is made, and before the dial asks how it has ended its
 * task's group is cancelled. That is a cancelled dial, and nothing is left of the connection; the runner counts, and
 * the peer reads the end.
 */
static cor_group *to_cancel; /* atomic */

static int cancel_at_the_end(enum cori_sys_call call)
{
    cor_group *group = call == CORI_SYS_GETSOCKOPT ? cori_load(&to_cancel) : NULL;
    if (group != NULL) {
        cori_store(&to_cancel, NULL);
        cor_group_cancel(group);
    }
    return 0;
}

static int set_hook(void **state)
{
    (void)state;
    cori_sys_fault = cancel_at_the_end;
    return 0;
}

static int clear_hook(void **state)
{
    (void)state;
    cori_sys_fault = NULL;
    return 0;
}

static void dial_unix_is_cancelled(void *arg)
{
    cor_conn *conn;
    T_CODE(cor_dial(&conn, "unix", arg, NULL), COR_ECANCELED);
}

static void expect_cancelled_at_success(conn_kind kind)
{
    const char *network;
    char byte;
    cor_conn *conn;
    cor_group dialing = {0};
    listener = listen_kind(kind, &network, address);
    cori_store(&to_cancel, &dialing);
    go_in(&dialing, kind == KIND_UNIX ? dial_unix_is_cancelled : dial_is_cancelled, address);
    wait_for(&dialing);
    T_ASSERT(cori_load(&to_cancel) == NULL);
    T_CODE(cor_accept(listener, &conn), 0); /* the kernel did connect */
    T_EQ(cor_read(conn, &byte, 1), 0);
    T_CODE(cor_close(conn), 0);
    T_CODE(cor_listener_close(listener), 0);
}

TASK_TEST(cancelled_at_success)
{
    T_SKIP_SIMULATED("the test waits in the middle of a system call");
    expect_cancelled_at_success(KIND_TCP);
    expect_cancelled_at_success(KIND_UNIX);
}

/* N104: a dial that succeeded is connected. */
static int succeeded, failed; /* atomic */

static void dial_and_use(void *arg)
{
    for (int i = 0; i < RACING_DIALS / 10; i++) {
        cor_conn *conn;
        char byte;
        int rc = cor_dial(&conn, "tcp", arg, NULL);
        if (rc < 0) {
            T_REQUIRE(rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EADDRNOTAVAIL, "dial gave %d", rc);
            (void)add(&failed, 1);
            continue;
        }
        (void)add(&succeeded, 1);
        ssize_t count = cor_read(conn, &byte, 1);
        T_REQUIRE(count == 0 || count == -ECONNRESET, "read gave %zd", count);
        T_CODE(cor_close(conn), 0);
    }
}

TASK_TEST(success_is_never_spurious)
{
    cor_group dialers = {0};
    open_listener();
    for (int i = 0; i < 10; i++) {
        go_in(&dialers, dial_and_use, address);
    }
    while (cor_group_wait(&dialers, cor_after(COR_MILLISECOND)) == COR_ETIMEOUT) {
        cor_group acceptors = {0};
        go_in(&acceptors, accept_and_close, listener);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
        T_CODE(cor_listener_close(listener), 0);
        wait_for(&acceptors);
        T_EVENTUALLY(cor_listen(&listener, "tcp", address, NULL) == 0, SOON); /* a dial may just have the port */
    }
    T_EQ(get(&succeeded) + get(&failed), RACING_DIALS);
    T_CODE(cor_listener_close(listener), 0);
}

/* N113, N071 */
TASK_TEST(dial_in_spite_of_faults)
{
    T_SKIP_SIMULATED("it has no faults of a test");
    cor_conn *client, *server;
    open_listener();
    T_CODE(cor_dial(&client, "tcp", address, NULL), 0);
    T_ASSERT(faults_hit());
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

static void no_local_port_is_tried_again(void **state)
{
    faults_set_run(CORI_SYS_CONNECT, 1, 2, -EADDRNOTAVAIL);
    dial_in_spite_of_faults(state);
    faults_clear();
}

TASK_TEST(dial_without_descriptors)
{
    T_SKIP_SIMULATED("it has no faults of a test");
    cor_conn *conn = NULL;
    cor_error error;
    T_CODE(cor_dial(&conn, "tcp", "127.0.0.1:1", &error), -EMFILE);
    expect_text(&error, "dial tcp 127.0.0.1:1: socket: too many open files", "", "");
    T_ASSERT(conn == NULL && cor_is_temporary(error.code));
}

/* N056, N059 */
static void exhausted_descriptors(void **state)
{
    faults_set(CORI_SYS_SOCKET, 1, -EMFILE);
    dial_without_descriptors(state);
    faults_clear();
}

/* A network of its own with few local ports: false if this user may not make one. */
static bool enter_small_network(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) < 0) {
        return false;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    (void)close(fd);
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");
    return range != NULL && fprintf(range, "40000 40009\n") > 0 && fclose(range) == 0 && up;
}

/* N113: a socket must not connect to itself; one of ten local ports is the dialed one. */
TASK_TEST_WITH(self_connects_are_undone, &one_worker)
{
    int connected = 0;
    if (!enter_small_network()) {
        T_SKIP("no right to make a network namespace");
    }
    for (int i = 0; i < SELF_DIALS; i++) {
        char target[32];
        cor_conn *conn;
        (void)snprintf(target, sizeof(target), "127.0.0.1:%d", 40000 + i % 10);
        if (cor_dial(&conn, "tcp", target, NULL) == 0) {
            connected++;
            T_CODE(cor_close(conn), 0);
        }
    }
    T_REQUIRE(connected < 3, "%d of %d dials connected to themselves", connected, SELF_DIALS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(refused_wildcards),
        cmocka_unit_test(second_candidate_is_tried),
        cmocka_unit_test(silent_candidate_does_not_use_up_the_time),
        cmocka_unit_test(blackholed),
        cmocka_unit_test(past_deadlines),
        cmocka_unit_test(deadline_ends_with_the_dial),
        cmocka_unit_test(cancelled_while_waiting),
        cmocka_unit_test(nobody_enters_before_the_end),
        cmocka_unit_test(cancelled_before),
        cmocka_unit_test(cancelled_at_any_moment),
        cmocka_unit_test_setup_teardown(cancelled_at_success, set_hook, clear_hook),
        cmocka_unit_test(success_is_never_spurious),
        cmocka_unit_test(no_local_port_is_tried_again),
        cmocka_unit_test(exhausted_descriptors),
        cmocka_unit_test(self_connects_are_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Close and half-close: who wakes, when the descriptor is gone, and what a stale handle can do (nothing). */
/* test: simulated */
#include "base/limits.h"
#include "net/netcase.h"
#include "support/child.h"

#include <coracle/io.h>
#include <coracle/lines.h>
#include <fcntl.h>

enum { CROWD = 12, REGISTRATION_ROUNDS = 1500, REUSES = 2000, CLOSERS = 6 };

static const cor_options one_worker = {.workers = 1};
static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

/* What waits on a connection when it is closed. */
static void read_waits(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ECLOSED);
}

static void write_waits(void *arg)
{
    static char zeros[65536];
    ssize_t rc;
    while ((rc = cor_write(arg, zeros, sizeof(zeros))) > 0) {}
    T_CODE(rc, COR_ECLOSED);
}

static void readable_waits(void *arg)
{
    T_CODE(cor_wait_readable(arg), COR_ECLOSED);
}

static void line_waits(void *arg)
{
    cor_lines lines = cor_lines_of(arg, 100);
    char *line;
    T_CODE(cor_lines_next(&lines, &line, NULL), COR_ECLOSED);
    cor_lines_free(&lines);
}

static void copy_waits(void *arg)
{
    T_CODE(cor_copy(arg, arg), COR_ECLOSED);
}

static void buffer_waits(void *arg)
{
    cor_buffer buffer;
    T_CODE(cor_read_buffer(arg, &buffer), COR_ECLOSED);
    T_ASSERT(buffer.data == NULL);
}

/* N167, N137: every call, also those that wait for their turn. */
TASK_TEST(close_wakes_everybody)
{
    static void (*const calls[])(void *) = {read_waits, write_waits,  readable_waits, line_waits,
                                            copy_waits, buffer_waits, read_waits,     write_waits};
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(kinds[i], &a, &b);
        for (int call = 0; call < 8 * 3; call++) {
            go_on(call / 3, &tasks, calls[call % 8], a);
        }
        if (kinds[i] != KIND_PIPE) {
            T_PARKED(a, CORI_READ);
            T_PARKED(a, CORI_WRITE);
        }
        T_CODE(cor_sleep(BRIEFLY), 0);
        T_CODE(cor_close(a), 0);
        wait_for(&tasks);
        T_CODE(cor_close(b), 0);
    }
}

/* N168, N169: when close returns, the descriptor is closed, whoever was parked on it and wherever. */
TASK_TEST(descriptor_is_gone_when_close_returns)
{
    for (int round = 0; round < 30; round++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(kinds[round % 2], &a, &b);
        int fd = raw_fd(a);
        for (int i = 0; i < CROWD; i++) {
            go_on(i, &tasks, i % 3 == 0 ? write_waits : read_waits, a);
        }
        T_PARKED(a, CORI_READ);
        int64_t begun = cor_now();
        T_CODE(cor_close(a), 0);
        bool gone = fcntl(fd, F_GETFD) < 0 && errno == EBADF, waited = cor_now() - begun >= CORI_CLOSE_WAIT_NS;
        T_ASSERT(gone || (waited && strcmp(cor_poller_info(), "io_uring") == 0)); /* for an owner that has no core */
        wait_for(&tasks);
        T_CODE(cor_close(b), 0);
    }
}

/* N170: of several closers exactly one succeeds. */
static int closed_by; /* atomic */

static void close_it(void *arg)
{
    int rc = cor_close(arg);
    T_REQUIRE(rc == 0 || rc == COR_ECLOSED, "close gave %d", rc);
    (void)add(&closed_by, rc == 0);
}

TASK_TEST(closed_by_one_of_many)
{
    for (int round = 0; round < 100; round++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(kinds[round % 3], &a, &b);
        go_on(round, &tasks, read_waits, a);
        for (int i = 0; i < CLOSERS; i++) {
            go_on(i, &tasks, close_it, a);
        }
        wait_for(&tasks);
        T_EQ(get(&closed_by), round + 1);
        T_CODE(cor_close(b), 0);
    }
}

static void expect_stale(cor_conn *conn)
{
    char text[COR_ADDR_TEXT] = "unchanged", byte;
    cor_buffer buffer;
    cor_error error;
    T_CODE(cor_read(conn, &byte, 1), COR_ECLOSED);
    T_CODE(cor_read(conn, &byte, 0), COR_ECLOSED);
    T_CODE(cor_write(conn, "x", 1), COR_ECLOSED);
    T_CODE(cor_wait_readable(conn), COR_ECLOSED);
    T_CODE(cor_close(conn), COR_ECLOSED);
    T_CODE(cor_close_read(conn), COR_ECLOSED);
    T_CODE(cor_close_write(conn), COR_ECLOSED);
    T_CODE(cor_set_deadline(conn, 0), COR_ECLOSED);
    T_CODE(cor_set_no_delay(conn, true), COR_ECLOSED);
    T_CODE(cor_read_buffer(conn, &buffer), COR_ECLOSED);
    T_CODE(cor_copy(conn, conn), COR_ECLOSED);
    T_CODE(cor_printf(conn, "%d", 1), COR_ECLOSED);
    T_STR(cor_local_addr(conn, text, sizeof(text)), "");
    T_STR(cor_remote_addr(conn, text, sizeof(text)), "");
    cor_conn_error(conn, "read", COR_ECLOSED, &error);
    T_STR(cor_error_text(&error, text, sizeof(text)), "read: use of closed network connection");
}

/* N170: also when the slot has a new owner, who notices nothing. */
TASK_TEST(stale_handles)
{
    cor_conn *stale[3][2];
    for (size_t i = 0; i < 3; i++) {
        make_pair(kinds[i], &stale[i][0], &stale[i][1]);
        close_pair(stale[i][0], stale[i][1]);
        expect_stale(stale[i][0]);
    }
    for (int round = 0; round < REUSES; round++) {
        cor_conn *a, *b;
        T_CODE(cor_pipe(&a, &b), 0);
        if (round % 100 == 0) {
            expect_stale(stale[round / 100 % 3][0]);
            expect_stale(stale[round / 100 % 3][1]);
        }
        close_pair(a, b);
    }
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    for (size_t i = 0; i < 3; i++) {
        expect_stale(stale[i][0]);
        expect_stale(stale[i][1]);
    }
    write_all(a, "x", 1);
    read_all(b, &byte, 1);
    close_pair(a, b);
}

/* Close races with the moment in which a reader registers the descriptor and parks. */
static void read_is_closed_or_stale(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ECLOSED);
}

static void write_is_closed_or_stale(void *arg)
{
    write_waits(arg);
}

TASK_TEST(close_during_registration)
{
    for (int round = 0; round < REGISTRATION_ROUNDS; round++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(kinds[round % 3], &a, &b);
        go_on(1, &tasks, read_is_closed_or_stale, a);
        if (round % 5 == 0) {
            go_on(2, &tasks, write_is_closed_or_stale, a);
        }
        for (int pause = 0; pause < round % 40; pause++) {
            cor_yield();
        }
        T_CODE(cor_close(a), 0);
        wait_for(&tasks);
        T_CODE(cor_close(b), 0);
    }
}

/* N172 */
TASK_TEST(close_write)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char buf[8];
        make_pair(kinds[i], &a, &b);
        write_all(a, "ask", 3);
        T_CODE(cor_close_write(a), 0);
        T_CODE(cor_close_write(a), 0);
        T_CODE(cor_write(a, "x", 1), -EPIPE);
        read_all(b, buf, 3);
        T_EQ(cor_read(b, buf, sizeof(buf)), 0);
        write_all(b, "answer", 6);
        T_CODE(cor_close_write(b), 0);
        read_all(a, buf, 6);
        T_EQ(cor_read(a, buf, sizeof(buf)), 0);
        close_pair(a, b);
    }
}

static void reads_the_end(void *arg)
{
    char byte;
    T_EQ(cor_read(arg, &byte, 1), 0);
}

/* N172, N175: a parked reader sees the end, by half-close and by close. */
TASK_TEST(peer_ends_a_parked_read)
{
    for (int round = 0; round < 24; round++) {
        cor_conn *a, *b;
        cor_group reader = {0};
        make_pair(kinds[round % 3], &a, &b);
        go_on(round / 3, &reader, reads_the_end, b);
        if (kinds[round % 3] != KIND_PIPE) {
            T_PARKED(b, CORI_READ);
        }
        bool half = round % 2 == 0 && kinds[round % 3] != KIND_PIPE;
        T_CODE(half ? cor_close_write(a) : cor_close(a), 0);
        wait_for(&reader);
        if (half) {
            T_CODE(cor_close(a), 0);
        }
        T_CODE(cor_close(b), 0);
    }
}

/* N173, N143 */
TASK_TEST(close_read)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group reader = {0};
        char byte;
        make_pair(kinds[i], &a, &b);
        go_on(1, &reader, reads_the_end, a);
        T_PARKED(a, CORI_READ);
        T_CODE(cor_close_read(a), 0);
        wait_for(&reader);
        T_EQ(cor_read(a, &byte, 1), 0);
        write_all(a, "x", 1);
        read_all(b, &byte, 1);
        ssize_t rc = cor_write(b, "y", 1);
        T_REQUIRE(rc == (kinds[i] == KIND_TCP ? 1 : -EPIPE), "write gave %zd", rc);
        close_pair(a, b);
    }
}

/* N174 */
TASK_TEST(half_close_without_a_peer)
{
    cor_conn *a, *b;
    char byte;
    cor_error error;
    char text[COR_ERROR_TEXT];
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_linger(b, 0), 0);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_read(a, &byte, 1), -ECONNRESET);
    T_CODE(cor_close_read(a), -ENOTCONN);
    T_CODE(cor_close_write(a), -ENOTCONN);
    cor_conn_error(a, "close", -ENOTCONN, &error);
    T_CONTAINS(cor_error_text(&error, text, sizeof(text)), "transport endpoint is not connected");
    T_CODE(cor_close(a), 0);
    make_pair(KIND_UNIX, &a, &b);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_close_write(a), 0);
    T_CODE(cor_close_read(a), 0);
    T_CODE(cor_close(a), 0);
}

/* N171: unsent data arrives although the sender closed at once and never waited. */
TASK_TEST(close_delivers_what_was_written)
{
    static char zeros[100000], buf[sizeof(zeros)];
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i], &a, &b);
        write_all(a, zeros, sizeof(zeros));
        T_CODE(cor_close(a), 0);
        read_all(b, buf, sizeof(buf));
        T_EQ(cor_read(b, buf, 1), 0);
        T_CODE(cor_close(b), 0);
    }
}

/* N171: a close that lingers keeps its own task waiting and no other. */
static int lingered; /* atomic */

static void close_and_count(void *arg)
{
    T_CODE(cor_close(arg), 0);
    (void)add(&lingered, 1);
}

TASK_TEST_WITH(lingering_close, &one_worker)
{
    T_SKIP_SIMULATED("the test counts system calls");
    static char buf[65536];
    cor_conn *a, *b;
    cor_group closer = {0};
    make_pair(KIND_TCP, &a, &b);
    size_t unread = fill_up(a);
    T_CODE(cor_set_linger(a, 30), 0);
    go_in(&closer, close_and_count, a);
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
        T_EQ(get(&lingered), 0);
    }
    for (ssize_t count = 0; unread > 0; unread -= (size_t)count) {
        count = cor_read(b, buf, sizeof(buf));
        T_REQUIRE(count > 0, "read gave %zd, %zu bytes left", count, unread);
    }
    T_EQ(cor_read(b, buf, 1), 0);
    wait_for(&closer);
    T_CODE(cor_close(b), 0);
}

static void close_now(void *conn)
{
    (void)cor_close(conn);
}

static int end_while_it_lingers(void *unused)
{
    cor_conn *a, *b;
    (void)unused;
    make_pair(KIND_TCP, &a, &b);
    (void)fill_up(a);
    T_CODE(cor_set_linger(a, 30), 0);
    int fd = raw_fd(a);
    T_CODE(cor_go(close_now, a), 0);
    T_EVENTUALLY(fcntl(fd, F_GETFD) < 0, SOON); /* close(2) has begun */
    return 0;
}

static int end_hastily(void *unused)
{
    const cor_options hasty = {.blocking_grace_ns = 1};
    return cor_run(end_while_it_lingers, unused, &hasty);
}

/* cor_run may end during a close that lingers; then both look at the descriptor, and one of them closes it. */
static void end_during_a_lingering_close(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        static child_result result; /* in a child, because the stacks stay as well */
        assert_true(child_run(end_hastily, NULL, &result));
        if (result.exit_status != 0) {
            print_message("%s", result.output);
        }
        assert_int_equal(result.exit_status, 0);
    }
}

/* A cancelled task leaves; others that wait on the same connection stay. */
static void read_is_cancelled(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ECANCELED);
}

static void read_times_out(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ETIMEOUT);
}

static void read_x(void *arg)
{
    char byte;
    read_all(arg, &byte, 1);
    T_EQ(byte, 'x');
}

TASK_TEST(cancelled_readers_leave_alone)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group cancelled = {0}, late = {0}, staying = {0};
        make_pair(kinds[i], &a, &b);
        for (int reader = 0; reader < 9; reader++) {
            static void (*const bodies[])(void *) = {read_is_cancelled, read_times_out, read_x};
            cor_group *groups[] = {&cancelled, &late, &staying};
            go_on(reader, groups[reader % 3], bodies[reader % 3], a);
        }
        T_CODE(cor_sleep(BRIEFLY), 0);
        cor_group_cancel(&cancelled);
        wait_for(&cancelled);
        cor_group_set_deadline(&late, cor_after(BRIEFLY));
        wait_for(&late);
        write_all(b, "xxx", 3);
        wait_for(&staying);
        close_pair(a, b);
    }
}

/* A closer whose group is past its deadline still waits for the calls in flight, without spinning. */
static void close_late(void *arg)
{
    while (cor_cancelled() == 0) {
        cor_yield();
    }
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(close_after_the_deadline_of_the_group)
{
    for (int round = 0; round < 10; round++) {
        cor_conn *a, *b;
        cor_group closing = {0}, reading = {0};
        make_pair(kinds[round % 3], &a, &b);
        for (int i = 0; i < CROWD; i++) {
            go_on(i, &reading, read_waits, a);
        }
        cor_group_set_deadline(&closing, cor_after(COR_MILLISECOND));
        go_on(round, &closing, close_late, a);
        wait_for(&reading);
        T_CODE(cor_group_wait(&closing, 0), 0);
        T_CODE(cor_close(b), 0);
    }
}

/* What is left open is closed when cor_run ends; the runner counts descriptors. */
TASK_TEST(abandoned_connections)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    static cor_group abandoned; /* outlives this task, as its members do */
    taskcase_leaves_tasks();
    (void)listen_kind(KIND_TCP, &network, address);
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i], &a, &b);
        go_on(1, &abandoned, read_waits, a);
        go_on(2, &abandoned, read_waits, a);
        go_on(3, &abandoned, write_waits, a);
    }
    T_CODE(cor_sleep(BRIEFLY), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_wakes_everybody),
        cmocka_unit_test(descriptor_is_gone_when_close_returns),
        cmocka_unit_test(closed_by_one_of_many),
        cmocka_unit_test(stale_handles),
        cmocka_unit_test(close_during_registration),
        cmocka_unit_test(close_write),
        cmocka_unit_test(peer_ends_a_parked_read),
        cmocka_unit_test(close_read),
        cmocka_unit_test(half_close_without_a_peer),
        cmocka_unit_test(close_delivers_what_was_written),
        cmocka_unit_test(lingering_close),
        cmocka_unit_test(end_during_a_lingering_close),
        cmocka_unit_test(cancelled_readers_leave_alone),
        cmocka_unit_test(close_after_the_deadline_of_the_group),
        cmocka_unit_test(abandoned_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

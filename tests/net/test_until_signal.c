/* SPDX-License-Identifier: MIT */
/* cor_serve_until_signal: an orderly end, a bounded grace, and a second signal that is not caught any more. */
#include "net/netcase.h"
#include "support/child.h"

#include <coracle/io.h>
#include <coracle/lines.h>
#include <signal.h>
#include <sys/resource.h>

/* A server in a task of its own, and what its handlers saw. */
typedef struct server {
    cor_listener *listener;
    char address[COR_ADDR_TEXT];
    cor_group loop;
    void (*handler)(cor_conn *conn, void *arg);
    int64_t grace_ns;
    int result;
    ssize_t read_gave; /* to the handler */
} server;

static void greet_and_read(cor_conn *conn, void *arg)
{
    server *of = arg;
    char byte;
    write_all(conn, "!", 1);
    of->read_gave = cor_read(conn, &byte, 1);
    T_CODE(cor_close(conn), 0);
}

static void serve_task(void *arg)
{
    server *of = arg;
    of->result = cor_serve_until_signal(of->listener, of->handler, of, of->grace_ns);
}

static void start_serving(server *of, void (*handler)(cor_conn *conn, void *arg), int64_t grace_ns)
{
    const char *network;
    *of = (server){.handler = handler, .grace_ns = grace_ns, .result = 1, .read_gave = 1};
    of->listener = listen_kind(KIND_TCP, &network, of->address);
    go_in(&of->loop, serve_task, of);
}

/* Returns a client whose handler has begun, with "!": the signals are caught by now. */
static cor_conn *start_with(server *of, void (*handler)(cor_conn *conn, void *arg), int64_t grace_ns)
{
    cor_conn *client = NULL;
    char byte;
    start_serving(of, handler, grace_ns);
    T_CODE(cor_dial(&client, "tcp", of->address, NULL), 0);
    read_all(client, &byte, 1);
    return client;
}

static cor_conn *start(server *of, int64_t grace_ns)
{
    return start_with(of, greet_and_read, grace_ns);
}

static bool is_closed(const server *of)
{
    return cor_listener_set_deadline(of->listener, 0) == COR_ECLOSED;
}

static void orderly_end(int number)
{
    server under_test;
    char byte;
    cor_conn *client = start(&under_test, FAR_AWAY);
    T_ASSERT(!cor_closing());
    T_EQ(kill(getpid(), number), 0);
    wait_for(&under_test.loop); /* the grace is far away */
    T_CODE(under_test.result, 0);
    T_CODE((int)under_test.read_gave, COR_ECLOSING);
    T_ASSERT(!cor_closing());
    T_EQ(cor_read(client, &byte, 1), 0);
    T_CODE(cor_close(client), 0);
}

TASK_TEST(idle_clients_end_at_once)
{
    orderly_end(SIGTERM);
    orderly_end(SIGINT); /* and it can be done again */
}

/*
 * A handler that is busy at the end: what has come is read, a message in the middle is read to its end, and then the
 * handler hears.
 */
static int steps; /* atomic */

static bool end_has_begun(cor_conn *conn)
{
    cori_slot *slot = NULL;
    T_CODE(cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot), 0);
    bool begun = __atomic_load_n(&slot->ending, __ATOMIC_SEQ_CST) == CORI_END_HAS_BEGUN;
    cori_slot_leave(slot, CORI_SHARED);
    return begun;
}

static void read_messages(cor_conn *conn, void *arg)
{
    server *of = arg;
    char bytes[4], *line;
    write_all(conn, "!", 1);
    T_EVENTUALLY(end_has_begun(conn), SOON);
    T_ASSERT(cor_closing());
    (void)add(&steps, 1);
    T_EQ(cor_read_full(conn, bytes, 4), 4); /* two were there */
    cor_lines lines = cor_lines_of(conn, 100);
    T_CODE(cor_lines_next(&lines, &line, NULL), COR_ECLOSING);
    (void)add(&steps, 1);
    T_CODE(cor_lines_next(&lines, &line, NULL), 1);
    T_STR(line, "one");
    of->read_gave = cor_lines_next(&lines, &line, NULL);
    cor_lines_free(&lines);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(busy_clients_get_the_grace)
{
    server under_test;
    char byte;
    cor_conn *client = start_with(&under_test, read_messages, FAR_AWAY);
    write_all(client, "ab", 2);
    T_EQ(kill(getpid(), SIGTERM), 0);
    T_EVENTUALLY(get(&steps) == 1, SOON);
    write_all(client, "cd", 2);
    T_EVENTUALLY(get(&steps) == 2, SOON);
    write_all(client, "one\n", 4);
    T_CODE(cor_set_read_deadline(client, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(client, &byte, 1), COR_ETIMEOUT); /* it heard once, and waits for its client again */
    T_CODE(cor_close(client), 0);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, 0);
    T_EQ(under_test.read_gave, 0);
}

/* A line that has begun is read to its end, and only then the end of the server is heard of. */
static cor_conn *half_read; /* atomic: has read a line, and the beginning of the next */

static void read_line(cor_conn *conn, void *arg)
{
    server *of = arg;
    char *line;
    cor_lines lines = cor_lines_of(conn, 100);
    write_all(conn, "!", 1);
    T_CODE(cor_lines_next(&lines, &line, NULL), 1);
    T_STR(line, "one");
    cori_store(&half_read, conn);
    T_CODE(cor_lines_next(&lines, &line, NULL), 1);
    T_STR(line, "begun and ended");
    of->read_gave = cor_lines_next(&lines, &line, NULL);
    cor_lines_free(&lines);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(a_line_is_read_to_its_end)
{
    server under_test;
    char byte;
    cor_conn *client = start_with(&under_test, read_line, FAR_AWAY);
    write_all(client, "one\nbegun", 9); /* comes in one piece */
    T_EVENTUALLY(cori_load(&half_read) != NULL, SOON);
    T_PARKED(cori_load(&half_read), CORI_READ);
    T_EQ(kill(getpid(), SIGTERM), 0);
    T_EVENTUALLY(cor_closing(), SOON);
    T_CODE(cor_set_read_deadline(client, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(client, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(client, 0), 0);
    write_all(client, " and ended\n", 11);
    wait_for(&under_test.loop);
    T_CODE((int)under_test.read_gave, COR_ECLOSING);
    T_CODE(cor_close(client), 0);
}

/* Connections that are not the server's hear nothing. */
static void read_elsewhere(void *conn)
{
    char byte;
    T_EQ(cor_read(conn, &byte, 1), 1);
}

TASK_TEST(other_connections_hear_nothing)
{
    server under_test;
    cor_conn *a, *b, *client = start(&under_test, FAR_AWAY);
    cor_group reading = {0};
    make_pair(KIND_TCP, &a, &b);
    go_in(&reading, read_elsewhere, b);
    T_PARKED(b, CORI_READ);
    T_EQ(kill(getpid(), SIGTERM), 0);
    wait_for(&under_test.loop);
    write_all(a, "x", 1);
    wait_for(&reading);
    close_pair(a, b);
    T_CODE(cor_close(client), 0);
}

/* All that are idle end at once. */
enum { IDLE = 1000 };

static void read_on(cor_conn *conn, void *arg)
{
    char byte;
    (void)arg;
    write_all(conn, "!", 1);
    T_CODE(cor_read(conn, &byte, 1), COR_ECLOSING);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(many_idle_clients)
{
    static cor_conn *clients[IDLE];
    server under_test;
    char byte;
    struct rlimit limit;
    T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    T_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int many = limit.rlim_cur >= 2 * IDLE + 100 ? IDLE : ((int)limit.rlim_cur - 100) / 2;
    start_serving(&under_test, read_on, FAR_AWAY);
    for (int i = 0; i < many; i++) {
        T_CODE(cor_dial(&clients[i], "tcp", under_test.address, NULL), 0);
        read_all(clients[i], &byte, 1);
    }
    int64_t start_ns = cor_now();
    T_EQ(kill(getpid(), SIGTERM), 0);
    wait_for(&under_test.loop);
    int64_t took_ns = cor_now() - start_ns;
    T_REQUIRE(taskcase_is_slow() || took_ns < 300 * COR_MILLISECOND * taskcase_patience(), "took %lld us",
              (long long)took_ns / 1000);
    for (int i = 0; i < many; i++) {
        T_EQ(cor_read(clients[i], &byte, 1), 0);
        T_CODE(cor_close(clients[i]), 0);
    }
}

/* It hears, and reads on. */
static void read_twice(cor_conn *conn, void *arg)
{
    server *of = arg;
    char byte;
    write_all(conn, "!", 1);
    T_CODE((int)cor_read(conn, &byte, 1), COR_ECLOSING);
    of->read_gave = cor_read(conn, &byte, 1);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(after_the_grace_handlers_are_cancelled)
{
    server under_test;
    char byte;
    /* Long enough for the handler to get a CPU within it. */
    cor_conn *client = start_with(&under_test, read_twice, 100 * COR_MILLISECOND);
    T_EQ(kill(getpid(), SIGINT), 0);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, 0);
    T_CODE((int)under_test.read_gave, COR_ECANCELED);
    T_EQ(cor_read(client, &byte, 1), 0);
    T_CODE(cor_close(client), 0);
}

TASK_TEST(a_closed_listener_ends_it_too)
{
    server under_test;
    cor_conn *client = start(&under_test, FAR_AWAY);
    T_CODE(cor_listener_close(under_test.listener), 0);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, 0);
    T_CODE((int)under_test.read_gave, COR_ECLOSING);
    T_CODE(cor_close(client), 0);
}

TASK_TEST(cancelled_itself)
{
    server under_test;
    cor_conn *client = start(&under_test, 0);
    cor_group_cancel(&under_test.loop);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, COR_ECANCELED);
    T_CODE(cor_close(client), 0);
}

static void wait_for_signals(void *waiting)
{
    add(waiting, 1);
    T_CODE(cor_signal_wait(0), COR_ECANCELED);
}

TASK_TEST(another_task_waits_for_signals)
{
    server under_test;
    int waiting = 0;
    cor_group other = {0};
    go_on(0, &other, wait_for_signals, &waiting);
    T_EVENTUALLY(get(&waiting) == 1 && cor_signal_wait(1) == -EBUSY, SOON);
    start_serving(&under_test, greet_and_read, FAR_AWAY);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, -EBUSY);
    cor_group_cancel(&other);
    wait_for(&other);
}

static int signal_twice(void *arg)
{
    server under_test;
    (void)arg;
    (void)start(&under_test, FAR_AWAY);
    T_EQ(kill(getpid(), SIGTERM), 0);
    T_EVENTUALLY(is_closed(&under_test), SOON);
    T_EQ(kill(getpid(), SIGTERM), 0);
    (void)cor_sleep(SOON);
    return 0;
}

static int run_signal_twice(void *arg)
{
    return cor_run(signal_twice, arg, NULL);
}

static void a_second_signal_ends_the_program(void **state)
{
    static child_result result;
    (void)state;
    assert_true(child_run(run_signal_twice, NULL, &result));
    assert_int_equal(result.signal_number, SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_clients_end_at_once),
        cmocka_unit_test(busy_clients_get_the_grace),
        cmocka_unit_test(a_line_is_read_to_its_end),
        cmocka_unit_test(other_connections_hear_nothing),
        cmocka_unit_test(many_idle_clients),
        cmocka_unit_test(after_the_grace_handlers_are_cancelled),
        cmocka_unit_test(a_closed_listener_ends_it_too),
        cmocka_unit_test(cancelled_itself),
        cmocka_unit_test(another_task_waits_for_signals),
        cmocka_unit_test(a_second_signal_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

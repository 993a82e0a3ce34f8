/* SPDX-License-Identifier: MIT */
/* cor_serve_until_signal: an orderly end, a bounded grace, and a second signal that is not caught any more. */
#include "net/netcase.h"
#include "support/child.h"

#include <signal.h>

/* A server in a task of its own, and what its handlers saw. */
typedef struct server {
    cor_listener *listener;
    char address[COR_ADDR_TEXT];
    cor_group loop;
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
    of->result = cor_serve_until_signal(of->listener, greet_and_read, of, of->grace_ns);
}

static void start_serving(server *of, int64_t grace_ns)
{
    const char *network;
    *of = (server){.grace_ns = grace_ns, .result = 1, .read_gave = 1};
    of->listener = listen_kind(KIND_TCP, &network, of->address);
    go_in(&of->loop, serve_task, of);
}

/* Returns a client whose handler has begun: the signals are caught by now. */
static cor_conn *start(server *of, int64_t grace_ns)
{
    cor_conn *client = NULL;
    char byte;
    start_serving(of, grace_ns);
    T_CODE(cor_dial(&client, "tcp", of->address, NULL), 0);
    read_all(client, &byte, 1);
    return client;
}

static bool is_closed(const server *of)
{
    return cor_listener_set_deadline(of->listener, 0) == COR_ECLOSED;
}

static void orderly_end(int number)
{
    server under_test;
    cor_conn *client = start(&under_test, FAR_AWAY);
    T_EQ(kill(getpid(), number), 0);
    T_EVENTUALLY(is_closed(&under_test), SOON);
    T_EQ(under_test.result, 1); /* the client is still served */
    write_all(client, "x", 1);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, 0);
    T_EQ(under_test.read_gave, 1);
    T_CODE(cor_close(client), 0);
}

TASK_TEST(clients_are_served_to_their_end)
{
    orderly_end(SIGTERM);
    orderly_end(SIGINT); /* and it can be done again */
}

TASK_TEST(after_the_grace_handlers_are_cancelled)
{
    server under_test;
    char byte;
    cor_conn *client = start(&under_test, BRIEFLY);
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
    T_CODE(cor_close(client), 0);
    wait_for(&under_test.loop);
    T_CODE(under_test.result, 0);
    T_EQ(under_test.read_gave, 0);
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
    start_serving(&under_test, FAR_AWAY);
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
        cmocka_unit_test(clients_are_served_to_their_end), cmocka_unit_test(after_the_grace_handlers_are_cancelled),
        cmocka_unit_test(a_closed_listener_ends_it_too),   cmocka_unit_test(cancelled_itself),
        cmocka_unit_test(another_task_waits_for_signals),  cmocka_unit_test(a_second_signal_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

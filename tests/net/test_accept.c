/* SPDX-License-Identifier: MIT */
/* Accepting: who gets a connection, deadlines, errors that pass, what close does to what is queued. */
/* test: simulated */
#include "net/netcase.h"
#include "support/faults.h"

#include <limits.h>

enum { ACCEPTORS = 10, DIALS = 100, QUEUED = 4 };

static cor_listener *listener;
static char address[COR_ADDR_TEXT];

static void open_listener(void)
{
    const char *network;
    listener = listen_kind(KIND_TCP, &network, address);
}

static cor_conn *dial(void)
{
    cor_conn *conn = NULL;
    T_CODE(cor_dial(&conn, "tcp", address, NULL), 0);
    return conn;
}

/* N093, N102: each connection goes to exactly one acceptor; the loop ends exactly on close. */
static int accepted; /* atomic */

static void accept_and_name(void *arg)
{
    for (;;) {
        cor_conn *conn;
        char text[COR_ADDR_TEXT];
        int rc = cor_accept(arg, &conn);
        if (rc == COR_ECLOSED) {
            return;
        }
        T_CODE(rc, 0);
        (void)add(&accepted, 1);
        T_OK(cor_printf(conn, "%s\n", cor_remote_addr(conn, text, sizeof(text))));
        T_CODE(cor_close(conn), 0);
    }
}

static void dial_and_check(void *arg)
{
    (void)arg;
    char local[COR_ADDR_TEXT], told[COR_ADDR_TEXT] = "";
    cor_conn *conn = dial();
    (void)cor_local_addr(conn, local, sizeof(local));
    read_all(conn, told, strlen(local) + 1);
    T_CONTAINS(told, local);
    T_EQ(cor_read(conn, told, 1), 0);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(many_acceptors)
{
    cor_group acceptors = {0}, dialers = {0};
    open_listener();
    for (int i = 0; i < ACCEPTORS; i++) {
        go_in(&acceptors, accept_and_name, listener);
    }
    for (int i = 0; i < DIALS; i++) {
        go_in(&dialers, dial_and_check, NULL);
    }
    wait_for(&dialers);
    T_EQ(get(&accepted), DIALS);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&acceptors);
}

/* N098 */
TASK_TEST(close_leaves_accepted_connections_alone)
{
    cor_conn *client, *server;
    char byte = 0;
    open_listener();
    client = dial();
    T_CODE(cor_accept(listener, &server), 0);
    T_CODE(cor_listener_close(listener), 0);
    write_all(client, "x", 1);
    read_all(server, &byte, 1);
    T_EQ(byte, 'x');
    close_pair(client, server);
}

/* N097 */
TASK_TEST(close_resets_what_is_queued)
{
    char byte;
    open_listener();
    cor_conn *queued = dial();
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_read(queued, &byte, 1), -ECONNRESET);
    T_CODE(cor_close(queued), 0);
    cor_conn *conn = NULL;
    T_CODE(cor_dial(&conn, "tcp", address, NULL), -ECONNREFUSED);
}

static void accept_one(void *arg)
{
    cor_conn *conn;
    T_CODE(cor_accept(arg, &conn), 0);
    T_CODE(cor_close(conn), 0);
}

/* Nor does a connection outlive the listener that the poller has accepted before anybody asked for it. */
TASK_TEST(close_resets_what_was_accepted_ahead)
{
    cor_conn *clients[QUEUED];
    char byte;
    cor_group acceptor = {0};
    open_listener();
    go_in(&acceptor, accept_one, listener);
    T_ACCEPTING(listener);
    for (int i = 0; i < QUEUED; i++) {
        clients[i] = dial();
    }
    wait_for(&acceptor); /* it has the first; where a poller accepts ahead it has taken the others with it */
    T_CODE(cor_listener_close(listener), 0);
    for (int i = 0; i < QUEUED; i++) {
        T_CODE(cor_set_read_deadline(clients[i], cor_after(SOON)), 0);
        T_CODE(cor_read(clients[i], &byte, 1), i == 0 ? 0 : -ECONNRESET);
        T_CODE(cor_close(clients[i]), 0);
    }
}

/* N100, N063, N151 */
TASK_TEST(past_deadline_wins_over_a_queued_connection)
{
    cor_conn *conn = NULL;
    open_listener();
    cor_conn *client = dial();
    T_CODE(cor_listener_set_deadline(listener, cor_now()), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_ASSERT(conn == NULL);
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    T_CODE(cor_accept(listener, &conn), 0);
    close_pair(client, conn);
    T_CODE(cor_listener_close(listener), 0);
}

/* N100, N157 */
TASK_TEST(future_deadline_ends_a_waiting_accept)
{
    cor_conn *conn;
    open_listener();
    int64_t deadline = cor_after(20 * COR_MILLISECOND);
    T_CODE(cor_listener_set_deadline(listener, deadline), 0);
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_CODE(cor_listener_close(listener), 0);
}

static void accept_times_out(void *arg)
{
    cor_conn *conn;
    T_CODE(cor_accept(listener, &conn), COR_ETIMEOUT);
    (void)add(arg, 1);
}

/* N100, N152 */
TASK_TEST(deadline_set_later_wakes_every_acceptor)
{
    cor_group acceptors = {0};
    int ended = 0;
    open_listener();
    for (int i = 0; i < 4; i++) {
        go_on(i, &acceptors, accept_times_out, &ended);
    }
    T_ACCEPTING(listener);
    T_EQ(get(&ended), 0);
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    wait_for(&acceptors);
    T_EQ(ended, 4);
    T_CODE(cor_listener_close(listener), 0);
}

static int fired; /* deadlines; atomic */

static void accept_until_closed(void *arg)
{
    cor_conn *conn;
    int rc;
    while ((rc = cor_accept(arg, &conn)) == COR_ETIMEOUT) {
        (void)add(&fired, 1);
    }
    T_CODE(rc, COR_ECLOSED);
}

/* N100, N153: a deadline that was set and cleared does not fire. */
TASK_TEST(cleared_deadline_does_not_fire)
{
    cor_group acceptors = {0};
    open_listener();
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    T_CODE(cor_listener_set_deadline(listener, 0), 0);
    go_on(1, &acceptors, accept_until_closed, listener);
    int64_t deadline;
    do { /* again, if this machine was too busy to clear it in time */
        T_ACCEPTING(listener);
        deadline = cor_after(50 * COR_MILLISECOND);
        T_CODE(cor_listener_set_deadline(listener, deadline), 0);
        T_CODE(cor_listener_set_deadline(listener, 0), 0);
    } while (cor_now() >= deadline);
    int before = get(&fired);
    T_CODE(cor_sleep(65 * COR_MILLISECOND), 0);
    T_EQ(get(&fired), before);
    T_ACCEPTING(listener);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&acceptors);
}

/* N165 */
TASK_TEST(connections_do_not_inherit_the_deadline)
{
    cor_conn *server;
    char byte = 0;
    open_listener();
    T_CODE(cor_listener_set_deadline(listener, cor_after(FAR_AWAY)), 0);
    cor_conn *client = dial();
    T_CODE(cor_accept(listener, &server), 0);
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    write_all(client, "x", 1);
    read_all(server, &byte, 1);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

/* N101, N061, N141 */
TASK_TEST(connection_reset_before_accept)
{
    cor_conn *server;
    char text[COR_ADDR_TEXT], byte;
    open_listener();
    cor_conn *client = dial();
    T_CODE(cor_set_linger(client, 0), 0);
    T_CODE(cor_close(client), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_CONTAINS(cor_remote_addr(server, text, sizeof(text)), "127.0.0.1:");
    T_STR(cor_local_addr(server, text, sizeof(text)), address);
    int rc = (int)cor_read(server, &byte, 1);
    T_CODE(rc, -ECONNRESET);
    T_ASSERT(!cor_is_temporary(rc) && !cor_is_timeout(rc));
    T_CONTAINS(cor_remote_addr(server, text, sizeof(text)), "127.0.0.1:");
    T_CODE(cor_close(server), 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* The first calls fail as the kernel can make them fail; a connection comes out all the same. */
TASK_TEST(accept_in_spite_of_faults)
{
    T_SKIP_SIMULATED("it has no faults of a test");
    cor_conn *server;
    open_listener();
    cor_conn *client = dial();
    T_CODE(cor_accept(listener, &server), 0);
    T_ASSERT(faults_hit());
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

/* N070 */
static void aborted_connections_are_skipped(void **state)
{
    static const int codes[] = {-ECONNABORTED, -EINTR, -EPROTO};
    for (size_t i = 0; i < 3; i++) {
        faults_set_run(CORI_SYS_ACCEPT, 1, 3, codes[i]);
        accept_in_spite_of_faults(state);
    }
    faults_clear();
}

TASK_TEST(accept_after_exhaustion)
{
    T_SKIP_SIMULATED("it has no faults of a test");
    cor_conn *server;
    open_listener();
    cor_conn *client = dial();
    int rc = cor_accept(listener, &server);
    T_CODE(rc, -EMFILE);
    T_ASSERT(cor_is_temporary(rc) && !cor_is_timeout(rc));
    T_CODE(cor_accept(listener, &server), 0);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

/* N060: the connection stays in the backlog. */
static void exhaustion_passes(void **state)
{
    faults_set(CORI_SYS_ACCEPT, 1, -EMFILE);
    accept_after_exhaustion(state);
    faults_clear();
}

static void accept_is_cancelled(void *arg)
{
    cor_conn *conn;
    T_CODE(cor_accept(arg, &conn), COR_ECANCELED);
}

TASK_TEST(cancelled_acceptors)
{
    cor_group acceptors = {0};
    open_listener();
    for (int i = 0; i < 3; i++) {
        go_on(i, &acceptors, accept_is_cancelled, listener);
    }
    T_ACCEPTING(listener);
    cor_group_cancel(&acceptors);
    wait_for(&acceptors);
    cor_conn *client = dial(), *server;
    T_CODE(cor_accept(listener, &server), 0); /* the listener is as good as new */
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

static int turns, over; /* atomic */

static void take_turns(void *unused)
{
    (void)unused;
    while (get(&over) == 0) {
        (void)add(&turns, 1);
        cor_yield();
    }
}

/* What is there already when a connection is accepted is read in that turn, not after one of everybody who is ready. */
TASK_TEST(a_first_read_beside_others_does_not_wait_for_them)
{
    if (getenv("COR_TEST_SIM") != NULL) {
        T_SKIP("a simulated run has others run at any time");
    }
    cor_group others = {0};
    cor_conn *server;
    char byte = 0;
    open_listener();
    cor_conn *client = dial();
    write_all(client, "x", 1);
    go_on(cori_here_id(), &others, take_turns, NULL);
    while (get(&turns) == 0) {
        cor_yield();
    }
    T_CODE(cor_accept(listener, &server), 0);
    int before = get(&turns);
    read_all(server, &byte, 1);
    T_EQ(get(&turns), before);
    (void)add(&over, 1);
    wait_for(&others);
    close_pair(client, server);
    T_CODE(cor_listener_close(listener), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_acceptors),
        cmocka_unit_test(close_leaves_accepted_connections_alone),
        cmocka_unit_test(close_resets_what_is_queued),
        cmocka_unit_test(close_resets_what_was_accepted_ahead),
        cmocka_unit_test(past_deadline_wins_over_a_queued_connection),
        cmocka_unit_test(future_deadline_ends_a_waiting_accept),
        cmocka_unit_test(deadline_set_later_wakes_every_acceptor),
        cmocka_unit_test(cleared_deadline_does_not_fire),
        cmocka_unit_test(connections_do_not_inherit_the_deadline),
        cmocka_unit_test(connection_reset_before_accept),
        cmocka_unit_test(aborted_connections_are_skipped),
        cmocka_unit_test(exhaustion_passes),
        cmocka_unit_test(cancelled_acceptors),
        cmocka_unit_test(a_first_read_beside_others_does_not_wait_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

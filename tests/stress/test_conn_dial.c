/* SPDX-License-Identifier: MIT */
/*
 * Dialing, accepting and cancelling under load: listeners come and go, dials are cancelled at any moment, nothing
 * leaks. Each lasts a second, two where all is slow, times COR_STRESS_ROUNDS.
 */
/* test: workers=1,2,8 serial no-valgrind simulated */
#include "net/netcase.h"

enum { DIALERS = 16, CLIENTS = 24 };

static int64_t end; /* of the test */
static char address[COR_ADDR_TEXT];

static uint32_t roll(uint32_t limit)
{
    return cori_rand_below(&cori_self()->worker->rand, limit);
}

static void begin(void)
{
    end = cor_after(taskcase_rounds() * (taskcase_is_slow() ? 2 * COR_SECOND : COR_SECOND));
}

static bool time_is_up(void)
{
    return cor_now() >= end;
}

/* Numbers of what happened; atomic. */
static int connected, refused, cancelled;

static void dial_once(void *arg)
{
    (void)arg;
    cor_conn *conn = NULL;
    char byte;
    int rc = cor_dial(&conn, "tcp", address, NULL);
    if (rc == 0) {
        /* A listener whose queue was full has forgotten this client, who hears of it by the keep-alive, in 15 s. */
        T_CODE(cor_set_read_deadline(conn, cor_after(COR_SECOND)), 0);
        ssize_t count = cor_read(conn, &byte, 1);
        T_REQUIRE((count >= 0 && count <= 1) || count == -ECONNRESET || count == COR_ECANCELED || count == COR_ETIMEOUT,
                  "read gave %zd", count);
        T_CODE(cor_close(conn), 0);
        (void)add(&connected, 1);
        return;
    }
    /* EPIPE is Linux' word for a reset that comes after the FIN: the listener closed what it had accepted already. */
    T_REQUIRE(rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE || rc == COR_ECANCELED || rc == COR_ETIMEOUT ||
                  rc == -EADDRNOTAVAIL,
              "dial gave %d (%s)", rc, taskcase_text(rc));
    (void)add(rc == COR_ECANCELED || rc == COR_ETIMEOUT ? &cancelled : &refused, 1);
}

/* Dials one after the other, each in a group that is cancelled, or late, at some moment. */
static void dial_and_cancel(void *arg)
{
    (void)arg;
    while (!time_is_up()) {
        cor_group group = {0};
        if (roll(3) == 0) {
            cor_group_set_deadline(&group, cor_after((int64_t)roll(200) * COR_MICROSECOND));
        }
        go_on((int)roll(8), &group, dial_once, NULL);
        for (uint32_t pauses = roll(20); pauses > 0; pauses--) {
            cor_yield();
        }
        if (roll(2) == 0) {
            cor_group_cancel(&group);
        }
        wait_for(&group);
    }
}

static void greet(cor_conn *conn, void *arg)
{
    (void)arg;
    ssize_t rc = cor_write(conn, "!", 1);
    T_REQUIRE(rc == 1 || rc == -EPIPE || rc == -ECONNRESET, "write gave %zd", rc);
    T_CODE(cor_close(conn), 0);
}

static void serve(void *listener)
{
    T_CODE(cor_serve(listener, NULL, greet, NULL), 0);
}

/* N104 */
TASK_TEST(listeners_come_and_go)
{
    const char *network;
    cor_group dialers = {0};
    cor_listener *listener = listen_kind(KIND_TCP, &network, address);
    begin();
    for (int i = 0; i < DIALERS; i++) {
        go_on(i, &dialers, dial_and_cancel, NULL);
    }
    while (!time_is_up()) {
        cor_group serving = {0};
        go_on((int)roll(8), &serving, serve, listener);
        T_CODE(cor_sleep(roll(10) * COR_MILLISECOND), 0);
        T_CODE(cor_listener_close(listener), 0);
        wait_for(&serving);
        T_EVENTUALLY(cor_listen(&listener, "tcp", address, NULL) == 0, SOON);
    }
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&dialers);
    print_message("%d connected, %d refused, %d cancelled\n", get(&connected), get(&refused), get(&cancelled));
}

/* Clients come and go as fast as they can; every one is served, on whatever worker. */
static int served; /* atomic */

static void echo_one(cor_conn *conn, void *arg)
{
    char byte = 0;
    (void)arg;
    (void)add(&served, 1);
    while (cor_read(conn, &byte, 1) == 1) {
        write_all(conn, &byte, 1);
    }
    T_CODE(cor_close(conn), 0);
}

static void serve_echo(void *listener)
{
    T_CODE(cor_serve(listener, NULL, echo_one, NULL), 0);
}

static void come_and_go(void *arg)
{
    while (!time_is_up()) {
        cor_conn *conn = NULL;
        char byte = (char)roll(256), back = 0;
        T_CODE(cor_dial(&conn, "unix", address, NULL), 0);
        for (uint32_t i = roll(4); i > 0; i--) {
            write_all(conn, &byte, 1);
            read_all(conn, &back, 1);
            T_EQ(back, byte);
        }
        T_CODE(cor_close(conn), 0);
        (void)add(arg, 1);
    }
}

TASK_TEST(clients_come_and_go)
{
    const char *network;
    int visits = 0;
    cor_group serving = {0}, clients = {0};
    cor_listener *listener = listen_kind(KIND_UNIX, &network, address);
    begin();
    go_on(0, &serving, serve_echo, listener);
    for (int i = 0; i < CLIENTS; i++) {
        go_on(i, &clients, come_and_go, &visits);
    }
    wait_for(&clients);
    T_EVENTUALLY(get(&served) == get(&visits), SOON);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&serving);
    print_message("%d visits\n", visits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_come_and_go),
        cmocka_unit_test(clients_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

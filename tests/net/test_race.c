/* SPDX-License-Identifier: MIT */
/* Which of several addresses wins a dial, when the next is tried, and what is left of those that lose. */
#include "net/dialercase.h"
#include "net/race.h"
#include "support/faults.h"

#include <poll.h>
#include <unistd.h>

enum { ENDED_DIALS = 300, LATE = 95, TRIES = 20 };

static void need_ipv6(void)
{
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
}

/* A listener on 127.0.0.1, and nothing but silence on the same port of ::1. */
static void open_silent_first(blackhole *hole)
{
    need_ipv6();
    open_listener();
    for (int i = 0; !open_blackhole6(hole, port); i++) {
        T_ASSERT(i < TRIES);
        T_CODE(cor_listener_close(listener), 0);
        open_listener();
    }
}

/* Silence on the same port of both. */
static void open_silent_both(blackhole *first, blackhole *second)
{
    open_blackhole(second);
    for (int i = 0; !open_blackhole6(first, port_of(second->address)); i++) {
        T_ASSERT(i < TRIES);
        close_blackhole(second);
        open_blackhole(second);
    }
    (void)snprintf(both, sizeof(both), "[::]:%u", port_of(second->address));
}

/* Dials both families; how long it took, ms. The connection is the listener's. */
static int64_t dial_both_ms(const cor_dialer *dialer)
{
    cor_conn *client;
    int64_t start = cor_now();
    T_CODE(cor_dial_with(&client, dialer, "tcp", both, NULL), 0);
    int64_t took_ms = (cor_now() - start) / COR_MILLISECOND;
    expect_peer(client, address);
    return took_ms;
}

/* Each dial takes that long, and one of a few not much longer: the machine may be busy with other things. */
static void expect_ms(const cor_dialer *dialer, int64_t least_ms)
{
    for (int i = 0; i < TRIES; i++) {
        int64_t took_ms = dial_both_ms(dialer);
        T_REQUIRE(took_ms >= least_ms, "%jd ms, before %jd ms", (intmax_t)took_ms, (intmax_t)least_ms);
        if (taskcase_is_slow() || took_ms <= least_ms + LATE) {
            return;
        }
    }
    T_REQUIRE(false, "long after %jd ms", (intmax_t)least_ms);
}

/* N120, N121: a first family that does not answer costs the delay. */
TASK_TEST(the_other_family_begins_after_the_delay)
{
    blackhole hole;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    expect_ms(&dialer, 300);
    dialer.fallback_delay_ns = 1;
    expect_ms(&dialer, 0);
    dialer.fallback_delay_ns = 100 * COR_MILLISECOND;
    expect_ms(&dialer, 100);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N120: one that refuses costs nothing. */
TASK_TEST(the_other_family_begins_when_the_first_has_failed)
{
    cor_dialer dialer = COR_DIALER_INIT;
    open_listener(); /* 127.0.0.1 only */
    dialer.fallback_delay_ns = FAR_AWAY;
    expect_ms(&dialer, 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N119: tcp4 and a negative delay know no race. */
TASK_TEST(no_race_unless_both_families_are_asked_for)
{
    blackhole hole;
    cor_conn *conn = NULL;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    dialer.timeout_ns = 50 * COR_MILLISECOND;
    dialer.fallback_delay_ns = -1;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, NULL), COR_ETIMEOUT);
    dialer.fallback_delay_ns = 1;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp6", both, NULL), COR_ETIMEOUT);
    T_ASSERT(conn == NULL);
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

/* N120: nobody answers: the error of the first family, whichever fails last. */
TASK_TEST(the_first_familys_error_is_told)
{
    blackhole first, second;
    cor_conn *conn = NULL;
    cor_error error;
    cor_dialer dialer = COR_DIALER_INIT;
    need_ipv6();
    open_silent_both(&first, &second);
    close_blackhole(&first); /* refuses, and the other does not answer */
    dialer.timeout_ns = 50 * COR_MILLISECOND;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), -ECONNREFUSED);
    expect_text(&error, "dial tcp ", both, ": connect: connection refused");
    close_blackhole(&second);
    open_silent_both(&first, &second);
    dialer.fallback_delay_ns = COR_MILLISECOND;
    int64_t start = cor_now();
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), COR_ETIMEOUT);
    T_ASSERT(cor_now() - start >= dialer.timeout_ns);
    expect_text(&error, "dial tcp ", both, ": i/o timeout");
    close_blackhole(&second); /* now the other one refuses */
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, &error), COR_ETIMEOUT);
    T_ASSERT(conn == NULL);
    close_blackhole(&first);
}

/* Races the listed addresses; the connection's remote end in `text`. */
static int race_to(cori_candidates *candidates, char *text, cori_race_error *error)
{
    static const cor_dialer plain = COR_DIALER_INIT;
    cori_dialing dialing = {.network = cori_network_find("tcp"), .with = &plain};
    cori_slot *slot;
    int rc = cori_race(&dialing, candidates, NULL, &slot, error);
    if (rc == 0) {
        cor_conn *conn = cori_slot_publish(slot);
        (void)cor_remote_addr(conn, text, COR_ADDR_TEXT);
        T_CODE(cor_close(conn), 0);
    }
    return rc;
}

/* N034, N119: the first one's family comes first, in order; the first error is told. */
TASK_TEST(the_family_of_the_first_comes_first)
{
    char text[COR_ADDR_TEXT];
    uint16_t closed;
    cori_race_error error;
    int bound = closed_port(&closed);
    open_listener();
    cori_candidates list = {.count = 3};
    list.list[0] = endpoint_of("127.0.0.1", closed);
    list.list[1] = endpoint_of("::1", port);
    list.list[2] = endpoint_of("127.0.0.1", port);
    T_CODE(race_to(&list, text, &error), 0);
    T_STR(text, address);
    list.list[2] = endpoint_of("127.0.0.2", closed);
    T_CODE(race_to(&list, text, &error), -ECONNREFUSED);
    T_EQ(error.index, 0);
    T_STR(error.call, "connect");
    list.list[0] = endpoint_of("::1", port);
    list.list[1] = endpoint_of("255.255.255.255", port);
    list.list[2] = endpoint_of("127.0.0.1", port);
    T_CODE(race_to(&list, text, &error), 0);
    T_STR(text, address);
    T_EQ(close(bound), 0);
    T_CODE(cor_listener_close(listener), 0);
}

/* N126, N127: many that answer cost no more than one; none at all is an error. */
TASK_TEST(many_addresses_and_none)
{
    char text[COR_ADDR_TEXT];
    cori_race_error error;
    cor_conn *server;
    open_listener();
    cori_candidates list = {.count = 16};
    for (int i = 0; i < list.count; i++) {
        list.list[i] = endpoint_of("127.0.0.1", port);
    }
    T_CODE(race_to(&list, text, &error), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_CODE(cor_close(server), 0);
    T_CODE(cor_listener_set_deadline(listener, cor_after(BRIEFLY)), 0);
    T_CODE(cor_accept(listener, &server), COR_ETIMEOUT);
    list.count = 0;
    T_CODE(race_to(&list, text, &error), COR_EMISSING_ADDRESS);
    T_EQ(error.index, -1);
    T_CODE(cor_listener_close(listener), 0);
}

/* Takes what is queued at a listening socket; how many of them say something before their end, which all must have. */
static int take_all(int listening)
{
    struct pollfd ready = {.fd = listening, .events = POLLIN};
    int said = 0;
    while (poll(&ready, 1, 0) > 0) {
        char byte;
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        T_ASSERT(fd >= 0);
        said += recv(fd, &byte, 1, 0) > 0;
        T_EQ(close(fd), 0);
    }
    return said;
}

static void dial_and_speak(void *arg)
{
    cor_conn *conn;
    cor_dialer dialer = COR_DIALER_INIT;
    dialer.timeout_ns = SOON;
    dialer.fallback_delay_ns = 1;
    (void)arg;
    T_CODE(cor_dial_with(&conn, &dialer, "tcp", both, NULL), 0);
    write_all(conn, "x", 1);
    T_CODE(cor_close(conn), 0);
}

static int sockets_open(void)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    return (int)stats.connections;
}

/*
 * N122: two that begin to answer in the same moment, a second later, when the first packets are sent again. One
 * connection is returned; the other, if it came about, ends without a word.
 */
TASK_TEST(one_connection_is_left)
{
    blackhole first, second;
    cor_group dialing = {0};
    need_ipv6();
    open_silent_both(&first, &second);
    go_in(&dialing, dial_and_speak, NULL);
    T_EVENTUALLY(sockets_open() == 2, SOON);
    stop_filling(&first);
    stop_filling(&second);
    (void)(take_all(first.listening) + take_all(second.listening));
    wait_for(&dialing);
    T_EQ(take_all(first.listening) + take_all(second.listening), 1);
    close_blackhole(&first);
    close_blackhole(&second);
}

static int started; /* atomic */

static void dial_to_its_end(void *arg)
{
    cor_conn *conn;
    (void)add(&started, 1);
    int rc = cor_dial_with(&conn, arg, "tcp", both, NULL);
    T_REQUIRE(rc == 0 || rc == COR_ECANCELED || rc == COR_ETIMEOUT, "%d", rc);
    if (rc == 0) {
        T_CODE(cor_close(conn), 0);
    }
}

static void accept_and_close(void *arg)
{
    cor_conn *conn;
    while (cor_accept(arg, &conn) == 0) {
        T_CODE(cor_close(conn), 0);
    }
}

/* N123, N124: cancelled, or out of time, at any moment of a race; the runner counts descriptors. */
TASK_TEST(races_end_at_any_moment)
{
    blackhole hole;
    cor_group acceptors = {0};
    open_silent_first(&hole);
    go_on(1, &acceptors, accept_and_close, listener);
    for (int i = 0; i < (int)taskcase_scale(ENDED_DIALS); i++) {
        cor_group dialing = {0};
        cor_dialer dialer = COR_DIALER_INIT;
        int before = get(&started);
        dialer.fallback_delay_ns = 1 + i % 7 * 20000;
        dialer.timeout_ns = i % 3 == 0 ? 1 + i % 11 * 20000 : 0;
        go_on(i, &dialing, dial_to_its_end, &dialer);
        for (int spins = 0; get(&started) == before && spins < i % 50; spins++) {
            cor_yield();
        }
        for (int spins = 0; spins < i % 13; spins++) {
            cor_yield();
        }
        cor_group_cancel(&dialing);
        wait_for(&dialing);
    }
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
    wait_for(&acceptors);
}

/* Each call of a race fails once, whichever it is: it ends, in time, and nothing is left of it. */
TASK_TEST(race_in_spite_of_faults)
{
    blackhole hole;
    cor_conn *conn;
    cor_dialer dialer = COR_DIALER_INIT;
    open_silent_first(&hole);
    dialer.fallback_delay_ns = COR_MILLISECOND;
    dialer.timeout_ns = 100 * COR_MILLISECOND; /* where the answering family fails, the silent one uses it up */
    if (cor_dial_with(&conn, &dialer, "tcp", both, NULL) == 0) {
        T_CODE(cor_close(conn), 0);
    }
    close_blackhole(&hole);
    T_CODE(cor_listener_close(listener), 0);
}

static void each_call_fails_once(void **state)
{
    static const struct {
        int call;
        unsigned from;
    } kinds[] = {{CORI_SYS_SOCKET, 3}, {CORI_SYS_CONNECT, 1}, {CORI_SYS_GETSOCKOPT, 1}, {CORI_SYS_EPOLL_CTL, 2}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned nth = kinds[i].from; nth < kinds[i].from + 3; nth++) {
            faults_set(kinds[i].call, nth, -ENOMEM);
            race_in_spite_of_faults(state);
            faults_clear();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_family_begins_after_the_delay),
        cmocka_unit_test(the_other_family_begins_when_the_first_has_failed),
        cmocka_unit_test(no_race_unless_both_families_are_asked_for),
        cmocka_unit_test(the_first_familys_error_is_told),
        cmocka_unit_test(the_family_of_the_first_comes_first),
        cmocka_unit_test(many_addresses_and_none),
        cmocka_unit_test(one_connection_is_left),
        cmocka_unit_test(races_end_at_any_moment),
        cmocka_unit_test(each_call_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Simulated runs: servers and clients on hosts of their own, the same for the same seed. */
/* test: workers=1 no-uring no-valgrind */
#include "base/platform.h"
#include "simcase.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 20, ROUNDS = 10 };

typedef struct echo_run {
    cor_listener *listener;
    cor_waitgroup done;
    int echoed;
} echo_run;

static void echo(cor_conn *conn, void *arg)
{
    char buf[512];
    (void)arg;
    ssize_t count;
    while ((count = cor_read(conn, buf, sizeof(buf))) > 0) {
        if (cor_write(conn, buf, (size_t)count) < 0) {
            break;
        }
    }
    (void)cor_close(conn);
}

static void serve(void *arg)
{
    echo_run *run = arg;
    CHECK(cor_serve(run->listener, NULL, echo, NULL) == 0);
    cor_waitgroup_done(&run->done);
}

static void talk(void *arg)
{
    echo_run *run = arg;
    cor_conn *conn;
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:7", NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        char text[64], back[64];
        size_t size = (size_t)snprintf(text, sizeof(text), "%d of %d", i, ROUNDS), got = 0;
        CHECK(cor_write(conn, text, size) == (ssize_t)size);
        while (got < size) {
            ssize_t count = cor_read(conn, back + got, sizeof(back) - got);
            CHECK(count > 0);
            got += (size_t)count;
        }
        CHECK(got == size && memcmp(text, back, size) == 0);
        CHECK(cor_sleep(COR_SECOND) == 0);
    }
    CHECK(cor_close(conn) == 0);
    run->echoed++;
    cor_waitgroup_done(&run->done);
}

static void open_and_serve(void *arg)
{
    echo_run *run = arg;
    CHECK(cor_listen(&run->listener, "tcp", "10.0.0.1:7", NULL) == 0);
    serve(run);
}

static int echo_main(void *arg)
{
    echo_run *run = arg;
    int server = cor_sim_host("server", "10.0.0.1");
    CHECK(server > 0);
    cor_waitgroup_add(&run->done, 1);
    CHECK(cor_sim_go(server, open_and_serve, run) == 0);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        char name[32], address[32];
        (void)snprintf(name, sizeof(name), "client %d", i);
        (void)snprintf(address, sizeof(address), "10.0.1.%d", i + 1);
        int client = cor_sim_host(name, address);
        CHECK(client > 0);
        cor_waitgroup_add(&run->done, 1);
        CHECK(cor_sim_go(client, talk, run) == 0);
    }
    CHECK(cor_sleep(COR_MINUTE) == 0);
    CHECK(cor_listener_close(run->listener) == 0);
    CHECK(cor_waitgroup_wait(&run->done, 0) == 0);
    return 0;
}

static cor_sim_result run_echo(uint64_t seed, int workers)
{
    echo_run run = {0};
    cor_sim_result result = {0};
    cor_sim_options options = {.workers = workers};
    assert_int_equal(cor_sim_run(seed, &options, echo_main, &run, &result), 0);
    assert_int_equal(run.echoed, CLIENTS);
    return result;
}

static void equal_seeds_give_equal_runs(void **state)
{
    (void)state;
    for (int workers = 0; workers <= 8; workers += 4) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            cor_sim_result first = run_echo(seed, workers), again = run_echo(seed, workers);
            cor_sim_result other = run_echo(seed + 100, workers);
            assert_true(first.hash == again.hash && first.events == again.events);
            assert_int_equal(first.virtual_ns, again.virtual_ns);
            assert_true(first.hash != other.hash);
            assert_true(first.virtual_ns > COR_MINUTE);
        }
    }
}

/* Dials again and again, until a whole line has been echoed; what comes back is never anything else. */
static void persist(void *arg)
{
    static const char text[] = "the same line, in whatever pieces it comes";
    echo_run *run = arg;
    for (bool whole = false; !whole;) {
        cor_conn *conn;
        if (cor_dial_until(&conn, "tcp", "10.0.0.1:7", cor_after(10 * COR_SECOND), NULL) < 0) {
            CHECK(cor_sleep(COR_SECOND) == 0);
            continue;
        }
        char back[sizeof(text)];
        size_t got = 0;
        ssize_t count = cor_write(conn, text, sizeof(text));
        CHECK(cor_set_read_deadline(conn, cor_after(10 * COR_SECOND)) == 0);
        while (count > 0 && got < sizeof(text)) {
            count = cor_read(conn, back + got, sizeof(text) - got);
            got += count > 0 ? (size_t)count : 0;
            CHECK(memcmp(back, text, got) == 0);
        }
        whole = got == sizeof(text);
        (void)cor_close(conn);
    }
    run->echoed++;
    cor_waitgroup_done(&run->done);
}

static int hostile_main(void *arg)
{
    echo_run *run = arg;
    int server = cor_sim_host("server", "10.0.0.1"), client = cor_sim_host("client", "10.0.0.2");
    cor_waitgroup_add(&run->done, 1);
    CHECK(cor_sim_go(server, open_and_serve, run) == 0);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        cor_waitgroup_add(&run->done, 1);
        CHECK(cor_sim_go(client, persist, run) == 0);
    }
    CHECK(cor_sleep(COR_SECOND) == 0);
    CHECK(cor_sim_cut(server, client, true) == 0);
    CHECK(cor_sleep(20 * COR_SECOND) == 0);
    CHECK(cor_sim_cut(server, client, false) == 0);
    while (run->echoed < CLIENTS) {
        CHECK(cor_sleep(COR_SECOND) == 0);
    }
    CHECK(cor_listener_close(run->listener) == 0);
    CHECK(cor_waitgroup_wait(&run->done, 0) == 0);
    cor_runtime_stats stats = {.connections = 1};
    while (stats.connections > 0) { /* the last handlers learn of the end a moment later */
        CHECK(cor_sleep(COR_SECOND) == 0);
        CHECK(cor_stats(&stats) == 0);
    }
    return 0;
}

/* What breaks is dialed anew, and in the end nothing is left open, whatever the seed has in store. */
static void hostile_runs_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= (CORI_TSAN ? 15 : 100); seed++) {
        echo_run run = {0};
        cor_sim_options options = {.hostile = true};
        assert_int_equal(cor_sim_run(seed, &options, hostile_main, &run, NULL), 0);
    }
}

static int wait_in_vain(void *arg)
{
    cor_listener *listener;
    cor_conn *conn;
    (void)arg;
    CHECK(cor_listen(&listener, "tcp", "127.0.0.1:80", NULL) == 0);
    CHECK(cor_dial(&conn, "tcp", "127.0.0.1:80", NULL) == 0);
    char byte;
    return (int)cor_read(conn, &byte, 1); /* nobody ever writes */
}

/* With a real kernel nobody can know that; here a read that nothing will end is a deadlock. */
static void a_wait_for_nothing_is_a_deadlock(void **state)
{
    (void)state;
    cor_sim_result result;
    assert_int_equal(cor_sim_run(1, NULL, wait_in_vain, NULL, &result), COR_EDEADLOCK);
}

static int dial_nobody(void *arg)
{
    cor_conn *conn;
    (void)arg;
    CHECK(cor_sim_host("there", "10.0.0.1") == 1);
    CHECK(cor_sim_host("again", "10.0.0.1") == -EEXIST && cor_sim_host("bad", "10.0.0") == -EINVAL);
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:80", NULL) == -ECONNREFUSED);
    int64_t begun = cor_now();
    CHECK(cor_dial_until(&conn, "tcp", "10.9.9.9:80", cor_after(COR_SECOND), NULL) == COR_ETIMEOUT);
    CHECK(cor_now() - begun >= COR_SECOND && cor_now() - begun < COR_SECOND + COR_MILLISECOND);
    CHECK(cor_dial(&conn, "tcp", "10.9.9.9:80", NULL) == -ETIMEDOUT);
    CHECK(cor_now() - begun > COR_MINUTE); /* after some more tries, as the kernel's */
    return 0;
}

static void dials_that_nobody_answers(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, dial_nobody, NULL, NULL), 0);
}

static void outside(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_host("a", "10.0.0.1"), COR_ENOT_TASK);
    assert_int_equal(cor_sim_go(0, persist, NULL), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_give_equal_runs),
        cmocka_unit_test(hostile_runs_end),
        cmocka_unit_test(a_wait_for_nothing_is_a_deadlock),
        cmocka_unit_test(dials_that_nobody_answers),
        cmocka_unit_test(outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

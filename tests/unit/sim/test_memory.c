/* SPDX-License-Identifier: MIT */
/* Memory that ends in a simulated run: by plan, at each allocation of the library in turn, and by the seed. */
/* test: workers=1 no-uring no-valgrind */
#include "simcase.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

enum { CHANS = 200, PLANS_MOST = 400 };

static bool can_have_chan(void)
{
    cor_chan *chan = cor_chan_new(1, 1);
    cor_chan_free(chan);
    return chan != NULL;
}

static int plan(void *unused)
{
    (void)unused;
    CHECK(cor_sim_fail_memory(0, 1) == -EINVAL && cor_sim_fail_memory(1, -1) == -EINVAL);
    CHECK(can_have_chan());
    CHECK(cor_sim_fail_memory(1, 1) == 0);
    CHECK(!can_have_chan() && can_have_chan());
    CHECK(cor_sim_fail_memory(3, 2) == 0);
    CHECK(can_have_chan() && can_have_chan() && !can_have_chan() && !can_have_chan() && can_have_chan());
    CHECK(cor_sim_fail_memory(1, 100) == 0 && !can_have_chan());
    CHECK(cor_sim_fail_memory(1, 0) == 0 && can_have_chan());
    return 0;
}

static void the_planned_ones_fail(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, plan, NULL, NULL), 0);
    assert_int_equal(cor_sim_fail_memory(1, 1), COR_ENOT_TASK);
}

/* What a call may give when an allocation has failed, at this end or at the other. */
static bool is_expected(int64_t rc)
{
    return rc >= 0 || rc == -ENOMEM || rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE || rc == COR_ECLOSED ||
           rc == COR_ECLOSING || rc == COR_ETIMEOUT;
}

static cor_listener *listener;
static cor_waitgroup started;
static int echoed;

static void echo(cor_conn *conn, void *arg)
{
    char text[16];
    (void)arg;
    ssize_t got = cor_read(conn, text, sizeof(text));
    CHECK(is_expected(got));
    if (got > 0) {
        CHECK(is_expected(cor_write(conn, text, (size_t)got)));
    }
    (void)cor_close(conn);
}

static void serve(void *unused)
{
    (void)unused;
    int rc = cor_listen(&listener, "tcp", "10.0.0.1:7", NULL);
    CHECK(is_expected(rc));
    if (rc == 0) {
        CHECK(is_expected(cor_serve(listener, NULL, echo, NULL)));
    }
    cor_waitgroup_done(&started);
}

static void ask(void *unused)
{
    cor_conn *conn;
    char text[16];
    (void)unused;
    int rc = cor_dial(&conn, "tcp", "10.0.0.1:7", NULL);
    CHECK(is_expected(rc));
    if (rc == 0) {
        CHECK(is_expected(cor_set_read_deadline(conn, cor_after(COR_MINUTE))));
        ssize_t count = cor_write(conn, "word", 4);
        CHECK(is_expected(count));
        count = count > 0 ? cor_read(conn, text, sizeof(text)) : 0;
        CHECK(is_expected(count));
        echoed += count > 0;
        (void)cor_close(conn);
    }
    cor_waitgroup_done(&started);
}

static void start(int host, void (*task)(void *arg))
{
    cor_waitgroup_add(&started, 1);
    int rc = cor_sim_go(host, task, NULL);
    CHECK(is_expected(rc));
    if (rc < 0) {
        cor_waitgroup_done(&started);
    }
}

static int echo_two(void *nth)
{
    int server = cor_sim_host("server", "10.0.0.1"), client = cor_sim_host("client", "10.0.0.2");
    listener = NULL;
    started = (cor_waitgroup){0};
    echoed = 0;
    if (nth != NULL) {
        CHECK(cor_sim_fail_memory(*(int64_t *)nth, 1) == 0);
    }
    start(server, serve);
    CHECK(is_expected(cor_sleep(COR_MILLISECOND)));
    start(client, ask);
    start(client, ask);
    CHECK(is_expected(cor_sleep(2 * COR_MINUTE)));
    if (listener != NULL) {
        (void)cor_listener_close(listener);
    }
    CHECK(cor_waitgroup_wait(&started, 0) == 0);
    return 0;
}

/* Each in turn: the error is told to whoever asked, nothing is left over, and nobody waits for ever. */
static void whichever_fails_is_told(void **state)
{
    int64_t nth = 1;
    int missed = 0;
    cor_sim_options options = {.workers = 2, .must_end = true};
    (void)state;
    for (int clean = 0; clean < 3 && nth < PLANS_MOST; nth++) {
        assert_int_equal(cor_sim_run(1, &options, echo_two, &nth, NULL), 0);
        clean = echoed == 2 ? clean + 1 : 0;
        missed += echoed < 2;
    }
    assert_true(nth < PLANS_MOST);
    assert_true(missed >= 1);
}

static int count_chans(void *had)
{
    for (int i = 0; i < CHANS; i++) {
        *(int *)had += can_have_chan();
    }
    return 0;
}

static void seeds_have_too_little(void **state)
{
    int poor = 0, seeds = 40;
    (void)state;
    for (int seed = 1; seed <= seeds; seed++) {
        int had = 0, again = 0, rich = 0;
        cor_sim_options options = {.more = COR_SIM_NO_MEMORY};
        assert_int_equal(cor_sim_run((uint64_t)seed, &options, count_chans, &had, NULL), 0);
        assert_int_equal(cor_sim_run((uint64_t)seed, &options, count_chans, &again, NULL), 0);
        assert_int_equal(had, again);
        options.without = COR_SIM_NO_MEMORY;
        assert_int_equal(cor_sim_run((uint64_t)seed, &options, count_chans, &rich, NULL), 0);
        assert_int_equal(rich, CHANS);
        poor += had < CHANS;
    }
    assert_true(poor > seeds / 10 && poor < seeds);
}

/* A server and its clients bear what any seed has in store. */
static void a_server_bears_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        cor_sim_options options = {.must_end = true, .more = COR_SIM_NO_MEMORY};
        assert_int_equal(cor_sim_run(seed, &options, echo_two, NULL, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_planned_ones_fail),
        cmocka_unit_test(whichever_fails_is_told),
        cmocka_unit_test(seeds_have_too_little),
        cmocka_unit_test(a_server_bears_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Searches over seeds: what fails is made smaller and can be repeated; traces are the same each time. */
/* test: workers=1 no-uring no-valgrind */
#include "simcase.h"

#include "base/platform.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct service {
    cor_waitgroup done;
    int most, parts; /* clients, and how many of their lines came in parts */
} service;

static void answer(cor_conn *conn, void *arg)
{
    service *of = arg;
    char line[32];
    ssize_t got = cor_read(conn, line, sizeof(line));
    of->parts += got > 0 && got < 8;
    (void)cor_close(conn);
}

static void serve(void *arg)
{
    service *of = arg;
    cor_listener *listener;
    CHECK(cor_listen(&listener, "tcp", "10.0.0.1:7", NULL) == 0);
    for (int i = 0; i < of->most; i++) {
        cor_conn *conn;
        CHECK(cor_accept(listener, &conn) == 0);
        answer(conn, of);
    }
    CHECK(cor_listener_close(listener) == 0);
    cor_waitgroup_done(&of->done);
}

static void client(void *arg)
{
    service *of = arg;
    cor_conn *conn;
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_write(conn, "eight ch", 8) == 8);
    (void)cor_close(conn);
    cor_waitgroup_done(&of->done);
}

/* Fails if a line came in parts: never on a network that does not split. */
static int split_main(void *arg)
{
    service of = {.most = cor_sim_scale(40)};
    int host = cor_sim_host("server", "10.0.0.1");
    *(int *)arg = of.most;
    cor_waitgroup_add(&of.done, (size_t)of.most + 1);
    CHECK(cor_sim_go(host, serve, &of) == 0);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    for (int i = 0; i < of.most; i++) {
        CHECK(cor_go(client, &of) == 0);
    }
    CHECK(cor_waitgroup_wait(&of.done, 0) == 0);
    return of.parts == 0 ? 0 : 3;
}

static void read_all(FILE *file, char *text, size_t size)
{
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
}

static void what_fails_is_made_smaller(void **state)
{
    char text[4096];
    int most = 0;
    FILE *file = tmpfile();
    cor_sim_report report;
    (void)state;
    cor_sim_options options = {.hostile = false, .report_fd = fileno(file)};
    assert_int_equal(cor_sim_search(1, 100, &options, split_main, &most, &report), 3);
    read_all(file, text, sizeof(text));
    assert_int_equal(report.code, 3);
    assert_int_equal(report.options.workers, 1);
    assert_true(most >= 1 && most <= 12);                /* of 40 */
    assert_true((report.options.without & 5) != 5);      /* what arrives in parts, or is sent in parts */
    assert_int_equal(report.options.without & 0xa, 0xa); /* late, or an event for nothing */
    char again[64];
    (void)snprintf(again, sizeof(again), "again: COR_SIM_REPLAY=%d:1:%x:%d ", (int)report.seed, report.options.without,
                   report.options.scale);
    assert_non_null(strstr(text, "simulation: seed "));
    assert_non_null(strstr(text, again));
    cor_sim_result result; /* it is what it says */
    options = report.options;
    options.report_fd = -1;
    assert_int_equal(cor_sim_run(report.seed, &options, split_main, &most, &result), 3);
    assert_true(result.hash == report.result.hash);
    (void)setenv("COR_SIM_REPLAY", strchr(again, '=') + 1, 1);
    cor_sim_report replayed;
    assert_int_equal(cor_sim_search(1, 100, &options, split_main, &most, &replayed), 3);
    (void)unsetenv("COR_SIM_REPLAY");
    assert_int_equal(replayed.runs, 1);
    assert_true(replayed.result.hash == report.result.hash);
}

static int pass_main(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static void all_seeds_are_run(void **state)
{
    int runs = 0;
    cor_sim_report report;
    (void)state;
    assert_int_equal(cor_sim_search(5, 30, NULL, pass_main, &runs, &report), 0);
    assert_int_equal(runs, 30);
    assert_int_equal(report.runs, 30);
    assert_int_equal(report.code, 0);
}

static void trace_into(uint64_t seed, char *text, size_t size)
{
    int most;
    FILE *file = tmpfile();
    cor_sim_options options = {.trace = true, .report_fd = fileno(file), .scale = 5};
    (void)cor_sim_run(seed, &options, split_main, &most, NULL); /* 0 or 3, the same each time */
    read_all(file, text, size);
}

static void traces_are_the_same_each_time(void **state)
{
    static char first[100000], again[100000];
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        trace_into(seed, first, sizeof(first));
        trace_into(seed, again, sizeof(again));
        assert_string_equal(first, again);
        assert_non_null(strstr(first, " server: task 2 "));
        assert_non_null(strstr(first, ": listen 10.0.0.1:7 = 0\n"));
        assert_non_null(strstr(first, " network: SYN 0 arrives, "));
    }
    assert_int_equal(cor_sim_scale(7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fails_is_made_smaller),
        cmocka_unit_test(all_seeds_are_run),
        cmocka_unit_test(traces_are_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

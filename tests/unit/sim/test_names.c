/* SPDX-License-Identifier: MIT */
/* Names in simulated runs: hosts are found by theirs, by plan or seed late, wrongly or not at all. */
/* test: workers=1 no-uring no-valgrind */
/* link: -Wl,--wrap=fopen */
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

enum { MOST = 4, SEEDS = 60, LOOKUPS = 20 };

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

/* A run must not depend on this machine's hosts. */
FILE *__wrap_fopen(const char *path, const char *mode)
{
    CHECK(strcmp(path, "/etc/hosts") != 0 && strcmp(path, "/etc/resolv.conf") != 0);
    return __real_fopen(path, mode);
}

static int look_up(const char *name, int64_t deadline, char (*out)[COR_ADDR_TEXT], char *text)
{
    cor_error error = {0};
    int rc = cor_lookup_host(out, MOST, name, deadline, &error);
    (void)cor_error_text(&error, text, COR_ERROR_TEXT);
    return rc;
}

static void expect_addresses(const char *name, int count, const char *first, const char *last)
{
    char out[MOST][COR_ADDR_TEXT], text[COR_ERROR_TEXT];
    CHECK(look_up(name, 0, out, text) == count);
    CHECK(strcmp(out[0], first) == 0 && strcmp(out[count - 1], last) == 0);
}

static void expect_error(const char *name, int64_t deadline, int code, const char *words)
{
    char out[MOST][COR_ADDR_TEXT], text[COR_ERROR_TEXT];
    CHECK(look_up(name, deadline, out, text) == code);
    CHECK(strcmp(text, words) == 0);
}

static void answer_one(void *arg)
{
    cor_listener *listener;
    cor_conn *conn;
    CHECK(cor_listen(&listener, "tcp", "server:7", NULL) == 0);
    cor_waitgroup_done(arg);
    CHECK(cor_accept(listener, &conn) == 0);
    CHECK(cor_write(conn, "x", 1) == 1);
    CHECK(cor_close(conn) == 0 && cor_listener_close(listener) == 0);
}

static int names_main(void *arg)
{
    cor_records *found = NULL;
    cor_waitgroup ready = {0};
    cor_conn *conn;
    char byte, name[COR_NAME_TEXT];
    (void)arg;
    int server = cor_sim_host("server", "10.0.0.1");
    CHECK(server > 0 && cor_sim_host("Both", "10.0.0.2") > 0 && cor_sim_host("both", "2001:db8::2") > 0);
    int64_t before = cor_now();
    expect_addresses("server", 1, "10.0.0.1", "10.0.0.1");
    CHECK(cor_now() > before && cor_now() - before < 10 * COR_MILLISECOND);
    expect_addresses("SERVER.", 1, "10.0.0.1", "10.0.0.1");
    expect_addresses("localhost", 2, "::1", "127.0.0.1");
    CHECK(cor_lookup_host(&(char[COR_ADDR_TEXT]){""}, 1, "both", 0, NULL) == 1);
    CHECK(cor_lookup_ip(&found, "ip6", "both", 0, NULL) == 0);
    CHECK(found->count == 1 && strcmp(found->list[0].text, "2001:db8::2") == 0);
    cor_records_free(found);
    expect_error("serve", 0, COR_ENO_SUCH_HOST, "lookup serve: no such host");
    expect_error("", 0, COR_ENO_SUCH_HOST, "lookup : no such host");
    CHECK(cor_lookup_ip(&found, "ip6", "server", 0, NULL) == COR_ENO_SUCH_HOST);
    CHECK(cor_lookup_cname(name, sizeof(name), "server", 0, NULL) == COR_ENO_SUCH_HOST);
    CHECK(cor_lookup_addr(&found, "10.0.0.1", 0, NULL) == COR_ENO_SUCH_HOST);
    cor_waitgroup_add(&ready, 1);
    CHECK(cor_sim_go(server, answer_one, &ready) == 0);
    CHECK(cor_waitgroup_wait(&ready, 0) == 0);
    CHECK(cor_dial(&conn, "tcp", "server:7", NULL) == 0);
    CHECK(cor_read(conn, &byte, 1) == 1 && cor_close(conn) == 0);
    return 0;
}

static void hosts_have_names(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_int_equal(cor_sim_run(seed, NULL, names_main, NULL, NULL), 0);
    }
}

static void look_up_cancelled(void *arg)
{
    expect_error("server", 0, COR_ECANCELED, "lookup server: operation was canceled");
    *(int *)arg = 1;
}

static int plan_main(void *arg)
{
    cor_group group = {0};
    cor_conn *conn;
    int ended = 0;
    (void)arg;
    CHECK(cor_sim_host("server", "10.0.0.1") > 0);
    CHECK(cor_sim_name("server", 0, COR_MINUTE) == 0);
    int64_t before = cor_now();
    expect_addresses("server", 1, "10.0.0.1", "10.0.0.1");
    CHECK(cor_now() - before >= COR_MINUTE && cor_now() - before < COR_MINUTE + COR_SECOND);
    before = cor_now();
    expect_error("server", cor_after(COR_SECOND), COR_ETIMEOUT, "lookup server: i/o timeout");
    CHECK(cor_now() - before < 2 * COR_SECOND);
    before = cor_now();
    CHECK(cor_group_go(&group, look_up_cancelled, &ended) == 0);
    CHECK(cor_sleep(COR_SECOND) == 0 && ended == 0);
    cor_group_cancel(&group);
    (void)cor_group_wait(&group, 0);
    CHECK(ended == 1 && cor_now() - before < 2 * COR_SECOND);
    CHECK(cor_sim_name("Server.", COR_ESERVER_MISBEHAVING, 0) == 0);
    expect_error("server", 0, COR_ESERVER_MISBEHAVING, "lookup server: server misbehaving");
    CHECK(cor_sim_name("server", COR_ETIMEOUT, COR_SECOND) == 0);
    expect_error("server", 0, COR_ETIMEOUT, "lookup server: i/o timeout");
    CHECK(cor_sim_name("server", COR_ENO_SUCH_HOST, 0) == 0);
    CHECK(cor_dial(&conn, "tcp", "server:7", NULL) == COR_ENO_SUCH_HOST);
    CHECK(cor_sim_name("server", 0, 0) == 0);
    expect_addresses("server", 1, "10.0.0.1", "10.0.0.1");
    CHECK(cor_sim_name("server", -EIO, 0) == -EINVAL && cor_sim_name("server", 0, -1) == -EINVAL);
    return 0;
}

static void plans_are_followed(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, plan_main, NULL, NULL), 0);
    assert_int_equal(cor_sim_name("server", 0, 0), COR_ENOT_TASK);
}

/* How often lookups ended with what, in all runs. */
typedef struct outcomes {
    int found, late, missing, silent, failing;
} outcomes;

static int ask_often(void *arg)
{
    outcomes *seen = arg;
    CHECK(cor_sim_host("server", "10.0.0.1") > 0);
    for (int i = 0; i < LOOKUPS; i++) {
        char out[MOST][COR_ADDR_TEXT], text[COR_ERROR_TEXT];
        int64_t before = cor_now();
        int rc = look_up("server", 0, out, text);
        CHECK(rc == 1 || rc == COR_ENO_SUCH_HOST || rc == COR_ETIMEOUT || rc == COR_ESERVER_MISBEHAVING);
        seen->found += rc == 1;
        seen->late += rc == 1 && cor_now() - before > COR_SECOND;
        seen->missing += rc == COR_ENO_SUCH_HOST;
        seen->silent += rc == COR_ETIMEOUT && cor_now() - before >= 5 * COR_SECOND;
        seen->failing += rc == COR_ESERVER_MISBEHAVING;
    }
    return 0;
}

/* In hostile runs a lookup goes wrong in each way, equal seeds in the same; in others in none. */
static void seeds_make_them_fail(void **state)
{
    outcomes hostile = {0}, usual = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const cor_sim_options options = {.hostile = true};
        cor_sim_result first = {0}, second = {0};
        assert_int_equal(cor_sim_run(seed, &options, ask_often, &hostile, &first), 0);
        assert_int_equal(cor_sim_run(seed, &options, ask_often, &hostile, &second), 0);
        assert_true(first.hash == second.hash && first.virtual_ns == second.virtual_ns);
        assert_int_equal(cor_sim_run(seed, NULL, ask_often, &usual, NULL), 0);
    }
    assert_int_equal(usual.found, SEEDS * LOOKUPS);
    assert_int_equal(usual.late, 0);
    assert_true(hostile.found > SEEDS * LOOKUPS && hostile.late > 0 && hostile.missing > 0);
    assert_true(hostile.silent > 0 && hostile.failing > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_have_names),
        cmocka_unit_test(plans_are_followed),
        cmocka_unit_test(seeds_make_them_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

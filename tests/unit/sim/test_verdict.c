/* SPDX-License-Identifier: MIT */
/* What a simulated run is judged by: checks, what is left at the end, and the reports of both. */
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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs, and takes the report into `text`. */
static int run_reported(const cor_sim_options *options, int (*main_task)(void *arg), void *arg, char *text, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    cor_sim_options with = *options;
    with.report_fd = fileno(file);
    int rc = cor_sim_run(7, &with, main_task, arg, NULL);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
    return rc;
}

typedef struct counted {
    int value, calls;
} counted;

static int is_below_five(void *arg)
{
    counted *of = arg;
    of->calls++;
    return of->value < 5 ? 0 : -77;
}

static int count_to(void *arg)
{
    counted *of = arg;
    CHECK(cor_sim_check(is_below_five, of) == 0);
    for (int i = 0; i < 10; i++) {
        of->value++;
        CHECK(cor_sleep(COR_SECOND) == 0);
    }
    return 0;
}

static void a_check_that_fails_ends_the_run(void **state)
{
    char text[4096];
    counted of = {0};
    (void)state;
    assert_int_equal(run_reported(&(cor_sim_options){.workers = 2}, count_to, &of, text, sizeof(text)), -77);
    assert_int_equal(of.value, 5);
    assert_true(of.calls >= 5);
    assert_non_null(strstr(text, "simulation: seed 7, at 4.0"));
    assert_non_null(strstr(text, "a check failed\n"));
    assert_non_null(strstr(text, "[sleep, "));
    of = (counted){.value = -20};
    assert_int_equal(run_reported(&(cor_sim_options){0}, count_to, &of, text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

static int set_at_the_end(void *arg)
{
    CHECK(cor_sim_check(is_below_five, arg) == 0);
    ((counted *)arg)->value = 5;
    return 0;
}

static void checks_are_made_at_the_end_too(void **state)
{
    char text[4096];
    counted of = {0};
    (void)state;
    assert_int_equal(run_reported(&(cor_sim_options){0}, set_at_the_end, &of, text, sizeof(text)), -77);
    assert_non_null(strstr(text, "a check failed\n"));
}

static int too_many_checks(void *arg)
{
    for (int i = 0; i < 64; i++) {
        CHECK(cor_sim_check(is_below_five, arg) == 0);
    }
    CHECK(cor_sim_check(is_below_five, arg) == -ENOSPC);
    return 0;
}

static void checks_are_limited(void **state)
{
    counted of = {0};
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, too_many_checks, &of, NULL), 0);
    assert_int_equal(of.calls, 64);
    assert_int_equal(cor_sim_check(is_below_five, &of), COR_ENOT_TASK);
}

static void sleep_on(void *arg)
{
    (void)cor_sleep(*(int64_t *)arg);
}

static int leave_a_sleeper(void *arg)
{
    int host = cor_sim_host("sleeper", "10.0.0.9");
    return cor_sim_go(host, sleep_on, arg);
}

/* A task may end a moment after main_task, but not an hour. */
static void a_task_that_is_left_is_a_failure(void **state)
{
    char text[4096];
    int64_t pause = COR_SECOND, hour = 60 * COR_MINUTE;
    (void)state;
    cor_sim_options options = {.must_end = true};
    assert_int_equal(run_reported(&options, leave_a_sleeper, &pause, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_int_equal(run_reported(&options, leave_a_sleeper, &hour, text, sizeof(text)), COR_ELEAK);
    assert_non_null(strstr(text, "simulation: seed 7, at 6"));
    assert_non_null(strstr(text, "tasks or connections are left\n"));
    assert_non_null(strstr(text, "[sleep, "));
    assert_non_null(strstr(text, "    spawned at "));
    assert_int_equal(run_reported(&(cor_sim_options){0}, leave_a_sleeper, &hour, text, sizeof(text)), 0);
}

static int leave_open(void *arg)
{
    cor_listener *listener;
    cor_conn *dialed, *accepted;
    CHECK(cor_listen(&listener, "tcp", "127.0.0.1:80", NULL) == 0);
    if (*(int *)arg == 0) {
        return 0;
    }
    CHECK(cor_dial(&dialed, "tcp", "127.0.0.1:80", NULL) == 0);
    CHECK(cor_accept(listener, &accepted) == 0);
    CHECK(cor_listener_close(listener) == 0 && cor_close(accepted) == 0);
    return 0;
}

static void what_is_left_open_is_a_failure(void **state)
{
    char text[4096];
    int listener = 0, connection = 1;
    (void)state;
    cor_sim_options options = {.must_end = true};
    assert_int_equal(run_reported(&options, leave_open, &listener, text, sizeof(text)), COR_ELEAK);
    assert_non_null(strstr(text, "listener of host main: 127.0.0.1:80\n"));
    assert_int_equal(run_reported(&options, leave_open, &connection, text, sizeof(text)), COR_ELEAK);
    assert_null(strstr(text, "listener of"));
    assert_non_null(strstr(text, "connection of host main: 127.0.0.1:32768 -> 127.0.0.1:80\n"));
}

static int wait_for_nobody(void *arg)
{
    cor_waitgroup *group = arg;
    cor_waitgroup_add(group, 1);
    return cor_waitgroup_wait(group, 0);
}

static void a_deadlock_is_reported_where_the_options_say(void **state)
{
    char text[4096];
    cor_waitgroup group = {0};
    (void)state;
    assert_int_equal(run_reported(&(cor_sim_options){0}, wait_for_nobody, &group, text, sizeof(text)), COR_EDEADLOCK);
    assert_non_null(strstr(text, "deadlock!\n"));
    assert_non_null(strstr(text, "]: main"));
    group = (cor_waitgroup){0};
    assert_int_equal(cor_sim_run(1, &(cor_sim_options){.report_fd = -1}, wait_for_nobody, &group, NULL), COR_EDEADLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_that_fails_ends_the_run),
        cmocka_unit_test(checks_are_made_at_the_end_too),
        cmocka_unit_test(checks_are_limited),
        cmocka_unit_test(a_task_that_is_left_is_a_failure),
        cmocka_unit_test(what_is_left_open_is_a_failure),
        cmocka_unit_test(a_deadlock_is_reported_where_the_options_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The rate of events: so many lines a second of each, the others told once, and nothing left out that must not be. */
/* sources: cmd/coracle/log_rate.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "log_events.h"
#include "log_rate.h"

enum { MORE = 7 };

static char told_event[32], told_reason[32];
static uint64_t told_lines, told_times;

static void tell(const char *event, const char *reason, uint64_t lines)
{
    strncpy(told_event, event, sizeof(told_event) - 1);
    strncpy(told_reason, reason != NULL ? reason : "none", sizeof(told_reason) - 1);
    told_lines = lines;
    told_times++;
}

static int forget(void **state)
{
    bool waiting;
    (void)state;
    (void)log_rate_settle(0, true, tell, &waiting);
    told_times = 0;
    return 0;
}

static int admitted_for(const char *event, const char *reason, time_t second, int count)
{
    int admitted = 0;
    for (int i = 0; i < count; i++) {
        if (log_rate_admits(event, second)) {
            admitted++;
        } else {
            log_rate_left_out(event, reason, second);
        }
    }
    return admitted;
}

static int admitted(const char *event, time_t second, int count)
{
    return admitted_for(event, NULL, second, count);
}

static void test_a_second_s_lines(void **state)
{
    bool waiting;
    (void)state;
    assert_int_equal(admitted("slow", 10, LOG_RATE_PER_SECOND + MORE), LOG_RATE_PER_SECOND);
    assert_int_equal(admitted("queue_cut", 10, MORE), MORE);
    assert_false(log_rate_settle(10, false, tell, &waiting));
    assert_true(waiting);
    assert_true(log_rate_settle(11, false, tell, &waiting));
    assert_false(waiting);
    assert_string_equal(told_event, "slow");
    assert_string_equal(told_reason, "none");
    assert_int_equal(told_lines, MORE);
    assert_int_equal(told_times, 1);
    assert_false(log_rate_settle(12, true, tell, &waiting));
    assert_int_equal(admitted("slow", 11, LOG_RATE_PER_SECOND + 1), LOG_RATE_PER_SECOND);
}

/* What was left out is told when the clock has been set back, too, and for each second while more comes. */
static void test_nothing_is_forgotten(void **state)
{
    bool waiting;
    (void)state;
    assert_int_equal(admitted("slow", 100, LOG_RATE_PER_SECOND + MORE), LOG_RATE_PER_SECOND);
    assert_int_equal(admitted("slow", 50, LOG_RATE_PER_SECOND + MORE), LOG_RATE_PER_SECOND);
    assert_true(log_rate_settle(50, false, tell, &waiting));
    assert_int_equal(told_lines, MORE);
    assert_true(waiting);
    assert_int_equal(admitted("slow", 51, LOG_RATE_PER_SECOND + 1), LOG_RATE_PER_SECOND);
    assert_true(log_rate_settle(51, true, tell, &waiting));
    assert_int_equal(told_lines, MORE + 1);
    assert_false(waiting);
}

/* Lines of two workers around the turn of a second: neither has more of them for that. */
static void test_out_of_order(void **state)
{
    int earlier = 0, later = 0;
    (void)state;
    for (int i = 0; i < 2 * LOG_RATE_PER_SECOND; i++) {
        earlier += admitted("slow", 30, 1);
        later += admitted("slow", 31, 1);
    }
    assert_int_equal(earlier, LOG_RATE_PER_SECOND);
    assert_int_equal(later, LOG_RATE_PER_SECOND);
}

static char all_told[128];

static void list(const char *event, const char *reason, uint64_t lines)
{
    size_t used = strlen(all_told);
    (void)snprintf(all_told + used, sizeof(all_told) - used, "%s %s %d, ", event, reason, (int)lines);
}

/* The reasons share the event's lines; what is left out is told for each. */
static void test_reasons_are_counted(void **state)
{
    bool waiting;
    (void)state;
    assert_int_equal(admitted_for("closed", "eof", 20, LOG_RATE_PER_SECOND - 1), LOG_RATE_PER_SECOND - 1);
    assert_int_equal(admitted_for("closed", "reset", 20, MORE), 1);
    assert_int_equal(admitted_for("closed", "eof", 20, MORE), 0);
    assert_true(log_rate_settle(21, false, list, &waiting));
    assert_string_equal(all_told, "closed reset 6, closed eof 7, ");
    assert_false(log_rate_settle(22, true, tell, &waiting));
}

static void test_some_are_always_written(void **state)
{
    bool waiting;
    (void)state;
    assert_int_equal(admitted("reasons", 10, 10 * LOG_RATE_PER_SECOND), 10 * LOG_RATE_PER_SECOND);
    assert_int_equal(admitted("suppressed", 10, 10 * LOG_RATE_PER_SECOND), 10 * LOG_RATE_PER_SECOND);
    assert_int_equal(admitted("what is this", 10, 10 * LOG_RATE_PER_SECOND), 10 * LOG_RATE_PER_SECOND);
    assert_false(log_rate_settle(11, true, tell, &waiting));
    assert_false(waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_second_s_lines, forget),
        cmocka_unit_test_setup(test_nothing_is_forgotten, forget),
        cmocka_unit_test_setup(test_out_of_order, forget),
        cmocka_unit_test_setup(test_reasons_are_counted, forget),
        cmocka_unit_test_setup(test_some_are_always_written, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The conditions of --assert: every metric, operator and unit; what is wrong is pointed at; the defaults. */
/* sources: cmd/coracle/bench/asserts.c cmd/coracle/parse.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/asserts.h"

#include <stdio.h>
#include <string.h>

static void test_one_of_each(void **state)
{
    static const struct {
        const char *text;
        metric metric;
        comparison comparison;
        double limit;
    } cases[] = {
        {"p50<5ms", METRIC_P50, LESS, 5e6},
        {"p90<=1.5s", METRIC_P90, LESS_EQUAL, 1.5e9},
        {"p99>100us", METRIC_P99, GREATER, 1e5},
        {"p99.9>=7ns", METRIC_P999, GREATER_EQUAL, 7},
        {"p99.99=0", METRIC_P9999, EQUAL, 0},
        {"max<1m", METRIC_MAX, LESS, 6e10},
        {"mean<2ms", METRIC_MEAN, LESS, 2e6},
        {"rate>100k", METRIC_RATE, GREATER, 1e5},
        {"rate>=1.5M", METRIC_RATE, GREATER_EQUAL, 1.5e6},
        {"errors=0", METRIC_ERRORS, EQUAL, 0},
        {"starved<=3", METRIC_STARVED, LESS_EQUAL, 3},
        {"wrong<2", METRIC_WRONG, LESS, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conditions read = {0};
        conditions_error error;
        assert_true(conditions_parse(cases[i].text, &read, &error));
        assert_int_equal(read.count, 1);
        assert_int_equal(read.list[0].metric, cases[i].metric);
        assert_int_equal(read.list[0].comparison, cases[i].comparison);
        assert_true(read.list[0].limit == cases[i].limit);
        assert_string_equal(read.list[0].text, cases[i].text);
    }
}

static void test_lists(void **state)
{
    struct conditions read = {0};
    conditions_error error;
    (void)state;
    assert_true(conditions_parse("p99<5ms, errors=0,rate>2k", &read, &error));
    assert_int_equal(read.count, 3);
    assert_int_equal(read.list[1].metric, METRIC_ERRORS);
    assert_string_equal(read.list[1].text, "errors=0");
    assert_true(read.list[2].limit == 2000);
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *text;
        size_t at;
        const char *reason;
    } cases[] = {
        {"", 0, "metric"},
        {"p98<5ms", 0, "metric"},
        {"p99 <5ms", 0, "metric"},
        {"errors=0,p98<5ms", 9, "metric"},
        {"errors=0,", 9, "metric"},
        {"p99", 3, "< <= > >= ="},
        {"p99<5", 4, "duration"},
        {"p99<=", 5, "duration"},
        {"p99==5ms", 4, "duration"},
        {"p99<5ms ", 4, "duration"},
        {"rate>5ms", 5, "number"},
        {"rate>-5", 5, "number"},
        {"errors=0, rate>x", 15, "number"},
        {"rate>1kk", 5, "number"},
        {"rate>10000000000000000000000000000000000", 0, "characters"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conditions read = {.count = 77};
        conditions_error error;
        assert_false(conditions_parse(cases[i].text, &read, &error));
        assert_int_equal(error.at, cases[i].at);
        assert_non_null(strstr(error.reason, cases[i].reason));
        assert_int_equal(read.count, 77);
    }
}

static void test_too_many(void **state)
{
    char text[(CONDITIONS_MAX + 1) * 10] = "";
    struct conditions read = {0};
    conditions_error error;
    (void)state;
    for (size_t i = 0; i < CONDITIONS_MAX; i++) {
        snprintf(text + 9 * i, sizeof(text) - 9 * i, "errors=0,");
    }
    text[9 * CONDITIONS_MAX - 1] = '\0';
    assert_true(conditions_parse(text, &read, &error));
    assert_int_equal(read.count, CONDITIONS_MAX);
    snprintf(text + 9 * CONDITIONS_MAX - 1, 10, ",wrong=0");
    assert_false(conditions_parse(text, &read, &error));
    assert_int_equal(error.at, 9 * CONDITIONS_MAX);
}

static void test_judging(void **state)
{
    static const bool holds[][3] = {
        [LESS] = {true, false, false},         [LESS_EQUAL] = {true, true, false}, [GREATER] = {false, false, true},
        [GREATER_EQUAL] = {false, true, true}, [EQUAL] = {false, true, false},
    };
    (void)state;
    for (int op = LESS; op <= EQUAL; op++) {
        condition of = {.metric = METRIC_RATE, .comparison = (comparison)op, .limit = 10};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(condition_holds(&of, 9 + i), holds[op][i]);
        }
    }
}

static void test_defaults(void **state)
{
    struct conditions read = {0};
    conditions_error error;
    (void)state;
    assert_true(conditions_parse("errors<5", &read, &error));
    conditions_default_zero(&read, METRIC_ERRORS);
    conditions_default_zero(&read, METRIC_WRONG);
    assert_int_equal(read.count, 2);
    assert_string_equal(read.list[1].text, "wrong=0");
    assert_true(condition_holds(&read.list[1], 0));
    assert_false(condition_holds(&read.list[1], 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_each), cmocka_unit_test(test_lists),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_many),    cmocka_unit_test(test_judging), cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

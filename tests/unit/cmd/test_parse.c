/* SPDX-License-Identifier: MIT */
/* Values of options: durations, sizes, counts, and every way to get them wrong. */
/* sources: cmd/coracle/parse.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parse.h"

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"500ms", 500000000},
        {"2s", 2000000000},
        {"5m", INT64_C(300000000000)},
        {"1h", INT64_C(3600000000000)},
        {"1m30s", INT64_C(90000000000)},
        {"1.5s", 1500000000},
        {"0.25ms", 250000},
        {"100us", 100000},
        {"7ns", 7},
        {"1.9ns", 1},
        {"3µs", 3000},
        {"1.123456789123h", INT64_C(4044444440400)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = -1;
        assert_true(parse_duration(cases[i].text, &ns));
        assert_int_equal(ns, cases[i].ns);
    }
}

static void test_bad_durations(void **state)
{
    static const char *const cases[] = {
        "",     "5",   "s",   "-1s", "+1s",  " 1s",  "1s ",      "1 s",
        "1x",   "1ss", "1s2", ".5s", "0x1s", "1e3s", "3000000h", "99999999999999999999s",
        "1msx",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = -7;
        assert_false(parse_duration(cases[i], &ns));
        assert_int_equal(ns, -7);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {
        {"0", 0},        {"4096", 4096},    {"7b", 7},       {"64k", 65536},   {"64K", 65536},     {"64KiB", 65536},
        {"64kB", 64000}, {"1MiB", 1048576}, {"2M", 2097152}, {"2MB", 2000000}, {"1g", 1073741824},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = 1;
        assert_true(parse_size(cases[i].text, &bytes));
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_bad_sizes(void **state)
{
    static const char *const cases[] = {
        "", "k", "-1", "+1", "1.5k", "1kk", "1 k", "1kib2", "99999999999999999999", "99999999999G"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = 7;
        assert_false(parse_size(cases[i], &bytes));
        assert_int_equal(bytes, 7);
    }
}

static void test_counts(void **state)
{
    uint64_t count = 0;
    (void)state;
    assert_true(parse_count("256", 1, 256, &count));
    assert_int_equal(count, 256);
    assert_false(parse_count("257", 1, 256, &count));
    assert_false(parse_count("0", 1, 256, &count));
    assert_false(parse_count("-1", 0, 256, &count));
    assert_false(parse_count("1x", 0, 256, &count));
    assert_false(parse_count("", 0, 256, &count));
    assert_int_equal(count, 256);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        double number;
    } cases[] = {{"0", 0}, {"1000", 1000}, {"2.5k", 2500}, {"10M", 1e7}, {"1G", 1e9}, {"0.25", 0.25}, {"7.", 7}};
    static const char *const bad[] = {"", "k", "-1", ".5", "1kk", "1k5", "1 k", "1K", "1e3", "0x1", "1.5.5"};
    double number = 7;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(parse_number(bad[i], &number));
        assert_true(number == 7);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(parse_number(cases[i].text, &number));
        assert_true(number == cases[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations), cmocka_unit_test(test_bad_durations), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_sizes), cmocka_unit_test(test_counts),        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

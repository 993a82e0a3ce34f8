/* SPDX-License-Identifier: MIT */
/* When messages are due: evenly spread, exact after a long time, all at once in a closed loop. */
/* sources: cmd/coracle/bench/hist.c */
/* link: -lm */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/schedule.h"

#define SECOND INT64_C(1000000000)

static void test_even(void **state)
{
    struct schedule by = {.start_ns = 5 * SECOND, .interval_ns = 1e9 / 4, .open = true};
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(schedule_due(&by, i), 5 * SECOND + (int64_t)i * SECOND / 4);
    }
}

static void test_no_drift(void **state)
{
    struct schedule by = {.start_ns = 1000 * SECOND, .interval_ns = 1e9 / 3e6, .open = true};
    (void)state;
    /* A day at 3 million a second. */
    uint64_t count = UINT64_C(86400) * 3000000;
    int64_t off = schedule_due(&by, count) - (1000 + 86400) * SECOND;
    assert_true(off >= -100 && off <= 100);
    for (uint64_t i = count; i < count + 1000; i++) {
        int64_t step = schedule_due(&by, i + 1) - schedule_due(&by, i);
        assert_true(step >= 317 && step <= 350);
    }
}

static void test_closed(void **state)
{
    struct schedule by = {.start_ns = 7};
    (void)state;
    assert_int_equal(schedule_due(&by, 0), 7);
    assert_int_equal(schedule_due(&by, UINT64_C(1) << 50), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_no_drift),
        cmocka_unit_test(test_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The latency histogram against sorted arrays: quantiles within 1 %, never below; merging; the ends of its range. */
/* sources: cmd/coracle/bench/hist.c */
/* link: -lm */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/hist.h"

#include <math.h>
#include <stdlib.h>

enum { VALUES = 100000 };
static const double parts[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

static hist *new_hist(void)
{
    hist *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    return made;
}

static uint64_t random_state = 1;

static uint64_t random_bits(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state >> 11;
}

/* Values of all sizes below 2^bits, each size about as often. */
static uint64_t random_value(int bits)
{
    return random_bits() >> (53 - bits + (int)(random_bits() % (uint64_t)bits));
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Quantiles of the sorted values, exactly. */
static uint64_t exact_quantile(const uint64_t *values, size_t count, double part)
{
    size_t rank = (size_t)ceil(part * (double)count);
    return values[rank < 1 ? 0 : rank - 1];
}

static void check_quantiles(const hist *of, uint64_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t exact = exact_quantile(values, count, parts[i]);
        uint64_t found = hist_quantile(of, parts[i]);
        assert_true(found >= exact);
        assert_true((double)found <= (double)exact * 1.01);
    }
}

static void test_quantiles(void **state)
{
    static uint64_t values[VALUES];
    (void)state;
    for (int bits = 8; bits <= HIST_TOP_BIT; bits += 17) {
        hist *of = new_hist();
        double sum = 0;
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = random_value(bits);
            sum += (double)values[i];
            hist_add(of, (int64_t)values[i]);
        }
        assert_int_equal(of->total, VALUES);
        assert_true(fabs(hist_mean(of) - sum / VALUES) <= sum / VALUES * 1e-9);
        check_quantiles(of, values, VALUES);
        assert_int_equal(of->max, values[VALUES - 1]);
        assert_int_equal(hist_quantile(of, 1), values[VALUES - 1]);
        free(of);
    }
}

static void test_every_bucket_edge(void **state)
{
    (void)state;
    for (int bit = 0; bit < HIST_TOP_BIT - 1; bit++) {
        for (int64_t near = -1; near <= 1; near++) {
            int64_t value = (INT64_C(1) << bit) + near;
            hist *of = new_hist();
            hist_add(of, value);
            hist_add(of, INT64_C(1) << (HIST_TOP_BIT - 1));
            uint64_t found = hist_quantile(of, 0.5);
            assert_true((int64_t)found >= value && (double)found <= (double)value * 1.01);
            assert_int_equal(hist_count_to(of, found), 1);
            free(of);
        }
    }
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    hist *of = new_hist();
    for (int64_t value = 0; value < 2 * HIST_SUBS; value++) {
        hist_add(of, value);
    }
    for (int value = 0; value < 2 * HIST_SUBS; value++) {
        assert_int_equal(hist_quantile(of, (value + 1.0) / (2 * HIST_SUBS)), value);
        assert_int_equal(hist_count_to(of, (uint64_t)value), value + 1);
    }
    free(of);
}

static void test_beyond_the_range(void **state)
{
    (void)state;
    hist *of = new_hist();
    hist_add(of, -5);
    hist_add(of, INT64_MAX);
    assert_int_equal(hist_quantile(of, 0.5), 0);
    assert_int_equal(hist_quantile(of, 1), INT64_MAX);
    assert_int_equal(hist_count_to(of, UINT64_MAX), 2);
    free(of);
}

static void test_empty(void **state)
{
    (void)state;
    hist *of = new_hist();
    assert_int_equal(hist_quantile(of, 0.5), 0);
    assert_true(hist_mean(of) == 0 && hist_deviation(of) == 0);
    free(of);
}

static void test_merge(void **state)
{
    static uint64_t values[VALUES];
    (void)state;
    hist *left = new_hist(), *right = new_hist(), *both = new_hist();
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_value(30);
        hist_add(i % 3 == 0 ? left : right, (int64_t)values[i]);
        hist_add(both, (int64_t)values[i]);
    }
    hist_merge(left, right);
    assert_memory_equal(left, both, sizeof(*left));
    check_quantiles(left, values, VALUES);
    free(left);
    free(right);
    free(both);
}

static void test_deviation(void **state)
{
    (void)state;
    hist *of = new_hist();
    for (int i = 0; i < 1000; i++) {
        hist_add(of, i % 2 == 0 ? 1000000 : 3000000);
    }
    assert_true(fabs(hist_deviation(of) - 1000000) < 20000);
    free(of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_every_bucket_edge),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_beyond_the_range),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_deviation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The seams of the bottom floor: the clock, randomness, the spin lock, fatal errors. */
/* test: workers=1 */
#include "support/child.h"
#include "support/taskcase.h"

#include "base/clock.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/rand.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static int64_t fixed_clock(void *arg)
{
    return *(int64_t *)arg;
}

static void clock_is_positive_and_never_goes_back(void **state)
{
    (void)state;
    int64_t last = cori_clock_now();
    assert_true(last > 0);
    for (int i = 0; i < 100000; i++) {
        int64_t now = cor_now();
        assert_true(now >= last);
        last = now;
    }
}

static void clock_can_be_replaced(void **state)
{
    (void)state;
    int64_t time = 12345;
    cori_clock_set(fixed_clock, &time);
    assert_int_equal(cor_now(), 12345);
    time = 99;
    assert_int_equal(cor_now(), 99);
    cori_clock_set(NULL, NULL);
    assert_true(cor_now() > 12345);
}

static void after_is_clamped(void **state)
{
    (void)state;
    int64_t time = 1000;
    cori_clock_set(fixed_clock, &time);
    assert_int_equal(cor_after(5), 1005);
    assert_int_equal(cor_after(0), 1000);
    assert_int_equal(cor_after(-7), 1000);
    assert_int_equal(cor_after(INT64_MIN), 1000);
    assert_true(cor_after(INT64_MAX) == INT64_MAX);
    assert_true(cor_after(INT64_MAX - 1000) == INT64_MAX);
    cori_clock_set(NULL, NULL);
}

static int refuse_memory(enum cori_sys_call call)
{
    return call == CORI_SYS_ALLOC ? -ENOMEM : 0;
}

static void memory_can_be_refused(void **state)
{
    (void)state;
    char *kept = cori_malloc(8);
    assert_non_null(kept);
    cori_sys_fault = refuse_memory;
    assert_null(cori_malloc(8));
    assert_null(cori_calloc(1, 8));
    assert_null(cori_aligned_alloc(64, 64));
    assert_null(cori_strdup("text"));
    assert_null(cori_realloc(kept, 16)); /* and what there was stays */
    cori_sys_fault = NULL;
    kept[7] = 'x';
    char *more = cori_realloc(kept, 16);
    assert_non_null(more);
    assert_int_equal(more[7], 'x');
    free(more);
    char *text = cori_strdup("text");
    assert_string_equal(text, "text");
    free(text);
}

static void equal_seeds_give_equal_numbers(void **state)
{
    (void)state;
    cori_rand a, b, other_stream, other_seed;
    cori_rand_init(&a, 7, 3);
    cori_rand_init(&b, 7, 3);
    cori_rand_init(&other_stream, 7, 4);
    cori_rand_init(&other_seed, 8, 3);
    int same_stream = 0, same_seed = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t number = cori_rand_next(&a);
        assert_int_equal(number, cori_rand_next(&b));
        same_stream += number == cori_rand_next(&other_stream);
        same_seed += number == cori_rand_next(&other_seed);
    }
    assert_true(same_stream < 3);
    assert_true(same_seed < 3);
}

/* Chi squared over the buckets stays below the 99.99 % point, for every bucket count a select can have. */
static void numbers_are_uniform(void **state)
{
    (void)state;
    enum { PER_BUCKET = 2000 };
    for (uint32_t limit = 1; limit <= 64; limit++) {
        cori_rand rand;
        cori_rand_init(&rand, 42, limit);
        unsigned seen[64] = {0};
        for (uint32_t i = 0; i < limit * PER_BUCKET; i++) {
            uint32_t number = cori_rand_below(&rand, limit);
            assert_true(number < limit);
            seen[number]++;
        }
        double chi = 0;
        for (uint32_t i = 0; i < limit; i++) {
            double off = (double)seen[i] - PER_BUCKET;
            chi += off * off / PER_BUCKET;
        }
        double freedom = limit - 1, above = chi - freedom - 14; /* five standard deviations, and room for small ones */
        assert_true(above < 0 || above * above < 25 * 2 * freedom);
    }
}

static void kernel_seeds_differ(void **state)
{
    (void)state;
    uint64_t first = cori_rand_seed();
    assert_true(first != cori_rand_seed() || first != cori_rand_seed());
}

enum { LOCK_ROUNDS = 50000, LOCK_THREADS = 4 };
static uint32_t lock_word;
static long guarded;

static void *count_up(void *unused)
{
    (void)unused;
    for (int i = 0; i < LOCK_ROUNDS; i++) {
        cori_spin_lock(&lock_word);
        guarded++;
        cori_spin_unlock(&lock_word);
    }
    return NULL;
}

static void spin_lock_excludes(void **state)
{
    (void)state;
    pthread_t threads[LOCK_THREADS];
    for (int i = 0; i < LOCK_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (int i = 0; i < LOCK_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(guarded, (long)LOCK_ROUNDS * LOCK_THREADS);
    assert_int_equal(lock_word, 0);
}

static int die(void *arg)
{
    (void)arg;
    cori_fatal("sync: unlock of unlocked mutex");
}

static int check_fails(void *arg)
{
    cori_assert(arg != NULL);
    return 0;
}

static void fatal_prints_and_aborts(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(die, NULL, &result));
    assert_int_equal(result.signal_number, SIGABRT);
    assert_string_equal(result.output, "fatal error: sync: unlock of unlocked mutex\n");
    assert_true(child_run(check_fails, NULL, &result));
    assert_int_equal(result.signal_number, SIGABRT);
    assert_non_null(strstr(result.output, "arg != NULL"));
    assert_true(child_run(check_fails, &result, &result));
    assert_int_equal(result.exit_status, 0);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_task_id(), 0);
    assert_int_equal(cor_worker_id(), -1);
    assert_int_equal(cor_sleep(1), COR_ENOT_TASK);
    assert_int_equal(cor_cancelled(), 0);
    cor_yield();
    assert_true(strlen(cor_version()) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_is_positive_and_never_goes_back),
        cmocka_unit_test(clock_can_be_replaced),
        cmocka_unit_test(after_is_clamped),
        cmocka_unit_test(memory_can_be_refused),
        cmocka_unit_test(equal_seeds_give_equal_numbers),
        cmocka_unit_test(numbers_are_uniform),
        cmocka_unit_test(kernel_seeds_differ),
        cmocka_unit_test(spin_lock_excludes),
        cmocka_unit_test(fatal_prints_and_aborts),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

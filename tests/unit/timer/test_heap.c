/* SPDX-License-Identifier: MIT */
/* The timer heap: random operations against a plain table, order of firing, growth, failing memory. */
/* test: workers=1 */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc */
#include "support/faults.h"
#include "support/taskcase.h"

#include "base/rand.h"
#include "timer/heap.h"

#include <errno.h>

enum { TIMERS = 300, OPERATIONS = 60000 };

static cori_timer timers[TIMERS];
static bool inside[TIMERS];

static size_t count_inside(void)
{
    size_t count = 0;
    for (int i = 0; i < TIMERS; i++) {
        count += inside[i];
    }
    return count;
}

static int64_t earliest_inside(void)
{
    int64_t earliest = INT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        if (inside[i] && timers[i].when < earliest) {
            earliest = timers[i].when;
        }
    }
    return earliest;
}

static void check(const cori_heap *heap)
{
    assert_true(cori_heap_valid(heap));
    assert_int_equal(heap->count, count_inside());
    const cori_timer *first = cori_heap_first(heap);
    if (heap->count == 0) {
        assert_null(first);
    } else {
        assert_true(first->when == earliest_inside());
    }
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(timers[i].slot != 0, inside[i]);
    }
}

/* One random step; times from a small range so that equal ones are common. */
static void step(cori_heap *heap, cori_rand *rand)
{
    uint32_t index = cori_rand_below(rand, TIMERS);
    uint32_t what = cori_rand_below(rand, 8);
    if (what < 5) {
        int64_t when = (int64_t)cori_rand_below(rand, 200) - 100;
        assert_int_equal(cori_heap_set(heap, &timers[index], when), 0);
        assert_true(timers[index].when == when);
        inside[index] = true;
    } else if (what < 7) {
        cori_heap_remove(heap, &timers[index]);
        inside[index] = false;
    } else if (heap->count > 0) {
        cori_timer *first = cori_heap_first(heap);
        cori_heap_remove(heap, first);
        inside[first - timers] = false;
    }
}

static void random_operations_match_a_table(void **state)
{
    (void)state;
    cori_heap heap = {0};
    cori_rand rand;
    cori_rand_init(&rand, 20240521, 0);
    memset(timers, 0, sizeof(timers));
    memset(inside, 0, sizeof(inside));
    check(&heap);
    for (int i = 0; i < OPERATIONS; i++) {
        step(&heap, &rand);
        if (i % 16 == 0) {
            check(&heap);
        }
    }
    check(&heap);
    cori_heap_free(&heap);
}

static void comes_out_in_order(void **state)
{
    (void)state;
    cori_heap heap = {0};
    cori_rand rand;
    cori_rand_init(&rand, 5, 0);
    memset(timers, 0, sizeof(timers));
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(cori_heap_set(&heap, &timers[i], cori_rand_next(&rand)), 0);
    }
    int64_t last = INT64_MIN;
    for (int i = 0; i < TIMERS; i++) {
        cori_timer *first = cori_heap_first(&heap);
        assert_non_null(first);
        assert_true(first->when >= last);
        last = first->when;
        cori_heap_remove(&heap, first);
        assert_int_equal(first->slot, 0);
    }
    assert_null(cori_heap_first(&heap));
    cori_heap_free(&heap);
}

static void moving_works_both_ways(void **state)
{
    (void)state;
    cori_heap heap = {0};
    cori_timer three[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cori_heap_set(&heap, &three[i], 10 * (i + 1)), 0);
    }
    assert_int_equal(cori_heap_set(&heap, &three[2], 5), 0);
    assert_ptr_equal(cori_heap_first(&heap), &three[2]);
    assert_int_equal(cori_heap_set(&heap, &three[2], 50), 0);
    assert_ptr_equal(cori_heap_first(&heap), &three[0]);
    assert_int_equal(heap.count, 3);
    assert_int_equal(cori_heap_set(&heap, &three[0], INT64_MAX), 0);
    assert_int_equal(cori_heap_set(&heap, &three[1], INT64_MIN), 0);
    assert_ptr_equal(cori_heap_first(&heap), &three[1]);
    assert_true(cori_heap_valid(&heap));
    cori_heap_free(&heap);
}

static void removing_what_is_not_there(void **state)
{
    (void)state;
    cori_heap heap = {0};
    cori_timer in = {0}, out = {0};
    cori_heap_remove(&heap, &out);
    assert_int_equal(cori_heap_set(&heap, &in, 1), 0);
    cori_heap_remove(&heap, &out);
    assert_int_equal(heap.count, 1);
    cori_heap_remove(&heap, &in);
    cori_heap_remove(&heap, &in);
    assert_int_equal(heap.count, 0);
    cori_heap_free(&heap);
    assert_int_equal(heap.capacity, 0);
}

/* The check itself sees a broken order and a wrong slot. */
static void validity_can_fail(void **state)
{
    (void)state;
    cori_heap heap = {0};
    cori_timer two[2] = {{0}};
    assert_int_equal(cori_heap_set(&heap, &two[0], 1), 0);
    assert_int_equal(cori_heap_set(&heap, &two[1], 2), 0);
    assert_true(cori_heap_valid(&heap));
    two[0].when = 3;
    assert_false(cori_heap_valid(&heap));
    two[0].when = 1;
    two[1].slot = 1;
    assert_false(cori_heap_valid(&heap));
    cori_heap_free(&heap);
}

/* When the array cannot grow the timer is not in, and everything else is as before. */
static void no_memory_to_grow(void **state)
{
    (void)state;
    cori_heap heap = {0};
    memset(timers, 0, sizeof(timers));
    faults_alloc_set(1);
    int rc = cori_heap_set(&heap, &timers[0], 1);
    assert_true(faults_alloc_hit());
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(timers[0].slot, 0);
    size_t used = 0;
    do {
        assert_int_equal(cori_heap_set(&heap, &timers[used], (int64_t)used), 0);
        used++;
    } while (heap.count < heap.capacity);
    for (int failing = 1; failing <= 2; failing++) { /* either array */
        faults_alloc_set(failing);
        assert_int_equal(cori_heap_set(&heap, &timers[used], -1), -ENOMEM);
        assert_true(faults_alloc_hit());
        assert_true(cori_heap_valid(&heap));
    }
    faults_alloc_set(1);
    rc = cori_heap_set(&heap, &timers[used], -1);
    int moved = cori_heap_set(&heap, &timers[used - 1], -2);
    faults_alloc_set(0);
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(moved, 0);
    assert_ptr_equal(cori_heap_first(&heap), &timers[used - 1]);
    assert_int_equal(heap.count, used);
    assert_true(cori_heap_valid(&heap));
    cori_heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_a_table),
        cmocka_unit_test(comes_out_in_order),
        cmocka_unit_test(moving_works_both_ways),
        cmocka_unit_test(removing_what_is_not_there),
        cmocka_unit_test(validity_can_fail),
        cmocka_unit_test(no_memory_to_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Starting tasks: queued and never run at once, order, attributes, numbers, errors, large numbers. */
#include "support/faults.h"
#include "support/taskcase.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static uint32_t ran; /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

static void count_me(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static const cor_options one_worker = {.workers = 1};

/* N304: the spawner goes on; the new task runs when the spawner parks, yields or ends. */
TASK_TEST_WITH(spawned_task_is_queued_and_not_run_at_once, &one_worker)
{
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_EQ(runs(), 0);
    T_EVENTUALLY(runs() == 100, 20 * COR_SECOND);
}

static int order[1000];
static uint32_t order_count; /* one worker: no lock */

static void note_order(void *arg)
{
    order[order_count++] = (int)(intptr_t)arg;
}

TASK_TEST_WITH(tasks_start_in_the_order_of_spawning, &one_worker)
{
    for (intptr_t i = 0; i < 1000; i++) {
        T_CODE(cor_go(note_order, (void *)i), 0);
    }
    T_EVENTUALLY(order_count == 1000, 20 * COR_SECOND);
    for (int i = 0; i < 1000; i++) {
        T_EQ(order[i], i);
    }
}

static void *seen_arg;

static void note_arg(void *arg)
{
    __atomic_store_n(&seen_arg, arg, __ATOMIC_RELEASE);
    count_me(NULL);
}

TASK_TEST(argument_arrives_untouched)
{
    long value;
    T_CODE(cor_go(note_arg, &value), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    T_ASSERT(__atomic_load_n(&seen_arg, __ATOMIC_ACQUIRE) == &value);
}

/* Uses about `bytes` of its stack. */
static __attribute__((noinline)) int dig(size_t bytes)
{
    volatile char hole[1024];
    hole[0] = (char)bytes;
    hole[1023] = hole[0];
    return bytes > sizeof(hole) ? dig(bytes - sizeof(hole)) + hole[1023] : hole[0];
}

static void dig_deep(void *arg)
{
    (void)dig((size_t)(uintptr_t)arg);
    count_me(NULL);
}

TASK_TEST(stack_sizes_of_ones_own)
{
    static const size_t sizes[] = {1, 16 * 1024, 100000, 1 << 20, 8 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t usable = sizes[i] < 16 * 1024 ? 16 * 1024 : sizes[i];
        cor_task_options options = {.name = "digger", .stack_size_bytes = sizes[i]};
        /* A sanitizer's frames are larger. */
        size_t depth = taskcase_is_slow() ? usable / 8 : usable / 2;
        T_CODE(cor_go_with(&options, dig_deep, (void *)(uintptr_t)depth), 0);
    }
    T_EVENTUALLY(runs() == 5, 20 * COR_SECOND);
}

TASK_TEST(bad_stack_size_is_refused)
{
    cor_task_options options = {.stack_size_bytes = (8 << 20) + 1};
    T_CODE(cor_go_with(&options, count_me, NULL), -EINVAL);
    options.stack_size_bytes = SIZE_MAX;
    T_CODE(cor_go_with(&options, count_me, NULL), -EINVAL);
    T_CODE(cor_go_with(NULL, count_me, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
}

enum { MOST_IDS = 3000 };
static uint64_t ids[MOST_IDS];

static void note_id(void *arg)
{
    uint64_t id = cor_task_id();
    cor_yield();
    T_ASSERT(id == cor_task_id());
    ids[(intptr_t)arg] = id;
    count_me(NULL);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

TASK_TEST(numbers_are_unique_and_constant)
{
    uint32_t count = taskcase_scale(MOST_IDS);
    uint64_t own = cor_task_id();
    T_ASSERT(own != 0);
    for (intptr_t i = 0; i < (intptr_t)count; i++) {
        T_CODE(cor_go(note_id, (void *)i), 0);
    }
    T_EVENTUALLY(runs() == count, 20 * COR_SECOND);
    T_ASSERT(cor_task_id() == own);
    qsort(ids, count, sizeof(ids[0]), compare_ids);
    for (uint32_t i = 0; i < count; i++) {
        T_ASSERT(ids[i] != 0 && ids[i] != own && (i == 0 || ids[i] != ids[i - 1]));
    }
}

static _Thread_local int thread_local_mark;

/* A task never changes its thread once it has run: thread-locals and errno behave. */
static void stay_put(void *arg)
{
    (void)arg;
    int worker = cor_worker_id();
    pthread_t thread = pthread_self();
    int *mark = &thread_local_mark;
    for (int i = 0; i < 50; i++) {
        cor_yield();
        T_CODE(cor_sleep(10 * COR_MICROSECOND), 0);
        T_EQ(cor_worker_id(), worker);
        T_ASSERT(pthread_equal(thread, pthread_self()));
        T_ASSERT(mark == &thread_local_mark);
    }
    count_me(NULL);
}

TASK_TEST(a_task_stays_on_its_worker)
{
    for (int i = 0; i < 50; i++) {
        T_CODE(cor_go(stay_put, NULL), 0);
    }
    stay_put(NULL);
    T_EVENTUALLY(runs() == 51, 20 * COR_SECOND);
}

static void nest(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    count_me(NULL);
    if (depth > 0) {
        T_CODE(cor_go(nest, (void *)(depth - 1)), 0);
        T_CODE(cor_go(nest, (void *)(depth - 1)), 0);
    }
}

TASK_TEST(tasks_spawn_tasks)
{
    T_CODE(cor_go(nest, (void *)(intptr_t)10), 0);
    T_EVENTUALLY(runs() == 2047, 20 * COR_SECOND);
}

TASK_TEST(a_hundred_thousand_tasks)
{
    uint32_t total = taskcase_scale(100000);
    for (uint32_t i = 1; i <= total; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
        if (i % 1000 == 0 || i == total) {
            T_EVENTUALLY(runs() == i, 20 * COR_SECOND);
        }
    }
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    T_ASSERT(stats.spawned >= total);
}

static uint32_t gate;

static void wait_at_gate(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) == 0) {
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    count_me(NULL);
}

TASK_TEST(many_tasks_alive_at_once)
{
    uint32_t total = taskcase_scale(5000);
    for (uint32_t i = 0; i < total; i++) {
        T_CODE(cor_go(wait_at_gate, NULL), 0);
    }
    cor_runtime_stats stats;
    T_EVENTUALLY(cor_stats(&stats) == 0 && stats.tasks == total + 1, 20 * COR_SECOND);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == total, 20 * COR_SECOND);
}

/* One worker: the fault hook must not change under the feet of another. */
static const cor_options few_stacks = {.workers = 1};

/* A stack of its own size is had at once. On failure nothing was started, and later spawns work again. */
TASK_TEST_WITH(no_stack_of_its_own_gives_enomem, &few_stacks)
{
    static const cor_task_options large = {.stack_size_bytes = 1 << 20};
    uint32_t started = 0;
    int rc = 0;
    faults_set_run(CORI_SYS_MMAP, 1, UINT32_MAX, -ENOMEM);
    while (started < 1000 && (rc = cor_go_with(&large, wait_at_gate, NULL)) == 0) {
        started++;
    }
    T_CODE(rc, -ENOMEM);
    T_ASSERT(faults_hit());
    faults_clear();
    T_CODE(cor_go_with(&large, wait_at_gate, NULL), 0);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == started + 1, 20 * COR_SECOND);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_go(count_me, NULL), COR_ENOT_TASK);
    assert_int_equal(cor_go_with(NULL, count_me, NULL), COR_ENOT_TASK);
    assert_int_equal(cor_go_foreign(count_me, NULL), COR_ENOT_TASK);
    assert_int_equal(runs(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawned_task_is_queued_and_not_run_at_once),
        cmocka_unit_test(tasks_start_in_the_order_of_spawning),
        cmocka_unit_test(argument_arrives_untouched),
        cmocka_unit_test(stack_sizes_of_ones_own),
        cmocka_unit_test(bad_stack_size_is_refused),
        cmocka_unit_test(numbers_are_unique_and_constant),
        cmocka_unit_test(a_task_stays_on_its_worker),
        cmocka_unit_test(tasks_spawn_tasks),
        cmocka_unit_test(a_hundred_thousand_tasks),
        cmocka_unit_test(many_tasks_alive_at_once),
        cmocka_unit_test(no_stack_of_its_own_gives_enomem),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Starting and ending tasks under load: trees, storms, mixed stack sizes, foreign threads; each runs exactly once. */
#include "support/taskcase.h"

#include "base/rand.h"
#include "sched/park.h"

#include <pthread.h>

enum { STORM_TASKS = 20000, FOREIGN_THREADS = 3 };

static uint8_t seen[STORM_TASKS]; /* atomic: how often each has run */
static uint32_t ran;              /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

static void mark(void *arg)
{
    uintptr_t own = (uintptr_t)arg;
    T_EQ(__atomic_add_fetch(&seen[own], 1, __ATOMIC_ACQ_REL), 1);
    if (own % 3 == 0) {
        cor_yield();
    }
    if (own % 97 == 0) {
        T_CODE(cor_sleep((int64_t)(own % 1000) * 100), 0);
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static uint32_t next_number; /* atomic */

static void spawn_batch(void *arg)
{
    uint32_t wanted = *(uint32_t *)arg;
    cori_rand rand;
    cori_rand_init(&rand, cor_task_id(), 9);
    for (uint32_t number; (number = __atomic_fetch_add(&next_number, 1, __ATOMIC_RELAXED)) < wanted;) {
        static const size_t sizes[] = {0, 0, 0, 0, 0, 0, 16384, 131072};
        cor_task_options options = {.stack_size_bytes = sizes[cori_rand_below(&rand, 8)]};
        T_CODE(cor_go_with(&options, mark, (void *)(uintptr_t)number), 0);
        if (number % 64 == 0) {
            T_EVENTUALLY(number < runs() + 2000, 30 * COR_SECOND); /* so that stacks are used again */
        }
    }
}

TASK_TEST(a_storm_from_many_sides)
{
    uint32_t wanted = taskcase_scale(STORM_TASKS);
    cor_group group = {0};
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_group_go(&group, spawn_batch, &wanted), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EVENTUALLY(runs() == wanted, 30 * COR_SECOND);
    for (uint32_t i = 0; i < wanted; i++) {
        T_EQ(seen[i], 1);
    }
}

/* Each member of a group is a record for long; cancelled or not, each runs, and sees which. */
static uint32_t cancelled_seen;

static void ask(void *arg)
{
    (void)arg;
    if (cor_sleep((int64_t)(cor_task_id() % 7) * COR_MICROSECOND) == COR_ECANCELED) {
        __atomic_add_fetch(&cancelled_seen, 1, __ATOMIC_ACQ_REL);
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static void spawn_without_a_pause(void *arg)
{
    uint32_t each = *(uint32_t *)arg;
    static const cor_task_options own[] = {{.name = "named"}, {.stack_size_bytes = 16384}, {0}};
    cor_group group = {0};
    for (uint32_t i = 0; i < each; i++) {
        T_CODE(i % 50 == 0   ? cor_go_with(&own[i / 50 % 3], ask, NULL)
               : i % 3 == 0  ? cor_group_go(&group, ask, NULL)
               : i % 16 == 1 ? cor_go_foreign(ask, NULL)
                             : cor_go(ask, NULL),
               0);
    }
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
}

TASK_TEST(storms_without_a_pause)
{
    enum { SPAWNERS = 8 };
    for (int round = 1; round <= (taskcase_is_slow() ? 2 : 3); round++) {
        uint32_t each = taskcase_scale(CORI_TSAN ? 10000 : 20000);
        cor_group group = {0};
        for (int i = 0; i < SPAWNERS; i++) {
            T_CODE(cor_group_go(&group, spawn_without_a_pause, &each), 0);
        }
        T_CODE(cor_group_wait(&group, 0), 0);
        T_EVENTUALLY(runs() == (uint32_t)round * SPAWNERS * each, 60 * COR_SECOND);
    }
    T_ASSERT(__atomic_load_n(&cancelled_seen, __ATOMIC_ACQUIRE) > 0);
}

/* A tree of groups: every inner node waits for its children. */
static void grow(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    if (depth == 0) {
        return;
    }
    cor_group group = {0};
    for (int i = 0; i < 3; i++) {
        T_CODE(cor_group_go(&group, grow, (void *)(depth - 1)), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
}

TASK_TEST(trees_of_groups)
{
    uint32_t rounds = taskcase_scale(10);
    for (uint32_t round = 1; round <= rounds; round++) {
        grow((void *)(intptr_t)6);
        T_EQ(runs(), round * 1093); /* 1 + 3 + 9 + ... + 729 */
    }
}

static uint32_t foreign_wanted;

static void *spawn_from_outside(void *arg)
{
    for (uint32_t number; (number = __atomic_fetch_add(&next_number, 1, __ATOMIC_RELAXED)) < foreign_wanted;) {
        T_CODE(cor_go_foreign(mark, (void *)(uintptr_t)number), 0);
        while (number > runs() + 2000) {
            sched_yield();
        }
    }
    return arg;
}

static const cor_options foreign = {.foreign_wakeups = true};

TASK_TEST_WITH(foreign_threads_and_tasks_together, &foreign)
{
    pthread_t threads[FOREIGN_THREADS];
    foreign_wanted = taskcase_scale(STORM_TASKS);
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        T_EQ(pthread_create(&threads[i], NULL, spawn_from_outside, NULL), 0);
    }
    spawn_batch(&foreign_wanted);
    T_EVENTUALLY(runs() == foreign_wanted, 30 * COR_SECOND);
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        T_EQ(pthread_join(threads[i], NULL), 0);
    }
}

/* Each level is spawned by the one before: a chain that hops between queues. */
static void relay(void *arg)
{
    intptr_t left = (intptr_t)arg;
    if (left > 0) {
        T_CODE(cor_go(relay, (void *)(left - 1)), 0);
    } else {
        __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    }
}

TASK_TEST(long_chains)
{
    intptr_t length = (intptr_t)taskcase_scale(20000);
    for (int i = 0; i < 8; i++) {
        T_CODE(cor_go(relay, (void *)length), 0);
    }
    T_EVENTUALLY(runs() == 8, 30 * COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_from_many_sides),
        cmocka_unit_test(storms_without_a_pause),
        cmocka_unit_test(trees_of_groups),
        cmocka_unit_test(foreign_threads_and_tasks_together),
        cmocka_unit_test(long_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Wait groups: zero, several waiters, reuse, deadlines, misuse. N339 throughout. */
#include "unit/sync/waiting.h"

static cor_waitgroup group;
static int finished;
static int released;

static void work(void *arg)
{
    (void)arg;
    cor_yield();
    add(&finished, 1);
    cor_waitgroup_done(&group);
}

TASK_TEST(wait_returns_at_zero)
{
    T_OK(cor_waitgroup_wait(&group, 0));
    for (int round = 1; round <= 3; round++) { /* reuse */
        cor_waitgroup_add(&group, 10);
        for (int i = 0; i < 10; i++) {
            T_OK(cor_go(work, NULL));
        }
        T_OK(cor_waitgroup_wait(&group, 0));
        T_EQ(get(&finished), round * 10);
    }
}

static void wait_for_group(void *arg)
{
    (void)arg;
    T_OK(cor_waitgroup_wait(&group, 0));
    add(&released, 1);
}

TASK_TEST(all_waiters_are_released_together)
{
    cor_waitgroup_add(&group, 2);
    for (int i = 0; i < 5; i++) {
        T_OK(cor_go(wait_for_group, NULL));
    }
    T_WAITING(&group.waiters, 5);
    cor_waitgroup_done(&group);
    T_EQ(waiting(&group.waiters), 5);
    T_EQ(get(&released), 0);
    cor_waitgroup_add(&group, -1);
    T_EVENTUALLY(get(&released) == 5, SOON);
}

TASK_TEST(deadline_ends_a_wait)
{
    cor_waitgroup_add(&group, 1);
    int64_t deadline = cor_after(BRIEFLY);
    T_CODE(cor_waitgroup_wait(&group, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_EQ(waiting(&group.waiters), 0);
    cor_waitgroup_done(&group);
    T_OK(cor_waitgroup_wait(&group, cor_after(-1))); /* at zero a passed deadline does not matter */
}

static void wait_and_note(void *arg)
{
    *(int *)arg = cor_waitgroup_wait(&group, 0);
}

TASK_TEST(cancellation_ends_a_wait)
{
    cor_group cancelled = {0};
    int code = 0;
    cor_waitgroup_add(&group, 1);
    T_OK(cor_group_go(&cancelled, wait_and_note, &code));
    T_WAITING(&group.waiters, 1);
    cor_group_cancel(&cancelled);
    T_OK(cor_group_wait(&cancelled, 0));
    T_CODE(code, COR_ECANCELED);
    T_EQ(waiting(&group.waiters), 0);
    cor_waitgroup_done(&group);
}

static int below_zero(void *arg)
{
    (void)arg;
    cor_waitgroup_add(&group, 1);
    cor_waitgroup_done(&group);
    cor_waitgroup_done(&group);
    return 0;
}

static void misuse_is_fatal(void **state)
{
    (void)state;
    expect_fatal(below_zero, "fatal error: sync: negative WaitGroup counter\n");
}

static void outside_a_task(void **state)
{
    (void)state;
    cor_waitgroup_add(&group, 1);
    assert_int_equal(cor_waitgroup_wait(&group, 0), COR_ENOT_TASK);
    cor_waitgroup_done(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_returns_at_zero), cmocka_unit_test(all_waiters_are_released_together),
        cmocka_unit_test(deadline_ends_a_wait), cmocka_unit_test(cancellation_ends_a_wait),
        cmocka_unit_test(misuse_is_fatal),      cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

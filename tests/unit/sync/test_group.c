/* SPDX-License-Identifier: MIT */
/* Groups: waiting, cancelling, deadlines, nesting; who is reached and who is not. N347 throughout. */
#include "support/taskcase.h"

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

/* What the sleepers of a test got. */
static uint32_t cancelled, timed_out, slept; /* atomic */

static void sleep_long(void *arg)
{
    (void)arg;
    count_me(NULL);
    int rc = cor_sleep(COR_MINUTE);
    uint32_t *counter = rc == COR_ECANCELED ? &cancelled : rc == COR_ETIMEOUT ? &timed_out : &slept;
    __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
    T_CODE(cor_cancelled(), rc);
}

static uint32_t load(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void yield_a_bit(void *arg)
{
    for (int i = 0; i < 10; i++) {
        cor_yield();
    }
    count_me(arg);
}

TASK_TEST(wait_for_none)
{
    cor_group group = {0};
    T_CODE(cor_group_wait(&group, 0), 0);
    T_CODE(cor_group_wait(&group, 1), 0); /* empty wins over a passed deadline */
}

TASK_TEST(wait_for_all)
{
    cor_group group = {0};
    for (uint32_t round = 1; round <= 20; round++) { /* and a group can be used again */
        for (int i = 0; i < 50; i++) {
            T_CODE(cor_group_go(&group, yield_a_bit, NULL), 0);
        }
        T_CODE(cor_group_wait(&group, 0), 0);
        T_EQ(runs(), 50 * round);
    }
}

TASK_TEST(wait_times_out_and_can_go_on)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    int64_t deadline = cor_after(2 * COR_MILLISECOND);
    T_CODE(cor_group_wait(&group, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(load(&cancelled), 1);
}

static cor_group shared;

static void wait_for_shared(void *arg)
{
    (void)arg;
    T_CODE(cor_group_wait(&shared, 0), 0);
    T_EQ(load(&cancelled), 10);
    count_me(NULL);
}

TASK_TEST(several_may_wait)
{
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_group_go(&shared, sleep_long, NULL), 0);
    }
    for (int i = 0; i < 5; i++) {
        T_CODE(cor_go(wait_for_shared, NULL), 0);
    }
    T_EVENTUALLY(runs() == 10, 20 * COR_SECOND);
    cor_group_cancel(&shared);
    T_EVENTUALLY(runs() == 15, 20 * COR_SECOND);
    T_CODE(cor_group_wait(&shared, 0), 0);
}

TASK_TEST(cancel_wakes_the_parked)
{
    cor_group group = {0};
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    }
    T_EVENTUALLY(runs() == 100, 20 * COR_SECOND);
    T_CODE(cor_cancelled(), 0);
    int64_t before = cor_now();
    cor_group_cancel(&group);
    cor_group_cancel(&group); /* twice is as once */
    T_CODE(cor_group_wait(&group, 0), 0);
    T_ASSERT(cor_now() - before < 30 * COR_SECOND);
    T_EQ(load(&cancelled), 100);
    T_CODE(cor_cancelled(), 0); /* the canceller is no member */
    T_CODE(cor_sleep(1000), 0);
}

/* A task started in a cancelled group runs, and its first wait says so. */
TASK_TEST(cancelled_group_still_starts)
{
    cor_group group = {0};
    cor_group_cancel(&group);
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(runs(), 1);
    T_EQ(load(&cancelled), 1);
}

static void compute_until_cancelled(void *arg)
{
    count_me(arg);
    int64_t deadline = cor_after(20 * COR_SECOND);
    while (cor_cancelled() == 0) {
        T_ASSERT(cor_now() < deadline);
        cor_yield();
    }
    T_CODE(cor_cancelled(), COR_ECANCELED);
    T_CODE(cor_sleep(0), COR_ECANCELED);
}

TASK_TEST(cancelled_can_be_asked)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, compute_until_cancelled, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
}

TASK_TEST(deadline_ends_waits)
{
    cor_group group = {0};
    int64_t deadline = cor_after(5 * COR_MILLISECOND);
    cor_group_set_deadline(&group, deadline);
    for (int i = 0; i < 20; i++) {
        T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_ASSERT(cor_now() >= deadline);
    T_EQ(load(&timed_out), 20);
}

/* Set while the tasks are parked already; moved forward, moved back, taken away. */
TASK_TEST(deadline_can_be_changed)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    cor_group_set_deadline(&group, cor_after(COR_MINUTE));
    cor_group_set_deadline(&group, cor_after(3 * COR_MILLISECOND));
    cor_group_set_deadline(&group, 0);
    T_CODE(cor_group_wait(&group, cor_after(10 * COR_MILLISECOND)), COR_ETIMEOUT);
    int64_t deadline = cor_after(COR_MILLISECOND);
    cor_group_set_deadline(&group, deadline);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_ASSERT(cor_now() >= deadline);
    T_EQ(load(&timed_out), 1);
}

/* The own deadline of a call and the group's: the earlier one counts. */
static void sleep_short(void *arg)
{
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    count_me(arg);
}

TASK_TEST(group_deadline_is_only_an_upper_limit)
{
    cor_group group = {0};
    cor_group_set_deadline(&group, cor_after(COR_MINUTE));
    T_CODE(cor_group_go(&group, sleep_short, NULL), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(runs(), 1);
}

/* Nesting: parent -> child -> grandchild, each with a sleeper. */

static void grandchild(void *arg)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    (void)arg;
}

static void child(void *arg)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    T_CODE(cor_group_go(&group, grandchild, NULL), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    (void)arg;
}

TASK_TEST(cancelling_reaches_down)
{
    for (int i = 0; i < 20; i++) {
        cor_group group = {0};
        T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
        T_CODE(cor_group_go(&group, child, NULL), 0);
        if (i % 2 == 0) { /* parked already, or still on their way */
            T_EVENTUALLY(runs() == 3 * (uint32_t)i + 3, 20 * COR_SECOND);
        }
        cor_group_cancel(&group);
        T_CODE(cor_group_wait(&group, 0), 0);
        T_EQ(load(&cancelled), 3 * i + 3);
    }
}

TASK_TEST(deadline_reaches_down)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, child, NULL), 0);
    T_EVENTUALLY(runs() == 2, 20 * COR_SECOND);
    cor_group_set_deadline(&group, cor_after(COR_MILLISECOND));
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(load(&timed_out), 2);
}

static void cancel_a_child(void *arg)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0);
    T_EVENTUALLY(runs() >= 2, 20 * COR_SECOND);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_CODE(cor_cancelled(), 0);
    T_CODE(cor_sleep(1000), 0);
    __atomic_store_n((uint32_t *)arg, 1, __ATOMIC_RELEASE);
}

TASK_TEST(cancelling_never_reaches_up)
{
    cor_group group = {0};
    uint32_t done = 0;
    T_CODE(cor_group_go(&group, sleep_long, NULL), 0); /* the sibling */
    T_CODE(cor_group_go(&group, cancel_a_child, &done), 0);
    T_EVENTUALLY(load(&done) == 1, 20 * COR_SECOND);
    T_EQ(load(&cancelled), 1);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(load(&cancelled), 2);
}

/* Tasks that a member starts with cor_go belong to no group. */
static void start_outsider(void *arg)
{
    T_CODE(cor_go(yield_a_bit, arg), 0);
    (void)cor_sleep(COR_MINUTE);
}

TASK_TEST(plain_spawn_leaves_the_group)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, start_outsider, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
}

/* The group may go out of scope as soon as the wait has returned: leaving is the last touch. */
static void one_short_life(void *arg)
{
    for (int i = 0; i < 200; i++) {
        cor_group group = {0};
        T_CODE(cor_group_go(&group, count_me, NULL), 0);
        T_CODE(cor_group_go(&group, count_me, NULL), 0);
        T_CODE(cor_group_wait(&group, 0), 0);
        memset(&group, 0xa5, sizeof(group));
    }
    (void)arg;
}

TASK_TEST(groups_with_short_lives)
{
    cor_group group = {0};
    for (int i = 0; i < 8; i++) {
        T_CODE(cor_group_go(&group, one_short_life, NULL), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(runs(), 8 * 400);
}

static void outside_a_task(void **state)
{
    (void)state;
    cor_group group = {0};
    assert_int_equal(cor_group_go(&group, count_me, NULL), COR_ENOT_TASK);
    assert_int_equal(cor_cancelled(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_for_none),
        cmocka_unit_test(wait_for_all),
        cmocka_unit_test(wait_times_out_and_can_go_on),
        cmocka_unit_test(several_may_wait),
        cmocka_unit_test(cancel_wakes_the_parked),
        cmocka_unit_test(cancelled_group_still_starts),
        cmocka_unit_test(cancelled_can_be_asked),
        cmocka_unit_test(deadline_ends_waits),
        cmocka_unit_test(deadline_can_be_changed),
        cmocka_unit_test(group_deadline_is_only_an_upper_limit),
        cmocka_unit_test(cancelling_reaches_down),
        cmocka_unit_test(deadline_reaches_down),
        cmocka_unit_test(cancelling_never_reaches_up),
        cmocka_unit_test(plain_spawn_leaves_the_group),
        cmocka_unit_test(groups_with_short_lives),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

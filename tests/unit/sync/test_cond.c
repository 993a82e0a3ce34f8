/* SPDX-License-Identifier: MIT */
/* Condition variables: who is woken, that the mutex is held again, deadlines and cancellation. N341 throughout. */
#include "unit/sync/waiting.h"

static cor_mutex mutex;
static cor_cond cond;
static int awake;    /* guard: mutex */
static int order[8]; /* guard: mutex */
static int ready;    /* guard: mutex */

static int awake_now(void)
{
    cor_mutex_lock(&mutex);
    int now = awake;
    cor_mutex_unlock(&mutex);
    return now;
}

static void wait_once(void *arg)
{
    cor_mutex_lock(&mutex);
    T_OK(cor_cond_wait(&cond, &mutex, 0));
    order[awake++] = (int)(intptr_t)arg;
    cor_mutex_unlock(&mutex);
}

static void start_waiters(int count)
{
    for (intptr_t i = 0; i < count; i++) {
        T_OK(cor_go(wait_once, (void *)i));
        T_WAITING(&cond.waiters, i + 1);
    }
}

TASK_TEST(signal_wakes_the_longest_waiter)
{
    start_waiters(4);
    for (int i = 0; i < 4; i++) {
        cor_cond_signal(&cond);
        T_EVENTUALLY(awake_now() == i + 1, SOON);
        T_EQ(waiting(&cond.waiters), 3 - i);
        T_EQ(order[i], i);
    }
    cor_cond_signal(&cond); /* nobody waits: nothing is kept */
    T_EQ(waiting(&cond.waiters), 0);
}

TASK_TEST(broadcast_wakes_all)
{
    start_waiters(6);
    cor_cond_broadcast(&cond);
    T_EVENTUALLY(awake_now() == 6, SOON);
    cor_cond_broadcast(&cond);
    T_EQ(cor_mutex_trylock(&mutex), 1);
    cor_mutex_unlock(&mutex);
}

static void set_ready(void *arg)
{
    (void)arg;
    cor_mutex_lock(&mutex); /* possible only if the waiter has given it back */
    ready = 1;
    cor_cond_signal(&cond);
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
}

TASK_TEST(wait_gives_the_mutex_back_and_takes_it_again)
{
    cor_mutex_lock(&mutex);
    T_OK(cor_go(set_ready, NULL));
    while (!ready) {
        T_OK(cor_cond_wait(&cond, &mutex, 0));
    }
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
}

TASK_TEST(deadline_ends_a_wait_with_the_mutex_held)
{
    cor_mutex_lock(&mutex);
    int64_t deadline = cor_after(BRIEFLY);
    T_CODE(cor_cond_wait(&cond, &mutex, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_ASSERT(!cor_mutex_trylock(&mutex));
    T_EQ(waiting(&cond.waiters), 0);
    T_CODE(cor_cond_wait(&cond, &mutex, cor_after(0)), COR_ETIMEOUT);
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
}

static void wait_cancelled(void *arg)
{
    cor_mutex_lock(&mutex);
    *(int *)arg = cor_cond_wait(&cond, &mutex, 0);
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
}

TASK_TEST(cancellation_ends_a_wait_with_the_mutex_held)
{
    cor_group group = {0};
    int code = 0;
    T_OK(cor_group_go(&group, wait_cancelled, &code));
    T_WAITING(&cond.waiters, 1);
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(code, COR_ECANCELED);
    T_EQ(waiting(&cond.waiters), 0);
    T_EQ(mutex.state, 0);
}

/* A signal never goes to one that has given up. */
TASK_TEST(signal_passes_over_a_timed_out_waiter)
{
    cor_mutex_lock(&mutex);
    T_CODE(cor_cond_wait(&cond, &mutex, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_mutex_unlock(&mutex);
    start_waiters(1);
    cor_cond_signal(&cond);
    T_EVENTUALLY(awake_now() == 1, SOON);
}

static void outside_a_task(void **state)
{
    (void)state;
    cor_mutex_lock(&mutex);
    assert_int_equal(cor_cond_wait(&cond, &mutex, 0), COR_ENOT_TASK);
    cor_mutex_unlock(&mutex);
    cor_cond_signal(&cond);
    cor_cond_broadcast(&cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signal_wakes_the_longest_waiter),
        cmocka_unit_test(broadcast_wakes_all),
        cmocka_unit_test(wait_gives_the_mutex_back_and_takes_it_again),
        cmocka_unit_test(deadline_ends_a_wait_with_the_mutex_held),
        cmocka_unit_test(cancellation_ends_a_wait_with_the_mutex_held),
        cmocka_unit_test(signal_passes_over_a_timed_out_waiter),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

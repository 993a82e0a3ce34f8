/* SPDX-License-Identifier: MIT */
/* The roll call: every worker comes round, or does not. */
#include "support/taskcase.h"

#include <errno.h>

static uint32_t may_end; /* atomic */
static uint32_t computing;

TASK_TEST(all_workers_answer)
{
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_roll_call(cor_after(20 * COR_SECOND)), 0);
    }
}

static int home; /* the worker of the test's task */

/* Computes on another worker than the test's. */
static void compute(void *arg)
{
    if (cor_worker_id() == home) {
        T_CODE(cor_go(compute, arg), 0);
        return;
    }
    __atomic_store_n(&computing, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&may_end, __ATOMIC_ACQUIRE) == 0) {}
}

static uint32_t is_computing(void)
{
    return __atomic_load_n(&computing, __ATOMIC_ACQUIRE);
}

static bool keep_a_worker_busy(void)
{
    cor_runtime_stats stats;
    if (cor_stats(&stats) < 0 || stats.workers == 1) { /* the task itself would not come to ask */
        return false;
    }
    home = cor_worker_id();
    __atomic_store_n(&may_end, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&computing, 0, __ATOMIC_RELEASE);
    T_CODE(cor_go(compute, NULL), 0);
    T_EVENTUALLY(is_computing() != 0, 20 * COR_SECOND);
    return true;
}

TASK_TEST(one_that_computes_does_not)
{
    if (!keep_a_worker_busy()) {
        return;
    }
    T_CODE(cor_roll_call(cor_after(20 * COR_MILLISECOND)), COR_ETIMEOUT);
    T_CODE(cor_roll_call(cor_after(COR_MILLISECOND)), COR_ETIMEOUT); /* its note is on its way still */
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    T_CODE(cor_roll_call(cor_after(20 * COR_SECOND)), 0);
}

static void ask_for_long(void *arg)
{
    int code;
    while ((code = cor_roll_call(0)) == -EBUSY) { /* the test's own */
        cor_yield();
    }
    *(int *)arg = code;
}

/* One task at a time; and cancelling ends the wait. */
TASK_TEST(a_second_caller_is_refused)
{
    cor_group group = {0};
    int first = 1;
    if (!keep_a_worker_busy()) {
        return;
    }
    T_CODE(cor_group_go(&group, ask_for_long, &first), 0);
    T_EVENTUALLY(cor_roll_call(1) == -EBUSY, 20 * COR_SECOND);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_CODE(first, COR_ECANCELED);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    T_CODE(cor_roll_call(cor_after(20 * COR_SECOND)), 0);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_roll_call(0), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_workers_answer),
        cmocka_unit_test(one_that_computes_does_not),
        cmocka_unit_test(a_second_caller_is_refused),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

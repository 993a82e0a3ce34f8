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
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    while (is_computing() == 0) { /* this worker is held meanwhile: another one takes it */
        T_ASSERT(cor_now() < deadline);
    }
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

/* Eight at a time, who do not disturb each other; cancelling ends the wait. */
TASK_TEST(several_may_call)
{
    enum { MOST = 8 };
    cor_group group = {0};
    int codes[MOST];
    if (!keep_a_worker_busy()) {
        return;
    }
    for (int i = 0; i < MOST; i++) {
        codes[i] = 1;
        T_CODE(cor_group_go(&group, ask_for_long, &codes[i]), 0);
    }
    T_EVENTUALLY(cor_roll_call(1) == -EBUSY, 20 * COR_SECOND);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    for (int i = 0; i < MOST; i++) {
        T_CODE(codes[i], COR_ECANCELED);
    }
    T_CODE(cor_roll_call(cor_after(COR_MILLISECOND)), COR_ETIMEOUT);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    T_CODE(cor_roll_call(cor_after(20 * COR_SECOND)), 0);
}

static uint32_t stay; /* atomic */

static void yield_until(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&stay, __ATOMIC_ACQUIRE) != 0) {
        cor_yield();
    }
}

static void park_until(void *arg)
{
    T_ASSERT(cor_chan_recv(arg, NULL, 0) <= 0);
}

/* What each worker counts, together. */
static cor_worker_stats counted(int *silent)
{
    cor_worker_stats each[256], sum = {0};
    int workers = cor_stats_workers(each, 256, cor_after(*silent != 0 ? 20 * COR_MILLISECOND : 20 * COR_SECOND));
    T_ASSERT(workers >= 1);
    *silent = 0;
    for (int i = 0; i < workers; i++) {
        sum.tasks += each[i].tasks;
        sum.fresh += each[i].fresh;
        sum.ready += each[i].ready;
        *silent += each[i].silent;
    }
    return sum;
}

TASK_TEST(tasks_are_counted)
{
    enum { BUSY = 5, PARKED = 7 };
    cor_chan *chan = cor_chan_new(0, 0);
    int silent = 0;
    __atomic_store_n(&stay, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < BUSY + PARKED; i++) {
        T_CODE(cor_go(i < BUSY ? yield_until : park_until, chan), 0);
    }
    T_EVENTUALLY(counted(&silent).ready == BUSY && counted(&silent).fresh == 0, 20 * COR_SECOND);
    T_EQ(counted(&silent).tasks, BUSY + PARKED + 1);
    T_EQ(silent, 0);
    __atomic_store_n(&stay, 0, __ATOMIC_RELEASE);
    cor_chan_close(chan);
    T_EVENTUALLY(counted(&silent).tasks == 1 && counted(&silent).ready == 0, 20 * COR_SECOND);
    cor_chan_free(chan);
}

TASK_TEST(one_that_computes_is_silent)
{
    int silent = 1;
    if (!keep_a_worker_busy()) {
        return;
    }
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    uint64_t tasks;
    do { /* others may have no processor for 20 ms */
        T_ASSERT(cor_now() < deadline);
        silent = 1;
        tasks = counted(&silent).tasks;
        T_ASSERT(silent >= 1);
    } while (silent > 1);
    T_EQ(tasks, 2);
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    silent = 0;
    T_EQ(counted(&silent).tasks <= 2, true);
    T_EQ(silent, 0);
}

static uint32_t rescued; /* atomic */

static void note_rescue(void *unused)
{
    (void)unused;
    __atomic_store_n(&rescued, 1, __ATOMIC_RELEASE);
}

/* A worker without work takes what is queued behind a task that computes. */
TASK_TEST(steals_are_counted)
{
    cor_runtime_stats before, after;
    T_CODE(cor_stats(&before), 0);
    if (before.workers == 1) {
        T_EQ(before.steals, 0);
        return;
    }
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    T_CODE(cor_go(note_rescue, NULL), 0);
    while (__atomic_load_n(&rescued, __ATOMIC_ACQUIRE) == 0) {
        T_ASSERT(cor_now() < deadline);
    }
    T_CODE(cor_stats(&after), 0);
    T_ASSERT(after.steals > before.steals);
}

static int leave_a_caller(void *unused)
{
    static int code;
    (void)unused;
    if (keep_a_worker_busy()) {
        T_CODE(cor_go(ask_for_long, &code), 0);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    __atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
    return 0;
}

static int call_once(void *unused)
{
    (void)unused;
    return cor_roll_call(cor_after(20 * COR_SECOND));
}

/* Callers that a run has left behind are nobody's any more. */
static void the_next_run_begins_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(cor_run(leave_a_caller, NULL, NULL), 0);
        assert_int_equal(cor_run(call_once, NULL, NULL), 0);
    }
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
        cmocka_unit_test(several_may_call),
        cmocka_unit_test(tasks_are_counted),
        cmocka_unit_test(one_that_computes_is_silent),
        cmocka_unit_test(steals_are_counted),
        cmocka_unit_test(the_next_run_begins_anew),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

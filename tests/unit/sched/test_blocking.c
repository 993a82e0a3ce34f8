/* SPDX-License-Identifier: MIT */
/* cor_blocking: runs beside the workers, in parallel up to its limit, and gives the result. */
#include "support/child.h"
#include "support/taskcase.h"

#include "sched/park.h"

#include <pthread.h>
#include <signal.h>

static uint32_t ran; /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

static void count_me(void)
{
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static int add_one(void *arg)
{
    return *(int *)arg + 1;
}

TASK_TEST(gives_the_result)
{
    for (int i = -100; i < 100; i++) {
        T_EQ(cor_blocking(add_one, &i), i + 1);
    }
}

static int where_am_i(void *arg)
{
    sigset_t mask;
    T_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    T_ASSERT(sigismember(&mask, SIGTERM) == 1); /* signals belong to the workers */
    T_EQ(cor_task_id(), 0);
    T_EQ(cor_worker_id(), -1);
    T_CODE(cor_sleep(1), COR_ENOT_TASK);
    T_CODE(cor_blocking(add_one, arg), COR_ENOT_TASK);
    return pthread_equal(*(pthread_t *)arg, pthread_self()) ? 1 : 0;
}

TASK_TEST(runs_on_a_thread_of_its_own)
{
    pthread_t own = pthread_self();
    T_EQ(cor_blocking(where_am_i, &own), 0);
}

/* A meeting of threads: each waits until `wanted` are there. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int here, most, wanted;
} meeting = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int meet(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&meeting.lock);
    meeting.here++;
    (void)pthread_cond_broadcast(&meeting.changed);
    while (meeting.here < meeting.wanted) {
        (void)pthread_cond_wait(&meeting.changed, &meeting.lock);
    }
    (void)pthread_mutex_unlock(&meeting.lock);
    return 0;
}

static void meet_task(void *arg)
{
    T_CODE(cor_blocking(meet, arg), 0);
    count_me();
}

/* Hangs (and so fails) unless all run at the same time. */
TASK_TEST(runs_in_parallel)
{
    meeting.wanted = 16;
    for (int i = 0; i < 16; i++) {
        T_CODE(cor_go(meet_task, NULL), 0);
    }
    T_EVENTUALLY(runs() == 16, 20 * COR_SECOND);
}

/* A thread that has just been given one job must not be counted as free for the next. */
TASK_TEST(runs_in_parallel_with_a_thread_left_from_before)
{
    int zero = 0;
    for (uint32_t round = 1; round <= 50; round++) {
        T_EQ(cor_blocking(add_one, &zero), 1);
        meeting.here = 0;
        meeting.wanted = 3;
        for (int i = 0; i < 3; i++) {
            T_CODE(cor_go(meet_task, NULL), 0);
        }
        T_EVENTUALLY(runs() == round * 3, 20 * COR_SECOND);
    }
}

static uint32_t release, called; /* atomic */

static int in_company(void)
{
    (void)pthread_mutex_lock(&meeting.lock);
    int here = meeting.here;
    (void)pthread_mutex_unlock(&meeting.lock);
    return here;
}

static int count_company(void *arg)
{
    (void)pthread_mutex_lock(&meeting.lock);
    meeting.here++;
    meeting.most = meeting.here > meeting.most ? meeting.here : meeting.most;
    (void)pthread_mutex_unlock(&meeting.lock);
    while (__atomic_load_n(&release, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    (void)pthread_mutex_lock(&meeting.lock);
    meeting.here--;
    (void)pthread_mutex_unlock(&meeting.lock);
    return *(int *)arg;
}

static void company_task(void *arg)
{
    (void)__atomic_add_fetch(&called, 1, __ATOMIC_ACQ_REL);
    T_EQ(cor_blocking(count_company, arg), 7);
    count_me();
}

static const cor_options three_threads = {.blocking_threads = 3};

/* N306 */
TASK_TEST_WITH(the_pool_is_bounded, &three_threads)
{
    static int seven = 7;
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_go(company_task, &seven), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&called, __ATOMIC_ACQUIRE) == 100 && in_company() >= 3, 20 * COR_SECOND);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == 100, 20 * COR_SECOND);
    T_EQ(meeting.most, 3);
}

static int wait_for_release(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&release, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    return 0;
}

static void hold(void *arg)
{
    (void)arg;
    T_CODE(cor_blocking(wait_for_release, NULL), 0);
    count_me();
}

static const cor_options one_worker = {.workers = 1};

/* N306: the worker goes on meanwhile, even if it is the only one. */
TASK_TEST_WITH(the_worker_does_not_stop, &one_worker)
{
    T_CODE(cor_go(hold, NULL), 0);
    for (int i = 0; i < 20; i++) {
        T_CODE(cor_sleep(100 * COR_MICROSECOND), 0);
    }
    T_EQ(runs(), 0);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
}

/* Waking and cancelling do not end it early: fn may still use what arg points to. */
TASK_TEST(cannot_be_cancelled)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, hold, NULL), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, cor_after(5 * COR_MILLISECOND)), COR_ETIMEOUT);
    T_EQ(runs(), 0);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(runs(), 1);
}

static int spawn_foreign(void *arg)
{
    return cor_go_foreign((void (*)(void *))(uintptr_t)arg, NULL);
}

static void foreign_task(void *arg)
{
    (void)arg;
    count_me();
}

TASK_TEST(may_spawn_with_the_foreign_entry)
{
    T_CODE(cor_blocking(spawn_foreign, (void *)(uintptr_t)foreign_task), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
}

/* cor_run ends only when the pool has: fn's last touch of its argument comes before that. */
static int slow_answer(void *arg)
{
    for (int i = 0; i < 200; i++) {
        sched_yield();
    }
    __atomic_store_n((uint32_t *)arg, 1, __ATOMIC_RELEASE);
    return 0;
}

static uint32_t answered;

static void abandoned(void *arg)
{
    count_me();
    (void)cor_blocking(slow_answer, arg);
}

static int leave_early(void *arg)
{
    int rc = cor_go(abandoned, arg);
    while (rc == 0 && runs() == 0) {
        cor_yield();
    }
    cor_yield();
    return rc;
}

static void ends_after_the_pool(void **state)
{
    const cor_options patient = {.workers = 1, .blocking_grace_ns = COR_MINUTE}; /* a busy machine may take a second */
    (void)state;
    assert_int_equal(cor_run(leave_early, &answered, &patient), 0);
    assert_int_equal(__atomic_load_n(&answered, __ATOMIC_ACQUIRE), 1);
}

/* One that comes back long after cor_run has gone: what it was given lay on a task's stack. */
static uint32_t inside, came_back; /* atomic */

static int outlive(void *arg)
{
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    (void)wait_for_release(NULL);
    *(int *)arg = 7;
    __atomic_store_n(&came_back, 1, __ATOMIC_RELEASE);
    return 0;
}

static void call_outlive(void *unused)
{
    int on_the_stack = 0;
    (void)unused;
    (void)cor_blocking(outlive, &on_the_stack);
}

static int leave_it(void *unused)
{
    (void)unused;
    int rc = cor_go(call_outlive, NULL);
    while (rc == 0 && __atomic_load_n(&inside, __ATOMIC_ACQUIRE) == 0) {
        cor_yield();
    }
    return rc;
}

static int block_again(void *unused)
{
    (void)unused;
    int two = 2;
    return cor_blocking(add_one, &two);
}

static int run_and_leave_it(void *options)
{
    int rc = cor_run(leave_it, NULL, options);
    rc = rc == 0 && cor_run(block_again, NULL, options) == 3 ? 0 : 1; /* beside it */
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&came_back, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
    return rc == 0 && cor_run(block_again, NULL, options) == 3 ? 0 : 1; /* and after it */
}

static void the_end_does_not_wait_for_ever(void **state)
{
    (void)state;
    static const int64_t graces[] = {-1, 20 * COR_MILLISECOND};
    for (size_t i = 0; i < sizeof(graces) / sizeof(graces[0]); i++) {
        cor_options options = {.workers = 1, .blocking_grace_ns = graces[i]};
        child_result result;
        assert_true(child_run(run_and_leave_it, &options, &result));
        if (result.exit_status != 0) {
            fail_msg("status %d, signal %d: %s", result.exit_status, result.signal_number, result.output);
        }
        assert_non_null(strstr(result.output, "ends though 1 threads of cor_blocking are still in their calls"));
    }
}

static const cor_options one_thread = {.blocking_threads = 1};

/* The library's own calls do not queue after users'. */
TASK_TEST_WITH(own_calls_have_a_lane_of_their_own, &one_thread)
{
    int two = 2;
    uint32_t before = runs();
    T_CODE(cor_go(hold, NULL), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    T_EQ(cori_blocking_own(add_one, &two), 3);
    T_EQ(runs(), before);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == before + 1, 20 * COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_does_not_wait_for_ever),
        cmocka_unit_test(gives_the_result),
        cmocka_unit_test(runs_on_a_thread_of_its_own),
        cmocka_unit_test(runs_in_parallel),
        cmocka_unit_test(runs_in_parallel_with_a_thread_left_from_before),
        cmocka_unit_test(the_pool_is_bounded),
        cmocka_unit_test(the_worker_does_not_stop),
        cmocka_unit_test(cannot_be_cancelled),
        cmocka_unit_test(may_spawn_with_the_foreign_entry),
        cmocka_unit_test(own_calls_have_a_lane_of_their_own),
        cmocka_unit_test(ends_after_the_pool), /* last: the others fork, and this one starts threads in this process */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

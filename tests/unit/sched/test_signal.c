/* SPDX-License-Identifier: MIT */
/* Signals as something a task waits for. */
#include "sched/spawn.h"
#include "support/taskcase.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static uint32_t ran; /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

/* N316 */
TASK_TEST(a_caught_signal_is_kept_until_taken)
{
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_EQ(kill(getpid(), SIGUSR1), 0); /* its default would end the process */
    T_EQ(cor_signal_wait(cor_after(5 * COR_SECOND)), SIGUSR1);
    T_CODE(cor_signal_wait(cor_after(COR_MILLISECOND)), COR_ETIMEOUT);
}

/* Set aside, and what has arrived before is still there. */
TASK_TEST(a_signal_can_be_given_back)
{
    T_CODE(cor_signal_reset(SIGCHLD), -EINVAL);
    T_CODE(cor_signal_catch(SIGCHLD), 0); /* its default does nothing */
    T_EQ(raise(SIGCHLD), 0);
    T_CODE(cor_signal_reset(SIGCHLD), 0);
    T_CODE(cor_signal_reset(SIGCHLD), -EINVAL);
    T_EQ(cor_signal_wait(0), SIGCHLD);
    T_EQ(raise(SIGCHLD), 0);
    T_CODE(cor_signal_wait(1), COR_ETIMEOUT);
    T_CODE(cor_signal_reset(0), -EINVAL);
    T_CODE(cor_signal_reset(64), -EINVAL);
}

TASK_TEST(the_lowest_comes_first)
{
    T_CODE(cor_signal_catch(SIGTERM), 0);
    T_CODE(cor_signal_catch(SIGHUP), 0);
    T_CODE(cor_signal_catch(SIGUSR2), 0);
    T_CODE(cor_signal_catch(SIGUSR2), 0);
    T_EQ(raise(SIGTERM), 0);
    T_EQ(raise(SIGUSR2), 0);
    T_EQ(raise(SIGHUP), 0);
    T_EQ(raise(SIGUSR2), 0);
    T_EQ(cor_signal_wait(0), SIGHUP);
    T_EQ(cor_signal_wait(0), SIGUSR2);
    T_EQ(cor_signal_wait(0), SIGTERM);
    T_CODE(cor_signal_wait(1), COR_ETIMEOUT); /* equal ones before the wait count once */
}

static void send_signals(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        uint32_t seen = runs();
        T_EQ(kill(getpid(), i % 2 == 0 ? SIGUSR1 : SIGUSR2), 0);
        T_EVENTUALLY(runs() == seen + 1, 20 * COR_SECOND);
    }
}

/* One at a time, each while the run-time is most likely asleep. */
TASK_TEST(a_parked_task_wakes)
{
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cor_signal_catch(SIGUSR2), 0);
    T_CODE(cor_go(send_signals, NULL), 0);
    for (int i = 0; i < 200; i++) {
        T_EQ(cor_signal_wait(cor_after(20 * COR_SECOND)), i % 2 == 0 ? SIGUSR1 : SIGUSR2);
        __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    }
}

static void *signal_from_outside(void *arg)
{
    for (uint32_t i = 0; i < 100; i++) {
        while (runs() != i) {
            (void)poll(NULL, 0, 1); /* a call in which TSan lets this thread handle a signal */
        }
        (void)kill(getpid(), SIGUSR1); /* may be delivered to this thread, which is no worker, also a moment later */
    }
    return arg;
}

/* With nothing else to do every worker sleeps; the signal may hit any thread. */
TASK_TEST(any_thread_may_get_the_signal)
{
    pthread_t thread;
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_EQ(pthread_create(&thread, NULL, signal_from_outside, NULL), 0);
    for (int i = 0; i < 100; i++) {
        T_EQ(cor_signal_wait(cor_after(20 * COR_SECOND)), SIGUSR1);
        __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    }
    T_EQ(pthread_join(thread, NULL), 0);
}

static void *signal_the_workers(void *arg)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    return signal_from_outside(arg);
}

static void end_at_once(void *arg)
{
    (void)arg;
}

static void start_others(void *arg)
{
    while (runs() < 100) {
        for (int i = 0; i < 20; i++) {
            T_CODE(cor_go(end_at_once, NULL), 0);
        }
        cor_yield();
    }
    (void)arg;
}

/* A signal is not lost either while a task is made or ends (TSan did that). */
TASK_TEST(tasks_come_and_go_meanwhile)
{
    pthread_t thread;
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cor_go(start_others, NULL), 0);
    T_EQ(pthread_create(&thread, NULL, signal_the_workers, NULL), 0);
    for (int i = 0; i < 100; i++) {
        T_EQ(cor_signal_wait(cor_after(20 * COR_SECOND)), SIGUSR1);
        __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    }
    T_EQ(pthread_join(thread, NULL), 0);
}

static void take_one(void *arg)
{
    (void)arg;
    T_EQ(cor_signal_wait(cor_after(60 * COR_SECOND)), SIGUSR1);
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

/* The waiter hears of a signal though another worker computes, here the first. */
TASK_TEST_WITH(no_other_worker_needs_a_turn, &(cor_options){.workers = 2})
{
    cori_task *waiter;
    cori_spawn spawn = {.function = take_one, .worker = 1};
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cori_spawn_task(&spawn, &waiter), 0);
    T_EVENTUALLY(__atomic_load_n(&waiter->permit, __ATOMIC_ACQUIRE) == CORI_PARKED, 20 * COR_SECOND);
    T_EQ(kill(getpid(), SIGUSR1), 0);
    int64_t until = cor_after(20 * COR_SECOND);
    while (runs() == 0 && cor_now() < until) {
        (void)poll(NULL, 0, 1); /* it stops its worker */
    }
    T_EQ(runs(), 1);
}

static void wait_in_vain(void *arg)
{
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    T_CODE(cor_signal_wait(0), COR_ECANCELED);
    (void)arg;
}

TASK_TEST(one_waiter_at_a_time_and_cancel)
{
    cor_group group = {0};
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cor_group_go(&group, wait_in_vain, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    T_CODE(cor_signal_wait(1), -EBUSY);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(raise(SIGUSR1), 0);
    T_EQ(cor_signal_wait(0), SIGUSR1); /* the place is free again */
}

enum { CATCHERS = 2, CATCHES = 20000 };
static uint32_t arrived, enough; /* atomic */

/* Returns when all catchers have called it as often. */
static void meet(void)
{
    uint32_t round = __atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL) / CATCHERS;
    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < (round + 1) * CATCHERS) {
        cor_yield();
    }
}

static void catch_and_reset(void *number)
{
    int own = (int)(intptr_t)number;
    struct sigaction now;
    int64_t until = cor_after(5 * COR_SECOND); /* where others use this core, to meet takes milliseconds */
    for (uint32_t i = 0; i < taskcase_scale(CATCHES); i++) {
        if (own == SIGUSR1 && cor_now() > until) {
            __atomic_store_n(&enough, 1, __ATOMIC_RELEASE);
        }
        meet();
        if (__atomic_load_n(&enough, __ATOMIC_ACQUIRE) != 0) { /* both see the same: nobody is further yet */
            break;
        }
        T_CODE(cor_signal_catch(SIGWINCH), 0); /* both */
        T_CODE(cor_signal_catch(own), 0);
        meet();
        int rc = cor_signal_reset(SIGWINCH); /* one of the two */
        T_ASSERT(rc == 0 || rc == -EINVAL);
        T_CODE(cor_signal_reset(own), 0);
        meet();
        T_EQ(sigaction(SIGWINCH, NULL, &now), 0);
        T_ASSERT(now.sa_handler == SIG_DFL);
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

/* Two workers at once: every signal's own action comes back, and none is forgotten. */
TASK_TEST(catching_on_several_workers)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    for (int i = 0; i < CATCHERS; i++) {
        cori_spawn spawn = {.function = catch_and_reset,
                            .arg_a = (void *)(intptr_t)(i == 0 ? SIGUSR1 : SIGUSR2),
                            .worker = i % stats.workers};
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    T_EVENTUALLY(runs() == CATCHERS, 30 * COR_SECOND);
}

TASK_TEST(what_cannot_be_caught)
{
    T_CODE(cor_signal_catch(0), -EINVAL);
    T_CODE(cor_signal_catch(-1), -EINVAL);
    T_CODE(cor_signal_catch(64), -EINVAL);
    T_CODE(cor_signal_catch(SIGKILL), -EINVAL);
    T_CODE(cor_signal_catch(SIGSTOP), -EINVAL);
    T_CODE(cor_signal_catch(32), -EINVAL); /* the C library's own */
}

static int catch_some(void *arg)
{
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cor_signal_catch(SIGPIPE), 0);
    T_EQ(raise(SIGUSR1), 0); /* never taken */
    return *(int *)arg;
}

static int wait_briefly(void *arg)
{
    (void)arg;
    return cor_signal_wait(cor_after(COR_MILLISECOND));
}

static uint32_t asked, over; /* atomic */

/* Gets each signal itself, and is still there when cor_run has ended. */
static void *raise_as_asked(void *arg)
{
    uint32_t done = 0;
    while (__atomic_load_n(&over, __ATOMIC_ACQUIRE) == 0) {
        if (__atomic_load_n(&asked, __ATOMIC_ACQUIRE) != done) {
            done++;
            (void)raise(SIGUSR1);
        }
        sched_yield();
    }
    return arg;
}

static void take_signals(void *arg)
{
    while (cor_signal_wait(0) == SIGUSR1) {
        __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    }
    (void)arg;
}

static int ask_for_signals(void *arg)
{
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_CODE(cor_go(take_signals, NULL), 0);
    for (int i = 0; i < 20; i++) {
        uint32_t seen = runs();
        __atomic_add_fetch(&asked, 1, __ATOMIC_ACQ_REL);
        T_EVENTUALLY(runs() == seen + 1, 20 * COR_SECOND);
    }
    return *(int *)arg; /* while a task waits still */
}

/* The end of cor_run waits for handlers that look at it on other threads; TSan would tell. */
static void a_thread_outlives_the_run(void **state)
{
    (void)state;
    pthread_t thread;
    int mark = 5;
    assert_int_equal(pthread_create(&thread, NULL, raise_as_asked, NULL), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(cor_run(ask_for_signals, &mark, NULL), 5);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static int earlier_calls;

static void earlier_handler(int number)
{
    (void)number;
    earlier_calls++;
}

static void actions_come_back_after_the_run(void **state)
{
    (void)state;
    int mark = 5;
    struct sigaction action = {.sa_handler = earlier_handler}, before, after;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(cor_run(catch_some, &mark, NULL), 5);
    assert_int_equal(sigaction(SIGUSR1, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, earlier_handler);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(earlier_calls, 1);
    assert_int_equal(cor_run(wait_briefly, NULL, NULL), COR_ETIMEOUT); /* what was not taken is forgotten */
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_signal_catch(SIGUSR1), COR_ENOT_TASK);
    assert_int_equal(cor_signal_wait(1), COR_ENOT_TASK);
}

static int catch_and_dump(void *unused)
{
    (void)unused;
    T_CODE(cor_signal_catch(SIGTERM), 0);
    T_EQ(kill(getpid(), SIGTERM), 0);
    T_EQ(cor_signal_wait(cor_after(20 * COR_SECOND)), SIGTERM);
    FILE *file = tmpfile();
    T_ASSERT(file != NULL);
    T_CODE(cor_dump(fileno(file)), 0);
    rewind(file);
    char line[400];
    bool all = true, main_shown = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        all = all && strstr(line, "does not answer") == NULL;
        main_shown = main_shown || strstr(line, ": main") != NULL;
    }
    (void)fclose(file);
    T_ASSERT(all && main_shown);
    return 0;
}

/* As some supervisors start programs. What the library relies on comes through, and the mask comes back. */
static void with_all_signals_blocked(void **state)
{
    (void)state;
    sigset_t all, before, after;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGALRM);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    for (int workers = 1; workers <= 2; workers++) {
        cor_options options = {.workers = workers};
        assert_int_equal(cor_run(catch_and_dump, NULL, &options), 0);
        assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
        for (int number = 1; number < 32; number++) {
            if (number != SIGKILL && number != SIGSTOP) {
                assert_int_equal(sigismember(&after, number), sigismember(&all, number));
            }
        }
    }
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caught_signal_is_kept_until_taken),
        cmocka_unit_test(a_signal_can_be_given_back),
        cmocka_unit_test(the_lowest_comes_first),
        cmocka_unit_test(a_parked_task_wakes),
        cmocka_unit_test(any_thread_may_get_the_signal),
        cmocka_unit_test(tasks_come_and_go_meanwhile),
        cmocka_unit_test(no_other_worker_needs_a_turn),
        cmocka_unit_test(one_waiter_at_a_time_and_cancel),
        cmocka_unit_test(catching_on_several_workers),
        cmocka_unit_test(what_cannot_be_caught),
        cmocka_unit_test(a_thread_outlives_the_run),
        cmocka_unit_test(actions_come_back_after_the_run),
        cmocka_unit_test(with_all_signals_blocked),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Parking and waking: no wake-up is lost, none is needed twice, deadlines, wakes from other workers and foreign
 * threads.
 */
#include "support/taskcase.h"

#include "sched/park.h"

#include <pthread.h>

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

/* The smallest thing to wait for: a flag and its one waiter. */
typedef struct event {
    cori_task *waiter; /* atomic */
    uint32_t set;      /* atomic */
} event;

static int event_wait(event *on, int64_t deadline)
{
    cori_task *self = cori_self();
    __atomic_store_n(&on->waiter, self, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&on->set, __ATOMIC_SEQ_CST) == 0) {
        int rc = cori_interrupted(self, deadline);
        if (rc != 0) {
            return rc;
        }
        cori_park(self, deadline, "event");
    }
    return 0;
}

static void event_set(event *on)
{
    __atomic_store_n(&on->set, 1, __ATOMIC_SEQ_CST);
    cori_task *waiter = __atomic_load_n(&on->waiter, __ATOMIC_SEQ_CST);
    if (waiter != NULL) {
        cori_wake(waiter);
    }
}

static void set_it(void *arg)
{
    event_set(arg);
    count_me(NULL);
}

TASK_TEST(wake_before_park_is_kept)
{
    event on = {0};
    on.waiter = cori_self();
    cori_wake(cori_self());
    event_set(&on);
    event_set(&on); /* twice is as once */
    T_CODE(event_wait(&on, 0), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0); /* a permit left over makes no sleep shorter */
}

/* The wake of a running task is a permit: its next park returns at once. Without it this would be a deadlock. */
TASK_TEST(wake_of_a_running_task_is_a_permit)
{
    for (int i = 0; i < 100; i++) {
        cori_wake(cori_self());
        cori_wake(cori_self());
        cori_park(cori_self(), 0, "a permit that is there");
    }
    int64_t deadline = cor_after(2 * COR_MILLISECOND);
    while (cori_interrupted(cori_self(), deadline) == 0) { /* one permit, not a hundred */
        cori_park(cori_self(), deadline, "the deadline");
    }
    T_ASSERT(cor_now() >= deadline);
}

TASK_TEST(wake_from_another_task)
{
    for (uint32_t i = 1, rounds = taskcase_is_slow() ? 200 : 1000; i <= rounds; i++) {
        event on = {0};
        T_CODE(cor_go(set_it, &on), 0);
        T_CODE(event_wait(&on, 0), 0);
        T_EVENTUALLY(runs() == i, 20 * COR_SECOND); /* `on` is on this stack */
    }
}

TASK_TEST(deadline_ends_a_park_and_not_early)
{
    for (int i = 0; i < 20; i++) {
        event on = {0};
        int64_t deadline = cor_after(2 * COR_MILLISECOND);
        T_CODE(event_wait(&on, deadline), COR_ETIMEOUT);
        T_ASSERT(cor_now() >= deadline);
        T_CODE(event_wait(&on, 1), COR_ETIMEOUT); /* long past */
    }
}

TASK_TEST(condition_wins_over_passed_deadline)
{
    event on = {.set = 1};
    T_CODE(event_wait(&on, 1), 0);
}

/* A timer armed for an early deadline is still in the heap when a later one counts: nothing may end early. */
TASK_TEST(old_timers_end_no_later_park)
{
    int old = 0; /* rounds with such a timer: in others the machine was late, and it has fired */
    for (int i = 0; i < 20; i++) {
        event early = {0}, late = {0};
        T_CODE(cor_go(set_it, &early), 0);
        old += event_wait(&early, cor_after(COR_MILLISECOND)) == 0;
        int64_t deadline = cor_after(4 * COR_MILLISECOND);
        T_CODE(event_wait(&late, deadline), COR_ETIMEOUT);
        T_ASSERT(cor_now() >= deadline);
        T_EVENTUALLY(runs() == (uint32_t)i + 1, 20 * COR_SECOND);
    }
    T_ASSERT(old > 0);
}

TASK_TEST(shorter_deadline_after_a_longer_one)
{
    event on = {0};
    T_CODE(cor_go(set_it, &on), 0);
    T_CODE(event_wait(&on, cor_after(COR_MINUTE)), 0);
    event never = {0};
    int64_t before = cor_now();
    T_CODE(event_wait(&never, before + 2 * COR_MILLISECOND), COR_ETIMEOUT);
    T_ASSERT(cor_now() - before < 10 * COR_SECOND);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
}

static cori_task *ended; /* atomic */

static void note_and_end(void *arg)
{
    (void)arg;
    __atomic_store_n(&ended, cori_self(), __ATOMIC_RELEASE);
    count_me(NULL);
}

/* A late wake for a task that has ended, or for its successor on the same stack, does no harm. */
TASK_TEST(late_wakes_are_harmless)
{
    for (uint32_t i = 1; i <= 200; i++) {
        T_CODE(cor_go(note_and_end, NULL), 0);
        T_EVENTUALLY(runs() == i, 20 * COR_SECOND);
        cor_yield();
        cori_wake(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
        cori_wake(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
        event on = {0};
        T_CODE(cor_go(set_it, &on), 0); /* runs on that very stack, most likely */
        cori_wake(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
        T_CODE(event_wait(&on, 0), 0);
        __atomic_sub_fetch(&ran, 1, __ATOMIC_ACQ_REL);
        T_EVENTUALLY(runs() == i, 20 * COR_SECOND);
    }
}

/* Foreign threads. */

enum { FOREIGN_THREADS = 4, FOREIGN_SPAWNS = 200 };
static event all_there = {0};

static void foreign_task(void *arg)
{
    (void)arg;
    T_ASSERT(cor_task_id() != 0);
    T_ASSERT(cor_worker_id() >= 0);
    if (__atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL) == FOREIGN_THREADS * FOREIGN_SPAWNS) {
        event_set(&all_there);
    }
}

static void *spawn_from_outside(void *arg)
{
    (void)arg;
    for (int i = 0; i < FOREIGN_SPAWNS; i++) {
        T_CODE(cor_go_foreign(foreign_task, NULL), 0);
        T_EQ(cor_task_id(), 0);
        T_CODE(cor_go(foreign_task, NULL), COR_ENOT_TASK);
    }
    return NULL;
}

static const cor_options foreign = {.foreign_wakeups = true};

TASK_TEST_WITH(foreign_threads_spawn, &foreign)
{
    pthread_t threads[FOREIGN_THREADS];
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        T_EQ(pthread_create(&threads[i], NULL, spawn_from_outside, NULL), 0);
    }
    T_CODE(event_wait(&all_there, cor_after(30 * COR_SECOND)), 0);
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        T_EQ(pthread_join(threads[i], NULL), 0);
    }
    T_EQ(runs(), FOREIGN_THREADS * FOREIGN_SPAWNS);
}

/* One spawn per sleep of the run-time: each must wake it. */
static void *spawn_one_by_one(void *arg)
{
    for (uint32_t i = 0; i < 200; i++) {
        while (runs() != i) {
            sched_yield();
        }
        T_CODE(cor_go_foreign(i < 199 ? count_me : set_it, arg), 0);
    }
    return NULL;
}

TASK_TEST_WITH(foreign_spawn_wakes_a_sleeping_runtime, &foreign)
{
    event last = {0};
    pthread_t thread;
    T_EQ(pthread_create(&thread, NULL, spawn_one_by_one, &last), 0);
    T_CODE(event_wait(&last, cor_after(30 * COR_SECOND)), 0);
    T_EQ(pthread_join(thread, NULL), 0);
    T_EVENTUALLY(runs() == 200, 20 * COR_SECOND);
}

TASK_TEST_WITH(foreign_entry_works_for_tasks_too, &foreign)
{
    T_CODE(cor_go_foreign(count_me, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
}

enum { AHEAD_MOST = 16 };
static uint32_t hammer_stop;
static uint32_t accepted; /* atomic: spawns that were taken */
static int ahead;         /* atomic: of these, not run yet; main forgets those that are abandoned */

static void count_hammered(void *arg)
{
    __atomic_sub_fetch(&ahead, 1, __ATOMIC_RELAXED);
    count_me(arg);
}

/* A start may cost far more than a spawn, and main's turn comes after all that were spawned before its yield. */
static void *hammer(void *arg)
{
    while (__atomic_load_n(&hammer_stop, __ATOMIC_ACQUIRE) == 0) {
        int rc = __atomic_load_n(&ahead, __ATOMIC_RELAXED) < AHEAD_MOST ? cor_go_foreign(count_hammered, NULL) : 1;
        if (rc == 0) {
            __atomic_add_fetch(&ahead, 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&accepted, 1, __ATOMIC_RELAXED);
        } else if (rc != COR_ENOT_TASK && rc != 1) {
            return arg; /* nothing else may come */
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static int short_main(void *arg)
{
    uint32_t before = runs();
    int64_t deadline = cor_after(2 * COR_MILLISECOND);
    while (runs() == before && cor_now() < deadline) {
        cor_yield();
    }
    __atomic_store_n(&ahead, 0, __ATOMIC_RELAXED); /* they come while the run ends, too */
    return *(int *)arg;
}

/* Spawning from outside while cor_run begins and ends: refused or done, never a crash, never a hang. */
static void foreign_spawns_while_runs_begin_and_end(void **state)
{
    (void)state;
    pthread_t threads[2];
    int mark = 1, count = taskcase_is_slow() ? 40 : 150;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &mark), 0);
    }
    for (int i = 0; i < count; i++) {
        mark = i + 1;
        assert_int_equal(cor_run(short_main, &mark, &foreign), i + 1);
        __atomic_store_n(&ahead, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&hammer_stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_true(__atomic_load_n(&accepted, __ATOMIC_RELAXED) > 0);
    assert_true(runs() <= accepted); /* the last ones may have been abandoned */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wake_before_park_is_kept),
        cmocka_unit_test(wake_of_a_running_task_is_a_permit),
        cmocka_unit_test(wake_from_another_task),
        cmocka_unit_test(deadline_ends_a_park_and_not_early),
        cmocka_unit_test(condition_wins_over_passed_deadline),
        cmocka_unit_test(old_timers_end_no_later_park),
        cmocka_unit_test(shorter_deadline_after_a_longer_one),
        cmocka_unit_test(late_wakes_are_harmless),
        cmocka_unit_test(foreign_threads_spawn),
        cmocka_unit_test(foreign_spawn_wakes_a_sleeping_runtime),
        cmocka_unit_test(foreign_entry_works_for_tasks_too),
        cmocka_unit_test(foreign_spawns_while_runs_begin_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

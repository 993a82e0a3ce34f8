/* SPDX-License-Identifier: MIT */
/* Mutexes: exclusion, order of arrival, handing over, no end by cancellation, misuse. */
#include "sched/spawn.h"
#include "unit/sync/waiting.h"

typedef struct shared {
    cor_mutex mutex;
    cor_waitgroup tasks;
    long counter; /* guard: mutex */
    int order[8]; /* guard: mutex */
    int entered;  /* guard: mutex */
    int stop;
} shared;

static shared all;

static void add_many(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        cor_mutex_lock(&all.mutex);
        long seen = all.counter;
        if (i % 16 == (int)(intptr_t)arg) {
            cor_yield(); /* others run while the mutex is held */
        }
        all.counter = seen + 1;
        cor_mutex_unlock(&all.mutex);
    }
    cor_waitgroup_done(&all.tasks);
}

/* N337: one at a time, across parks and workers. */
TASK_TEST(excludes)
{
    cor_waitgroup_add(&all.tasks, 10);
    for (intptr_t i = 0; i < 10; i++) {
        T_OK(cor_go(add_many, (void *)i));
    }
    T_OK(cor_waitgroup_wait(&all.tasks, 0));
    T_EQ(all.counter, 10000);
    T_EQ(all.mutex.state, 0);
}

TASK_TEST(trylock_takes_only_a_free_one)
{
    cor_mutex mutex = {0};
    T_ASSERT(cor_mutex_trylock(&mutex));
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
    cor_mutex_lock(&mutex);
    T_ASSERT(!cor_mutex_trylock(&mutex));
    cor_mutex_unlock(&mutex);
}

static void enter(void *arg)
{
    cor_mutex_lock(&all.mutex);
    all.order[all.entered++] = (int)(intptr_t)arg;
    cor_yield();
    cor_mutex_unlock(&all.mutex);
    cor_waitgroup_done(&all.tasks);
}

/* N337: waiters come to their turn in order of arrival, on whatever worker they are. */
TASK_TEST(serves_in_order_of_arrival)
{
    cor_mutex_lock(&all.mutex);
    cor_waitgroup_add(&all.tasks, 8);
    for (intptr_t i = 0; i < 8; i++) {
        T_OK(cor_go(enter, (void *)i));
        T_WAITING(&all.mutex.waiters, i + 1);
    }
    cor_mutex_unlock(&all.mutex);
    T_OK(cor_waitgroup_wait(&all.tasks, 0));
    for (int i = 0; i < 8; i++) {
        T_EQ(all.order[i], i);
    }
}

static void unlock_it(void *arg)
{
    cor_mutex_unlock(arg);
}

/* N337: the task that unlocks need not be the one that locked; locking twice waits for it. */
TASK_TEST(any_task_may_unlock)
{
    cor_mutex mutex = {0};
    cor_mutex_lock(&mutex);
    T_OK(cor_go(unlock_it, &mutex));
    cor_mutex_lock(&mutex);
    cor_mutex_unlock(&mutex);
}

static void hog(void *arg)
{
    (void)arg;
    while (!get(&all.stop)) {
        cor_mutex_lock(&all.mutex);
        cor_yield();
        cor_mutex_unlock(&all.mutex);
    }
    cor_waitgroup_done(&all.tasks);
}

/* N337: a task that locks again at once cannot keep another one out. */
TASK_TEST(is_fair_to_waiters)
{
    cor_waitgroup_add(&all.tasks, 2);
    T_OK(cor_go(hog, NULL));
    T_OK(cor_go(hog, NULL));
    int64_t begin = cor_now();
    for (int i = 0; i < 100; i++) {
        cor_mutex_lock(&all.mutex);
        cor_mutex_unlock(&all.mutex);
        cor_yield();
    }
    T_REQUIRE(cor_now() - begin < SOON, "100 turns took %lld ns", (long long)(cor_now() - begin));
    __atomic_store_n(&all.stop, 1, __ATOMIC_RELEASE);
    T_OK(cor_waitgroup_wait(&all.tasks, 0));
}

/* Holds the mutex nearly always, and never lets another task of its worker run. */
static void hog_busily(void *a, void *b)
{
    (void)a;
    (void)b;
    while (!get(&all.stop)) {
        cor_mutex_lock(&all.mutex);
        int64_t until = cor_now() + 50 * COR_MICROSECOND;
        while (cor_now() < until) {}
        cor_mutex_unlock(&all.mutex);
    }
    cor_waitgroup_done(&all.tasks);
}

/* N337: a waiter on another worker may be overtaken for a millisecond, not for ever. */
TASK_TEST(is_fair_across_workers)
{
    cori_spawn spawn = {.entry = hog_busily, .worker = cori_rt.worker_count - 1};
    cor_waitgroup_add(&all.tasks, 1);
    T_OK(cori_spawn_task(&spawn, NULL));
    T_EVENTUALLY(__atomic_load_n(&all.mutex.state, __ATOMIC_RELAXED) != 0 || cori_rt.worker_count == 1, SOON);
    int64_t begin = cor_now();
    for (int i = 0; i < 20; i++) {
        cor_mutex_lock(&all.mutex);
        cor_mutex_unlock(&all.mutex);
        cor_yield();
    }
    T_REQUIRE(cor_now() - begin < SOON, "20 turns took %lld ns", (long long)(cor_now() - begin));
    __atomic_store_n(&all.stop, 1, __ATOMIC_RELEASE);
    T_OK(cor_waitgroup_wait(&all.tasks, 0));
}

static void lock_once(void *a, void *b)
{
    (void)a;
    (void)b;
    cor_mutex_lock(&all.mutex);
    cor_mutex_unlock(&all.mutex);
    cor_waitgroup_done(&all.tasks);
}

static void occupy_worker(void *a, void *b)
{
    (void)a;
    (void)b;
    add(&all.entered, 1);
    while (!get(&all.stop)) {}
    cor_waitgroup_done(&all.tasks);
}

/* N337: after a millisecond the mutex is the waiter's own, even if its worker has no time for it yet. */
TASK_TEST(is_handed_to_one_that_has_waited_long)
{
    int last = cori_rt.worker_count - 1;
    cori_spawn locker = {.entry = lock_once, .worker = last}, busy = {.entry = occupy_worker, .worker = last};
    cor_mutex_lock(&all.mutex);
    cor_waitgroup_add(&all.tasks, 1);
    T_OK(cori_spawn_task(&locker, NULL));
    T_WAITING(&all.mutex.waiters, 1);
    if (last > 0) {
        cor_waitgroup_add(&all.tasks, 1);
        T_OK(cori_spawn_task(&busy, NULL));
        T_EVENTUALLY(get(&all.entered) == 1, SOON);
    }
    int64_t since = cor_now();
    T_EVENTUALLY(cor_now() - since > BRIEFLY, SOON);
    cor_mutex_unlock(&all.mutex);
    T_EQ(waiting(&all.mutex.waiters), 0);
    T_ASSERT(!cor_mutex_trylock(&all.mutex));
    __atomic_store_n(&all.stop, 1, __ATOMIC_RELEASE);
    T_OK(cor_waitgroup_wait(&all.tasks, 0));
}

static void lock_and_note(void *arg)
{
    cor_mutex_lock(&all.mutex);
    __atomic_store_n((int *)arg, cor_cancelled(), __ATOMIC_RELEASE);
    cor_mutex_unlock(&all.mutex);
}

/* A cancelled task still waits for its turn and gets the lock. */
TASK_TEST(cancellation_does_not_end_a_lock)
{
    cor_group group = {0};
    int noted = 1;
    cor_mutex_lock(&all.mutex);
    T_OK(cor_group_go(&group, lock_and_note, &noted));
    T_WAITING(&all.mutex.waiters, 1);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(get(&noted), 1);
    T_EQ(waiting(&all.mutex.waiters), 1);
    cor_mutex_unlock(&all.mutex);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(noted, COR_ECANCELED);
}

static int unlock_unlocked(void *arg)
{
    (void)arg;
    cor_mutex mutex = {0};
    cor_mutex_lock(&mutex);
    cor_mutex_unlock(&mutex);
    cor_mutex_unlock(&mutex);
    return 0;
}

static int unlock_unlocked_in_task(void *arg)
{
    return cor_run(unlock_unlocked, arg, NULL);
}

static int lock_outside(void *arg)
{
    (void)arg;
    cor_mutex mutex = {0};
    cor_mutex_lock(&mutex);
    cor_mutex_lock(&mutex);
    return 0;
}

/* N337, N312: misuse ends the program with Go's words. */
static void misuse_is_fatal(void **state)
{
    (void)state;
    expect_fatal(unlock_unlocked, "fatal error: sync: unlock of unlocked mutex\n");
    expect_fatal(unlock_unlocked_in_task, "fatal error: sync: unlock of unlocked mutex\n");
    expect_fatal(lock_outside, "fatal error: sync: lock outside a task\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(excludes),
        cmocka_unit_test(trylock_takes_only_a_free_one),
        cmocka_unit_test(serves_in_order_of_arrival),
        cmocka_unit_test(any_task_may_unlock),
        cmocka_unit_test(is_fair_to_waiters),
        cmocka_unit_test(is_fair_across_workers),
        cmocka_unit_test(is_handed_to_one_that_has_waited_long),
        cmocka_unit_test(cancellation_does_not_end_a_lock),
        cmocka_unit_test(misuse_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

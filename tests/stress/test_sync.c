/* SPDX-License-Identifier: MIT */
/*
 * Locks and their kin under load, across workers: exclusion, generations, objects that end right after their last use.
 */
/* test: simulated */
#include "sched/park.h"
#include "sched/spawn.h"
#include "support/taskcase.h"

#include <stdlib.h>

static cor_mutex mutex;
static cor_rwmutex lock;
static cor_cond cond;
static cor_waitgroup tasks;
static long counter; /* guard: mutex or lock */

static uint32_t roll(uint32_t sides)
{
    return cori_rand_below(&cori_self()->worker->rand, sides);
}

static void count_under_mutex(void *arg)
{
    int times = (int)(intptr_t)arg;
    for (int i = 0; i < times; i++) {
        if (roll(16) == 0) {
            while (!cor_mutex_trylock(&mutex)) {
                cor_yield();
            }
        } else {
            cor_mutex_lock(&mutex);
        }
        long seen = counter;
        if (roll(64) == 0) {
            cor_yield();
        }
        counter = seen + 1;
        cor_mutex_unlock(&mutex);
    }
    cor_waitgroup_done(&tasks);
}

/* N337 */
TASK_TEST(mutex_excludes)
{
    int times = taskcase_is_slow() ? 2000 : 20000;
    cor_waitgroup_add(&tasks, 12);
    for (int i = 0; i < 12; i++) {
        T_OK(cor_go(count_under_mutex, (void *)(intptr_t)times));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(counter, 12L * times);
    T_EQ(mutex.state, 0);
    T_EQ(mutex.waiters.count, 0);
}

static void lock_once(void *a, void *b)
{
    (void)a;
    (void)b;
    cor_mutex_lock(&mutex);
    counter++;
    cor_mutex_unlock(&mutex);
    cor_waitgroup_done(&tasks);
}

/* A waiter on another worker that was told to try again, but came too late, is told once more. */
TASK_TEST(an_overtaken_waiter_is_not_forgotten)
{
    int rounds = taskcase_is_slow() ? 400 : 2000;
    cori_spawn spawn = {.entry = lock_once, .worker = cori_rt.worker_count - 1};
    for (int i = 0; i < rounds; i++) {
        cor_waitgroup_add(&tasks, 1);
        cor_mutex_lock(&mutex);
        T_OK(cori_spawn_task(&spawn, NULL));
        T_EVENTUALLY(__atomic_load_n(&mutex.waiters.count, __ATOMIC_RELAXED) == 1, 20 * COR_SECOND);
        for (uint32_t times = roll(4); times > 0; times--) {
            cor_mutex_unlock(&mutex);
            cor_mutex_lock(&mutex);
            for (uint32_t pauses = roll(2000); pauses > 0; pauses--) {
                cori_pause();
            }
        }
        cor_mutex_unlock(&mutex);
        T_OK(cor_waitgroup_wait(&tasks, 0));
    }
    T_EQ(counter, rounds);
}

static int32_t active; /* atomic: readers, or a writer as 10000 */

static void read_or_write(void *arg)
{
    int times = (int)(intptr_t)arg;
    for (int i = 0; i < times; i++) {
        if (roll(5) == 0) {
            cor_rwmutex_lock(&lock);
            T_EQ(__atomic_add_fetch(&active, 10000, __ATOMIC_RELAXED), 10000);
            counter++;
            if (roll(8) == 0) {
                cor_yield();
            }
            T_EQ(__atomic_add_fetch(&active, -10000, __ATOMIC_RELAXED), 0);
            cor_rwmutex_unlock(&lock);
        } else {
            cor_rwmutex_rlock(&lock);
            T_ASSERT(__atomic_add_fetch(&active, 1, __ATOMIC_RELAXED) < 10000);
            long seen = counter;
            if (roll(8) == 0) {
                cor_yield();
            }
            T_EQ(seen, counter);
            T_ASSERT(__atomic_add_fetch(&active, -1, __ATOMIC_RELAXED) < 10000);
            cor_rwmutex_runlock(&lock);
        }
    }
    cor_waitgroup_done(&tasks);
}

/* N338 */
TASK_TEST(rwmutex_excludes)
{
    int times = taskcase_is_slow() ? 1000 : 5000;
    cor_waitgroup_add(&tasks, 12);
    for (int i = 0; i < 12; i++) {
        T_OK(cor_go(read_or_write, (void *)(intptr_t)times));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(lock.readers, 0);
    T_EQ(lock.waiting_readers.count, 0);
    T_EQ(lock.waiting_writers.count, 0);
}

enum { WAITERS = 100 };
static int awake;      /* guard: mutex */
static int generation; /* guard: mutex */

static void await_generation(void *arg)
{
    int number = (int)(intptr_t)arg;
    cor_mutex_lock(&mutex);
    T_OK(cor_cond_wait(&cond, &mutex, 0));
    T_EQ(awake, number); /* one for each signal, in order of arrival */
    awake++;
    cor_mutex_unlock(&mutex);
    cor_waitgroup_done(&tasks);
}

static int awake_now(void)
{
    cor_mutex_lock(&mutex);
    int now = awake;
    cor_mutex_unlock(&mutex);
    return now;
}

/* N341: a signal wakes one that waited when it was sent, never one that came later. */
TASK_TEST(cond_signal_generations)
{
    cor_waitgroup_add(&tasks, WAITERS);
    for (intptr_t i = 0; i < WAITERS; i++) {
        T_OK(cor_go(await_generation, (void *)i));
        T_EVENTUALLY(__atomic_load_n(&cond.waiters.count, __ATOMIC_RELAXED) == 1, 20 * COR_SECOND);
        T_EVENTUALLY(awake_now() == i, 20 * COR_SECOND); /* else two would race for the mutex */
        cor_mutex_lock(&mutex);
        cor_cond_signal(&cond);
        cor_mutex_unlock(&mutex);
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(awake, WAITERS);
}

static void follow_generations(void *arg)
{
    int last = (int)(intptr_t)arg;
    int seen = 0;
    cor_mutex_lock(&mutex);
    while (seen < last) {
        while (generation == seen) {
            int64_t deadline = roll(4) == 0 ? cor_after(20 * COR_MICROSECOND) : 0;
            int rc = cor_cond_wait(&cond, &mutex, deadline);
            T_ASSERT(rc == 0 || (rc == COR_ETIMEOUT && deadline != 0));
        }
        seen = generation;
        awake++;
        if (awake == 10) {
            cor_cond_broadcast(&cond); /* the leader waits in the same place */
        }
    }
    cor_mutex_unlock(&mutex);
    cor_waitgroup_done(&tasks);
}

/* N341: nobody sleeps through a broadcast, with time-outs mixed in. */
TASK_TEST(cond_broadcast_generations)
{
    int rounds = taskcase_is_slow() ? 200 : 1000;
    cor_waitgroup_add(&tasks, 10);
    for (int i = 0; i < 10; i++) {
        T_OK(cor_go(follow_generations, (void *)(intptr_t)rounds));
    }
    cor_mutex_lock(&mutex);
    while (generation < rounds) {
        awake = 0;
        generation++;
        cor_cond_broadcast(&cond);
        while (awake < 10) {
            T_OK(cor_cond_wait(&cond, &mutex, 0));
        }
    }
    cor_mutex_unlock(&mutex);
    T_OK(cor_waitgroup_wait(&tasks, 0));
}

static void finish(void *arg)
{
    if (roll(2) == 0) {
        cor_yield();
    }
    cor_waitgroup_done(arg);
}

/* N339: the group may go as soon as the wait has returned. */
TASK_TEST(waitgroup_may_be_freed_by_its_waiter)
{
    int rounds = taskcase_is_slow() ? 400 : 2000;
    for (int i = 0; i < rounds; i++) {
        cor_waitgroup *group = calloc(1, sizeof(*group));
        cor_waitgroup_add(group, 3);
        for (int n = 0; n < 3; n++) {
            T_OK(cor_go(finish, group));
        }
        int64_t deadline = i % 2 == 0 ? 0 : cor_after(10 * COR_MICROSECOND);
        while (cor_waitgroup_wait(group, deadline) != 0) {
            deadline = 0;
        }
        memset(group, 0xff, sizeof(*group));
        free(group);
    }
}

/* An object with its own lock and a count of users. */
typedef struct counted {
    cor_mutex mutex;
    int users; /* guard: mutex */
} counted;

static void drop(void *arg)
{
    counted *object = arg;
    cor_mutex_lock(&object->mutex);
    if (roll(4) == 0) {
        cor_yield();
    }
    bool last = --object->users == 0;
    cor_mutex_unlock(&object->mutex);
    if (last) {
        memset(object, 0xff, sizeof(*object));
        free(object);
    }
    cor_waitgroup_done(&tasks);
}

/* N337: the last one to unlock may free the mutex, though the one before is still on its way out of its unlock. */
TASK_TEST(mutex_may_be_freed_by_its_last_owner)
{
    int rounds = taskcase_is_slow() ? 400 : 2000;
    for (int i = 0; i < rounds; i++) {
        counted *object = calloc(1, sizeof(*object));
        object->users = 4;
        cor_waitgroup_add(&tasks, 4);
        for (int n = 0; n < 4; n++) {
            T_OK(cor_go(drop, object));
        }
        T_OK(cor_waitgroup_wait(&tasks, 0));
    }
}

static cor_once *once;
static int made; /* written in the once only */

static void make(void *arg)
{
    (void)arg;
    cor_yield();
    made++;
}

static void need(void *arg)
{
    (void)arg;
    cor_once_do(once, make, NULL);
    T_EQ(made, 1);
    cor_waitgroup_done(&tasks);
}

/* N340 */
TASK_TEST(once_is_complete_for_everybody)
{
    int rounds = taskcase_is_slow() ? 400 : 2000;
    for (int i = 0; i < rounds / 4; i++) {
        cor_once one = {0};
        once = &one;
        made = 0;
        cor_waitgroup_add(&tasks, 6);
        for (int n = 0; n < 6; n++) {
            T_OK(cor_go(need, NULL));
        }
        T_OK(cor_waitgroup_wait(&tasks, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex_excludes),
        cmocka_unit_test(an_overtaken_waiter_is_not_forgotten),
        cmocka_unit_test(rwmutex_excludes),
        cmocka_unit_test(cond_signal_generations),
        cmocka_unit_test(cond_broadcast_generations),
        cmocka_unit_test(waitgroup_may_be_freed_by_its_waiter),
        cmocka_unit_test(mutex_may_be_freed_by_its_last_owner),
        cmocka_unit_test(once_is_complete_for_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

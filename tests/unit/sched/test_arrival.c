/* SPDX-License-Identifier: MIT */
/* Order of arrival where two ways meet: what foreign threads hand over, woken tasks beside those that never ran. */
/* test: workers=1 */
#include "support/taskcase.h"

#include "sched/park.h"
#include "sched/spawn.h"

#include <pthread.h>

enum { TASKS = 8 };

static const cor_options one_worker = {.workers = 1}, two_workers = {.workers = 2};
static char order[TASKS + 1];
static uint32_t said, parked, ended; /* atomic */
static cori_task *waiting[TASKS];    /* atomic */
static uint32_t go[TASKS];           /* atomic */

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set(uint32_t *word)
{
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
}

/* All that say something run on one worker. */
static void say(void *arg)
{
    order[load(&said)] = (char)('a' + (intptr_t)arg);
    __atomic_add_fetch(&said, 1, __ATOMIC_SEQ_CST);
}

static void *hand_over(void *unused)
{
    (void)unused;
    for (intptr_t i = 0; i < TASKS; i++) {
        T_CODE(cor_go_foreign(say, (void *)i), 0);
    }
    return NULL;
}

/* From a thread that is no worker, while the one worker stands still: it finds them all at once. */
TASK_TEST_WITH(foreign_tasks_in_order, &one_worker)
{
    pthread_t thread;
    T_EQ(pthread_create(&thread, NULL, hand_over, NULL), 0);
    T_EQ(pthread_join(thread, NULL), 0);
    T_EVENTUALLY(load(&said) == TASKS, 20 * COR_SECOND);
    T_STR(order, "abcdefgh");
}

static void wait_and_say(void *arg)
{
    intptr_t index = (intptr_t)arg;
    __atomic_store_n(&waiting[index], cori_self(), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&parked, 1, __ATOMIC_SEQ_CST);
    while (load(&go[index]) == 0) {
        cori_park(cori_self(), 0, "its turn");
    }
    say(arg);
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

static void spawn_on(int worker, void (*function)(void *arg), intptr_t arg)
{
    cori_spawn spawn = {.function = function, .arg_a = (void *)arg, .worker = worker};
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
}

static void wake(int index)
{
    set(&go[index]);
    cori_wake(__atomic_load_n(&waiting[index], __ATOMIC_SEQ_CST));
}

static void say_fresh(void *arg)
{
    say(arg);
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

/* On the other worker, which has more tasks here than there: none of them is worth moving. */
static void queue_both_kinds(void *unused)
{
    (void)unused;
    wake(0);
    T_CODE(cor_go(say_fresh, (void *)1), 0);
    wake(2);
    T_CODE(cor_go(say_fresh, (void *)3), 0);
}

/* Woken tasks and those that never ran are in two queues, and run in one order. */
TASK_TEST_WITH(woken_and_fresh_tasks_in_order, &two_workers)
{
    int here = cor_worker_id(), other = 1 - here;
    for (intptr_t i = 4; i < TASKS; i++) {
        spawn_on(here, wait_and_say, i); /* so that this worker is the busier one, and takes none over */
    }
    spawn_on(other, wait_and_say, 0);
    spawn_on(other, wait_and_say, 2);
    while (load(&parked) < 6) {
        cor_yield();
    }
    T_ASSERT(waiting[0] != NULL && waiting[2] != NULL);
    while (__atomic_load_n(&waiting[0]->permit, __ATOMIC_SEQ_CST) != CORI_PARKED ||
           __atomic_load_n(&waiting[2]->permit, __ATOMIC_SEQ_CST) != CORI_PARKED) {}
    spawn_on(other, queue_both_kinds, 0);
    while (load(&ended) < 4) {} /* this worker does not go idle: it must not take a fresh one either */
    T_STR(order, "abcd");
    for (int i = 4; i < TASKS; i++) {
        wake(i);
    }
    T_EVENTUALLY(load(&ended) == TASKS, 20 * COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_tasks_in_order),
        cmocka_unit_test(woken_and_fresh_tasks_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

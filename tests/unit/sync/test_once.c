/* SPDX-License-Identifier: MIT */
/* Once: one execution, and nobody returns before it has ended. N340. */
#include "unit/sync/waiting.h"

static cor_once once;
static cor_waitgroup tasks;
static int calls;
static int value; /* written by the call only, read by everybody afterwards */

static void set_value(void *arg)
{
    add(&calls, 1);
    T_WAITING(&once.mutex.waiters, 9); /* all others are there and wait */
    value = *(int *)arg;
}

static void do_once(void *arg)
{
    cor_once_do(&once, set_value, arg);
    T_EQ(value, 7);
    cor_waitgroup_done(&tasks);
}

TASK_TEST(runs_once_and_all_wait_for_it)
{
    int seven = 7;
    cor_waitgroup_add(&tasks, 10);
    for (int i = 0; i < 10; i++) {
        T_OK(cor_go(do_once, &seven));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(get(&calls), 1);
    seven = 8;
    cor_once_do(&once, set_value, &seven);
    T_EQ(value, 7);
    T_EQ(get(&calls), 1);
}

static cor_once_value config;

static void *make_config(void *arg)
{
    add(&calls, 1);
    T_WAITING(&config.once.mutex.waiters, 9);
    return arg;
}

static void ask(void *arg)
{
    T_ASSERT(cor_once_value_get(&config, make_config, arg) == arg);
    cor_waitgroup_done(&tasks);
}

/* Go's sync.OnceValue: all get what the first one made, and wait until it is there. */
TASK_TEST(a_value_is_made_once)
{
    int value_made = 1, other = 2;
    cor_waitgroup_add(&tasks, 10);
    for (int i = 0; i < 10; i++) {
        T_OK(cor_go(ask, &value_made));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_ASSERT(cor_once_value_get(&config, make_config, &other) == &value_made);
    T_EQ(get(&calls), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_once_and_all_wait_for_it),
        cmocka_unit_test(a_value_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

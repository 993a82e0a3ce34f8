/* SPDX-License-Identifier: MIT */
/* What must hold is checked in release, too: each check ends the program with its condition. */
/* test: workers=1 */
#include "support/child.h"
#include "support/taskcase.h"

#include "sched/park.h"

#include <signal.h>
#include <stdio.h>

static cori_task made_up;

static int inject_foreign(void *unused)
{
    (void)unused;
    made_up.worker = &cori_rt.workers[0] + 1;
    cori_rt.workers[0].injected = &made_up;
    return cor_sleep(COR_SECOND);
}

static int inject_twice(void *unused)
{
    (void)unused;
    made_up.worker = &cori_rt.workers[0];
    cori_worker_inject(&made_up);
    cori_worker_inject(&made_up);
    return 0;
}

static void wait_for_signal(void *unused)
{
    (void)unused;
    (void)cor_signal_wait(cor_after(5 * COR_MILLISECOND));
}

static int lose_an_external(void *unused)
{
    (void)unused;
    int rc = cor_go(wait_for_signal, NULL);
    cor_yield();
    cori_rt.workers[0].external = 0;
    return rc < 0 ? rc : cor_sleep(COR_SECOND);
}

static void lose_a_task(void *unused)
{
    (void)unused;
    cori_rt.workers[0].live = 0;
}

static int end_a_lost_task(void *unused)
{
    (void)unused;
    int rc = cor_go(lose_a_task, NULL);
    return rc < 0 ? rc : cor_sleep(COR_SECOND);
}

static int park_another(void *unused)
{
    (void)unused;
    made_up.worker = &cori_rt.workers[0];
    cori_park_until(&made_up, cor_after(COR_SECOND), "nothing");
    return 0;
}

static int park_twice(void *unused)
{
    (void)unused;
    made_up.permit = CORI_PARKED;
    return cori_permit_park(&made_up, false);
}

static int run_it(void *main_task)
{
    cor_options options = {.workers = 1};
    int (*run)(void *arg) = *(int (**)(void *arg))main_task;
    return cor_run(run, NULL, &options);
}

static void must_end_with(int (*main_task)(void *arg), const char *condition)
{
    char text[200];
    child_result result;
    (void)snprintf(text, sizeof(text), "fatal error: coracle: internal check failed: %s\n", condition);
    assert_true(child_run(run_it, &main_task, &result));
    assert_int_equal(result.signal_number, SIGABRT);
    assert_non_null(strstr(result.output, text));
}

static void a_task_on_a_foreign_worker(void **state)
{
    (void)state;
    must_end_with(inject_foreign, "task->worker == worker");
}

static void a_task_woken_twice(void **state)
{
    (void)state;
    must_end_with(inject_twice, "head != newest");
}

static void a_count_below_nothing(void **state)
{
    (void)state;
    must_end_with(lose_an_external, "worker->external > 0");
    must_end_with(end_a_lost_task, "worker->live > 0");
}

static void a_task_parked_by_another_or_twice(void **state)
{
    (void)state;
    must_end_with(park_another, "self == worker->current");
    must_end_with(park_twice, "old == CORI_NOTIFIED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_on_a_foreign_worker),
        cmocka_unit_test(a_task_woken_twice),
        cmocka_unit_test(a_count_below_nothing),
        cmocka_unit_test(a_task_parked_by_another_or_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

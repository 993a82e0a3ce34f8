/* SPDX-License-Identifier: MIT */
/* The deadlock report: when, with which words, and when not. */
#include "support/child.h"
#include "support/taskcase.h"

#include "poll/poll.h"
#include "sched/park.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static uint32_t ran; /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

static void park_for_ever(const char *what)
{
    for (;;) {
        cori_park(cori_self(), 0, what);
    }
}

static void stuck(void *arg)
{
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    park_for_ever(arg);
}

static int all_stuck(void *arg)
{
    cor_task_options named = {.name = "the named one"};
    T_CODE(cor_go(stuck, "a thing"), 0);
    T_CODE(cor_go_with(&named, stuck, "another thing"), 0);
    if (arg != NULL) {
        T_CODE(cor_sleep(2 * COR_MILLISECOND), 0);
    }
    park_for_ever("nothing at all");
    return 0;
}

static int run_and_check(void *arg)
{
    int rc = cor_run(all_stuck, arg, NULL);
    return rc == COR_EDEADLOCK ? 0 : 1;
}

/* N313 */
static void report_says_what_each_task_waits_for(void **state)
{
    static child_result result;
    for (int slow = 0; slow <= 1; slow++) {
        assert_true(child_run(run_and_check, slow ? state : NULL, &result));
        if (result.exit_status != 0) {
            print_message("%s", result.output);
        }
        assert_int_equal(result.exit_status, 0);
        assert_memory_equal(result.output, "fatal error: all tasks are asleep - deadlock!\n", 46);
        assert_non_null(strstr(result.output, "nothing at all"));
        assert_non_null(strstr(result.output, "a thing"));
        assert_non_null(strstr(result.output, "another thing"));
        assert_non_null(strstr(result.output, "the named one"));
    }
}

static int give_up_at_once(void *arg)
{
    (void)arg;
    park_for_ever("alone");
    return 0;
}

enum { RUNS = 40 };

static int run_many_times(void *arg)
{
    int told = 0;
    for (int i = 0; i < RUNS; i++) {
        told += cor_run(give_up_at_once, arg, NULL) == COR_EDEADLOCK;
    }
    return told == RUNS ? 0 : 1;
}

/* Several workers can see one deadlock at the same time; what they set is no race. */
static void a_lone_main_task_and_again(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_many_times, NULL, &result));
    if (result.exit_status != 0) {
        print_message("%s", result.output);
    }
    assert_int_equal(result.exit_status, 0);
}

static int stuck_after_outside(void *arg)
{
    cori_park_external(cori_self(), cor_after(COR_MILLISECOND), "something outside");
    park_for_ever("what no longer counts");
    return *(int *)arg;
}

static int run_stuck_after_outside(void *arg)
{
    return cor_run(stuck_after_outside, arg, NULL) == COR_EDEADLOCK ? 0 : 1;
}

/* A task counts as waiting for the outside only while it does. */
static void after_waiting_for_the_outside(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_stuck_after_outside, NULL, &result));
    assert_int_equal(result.exit_status, 0);
    assert_non_null(strstr(result.output, "what no longer counts"));
}

/* What keeps a run-time alive: none of these may be called a deadlock. Each body waits for something real. */

static uint32_t released; /* atomic */

static void keep_sleeping(void *arg)
{
    for (int i = 0; i < 20; i++) {
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    __atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
    cori_wake(arg);
}

TASK_TEST(not_while_a_timer_runs)
{
    T_CODE(cor_go(keep_sleeping, cori_self()), 0);
    while (__atomic_load_n(&released, __ATOMIC_SEQ_CST) == 0) {
        cori_park(cori_self(), 0, "the sleeper");
    }
}

static int slow_call(void *arg)
{
    int *rounds = arg;
    for (int i = 0; i < *rounds; i++) {
        (void)poll(NULL, 0, 1);
    }
    return 5;
}

TASK_TEST(not_during_a_blocking_call)
{
    int rounds = 20;
    for (int i = 0; i < 3; i++) {
        T_EQ(cor_blocking(slow_call, &rounds), 5);
    }
}

static void *signal_later(void *arg)
{
    (void)poll(NULL, 0, 20);
    (void)kill(getpid(), SIGUSR1);
    return arg;
}

TASK_TEST(not_while_waiting_for_a_signal)
{
    pthread_t thread;
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_EQ(pthread_create(&thread, NULL, signal_later, NULL), 0);
    T_EQ(cor_signal_wait(0), SIGUSR1);
    T_EQ(pthread_join(thread, NULL), 0);
}

static int pipe_ends[2];

static void *write_later(void *arg)
{
    (void)poll(NULL, 0, 20);
    T_EQ(write(pipe_ends[1], "x", 1), 1);
    return arg;
}

/* N314 */
TASK_TEST(not_while_waiting_for_io)
{
    pthread_t thread;
    cori_pollfd on = {.fd = -1};
    T_EQ(pipe(pipe_ends), 0);
    cori_pollfd_open(&on, pipe_ends[0], CORI_FD_PLAIN);
    cori_task *self = cori_self();
    cori_poller *poller = self->worker->poller;
    T_CODE(poller->ops->add(poller, &on), 0);
    on.wait[CORI_READ] = CORI_IDLE;
    uintptr_t idle = CORI_IDLE;
    on.poller = poller;
    T_CODE(poller->ops->ahead != NULL ? poller->ops->ahead->arm(poller, &on, CORI_READ) : 0, 0);
    T_EQ(pthread_create(&thread, NULL, write_later, NULL), 0);
    T_ASSERT(__atomic_compare_exchange_n(&on.wait[CORI_READ], &idle, (uintptr_t)self, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST) ||
             idle == CORI_READY);
    while (__atomic_load_n(&on.wait[CORI_READ], __ATOMIC_SEQ_CST) != CORI_READY) {
        cori_park_external(self, 0, "pipe");
    }
    T_EQ(pthread_join(thread, NULL), 0);
    poller->ops->remove(poller, &on, true);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}

static const cor_options foreign = {.foreign_wakeups = true};

static void release_main(void *arg)
{
    __atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
    cori_wake(arg);
}

static void *release_later(void *arg)
{
    (void)poll(NULL, 0, 20);
    T_CODE(cor_go_foreign(release_main, arg), 0);
    return NULL;
}

TASK_TEST_WITH(not_with_foreign_wakeups, &foreign)
{
    pthread_t thread;
    T_EQ(pthread_create(&thread, NULL, release_later, cori_self()), 0);
    while (__atomic_load_n(&released, __ATOMIC_SEQ_CST) == 0) {
        cori_park(cori_self(), 0, "a thread");
    }
    T_EQ(pthread_join(thread, NULL), 0);
}

/* A busy net of wakes across workers with timers: a snapshot taken carelessly would see a moment in which all sleep. */
enum { PAIRS = 8, ROUNDS = 300 };
static struct {
    cori_task *task; /* atomic */
    uint32_t turn;   /* atomic */
} players[2 * PAIRS];

static void play(void *arg)
{
    intptr_t own = (intptr_t)arg, other = own ^ 1;
    __atomic_store_n(&players[own].task, cori_self(), __ATOMIC_SEQ_CST);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        if (own % 2 == 0) {
            T_CODE(cor_sleep(1 + (int64_t)(round % 7) * 10000), 0);
        }
        __atomic_store_n(&players[other].turn, round, __ATOMIC_SEQ_CST);
        cori_task *task = __atomic_load_n(&players[other].task, __ATOMIC_SEQ_CST);
        if (task != NULL) {
            cori_wake(task);
        }
        while (__atomic_load_n(&players[own].turn, __ATOMIC_SEQ_CST) < round) {
            cori_park(cori_self(), 0, "the partner");
        }
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

TASK_TEST(not_while_tasks_wake_each_other)
{
    cor_group group = {0};
    for (intptr_t i = 0; i < 2 * PAIRS; i++) {
        T_CODE(cor_group_go(&group, play, (void *)i), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(runs(), 2 * PAIRS);
}

/* The same with one sleeper at a time and everything else asleep: the narrow moment is hit most often. */
static void chain(void *arg)
{
    intptr_t left = (intptr_t)arg;
    T_CODE(cor_sleep(1000), 0);
    if (left > 0) {
        T_CODE(cor_go(chain, (void *)(left - 1)), 0);
    } else {
        __atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
        cori_wake(players[0].task);
    }
}

TASK_TEST(not_in_a_chain_of_short_timers)
{
    players[0].task = cori_self();
    T_CODE(cor_go(chain, (void *)(intptr_t)taskcase_scale(3000)), 0);
    while (__atomic_load_n(&released, __ATOMIC_SEQ_CST) == 0) {
        cori_park(cori_self(), 0, "the chain");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_says_what_each_task_waits_for),
        cmocka_unit_test(a_lone_main_task_and_again),
        cmocka_unit_test(after_waiting_for_the_outside),
        cmocka_unit_test(not_while_a_timer_runs),
        cmocka_unit_test(not_during_a_blocking_call),
        cmocka_unit_test(not_while_waiting_for_a_signal),
        cmocka_unit_test(not_while_waiting_for_io),
        cmocka_unit_test(not_with_foreign_wakeups),
        cmocka_unit_test(not_while_tasks_wake_each_other),
        cmocka_unit_test(not_in_a_chain_of_short_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Sleeping and yielding: never early, in order, fair; busy tasks starve neither timers nor I/O nor new tasks. */
#include "support/fake.h"
#include "support/taskcase.h"

#include "poll/poll.h"
#include "sched/park.h"

#include <unistd.h>

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

/* N342 */
static void sleep_some(void *arg)
{
    int64_t duration_ns = (int64_t)(intptr_t)arg;
    for (int i = 0; i < 5; i++) {
        int64_t before = cor_now();
        T_CODE(cor_sleep(duration_ns), 0);
        int64_t slept_ns = cor_now() - before;
        T_REQUIRE(slept_ns >= duration_ns, "slept %jd ns instead of %jd", (intmax_t)slept_ns, (intmax_t)duration_ns);
    }
    count_me(NULL);
}

TASK_TEST(sleep_is_never_early)
{
    static const int64_t durations_ns[] = {1, 999, 1000, 1001, 50000, 999999, 1000000, 1000001, 3500000, 20000000};
    for (size_t i = 0; i < 200; i++) {
        T_CODE(cor_go(sleep_some, (void *)(intptr_t)durations_ns[i % 10]), 0);
    }
    T_EVENTUALLY(runs() == 200, 20 * COR_SECOND);
}

TASK_TEST(sleep_of_nothing_returns_at_once)
{
    int64_t before = cor_now();
    for (int i = 0; i < 1000; i++) {
        T_CODE(cor_sleep(0), 0);
        T_CODE(cor_sleep(-1), 0);
        T_CODE(cor_sleep(INT64_MIN), 0);
    }
    T_ASSERT(cor_now() - before < 20 * COR_SECOND);
}

static int wake_order[500];
static uint32_t woken;

static void sleep_and_note(void *arg)
{
    intptr_t rank = (intptr_t)arg;
    T_CODE(cor_sleep((rank + 1) * COR_MILLISECOND), 0);
    wake_order[woken++] = (int)rank;
}

/* On the fake clock every duration is exact, whatever the machine does. */
static int sleepers_main(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < 500; i++) {
        T_CODE(cor_go(sleep_and_note, (void *)((i * 7) % 500)), 0); /* 7 and 500 share no factor */
    }
    int64_t before = cor_now();
    T_CODE(cor_sleep(COR_SECOND), 0);
    T_EQ(cor_now() - before, COR_SECOND);
    for (int64_t duration_ns = 1; duration_ns < 100000; duration_ns *= 3) {
        before = cor_now();
        T_CODE(cor_sleep(duration_ns), 0);
        T_EQ(cor_now() - before, duration_ns);
    }
    T_EQ(woken, 500);
    for (int i = 0; i < 500; i++) {
        T_EQ(wake_order[i], i);
    }
    return 17;
}

static void sleepers_wake_in_order_of_time(void **state)
{
    (void)state;
    fake_install();
    cor_options options = fake_options(1);
    assert_int_equal(cor_run(sleepers_main, NULL, &options), 17);
    assert_true(fake_now() >= FAKE_START_NS + COR_SECOND);
    assert_true(fake_count().jumps >= 500);
    fake_uninstall();
}

static const cor_options one_worker = {.workers = 1};
static int turns[3];

static void take_turns(void *arg)
{
    intptr_t own = (intptr_t)arg;
    for (int i = 0; i < 2000; i++) {
        turns[own]++;
        for (int other = 0; other < 3; other++) {
            int ahead = turns[own] - turns[other];
            T_REQUIRE(ahead >= -1 && ahead <= 1, "task %d is %d turns ahead", (int)own, ahead);
        }
        cor_yield();
    }
    count_me(NULL);
}

/* N308: those that yield run in turn. */
TASK_TEST_WITH(yield_is_fair, &one_worker)
{
    for (intptr_t i = 0; i < 3; i++) {
        T_CODE(cor_go(take_turns, (void *)i), 0);
    }
    while (runs() < 3) {
        cor_yield();
    }
}

static uint32_t stop_busy;

static void be_busy(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&stop_busy, __ATOMIC_ACQUIRE) == 0) {
        cor_yield();
    }
    count_me(NULL);
}

static void start_busy_pair(void)
{
    T_CODE(cor_go(be_busy, NULL), 0);
    T_CODE(cor_go(be_busy, NULL), 0);
}

static void stop_busy_pair(uint32_t others)
{
    __atomic_store_n(&stop_busy, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == others + 2, 20 * COR_SECOND);
}

/* N309 */
TASK_TEST_WITH(busy_pair_starves_no_timer, &one_worker)
{
    start_busy_pair();
    for (int i = 0; i < 10; i++) {
        int64_t before = cor_now();
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
        int64_t slept_ns = cor_now() - before;
        T_REQUIRE(slept_ns < 20 * COR_SECOND, "1 ms took %jd ns", (intmax_t)slept_ns);
    }
    stop_busy_pair(0);
}

TASK_TEST_WITH(busy_pair_starves_no_new_task, &one_worker)
{
    start_busy_pair();
    for (uint32_t i = 1; i <= 100; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
        int64_t deadline = cor_after(20 * COR_SECOND);
        while (runs() < i) {
            T_ASSERT(cor_now() < deadline);
            cor_yield();
        }
    }
    stop_busy_pair(100);
}

/* Waits for a pipe as net/ does, on the bare poller. */
typedef struct pipe_wait {
    cori_pollfd pollfd;
    int write_end;
} pipe_wait;

static void wait_readable(pipe_wait *on)
{
    cori_task *self = cori_self();
    uintptr_t *word = &on->pollfd.wait[CORI_READ];
    for (;;) {
        uintptr_t idle = CORI_IDLE;
        if (!__atomic_compare_exchange_n(word, &idle, (uintptr_t)self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            if (idle == CORI_READY) {
                (void)__atomic_exchange_n(word, CORI_IDLE, __ATOMIC_SEQ_CST);
                return;
            }
        }
        cori_park_external(self, 0, "pipe");
    }
}

/* N309 */
TASK_TEST_WITH(busy_pair_starves_no_io, &one_worker)
{
    int ends[2];
    char byte;
    T_EQ(pipe(ends), 0);
    pipe_wait on = {.write_end = ends[1]};
    cori_pollfd_open(&on.pollfd, ends[0], CORI_FD_PLAIN);
    cori_poller *poller = cori_self()->worker->poller;
    T_CODE(poller->ops->add(poller, &on.pollfd), 0);
    on.pollfd.poller = poller;
    T_CODE(poller->ops->ahead != NULL ? poller->ops->ahead->arm(poller, &on.pollfd, CORI_READ) : 0, 0);
    on.pollfd.wait[CORI_READ] = CORI_IDLE;
    start_busy_pair();
    for (int i = 0; i < 20; i++) {
        T_EQ(write(ends[1], "x", 1), 1);
        int64_t before = cor_now();
        wait_readable(&on);
        T_ASSERT(cor_now() - before < 20 * COR_SECOND);
        T_EQ(read(ends[0], &byte, 1), 1);
    }
    stop_busy_pair(0);
    poller->ops->remove(poller, &on.pollfd, true);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* A task that never waits still lets others run when it calls something that counts operations. */
static void charge_for_ever(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&stop_busy, __ATOMIC_ACQUIRE) == 0) {
        cori_charge(cori_self());
    }
    count_me(NULL);
}

TASK_TEST_WITH(operations_that_succeed_at_once_are_charged, &one_worker)
{
    T_CODE(cor_go(charge_for_ever, NULL), 0);
    T_CODE(cor_go(charge_for_ever, NULL), 0);
    for (int i = 0; i < 50; i++) {
        cor_yield(); /* comes back */
    }
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    stop_busy_pair(0);
}

/* A sleeper's deadline beyond the horizon neither fires nor overflows. */
static void sleep_for_ever(void *arg)
{
    (void)arg;
    (void)cor_sleep(INT64_MAX);
    count_me(NULL);
}

TASK_TEST(endless_sleep)
{
    taskcase_leaves_tasks();
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_go(sleep_for_ever, NULL), 0);
    }
    T_CODE(cor_sleep(20 * COR_MILLISECOND), 0);
    T_EQ(runs(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleep_is_never_early),
        cmocka_unit_test(sleep_of_nothing_returns_at_once),
        cmocka_unit_test(sleepers_wake_in_order_of_time),
        cmocka_unit_test(yield_is_fair),
        cmocka_unit_test(busy_pair_starves_no_timer),
        cmocka_unit_test(busy_pair_starves_no_new_task),
        cmocka_unit_test(busy_pair_starves_no_io),
        cmocka_unit_test(operations_that_succeed_at_once_are_charged),
        cmocka_unit_test(endless_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tasks that never ran: what one takes, their order over many blocks of records, and where memory ends. */
/* test: workers=1,2 */
#include "poll/poll_pick.h"
#include "support/child.h"
#include "support/fake.h"
#include "support/faults.h"
#include "support/taskcase.h"

#include "base/rand.h"
#include "sched/here.h"

#include <errno.h>
#include <stdio.h>

enum { STORM = 200000, BYTES_EACH = 80, STACKS_FEW = 2 * CORI_STACK_HOT_MAX, BURST_MAX = 2 * CORI_FRESH_BLOCK + 9 };

/* The fault hooks, and orders of arrival, are for one worker. */
static const cor_options one_worker = {.workers = 1};
static const cor_options large_stacks = {.workers = 1, .stack_size_bytes = 1 << 20};

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

/* A storm takes records; its stacks are those of the few that run at once. */
TASK_TEST_WITH(a_storm_takes_records_not_stacks, &one_worker)
{
    uint32_t total = taskcase_scale(CORI_TSAN ? STORM / 8 : STORM);
    size_t before = taskcase_is_slow() ? 0 : taskcase_private_bytes();
    for (uint32_t i = 0; i < total; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_EQ(runs(), 0);
    if (!taskcase_is_slow()) {
        size_t now = taskcase_private_bytes();
        T_REQUIRE(now - before <= (size_t)total * BYTES_EACH, "%zu bytes for each", (now - before) / total);
    }
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    T_EQ(stats.tasks, total + 1);
    T_EVENTUALLY(runs() == total, 30 * COR_SECOND);
    T_ASSERT(taskcase_is_slow() || cori_stack_count() == 2); /* main's, and one that each used in turn */
}

/* On several workers the others help; a task that was handed over is no reason for more stacks either. */
TASK_TEST(a_storm_on_all_workers)
{
    uint32_t total = taskcase_scale(CORI_TSAN ? STORM / 4 : STORM);
    for (uint32_t i = 0; i < total; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_EVENTUALLY(runs() == total, 30 * COR_SECOND);
    T_REQUIRE(taskcase_is_slow() || cori_stack_count() <= STACKS_FEW, "%zu stacks", cori_stack_count());
}

static uintptr_t next_number; /* one worker: no lock */

static void in_turn(void *arg)
{
    T_EQ((uintptr_t)arg, next_number);
    next_number++;
    if (next_number % 5 == 0) {
        cor_yield();
    }
}

static void in_turn_entry(void *arg)
{
    T_STR(cori_self()->name, "by name");
    in_turn(arg);
}

/*
 * Bursts that fill no block, exactly one, several; the queue runs empty in between, or does not. Two kinds of record.
 */
TASK_TEST_WITH(order_over_many_blocks, &one_worker)
{
    static const cor_task_options named = {.name = "by name"};
    uintptr_t number = 0;
    cori_rand rand;
    cori_rand_init(&rand, 7, 0);
    /* The first four, and some of both kinds of end; fewer where a stack costs a millisecond and one worker no race. */
    int rounds = CORI_TSAN ? 3 : taskcase_is_slow() ? 8 : 100;
    for (int round = 0; round < rounds; round++) {
        uint32_t burst = round < 4 ? CORI_FRESH_BLOCK - 1 + (uint32_t)round : cori_rand_below(&rand, BURST_MAX);
        for (uint32_t i = 0; i < burst; i++, number++) {
            T_CODE(number % 3 == 0 ? cor_go_with(&named, in_turn_entry, (void *)number)
                                   : cor_go(in_turn, (void *)number),
                   0);
        }
        if (round % 3 != 0) {
            cor_yield();
        }
    }
    T_EVENTUALLY(next_number == number, 20 * COR_SECOND);
    T_EVENTUALLY(cori_self_worker->live == 1, 20 * COR_SECOND);
}

/* One with a stack of its own size is queued among the others. */
TASK_TEST_WITH(order_with_stacks_of_their_own, &one_worker)
{
    static const cor_task_options large = {.stack_size_bytes = 1 << 20};
    for (uintptr_t i = 0; i < 200; i++) {
        T_CODE(i % 7 == 0 ? cor_go_with(&large, in_turn, (void *)i) : cor_go(in_turn, (void *)i), 0);
    }
    T_EVENTUALLY(next_number == 200, 20 * COR_SECOND);
}

static bool may_end;
static uint32_t begun;

static void stay(void *arg)
{
    (void)arg;
    begun++;
    while (!may_end) {
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    count_me(NULL);
}

/* -ENOMEM, and what was there before goes on. Records do not take the room of the stacks that they will need. */
TASK_TEST_WITH(no_record_gives_enomem, &one_worker)
{
    uint32_t started = 0;
    int rc = 0;
    size_t stacks = cori_stack_count();
    faults_set_run(CORI_SYS_MMAP, 1, UINT32_MAX, -ENOMEM);
    while (started < BURST_MAX && (rc = cor_go(count_me, NULL)) == 0) {
        started++;
    }
    T_CODE(rc, -ENOMEM);
    T_CODE(cor_go_with(NULL, count_me, NULL), -ENOMEM);
    T_EQ(cori_stack_count(), stacks);
    faults_clear();
    T_CODE(cor_go(count_me, NULL), 0); /* with memory it works */
    T_EVENTUALLY(runs() == (uint32_t)started + 1, 20 * COR_SECOND);
}

/* As many blocks as there are already are enough for what follows. */
static void have_a_block(void)
{
    T_CODE(cor_go(count_me, NULL), 0);
    T_EVENTUALLY(runs() == 1, 20 * COR_SECOND);
    __atomic_store_n(&ran, 0, __ATOMIC_RELEASE);
    T_EVENTUALLY(cori_self_worker->live == 1, 20 * COR_SECOND);
}

/* What gets no stack waits; what runs goes on; a spawn says that there is none. Then memory comes. */
TASK_TEST_WITH(no_stack_at_the_first_run_waits, &large_stacks)
{
    enum { COUNT = 50 };
    have_a_block();
    faults_set_run(CORI_SYS_MMAP, 1, UINT32_MAX, -ENOMEM);
    for (int i = 0; i < COUNT; i++) {
        T_CODE(cor_go(stay, NULL), 0);
    }
    T_CODE(cor_sleep(3 * CORI_STARVED_NS), 0);
    T_ASSERT(faults_hit());
    T_REQUIRE(begun > 0 && begun < COUNT, "%u began", begun);
    T_CODE(cor_go(count_me, NULL), -ENOMEM);
    T_CODE(cor_go_with(NULL, count_me, NULL), -ENOMEM);
    T_CODE(cor_go_foreign(count_me, NULL), -ENOMEM);
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    T_EQ(stats.tasks, COUNT + 1);
    faults_clear();
    T_EVENTUALLY(begun == COUNT, 20 * COR_SECOND);
    T_CODE(cor_go(count_me, NULL), 0);
    may_end = true;
    T_EVENTUALLY(runs() == COUNT + 1, 20 * COR_SECOND);
}

/*
 * Without any memory for more, those that wait run in the stacks of those that end, and do not wait a moment longer:
 * the clock moves only when the worker sleeps.
 */
static int feed(void *unused)
{
    enum { COUNT = 300 };
    (void)unused;
    have_a_block();
    faults_set_run(CORI_SYS_MMAP, 1, UINT32_MAX, -ENOMEM);
    int64_t start = cor_now();
    for (uintptr_t i = 0; i < COUNT; i++) {
        T_CODE(cor_go(in_turn, (void *)i), 0);
    }
    T_EVENTUALLY(next_number == COUNT, 20 * COR_SECOND);
    T_ASSERT(faults_hit());
    T_REQUIRE(cor_now() - start < (int64_t)COUNT * CORI_STARVED_NS / 10, "%jd us",
              (intmax_t)(cor_now() - start) / 1000);
    faults_clear();
    T_EVENTUALLY(cori_self_worker->live == 1, 20 * COR_SECOND);
    return 0;
}

static void an_end_feeds_who_waits(void **state)
{
    (void)state;
    cor_options options = fake_options(1);
    options.stack_size_bytes = large_stacks.stack_size_bytes;
    __atomic_store_n(&ran, 0, __ATOMIC_RELEASE);
    next_number = 0;
    fake_install();
    assert_int_equal(cor_run(feed, NULL, &options), 0);
    fake_uninstall();
}

static cor_chan *gate;

static void open_gate(void *arg)
{
    (void)arg;
    (void)cor_chan_close(gate);
}

static void wait_at_gate(void *arg)
{
    (void)arg;
    T_CODE(cor_chan_recv(gate, NULL, 0), 0);
}

static uint32_t memory_out; /* atomic */

static int refuse_memory(enum cori_sys_call call)
{
    return call == CORI_SYS_MMAP && __atomic_load_n(&memory_out, __ATOMIC_ACQUIRE) != 0 ? -ENOMEM : 0;
}

static void wait_and_count(void *arg)
{
    wait_at_gate(arg);
    count_me(arg);
}

static int start_behind_the_starving(void *arg)
{
    static const cor_task_options own_stack = {.stack_size_bytes = 2 << 20};
    (void)arg;
    gate = cor_chan_new(0, 0);
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_go(wait_and_count, NULL), 0);
    }
    T_CODE(cor_go_with(&own_stack, count_me, NULL), 0);
    __atomic_store_n(&memory_out, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(runs() == 1, 5 * COR_SECOND);
    T_CODE(cor_go(count_me, NULL), -ENOMEM); /* some get none indeed */
    __atomic_store_n(&memory_out, 0, __ATOMIC_RELEASE);
    T_CODE(cor_chan_close(gate), 0);
    T_EVENTUALLY(runs() == 101, 5 * COR_SECOND);
    cor_chan_free(gate);
    return 0;
}

/* Who was spawned with its stack does not wait behind those who get none. */
static void a_stack_of_ones_own_is_enough(void **state)
{
    (void)state;
    static const cor_options options = {.stack_size_bytes = 1 << 20};
    __atomic_store_n(&ran, 0, __ATOMIC_RELEASE);
    cori_sys_fault = refuse_memory;
    assert_int_equal(cor_run(start_behind_the_starving, NULL, &options), 0);
    cori_sys_fault = NULL;
}

static int ask_for_stacks_now(void *arg)
{
    static const cor_task_options now = {.stack_now = true};
    int rc = cor_go(count_me, NULL), started = 0; /* it brings the block of records */
    (void)arg;
    gate = cor_chan_new(0, 0);
    __atomic_store_n(&memory_out, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 1000 && rc == 0; i++, started++) {
        rc = cor_go_with(&now, wait_and_count, NULL);
    }
    T_CODE(rc, -ENOMEM);
    T_CODE(cor_go(wait_and_count, NULL), 0); /* this one waits for a stack */
    __atomic_store_n(&memory_out, 0, __ATOMIC_RELEASE);
    T_CODE(cor_chan_close(gate), 0);
    T_EVENTUALLY(runs() == (uint32_t)started + 1, 5 * COR_SECOND);
    cor_chan_free(gate);
    return 0;
}

/* Who is to have a stack now has it, or is refused; so nobody waits for a task that gets none. */
static void a_stack_now_or_no_task(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        const cor_options options = {.workers = workers, .stack_size_bytes = 1 << 20};
        __atomic_store_n(&ran, 0, __ATOMIC_RELEASE);
        cori_sys_fault = refuse_memory;
        assert_int_equal(cor_run(ask_for_stacks_now, NULL, &options), 0);
        cori_sys_fault = NULL;
    }
}

/* Each waits for the last one, which gets no stack. */
static int wait_for_the_last(void *arg)
{
    (void)arg;
    gate = cor_chan_new(0, 0);
    for (int i = 0; i < 100; i++) {
        if (cor_go(wait_at_gate, NULL) < 0) {
            return 1;
        }
    }
    if (cor_go(open_gate, NULL) < 0) {
        return 2;
    }
    return cor_chan_recv(gate, NULL, 0) == 0 ? 3 : 4;
}

static int starve_in_child(void *arg)
{
    static const cor_options options = {.stack_size_bytes = 1 << 20};
    (void)arg;
    faults_set_run(CORI_SYS_MMAP, 3, 1000000, -ENOMEM); /* main's stack, and a block of records */
    return cor_run(wait_for_the_last, NULL, &options) == COR_EDEADLOCK ? 0 : 5;
}

/* Nobody could leave a stack: the program ends, and says why. */
static void nobody_leaves_a_stack(void **state)
{
    static child_result child;
    (void)state;
    assert_true(child_run(starve_in_child, NULL, &child));
    if (child.exit_status != 0) {
        print_error("signal %d, status %d\n%.2000s", child.signal_number, child.exit_status, child.output);
    }
    assert_int_equal(child.exit_status, 0);
    assert_non_null(strstr(child.output, "fatal error: all tasks are asleep - deadlock!\nno memory for the stacks "
                                         "of tasks that never ran"));
    assert_non_null(strstr(child.output, "task - [runnable, never ran, "));
}

static cori_poll_ops late;

static int open_late(cori_poller **out)
{
    int rc = fake_poll_ops.open(out);
    (*out)->ops = &late;
    return rc;
}

/* A busy machine: each nap ends later than the next one would. */
static int wait_too_long(cori_poller *poller, int64_t timeout_ns, cori_event *events, int max)
{
    int count = fake_poll_ops.wait(poller, timeout_ns, events, max);
    if (timeout_ns > 0) {
        fake_advance(2 * CORI_STARVED_NS);
    }
    return count;
}

static int starve_with_late_naps(void *arg)
{
    cor_options options = fake_options(1);
    late = fake_poll_ops;
    late.open = open_late;
    late.wait = wait_too_long;
    options.stack_size_bytes = 1 << 20;
    fake_install();
    cori_poll_override(&late);
    faults_set_run(CORI_SYS_MMAP, 3, 1000000, -ENOMEM);
    int rc = cor_run(wait_for_the_last, arg, &options);
    faults_clear();
    int64_t took_ns = fake_now() - FAKE_START_NS;
    fake_uninstall();
    return rc == COR_EDEADLOCK && took_ns < 2 * CORI_REFUSED_NS ? 0 : 5;
}

/* What the naps of a starving worker are late by does not keep it from giving up after a second. */
static void late_naps_end_it_all_the_same(void **state)
{
    (void)state;
    static child_result child;
    assert_true(child_run(starve_with_late_naps, NULL, &child));
    assert_int_equal(child.exit_status, 0);
}

static int leave_them(void *arg)
{
    static const cor_task_options large = {.stack_size_bytes = 1 << 20};
    (void)arg;
    for (int i = 0; i < (CORI_TSAN ? BURST_MAX / 2 : BURST_MAX); i++) { /* a block and some, at least */
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_CODE(cor_go_with(&large, count_me, NULL), 0);
    return 0;
}

/* main ends before they have run: they go with it, and so does their memory (leak checkers look). */
static void never_run_at_all(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        const cor_options options = {.workers = workers};
        assert_int_equal(cor_run(leave_them, NULL, &options), 0);
        assert_int_equal(cori_stack_count(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_takes_records_not_stacks), cmocka_unit_test(a_storm_on_all_workers),
        cmocka_unit_test(order_over_many_blocks),           cmocka_unit_test(order_with_stacks_of_their_own),
        cmocka_unit_test(no_record_gives_enomem),           cmocka_unit_test(no_stack_at_the_first_run_waits),
        cmocka_unit_test(an_end_feeds_who_waits),           cmocka_unit_test(a_stack_of_ones_own_is_enough),
        cmocka_unit_test(a_stack_now_or_no_task),           cmocka_unit_test(nobody_leaves_a_stack),
        cmocka_unit_test(late_naps_end_it_all_the_same),    cmocka_unit_test(never_run_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

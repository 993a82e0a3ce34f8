/* SPDX-License-Identifier: MIT */
/* Memory that an idle worker gives back: pages below parked tasks' frames, stacks it keeps for no use. */
/* test: workers=1 no-uring no-valgrind */
#include "support/fake.h"
#include "support/taskcase.h"

#include "sched/park.h"
#include "sched/state.h"

#include <sys/mman.h>

enum { PAGE = 4096, DEEP = 32 * 1024, CROWD = 10000, MIB = 1 << 20 };

/* Uses about `bytes` of its stack. */
static __attribute__((noinline)) int dig(size_t bytes)
{
    volatile char hole[1024];
    hole[0] = (char)bytes;
    hole[1023] = hole[0];
    return bytes > sizeof(hole) ? dig(bytes - sizeof(hole)) + hole[1023] : hole[0];
}

/* How many pages of a stack are committed. */
static int committed(const cori_stack *stack)
{
    unsigned char pages[CORI_STACK_DEFAULT_BYTES / PAGE];
    size_t size = (size_t)(stack->top - stack->low);
    T_EQ(size, CORI_STACK_DEFAULT_BYTES);
    T_CODE(mincore(stack->low, size, pages), 0);
    int count = 0;
    for (size_t i = 0; i < size / PAGE; i++) {
        count += pages[i] & 1;
    }
    return count;
}

static void run(int (*main_task)(void *))
{
    cor_options options = fake_options(1);
    fake_install();
    assert_int_equal(cor_run(main_task, NULL, &options), 0);
    fake_uninstall();
}

#define RECLAIM_TEST(name)                                                                                             \
    static int name##_main(void *);                                                                                    \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        run(name##_main);                                                                                              \
    }                                                                                                                  \
    static int name##_main(void *unused)

static cor_chan *gate;
static cori_task *one;
static uint32_t intact;

/* Goes deep, waits with something in its own frame, goes deep again. */
static void dig_and_wait(void *arg)
{
    char own[512];
    one = cori_self();
    memset(own, 0x5a, sizeof(own));
    (void)dig((size_t)(uintptr_t)arg);
    T_CODE(cor_chan_recv(gate, NULL, 0), 0);
    for (size_t i = 0; i < sizeof(own); i++) {
        T_EQ(own[i], 0x5a);
    }
    (void)dig((size_t)(uintptr_t)arg);
    intact++;
}

static void open_gate(uint32_t waiting)
{
    intact = 0;
    T_CODE(cor_chan_close(gate), 0);
    cor_yield();
    T_EQ(intact, waiting);
    cor_chan_free(gate);
}

RECLAIM_TEST(long_parked_task_keeps_the_pages_of_its_frames_only)
{
    (void)unused;
    gate = cor_chan_new(0, 0);
    T_CODE(cor_go(dig_and_wait, (void *)(uintptr_t)DEEP), 0);
    cor_yield();
    int deep = committed(&one->stack);
    T_REQUIRE(deep > DEEP / PAGE, "%d pages", deep);
    T_CODE(cor_sleep(CORI_RECLAIM_NS - COR_SECOND), 0);
    T_EQ(committed(&one->stack), deep); /* it might be active again */
    T_CODE(cor_sleep(CORI_RECLAIM_NS + 2 * COR_SECOND), 0);
    T_REQUIRE(committed(&one->stack) <= (taskcase_is_slow() ? deep / 2 : 1), "%d pages", committed(&one->stack));
    open_gate(1);
    return 0;
}

static void dig_late(void *arg)
{
    T_CODE(cor_sleep(CORI_RECLAIM_NS / 2), 0);
    dig_and_wait(arg);
}

/* What is too fresh for one pass is seen to by a later one. */
RECLAIM_TEST(task_parked_late_is_not_forgotten)
{
    (void)unused;
    gate = cor_chan_new(0, 0);
    T_CODE(cor_go(dig_late, (void *)(uintptr_t)DEEP), 0);
    T_CODE(cor_sleep(CORI_RECLAIM_NS + COR_SECOND), 0);
    T_REQUIRE(committed(&one->stack) > DEEP / PAGE, "%d pages", committed(&one->stack)); /* the first pass is over */
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 2), 0);
    T_ASSERT(committed(&one->stack) < DEEP / PAGE / 2);
    open_gate(1);
    return 0;
}

/* Once everything has been seen to, nothing wakes a worker but work. */
RECLAIM_TEST(idle_worker_is_left_alone_in_the_end)
{
    (void)unused;
    gate = cor_chan_new(0, 0);
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_go(dig_and_wait, NULL), 0);
    }
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    unsigned before = fake_count().waits;
    T_CODE(cor_sleep(24 * 60 * COR_MINUTE), 0);
    unsigned waits = fake_count().waits - before;
    T_REQUIRE(waits < 20, "%u waits", waits);
    open_gate(100);
    return 0;
}

static void dig_once(void *arg)
{
    (void)dig((size_t)(uintptr_t)arg);
}

static void dig_twice(void *arg)
{
    dig_once(arg);
    cor_yield();
    dig_once(arg);
}

/* All alive at once: each has a stack of its own. */
static void spawn_many(int count)
{
    for (int i = 0; i < count; i++) {
        T_CODE(cor_go(dig_twice, (void *)(uintptr_t)DEEP), 0);
    }
    T_EVENTUALLY(cori_self_worker->live + cori_self_worker->fresh_count == 1, 20 * COR_SECOND);
}

RECLAIM_TEST(stacks_without_use_go_back_to_the_pool)
{
    (void)unused;
    spawn_many(CORI_STACK_HOT_MAX * 2);
    T_EQ(cori_self_worker->hot_count, CORI_STACK_HOT_MAX);
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    T_EQ(cori_self_worker->hot_count, CORI_STACK_WARM);
    T_EQ(cori_stack_count(), CORI_STACK_WARM + 1); /* and main's own */
    spawn_many(CORI_STACK_HOT_MAX * 2);
    T_EQ(cori_self_worker->hot_count, CORI_STACK_HOT_MAX);
    return 0;
}

static void dig_soon(void *arg)
{
    T_CODE(cor_sleep(COR_MICROSECOND), 0);
    dig_once(arg);
}

/* The pass that was planned while the stacks were in use cannot tell that they no longer are: another must follow. */
RECLAIM_TEST(stacks_left_between_passes_are_not_forgotten)
{
    (void)unused;
    for (int i = 0; i < CORI_STACK_HOT_MAX; i++) {
        T_CODE(cor_go(dig_soon, (void *)(uintptr_t)DEEP), 0);
    }
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    T_EQ(cori_self_worker->hot_count, CORI_STACK_WARM);
    return 0;
}

RECLAIM_TEST(stacks_in_use_now_and_then_stay)
{
    (void)unused;
    enum { USED = 100 };
    spawn_many(CORI_STACK_HOT_MAX);
    for (int64_t until = fake_now() + CORI_RECLAIM_NS * 4; fake_now() < until;) {
        T_CODE(cor_sleep(COR_SECOND), 0);
        T_REQUIRE(cori_self_worker->hot_count >= USED, "%u stacks", cori_self_worker->hot_count);
        spawn_many(USED);
    }
    T_REQUIRE(cori_self_worker->hot_count <= USED + CORI_STACK_WARM, "%u stacks", cori_self_worker->hot_count);
    return 0;
}

static cori_task *to_end;
static int ended_in_pass;

/* Called by the poller between two steps of a pass: ends the task that the next step would begin with. */
static void end_next(void *arg)
{
    (void)arg;
    cori_worker *worker = cori_self_worker;
    ended_in_pass += worker->trim_next != NULL;
    to_end = worker->trim_next != NULL ? worker->trim_next : worker->live_head;
    cori_wake(to_end);
}

static void expect_other_place(void *ended)
{
    T_ASSERT(cori_self_worker->trim_next != ended);
    if (ended_in_pass < 3) {
        fake_at(fake_now(), end_next, NULL);
    }
}

static void wait_to_be_chosen(void *arg)
{
    (void)arg;
    while (to_end != cori_self()) {
        cori_park_outside(cori_self(), "to be chosen");
    }
    T_CODE(cor_go(expect_other_place, cori_self()), 0);
}

/* The place of a pass in the list of tasks is not lost when just that task ends. */
RECLAIM_TEST(tasks_may_end_during_a_pass)
{
    (void)unused;
    enum { TASKS = CORI_RECLAIM_STEP * 6 };
    cor_runtime_stats stats;
    for (int i = 0; i < TASKS; i++) {
        T_CODE(cor_go(wait_to_be_chosen, NULL), 0);
    }
    fake_at(fake_now() + CORI_RECLAIM_NS, end_next, NULL);
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    T_CODE(cor_stats(&stats), 0);
    T_EQ(ended_in_pass, 3);
    T_REQUIRE(stats.tasks < TASKS && stats.tasks > TASKS - 10, "%d tasks", (int)stats.tasks);
    return 0;
}

enum { ENDED = 4 * CORI_STACK_HOT_MAX };

/* Starts a crowd that has touched its stacks, and ends it; the memory before it ends and after. */
static void come_and_go(size_t *peak, size_t *left)
{
    gate = cor_chan_new(0, 0);
    for (int i = 0; i < ENDED; i++) {
        T_CODE(cor_go(dig_and_wait, (void *)(uintptr_t)DEEP), 0);
    }
    cor_yield();
    *peak = taskcase_private_bytes();
    open_gate(ENDED);
    cor_yield();
    *left = taskcase_private_bytes();
}

/* To end costs no system call: the next crowd finds the pages of one that has just ended; who comes later does not. */
RECLAIM_TEST(an_ended_crowd_keeps_its_pages_for_a_moment)
{
    (void)unused;
    size_t before = taskcase_private_bytes(), peak, left, again, last;
    come_and_go(&peak, &left);
    come_and_go(&again, &last);
    T_CODE(cor_sleep(CORI_STACK_DIRTY_NS / 2), 0);
    size_t soon = taskcase_private_bytes();
    T_CODE(cor_sleep(CORI_STACK_DIRTY_NS), 0);
    size_t later = taskcase_private_bytes();
    print_message("MiB: %zu, %zu when ended, %zu again, %zu soon, %zu later\n", (peak - before) / MIB,
                  (left - before) / MIB, (again - before) / MIB, (soon - before) / MIB, (later - before) / MIB);
    if (!taskcase_is_slow()) {
        T_ASSERT(left + MIB > peak);
        T_ASSERT(again < peak + MIB);
        T_ASSERT(soon + MIB > again);
        T_ASSERT((later - before) < (peak - before) / 3); /* CORI_STACK_HOT_MAX are warm for longer */
    }
    return 0;
}

/* A worker that always has something to run gives them back as well, a piece at a time. */
RECLAIM_TEST(a_busy_worker_cleans_the_stacks_of_an_ended_crowd)
{
    (void)unused;
    size_t before = taskcase_private_bytes(), peak, left;
    come_and_go(&peak, &left);
    unsigned jumps = fake_count().jumps;
    for (int i = 0; i < ENDED; i++) {
        fake_advance(CORI_STACK_CLEAN_NS);
        cor_yield();
    }
    T_EQ(fake_count().jumps, jumps); /* it never slept */
    T_ASSERT(taskcase_is_slow() || taskcase_private_bytes() - before < (peak - before) / 3);
    return 0;
}

/* Ten thousand tasks that went deep: as small as others while they wait, and all gone once they have ended. */
RECLAIM_TEST(a_deep_crowd_gives_its_memory_back)
{
    (void)unused;
    gate = cor_chan_new(0, 0);
    uint32_t count = taskcase_scale(CROWD);
    size_t before = taskcase_private_bytes();
    for (uint32_t i = 0; i < count; i++) {
        T_CODE(cor_go(dig_and_wait, (void *)(uintptr_t)DEEP), 0);
    }
    cor_yield();
    size_t deep = taskcase_private_bytes() - before;
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    size_t parked = taskcase_private_bytes() - before;
    open_gate(count);
    T_CODE(cor_sleep(CORI_RECLAIM_NS * 3), 0);
    size_t kept = taskcase_private_bytes() - before;
    print_message("%u tasks: %zu bytes each when deep, %zu when parked for long; %zu KiB kept\n", count, deep / count,
                  parked / count, kept / 1024);
    if (!taskcase_is_slow()) {
        T_ASSERT(deep / count > DEEP);
        T_ASSERT(parked / count < 4300);
        T_ASSERT(kept < MIB);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_parked_task_keeps_the_pages_of_its_frames_only),
        cmocka_unit_test(task_parked_late_is_not_forgotten),
        cmocka_unit_test(idle_worker_is_left_alone_in_the_end),
        cmocka_unit_test(stacks_without_use_go_back_to_the_pool),
        cmocka_unit_test(stacks_left_between_passes_are_not_forgotten),
        cmocka_unit_test(stacks_in_use_now_and_then_stay),
        cmocka_unit_test(tasks_may_end_during_a_pass),
        cmocka_unit_test(an_ended_crowd_keeps_its_pages_for_a_moment),
        cmocka_unit_test(a_busy_worker_cleans_the_stacks_of_an_ended_crowd),
        cmocka_unit_test(a_deep_crowd_gives_its_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

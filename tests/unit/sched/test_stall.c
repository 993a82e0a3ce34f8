/* SPDX-License-Identifier: MIT */
/* test: workers=1,2 no-valgrind */
/*
 * The watchdog: a task that holds its worker is named once in its turn, one that lets others run is not. valgrind holds
 * signals back and works on the same CPU clocks.
 */
#include "support/child.h"
#include "support/taskcase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_NS (20 * COR_MILLISECOND)

/* TSan has a signal wait until a function of its own is called, which keeps no frame pointers. */
#ifdef __SANITIZE_THREAD__
static const bool shows_callers = false;
#else
static const bool shows_callers = true;
#endif

/* What was told; `told` is written last. */
static uint32_t told; /* atomic */
static struct {
    cor_stall stall;
    char name[256], site[256], backtrace[4096];
} last;

static void note_stall(const cor_stall *stall)
{
    last.stall = *stall;
    (void)snprintf(last.name, sizeof(last.name), "%s", stall->name);
    (void)snprintf(last.site, sizeof(last.site), "%s", stall->site);
    (void)snprintf(last.backtrace, sizeof(last.backtrace), "%s", stall->backtrace);
    __atomic_add_fetch(&told, 1, __ATOMIC_RELEASE);
}

static uint32_t count_told(void)
{
    return __atomic_load_n(&told, __ATOMIC_ACQUIRE);
}

static uint64_t count_stalls(void)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    return stats.stalls;
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * COR_SECOND + now.tv_nsec;
}

/* Looks at the clock now and then only: the kernel's code for it may have no frame to find its caller by. */
static __attribute__((noinline)) void compute_for(int64_t ns)
{
    int64_t until = cpu_ns() + ns;
    while (cpu_ns() < until) {
        for (volatile int i = 0; i < 20000; i++) {}
    }
}

static volatile int held;

/*
 * Until one more stall is counted, which no amount of computing is sure to bring: where the machine itself has to wait
 * for a processor, a thread's CPU clock jumps over ticks. For the backtrace: not inlined, and the linker shows its
 * name. It does something last, or its frame would be gone.
 */
__attribute__((noinline)) COR_API void hold_the_worker(void);
void hold_the_worker(void)
{
    int64_t late = cor_after(20 * COR_SECOND * taskcase_patience());
    uint64_t before = count_stalls();
    while (count_stalls() == before) {
        T_REQUIRE(cor_now() < late, "no stall is counted");
        compute_for(COR_MILLISECOND);
    }
    held++;
}

static const cor_options watched = {.stall_ns = LIMIT_NS, .on_stall = note_stall};
static const cor_options unwatched = {.stall_ns = -1, .on_stall = note_stall};
static uint32_t ended; /* atomic */
static int spinner_worker;
static uint64_t spinner_id;

static bool has_ended(void)
{
    return __atomic_load_n(&ended, __ATOMIC_ACQUIRE) != 0;
}

static void spin_once(void *arg)
{
    (void)arg;
    spinner_worker = cor_worker_id();
    spinner_id = cor_task_id();
    hold_the_worker();
    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
}

TASK_TEST_WITH(names_one_that_computes, &watched)
{
    cor_task_options named = {.name = "spinner"};
    T_CODE(cor_go_with(&named, spin_once, NULL), 0);
    T_EVENTUALLY(count_told() == 1 && has_ended(), 20 * COR_SECOND);
    T_STR(last.name, "spinner");
    T_EQ(last.stall.task_id, spinner_id);
    T_EQ(last.stall.worker, spinner_worker);
    T_REQUIRE(last.stall.held_ns >= LIMIT_NS / 2, "%lld", (long long)last.stall.held_ns);
    T_CONTAINS(last.site, "test_sched_stall+");
    if (shows_callers) {
        T_CONTAINS(last.backtrace, "hold_the_worker+");
        T_CONTAINS(last.backtrace, " < ");
    }
    T_EQ(count_stalls(), 1);
}

TASK_TEST_WITH(names_each_turn_once, &watched)
{
    for (uint32_t turn = 1; turn <= 3; turn++) {
        hold_the_worker();
        compute_for(3 * LIMIT_NS);
        T_EVENTUALLY(count_told() == turn, 20 * COR_SECOND);
        cor_yield();
    }
    T_STR(last.name, "main");
    T_EQ(count_stalls(), 3);
}

TASK_TEST_WITH(not_one_that_yields, &watched)
{
    for (int i = 0; i < 60; i++) {
        compute_for(LIMIT_NS / 10);
        cor_yield();
    }
    T_EQ(count_stalls(), 0);
    T_EQ(count_told(), 0);
}

TASK_TEST_WITH(not_one_that_sleeps, &watched)
{
    for (int i = 0; i < 30; i++) {
        compute_for(LIMIT_NS / 10);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    T_EQ(count_stalls(), 0);
}

TASK_TEST_WITH(not_without_being_asked, &unwatched)
{
    compute_for(4 * LIMIT_NS);
    T_EQ(count_stalls(), 0);
    T_EQ(count_told(), 0);
}

/* A turn that never ends is named all the same: with one worker nothing else runs but who tells. */
TASK_TEST_WITH(tells_while_the_turn_lasts, &watched)
{
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    while (count_told() == 0) {
        T_ASSERT(cor_now() < deadline);
        compute_for(COR_MILLISECOND);
    }
    T_STR(last.name, "main");
}

/* System calls go on as if nothing had ticked. */
TASK_TEST_WITH(calls_are_not_interrupted, &watched)
{
    int ends[2];
    char byte = 'x';
    T_EQ(pipe2(ends, O_CLOEXEC), 0);
    int64_t until = cpu_ns() + 6 * LIMIT_NS, late = cor_after(20 * COR_SECOND * taskcase_patience());
    while (cpu_ns() < until || count_stalls() == 0) {
        T_REQUIRE(cor_now() < late, "no stall is counted");
        T_EQ(write(ends[1], &byte, 1), 1);
        T_EQ(read(ends[0], &byte, 1), 1);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    T_EVENTUALLY(count_told() == 1, 20 * COR_SECOND);
}

static int ends[2];
static uint32_t blocked; /* atomic */

static __attribute__((noinline)) void wait_in_read(void)
{
    char byte = 0;
    __atomic_store_n(&blocked, 1, __ATOMIC_RELEASE);
    T_EQ(read(ends[0], &byte, 1), 1); /* begun anew by the kernel after the signal */
    T_EQ(byte, 'y');
}

/* Shown in the backtrace, as it is not who calls the C library. */
COR_API void block_in_read(void *arg);
void block_in_read(void *arg)
{
    (void)arg;
    wait_in_read();
    __atomic_store_n(&ended, 1, __ATOMIC_RELEASE);
}

/* One that a system call holds uses no CPU; a roll call that waits for longer than the limit has it named. */
TASK_TEST_WITH(names_one_that_a_system_call_holds, &watched)
{
    cor_runtime_stats stats;
    cor_task_options named = {.name = "blocker"};
    T_CODE(cor_stats(&stats), 0);
    if (stats.workers == 1 || !shows_callers) { /* nobody would call; and TSan has the signal wait for the end of it */
        return;
    }
    T_EQ(pipe2(ends, O_CLOEXEC), 0);
    T_CODE(cor_go_with(&named, block_in_read, NULL), 0);
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    while (__atomic_load_n(&blocked, __ATOMIC_ACQUIRE) == 0) { /* another worker takes it, as this one is held */
        T_ASSERT(cor_now() < deadline);
    }
    cor_yield();
    T_EVENTUALLY(count_told() == count_stalls(), 20 * COR_SECOND); /* that may have been one */
    uint64_t before = count_stalls();
    T_CODE(cor_roll_call(cor_after(LIMIT_NS / 10)), COR_ETIMEOUT); /* too short to tell */
    T_CODE(cor_roll_call(cor_after(2 * LIMIT_NS)), COR_ETIMEOUT);
    T_EVENTUALLY(count_told() == before + 1, 20 * COR_SECOND);
    T_STR(last.name, "blocker");
    T_REQUIRE(last.stall.held_ns >= LIMIT_NS, "%lld", (long long)last.stall.held_ns);
    T_CONTAINS(last.backtrace, "block_in_read+");
    T_CODE(cor_roll_call(cor_after(2 * LIMIT_NS)), COR_ETIMEOUT);
    T_EQ(count_stalls(), before + 1);
    T_EQ(write(ends[1], "y", 1), 1);
    T_EVENTUALLY(has_ended(), 20 * COR_SECOND);
    (void)close(ends[0]);
    (void)close(ends[1]);
    T_EQ(count_told(), before + 1);
}

static int stall(void *unused)
{
    (void)unused;
    hold_the_worker();
    return 3;
}

static int compute(void *unused)
{
    (void)unused;
    compute_for(4 * LIMIT_NS);
    return 3;
}

static int run_watched(void *unused)
{
    (void)setenv("COR_STALL_MS", "20", 1);
    return cor_run(stall, unused, NULL);
}

static int run_unwatched(void *unused)
{
    (void)setenv("COR_STALL_MS", "0", 1);
    return cor_run(compute, unused, NULL);
}

static void environment(void **state)
{
    static child_result out;
    (void)state;
    assert_true(child_run(run_watched, NULL, &out));
    assert_int_equal(out.exit_status, 3);
    assert_non_null(strstr(out.output, "stall: task "));
    assert_non_null(strstr(out.output, " (main) has held worker 0 for "));
    if (shows_callers && strstr(out.output, "hold_the_worker+") == NULL) {
        fail_msg("not named: %s", out.output);
    }
    assert_true(child_run(run_unwatched, NULL, &out));
    assert_int_equal(out.exit_status, 3);
    assert_null(strstr(out.output, "stall"));
}

static void bad_limits(void **state)
{
    (void)state;
    const cor_options shortest = {.stall_ns = COR_MILLISECOND - 1}, longest = {.stall_ns = 3601 * COR_SECOND};
    assert_int_equal(cor_run(compute, NULL, &shortest), -EINVAL);
    assert_int_equal(cor_run(compute, NULL, &longest), -EINVAL);
    static const char *const bad[] = {"x", "-1", "3600001", "5 "};
    for (int i = 0; i < 4; i++) {
        (void)setenv("COR_STALL_MS", bad[i], 1);
        assert_int_equal(cor_run(compute, NULL, NULL), -EINVAL);
    }
    (void)unsetenv("COR_STALL_MS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_one_that_computes),
        cmocka_unit_test(names_each_turn_once),
        cmocka_unit_test(not_one_that_yields),
        cmocka_unit_test(not_one_that_sleeps),
        cmocka_unit_test(not_without_being_asked),
        cmocka_unit_test(tells_while_the_turn_lasts),
        cmocka_unit_test(calls_are_not_interrupted),
        cmocka_unit_test(names_one_that_a_system_call_holds),
        cmocka_unit_test(environment),
        cmocka_unit_test(bad_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Stack overflow: the report names the task, the program dies of SIGSEGV, other faults are left alone. */
/* test: no-valgrind */
/* Valgrind reports the overflow in its own way. */
#include "support/child.h"
#include "support/taskcase.h"

#include "base/limits.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int depth_limit = INT32_MAX;

/* Overflows any stack; the volatile hole keeps the compiler from turning it into a loop. */
static __attribute__((noinline)) int recurse_for_ever(int depth)
{
    volatile char hole[512];
    hole[0] = (char)depth;
    return depth < depth_limit ? recurse_for_ever(depth + 1) + hole[0] : hole[0];
}

COR_API void overflowing_task(void *arg); /* exported by the test binary, so that the report can name it */
void overflowing_task(void *arg)
{
    (void)arg;
    (void)recurse_for_ever(0);
}

static int spawn_and_wait(void *arg)
{
    const cor_task_options *options = arg;
    T_CODE(cor_go_with(options, overflowing_task, NULL), 0);
    for (;;) {
        T_CODE(cor_sleep(COR_SECOND), 0);
    }
    return 0;
}

/* A sanitizer has a handler of its own; here the library's is wanted, so the default action goes first. */
static int run_overflow(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL);
    return cor_run(spawn_and_wait, arg, NULL);
}

/* N305 */
static void report_names_the_task(void **state)
{
    (void)state;
    static child_result result;
    cor_task_options named = {.name = "the deep one"};
    assert_true(child_run(run_overflow, &named, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_non_null(strstr(result.output, "fatal error: stack overflow in task "));
    assert_non_null(strstr(result.output, "(the deep one)"));
    assert_non_null(strstr(result.output, "spawned at "));
    assert_non_null(strstr(result.output, "65536 bytes"));
}

static void report_names_the_function(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_overflow, NULL, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_non_null(strstr(result.output, "fatal error: stack overflow in task "));
    assert_non_null(strstr(result.output, "(overflowing_task+0x0 "));
}

static void report_says_the_size(void **state)
{
    (void)state;
    static child_result result;
    cor_task_options large = {.name = "large", .stack_size_bytes = 1 << 20};
    assert_true(child_run(run_overflow, &large, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_non_null(strstr(result.output, "1048576 bytes"));
}

static int overflow_in_main(void *arg)
{
    overflowing_task(arg);
    return 0;
}

static int run_overflow_in_main(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL);
    return cor_run(overflow_in_main, arg, NULL);
}

static void main_task_overflows_too(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_overflow_in_main, NULL, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_non_null(strstr(result.output, "(main)"));
}

/* One frame larger than a page but smaller than the guard: touched from its far end, it still hits the guard. */
static __attribute__((noinline)) int one_large_frame(int depth)
{
    volatile char hole[48 * 1024];
    hole[0] = (char)depth;
    return depth < depth_limit ? one_large_frame(depth + 1) + hole[0] : hole[0];
}

static int large_frame_main(void *arg)
{
    (void)arg;
    return one_large_frame(0);
}

static int run_large_frame(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL);
    return cor_run(large_frame_main, arg, NULL);
}

/* N305 */
static void large_frames_do_not_jump_the_guard(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_large_frame, NULL, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_non_null(strstr(result.output, "stack overflow"));
}

static int wild_main(void *arg)
{
    volatile int *volatile nowhere = (volatile int *)16;
    *nowhere = 1;
    (void)arg;
    return 0;
}

static int run_wild(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL);
    return cor_run(wild_main, arg, NULL);
}

static void other_faults_are_no_overflow(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_wild, NULL, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_null(strstr(result.output, "stack overflow"));
}

static void own_handler(int number)
{
    (void)number;
    _exit(55);
}

static int run_wild_with_handler(void *arg)
{
    (void)signal(SIGSEGV, own_handler);
    return cor_run(wild_main, arg, NULL);
}

static void the_programs_own_handler_still_gets_them(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_wild_with_handler, NULL, &result));
    assert_int_equal(result.exit_status, 55);
}

static const cor_options silent = {.no_overflow_report = true};

static int run_silent(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL);
    return cor_run(overflow_in_main, arg, &silent);
}

static void report_can_be_switched_off(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_silent, NULL, &result));
    assert_int_equal(result.signal_number, SIGSEGV);
    assert_null(strstr(result.output, "stack overflow"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_names_the_task),
        cmocka_unit_test(report_names_the_function),
        cmocka_unit_test(report_says_the_size),
        cmocka_unit_test(main_task_overflows_too),
        cmocka_unit_test(large_frames_do_not_jump_the_guard),
        cmocka_unit_test(other_faults_are_no_overflow),
        cmocka_unit_test(the_programs_own_handler_still_gets_them),
        cmocka_unit_test(report_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

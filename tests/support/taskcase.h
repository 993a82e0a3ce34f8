/* SPDX-License-Identifier: MIT */
/*
 * Tests that run inside cor_run.
 *
 *      TASK_TEST(sleeps) { T_EQ(cor_sleep(COR_MILLISECOND), 0); }
 *      int main(void) { const struct CMUnitTest tests[] = {cmocka_unit_test(sleeps)}; ... }
 *
 * The body is the main task of a cor_run in a process of its own (workers from COR_WORKERS), so a crash or a hang is
 * one failed test. cmocka's own asserts jump and must not fire on a task's stack; the T_ macros may be used in any task
 * and in functions of any type: the first failure is recorded, cor_run is stopped, the failing task never goes on, and
 * the runner fails the test on its own stack. On a thread that is no task a T_ macro records and goes on.
 *
 * After the body has returned the test still fails if tasks, connections, descriptors or stacks are left over.
 */
#ifndef TEST_SUPPORT_TASKCASE_H
#define TEST_SUPPORT_TASKCASE_H

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants the four headers above first. */
#include <cmocka.h>

/* Defines the cmocka test `name`; a block with the body follows. `options` is a const cor_options * or NULL. */
#define TASK_TEST(name) TASK_TEST_WITH(name, NULL)
#define TASK_TEST_WITH(name, options)                                                                                  \
    static void name##_body(void);                                                                                     \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        taskcase_run(#name, name##_body, (options), __FILE__, __LINE__);                                               \
    }                                                                                                                  \
    static void name##_body(void)

#define T_ASSERT(condition) T_REQUIRE((condition), "%s", #condition)

/* As T_ASSERT with a text of its own: T_REQUIRE(n > 0, "n is %d", n). */
#define T_REQUIRE(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            taskcase_fail(__FILE__, __LINE__, __VA_ARGS__);                                                            \
        }                                                                                                              \
    } while (0)

/* Integers are equal; both are shown. */
#define T_EQ(left, right)                                                                                              \
    do {                                                                                                               \
        intmax_t t_left = (intmax_t)(left), t_right = (intmax_t)(right);                                               \
        T_REQUIRE(t_left == t_right, "%s is %jd, not %jd (%s)", #left, t_left, t_right, #right);                       \
    } while (0)

/* A result code is `code`; both are shown with their texts. */
#define T_CODE(result, code)                                                                                           \
    do {                                                                                                               \
        int t_result = (int)(result), t_code = (int)(code);                                                            \
        T_REQUIRE(t_result == t_code, "%s is %d (%s), not %d (%s)", #result, t_result, taskcase_text(t_result),        \
                  t_code, #code);                                                                                      \
    } while (0)

/* A result code is not negative. */
#define T_OK(result)                                                                                                   \
    do {                                                                                                               \
        intmax_t t_result = (intmax_t)(result);                                                                        \
        T_REQUIRE(t_result >= 0, "%s is %jd (%s)", #result, t_result, taskcase_text((int)t_result));                   \
    } while (0)

/* Texts are equal. */
#define T_STR(left, right)                                                                                             \
    do {                                                                                                               \
        const char *t_left = (left), *t_right = (right);                                                               \
        T_REQUIRE(strcmp(t_left, t_right) == 0, "%s is \"%s\", not \"%s\"", #left, t_left, t_right);                   \
    } while (0)

/* Text `left` contains `right`. */
#define T_CONTAINS(left, right)                                                                                        \
    do {                                                                                                               \
        const char *t_left = (left), *t_right = (right);                                                               \
        T_REQUIRE(strstr(t_left, t_right) != NULL, "\"%s\" is not in %s: \"%s\"", t_right, #left, t_left);             \
    } while (0)

/* Bytes are equal. */
#define T_MEM(left, right, size) T_REQUIRE(memcmp((left), (right), (size)) == 0, "%s and %s differ", #left, #right)

/*
 * Waits (by letting other tasks run) until the condition holds, at most `timeout_ns`, which a machine with much else to
 * do may exceed several times. Tasks only.
 */
#define T_EVENTUALLY(condition, timeout_ns)                                                                            \
    do {                                                                                                               \
        int64_t t_deadline = cor_after((timeout_ns)*taskcase_patience());                                              \
        unsigned t_round = 0;                                                                                          \
        while (!(condition)) {                                                                                         \
            T_REQUIRE(cor_now() < t_deadline, "%s did not come true", #condition);                                     \
            taskcase_pause(t_round++);                                                                                 \
        }                                                                                                              \
    } while (0)

/* Ends the test as skipped, with the reason; in a task only. */
#define T_SKIP(reason) taskcase_skip(__FILE__, __LINE__, (reason))
/* Likewise, but in simulated runs only: tests/net/simulated.md. */
#define T_SKIP_SIMULATED(reason)                                                                                       \
    do {                                                                                                               \
        if (getenv("COR_TEST_SIM") != NULL) {                                                                          \
            T_SKIP("on the simulated kernel: " reason);                                                                \
        }                                                                                                              \
    } while (0)

/* Says in the body that this test leaves tasks or connections behind on purpose. */
void taskcase_leaves_tasks(void);

/* True under a sanitizer or valgrind, where timings and counts of memory tell nothing. */
bool taskcase_is_slow(void);

/* By how much a time that something must not exceed is to be multiplied: it only tells slow from never. */
int taskcase_patience(void);

/* The memory that this process alone has written to, in bytes. Tasks only. */
size_t taskcase_private_bytes(void);

/* A number of repetitions for this build: `count`, or far fewer where everything is slow. */
uint32_t taskcase_scale(uint32_t count);

/* How often a stress test is to do its work: COR_STRESS_ROUNDS, 1 if that is not set. */
int taskcase_rounds(void);

/* For the macros. */
void taskcase_run(const char *name, void (*body)(void), const cor_options *options, const char *file, int line);
void taskcase_fail(const char *file, int line, const char *format, ...) COR_PRINTF(3, 4);
void taskcase_skip(const char *file, int line, const char *reason);
const char *taskcase_text(int code);
void taskcase_pause(unsigned round);

#endif

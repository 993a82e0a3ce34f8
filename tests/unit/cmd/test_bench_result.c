/* SPDX-License-Identifier: MIT */
/* The result of a run that was made up: sums over workers, CPU time by the clock, and when which verdict is given. */
/* sources: cmd/coracle/bench/result.c cmd/coracle/bench/usage.c cmd/coracle/bench/hist.c */
/* sources: cmd/coracle/bench/asserts.c cmd/coracle/parse.c */
/* link: -lm */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START (100 * COR_SECOND)

/* A run of two workers that measured for 2 s. */
typedef struct made_up {
    struct plan plan;
    struct run run;
    usage from, to;
    struct result result;
} made_up;

static void set_up(made_up *of, uint64_t messages)
{
    *of = (made_up){.plan.options = {.workers = 2, .connections = 10, .pid = (uint64_t)getpid()}};
    of->run = (struct run){.plan = &of->plan, .measure_ns = START, .end_ns = START + 2 * COR_SECOND};
    of->run.tallies = aligned_alloc(_Alignof(tally), 2 * sizeof(tally));
    assert_non_null(of->run.tallies);
    memset(of->run.tallies, 0, 2 * sizeof(tally));
    of->run.tallies[0].messages = messages / 4;
    of->run.tallies[1].messages = messages - messages / 4;
    of->from = (usage){.at_ns = START, .own_ns = COR_SECOND, .server_ns = -1};
    of->to = (usage){.at_ns = START + 2 * COR_SECOND, .own_ns = 2 * COR_SECOND, .server_ns = -1};
}

static const char *verdict_of(made_up *of)
{
    result_make(&of->run, &of->from, &of->to, &of->result);
    assert_null(of->run.tallies);
    result_free(&of->result);
    return of->result.verdict;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void test_sums(void **state)
{
    made_up of;
    (void)state;
    set_up(&of, 1000);
    tally *tallies = of.run.tallies;
    tallies[0].failed = 1;
    tallies[1].lost = 2;
    tallies[1].timeouts = 4;
    tallies[0].wrong = tallies[1].wrong = 8;
    tallies[1].starved = 3;
    hist_add(&tallies[0].latency, 50);
    hist_add(&tallies[1].latency, 100);
    result_make(&of.run, &of.from, &of.to, &of.result);
    assert_true(result_metric(&of.result, METRIC_RATE) == 500);
    assert_true(result_metric(&of.result, METRIC_ERRORS) == 7);
    assert_true(result_metric(&of.result, METRIC_WRONG) == 16);
    assert_true(result_metric(&of.result, METRIC_STARVED) == 3);
    assert_true(result_metric(&of.result, METRIC_P50) == 50);
    assert_true(result_metric(&of.result, METRIC_P99) == 100);
    assert_true(result_metric(&of.result, METRIC_MAX) == 100);
    assert_true(result_metric(&of.result, METRIC_MEAN) == 75);
    assert_true(is_near(result_own_share(&of.result), 0.25));
    assert_true(is_near(result_cpu_us(&of.result, of.result.own_cpu_seconds), 1000));
    assert_false(of.result.server_known);
    result_free(&of.result);
}

static void test_cpu_clocks_that_were_read_late(void **state)
{
    made_up of;
    (void)state;
    set_up(&of, 1000);
    /* 2.5 s of CPU clock for 2 s of messages. */
    of.to.at_ns += COR_SECOND / 2;
    of.from.server_ns = 0;
    of.to.server_ns = 5 * COR_SECOND / 2;
    result_make(&of.run, &of.from, &of.to, &of.result);
    assert_true(is_near(of.result.seconds, 2));
    assert_true(is_near(of.result.own_cpu_seconds, 0.8));
    assert_true(of.result.server_known && is_near(of.result.server_cpu_seconds, 2));
    result_free(&of.result);
}

static void test_ended_early(void **state)
{
    made_up of;
    (void)state;
    set_up(&of, 1000);
    of.to.at_ns = START + COR_SECOND / 2;
    result_make(&of.run, &of.from, &of.to, &of.result);
    assert_true(is_near(result_metric(&of.result, METRIC_RATE), 2000));
    result_free(&of.result);
    set_up(&of, 0);
    of.to.at_ns = START - 1;
    result_make(&of.run, &of.from, &of.to, &of.result);
    assert_true(result_metric(&of.result, METRIC_RATE) == 0 && result_own_share(&of.result) == 0);
    result_free(&of.result);
}

static void test_verdict_of_cpu(void **state)
{
    made_up of;
    (void)state;
    set_up(&of, 1000);
    of.to.own_ns = of.from.own_ns + 7 * COR_SECOND / 2;
    assert_string_equal(verdict_of(&of), "");
    set_up(&of, 1000);
    of.to.own_ns = of.from.own_ns + 4 * COR_SECOND;
    assert_non_null(strstr(verdict_of(&of), "the generator was the bottleneck: it used 100 % of its 2 workers"));
    set_up(&of, 1000);
    of.to.own_ns = of.from.own_ns + 4 * COR_SECOND;
    of.from.server_ns = 0;
    of.to.server_ns = 2 * COR_SECOND * usage_cores((uint64_t)getpid());
    assert_non_null(strstr(verdict_of(&of), "both busy"));
}

static void test_verdict_of_rate(void **state)
{
    made_up of;
    (void)state;
    set_up(&of, 2000);
    of.plan.rate = 1000;
    assert_string_equal(verdict_of(&of), "");
    set_up(&of, 1900);
    of.plan.rate = 1000;
    assert_non_null(strstr(verdict_of(&of), "the rate was not reached: 950 of 1000 per second"));
    set_up(&of, 2000);
    of.plan.rate = 1000;
    of.run.tallies[0].alarms = 1000;
    of.run.tallies[1].late = 30;
    assert_non_null(strstr(verdict_of(&of), "fell behind its schedule: 3.0 %"));
    /* Each message of a fan-out is told to all who read. */
    set_up(&of, 16000);
    of.plan.options.mode = MODE_FANOUT;
    of.plan.options.stalled = 2;
    of.plan.rate = 1000;
    assert_string_equal(verdict_of(&of), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_cpu_clocks_that_were_read_late),
        cmocka_unit_test(test_ended_early),
        cmocka_unit_test(test_verdict_of_cpu),
        cmocka_unit_test(test_verdict_of_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

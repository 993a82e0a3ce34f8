/* SPDX-License-Identifier: MIT */
/*
 * Schedules: faults that are orders of events, and how many seeds of each schedule find them. In each program one side
 * has to wait while another goes through a long conversation, which is what chance does not do.
 *
 * The depth is the number of constraints on the order that the fault takes. COR_SIM_TABLE=3000 prints how many of so
 * many seeds find each.
 */
/* test: workers=1 no-uring no-valgrind */
#include "simcase.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

enum { FAULT = 3, ROUNDS = 40, LOOKS = 8, SEEDS = 80 };

typedef struct program {
    cor_waitgroup done, answered;
    cor_mutex mutex;
    cor_chan *ask, *tell;
    bool registered, released, begun, in_change;
    int fault;
} program;

static program it;

/* Answers until there is nobody any more. */
static void answer(void *unused)
{
    int64_t number;
    (void)unused;
    while (cor_chan_recv(it.ask, &number, 0) > 0) {
        CHECK(cor_chan_send(it.tell, &number, 0) == 0);
    }
    cor_waitgroup_done(&it.answered);
}

static void converse(int rounds)
{
    for (int64_t i = 0; i < rounds; i++) {
        int64_t back;
        CHECK(cor_chan_send(it.ask, &i, 0) == 0);
        CHECK(cor_chan_recv(it.tell, &back, 0) == 1 && back == i);
    }
}

static bool get(const bool *flag)
{
    cor_mutex_lock(&it.mutex);
    bool value = *flag;
    cor_mutex_unlock(&it.mutex);
    return value;
}

static void set(bool *flag, bool value)
{
    cor_mutex_lock(&it.mutex);
    *flag = value;
    cor_mutex_unlock(&it.mutex);
}

/* Depth 1: a task that is started is expected to have begun before a long conversation is over. */
static void registers(void *unused)
{
    (void)unused;
    set(&it.registered, true);
    cor_waitgroup_done(&it.done);
}

static void expects_registered(void *unused)
{
    (void)unused;
    converse(ROUNDS);
    it.fault += !get(&it.registered);
    cor_waitgroup_done(&it.done);
}

/* Depth 2: what was looked at is released before it is used, by whoever had a lot to do first. */
static void uses(void *unused)
{
    (void)unused;
    bool looked = !get(&it.released);
    for (int i = 0; i < LOOKS && looked; i++) {
        it.fault += get(&it.released);
    }
    cor_waitgroup_done(&it.done);
}

static void releases(void *unused)
{
    (void)unused;
    converse(ROUNDS);
    set(&it.released, true);
    cor_waitgroup_done(&it.done);
}

/*
 * Depth 3: one looks, another begins a change that it will soon be done with, and then neither goes on for as long as a
 * conversation takes. The first acts on what it has seen.
 */
static void acts_on_old_look(void *unused)
{
    (void)unused;
    bool looked = !get(&it.begun);
    for (int i = 0; i < LOOKS && looked; i++) {
        cor_mutex_lock(&it.mutex);
        it.fault += it.in_change && it.released;
        cor_mutex_unlock(&it.mutex);
    }
    cor_waitgroup_done(&it.done);
}

static void changes(void *unused)
{
    (void)unused;
    cor_mutex_lock(&it.mutex);
    it.begun = it.in_change = true;
    cor_mutex_unlock(&it.mutex);
    for (int i = 0; i < LOOKS; i++) {
        (void)get(&it.in_change);
    }
    set(&it.in_change, false);
    cor_waitgroup_done(&it.done);
}

typedef struct fault {
    const char *what;
    int depth;
    void (*tasks[3])(void *arg);
} fault;

static const fault faults[] = {
    {"a task that has been started is expected to have begun", 1, {registers, expects_registered}},
    {"what was looked at is released before it is used", 2, {uses, releases}},
    {"an old look is acted on in the middle of a change", 3, {acts_on_old_look, changes, releases}},
};

static int run_fault(void *arg)
{
    const fault *of = arg;
    it = (program){.ask = cor_chan_new(sizeof(int64_t), 0), .tell = cor_chan_new(sizeof(int64_t), 0)};
    cor_waitgroup_add(&it.answered, 1);
    CHECK(cor_go(answer, NULL) == 0);
    for (int i = 0; i < 3 && of->tasks[i] != NULL; i++) {
        cor_waitgroup_add(&it.done, 1);
        CHECK(cor_go(of->tasks[i], NULL) == 0);
    }
    CHECK(cor_waitgroup_wait(&it.done, 0) == 0);
    CHECK(cor_chan_close(it.ask) == 0);
    CHECK(cor_waitgroup_wait(&it.answered, 0) == 0);
    cor_chan_free(it.ask);
    cor_chan_free(it.tell);
    return it.fault > 0 ? FAULT : 0;
}

/* Of so many seeds, how many show it. */
static int count_found(const fault *of, cor_sim_schedule schedule, int depth, uint64_t seeds)
{
    int found = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        cor_sim_options options = {.schedule = schedule, .depth = depth, .must_end = true, .report_fd = -1};
        int code = cor_sim_run(seed, &options, run_fault, (void *)(uintptr_t)of, NULL);
        assert_true(code == 0 || code == FAULT);
        found += code == FAULT;
    }
    return found;
}

static void print_table(uint64_t seeds)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        const fault *of = &faults[i];
        print_message("| %s | %d | %d | %d | %d |\n", of->what, of->depth, count_found(of, COR_SIM_TURNS, 0, seeds),
                      count_found(of, COR_SIM_POINTS, 0, seeds), count_found(of, COR_SIM_PCT, of->depth, seeds));
    }
}

static void priorities_find_what_chance_does_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults) && faults[i].depth < 3; i++) {
        int turns = count_found(&faults[i], COR_SIM_TURNS, 0, SEEDS);
        int points = count_found(&faults[i], COR_SIM_POINTS, 0, SEEDS);
        int pct = count_found(&faults[i], COR_SIM_PCT, faults[i].depth, SEEDS);
        assert_true(pct > 0 && pct >= turns && pct >= points);
        assert_true(turns + points < pct);
    }
}

/* A search keeps the schedule, unless a simpler one does, and what it prints repeats the run. */
static void a_search_says_the_schedule(void **state)
{
    char text[4096], *again;
    FILE *file = tmpfile();
    cor_sim_report report, replayed;
    (void)state;
    assert_non_null(file);
    void *with = (void *)(uintptr_t)&faults[0];
    cor_sim_options options = {.schedule = COR_SIM_PCT, .depth = 1, .report_fd = fileno(file)};
    assert_int_equal(cor_sim_search(1, 100, &options, run_fault, with, &report), FAULT);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    again = strstr(text, "again: COR_SIM_REPLAY=");
    assert_non_null(again);
    again += strlen("again: COR_SIM_REPLAY=");
    again[strcspn(again, " ")] = '\0';
    assert_true(report.options.schedule != COR_SIM_TURNS);
    assert_non_null(strstr(again, report.options.schedule == COR_SIM_PCT ? ":pct:1" : ":points:1"));
    (void)setenv("COR_SIM_REPLAY", again, 1);
    options = (cor_sim_options){.report_fd = -1};
    assert_int_equal(cor_sim_search(1, 100, &options, run_fault, with, &replayed), FAULT);
    (void)unsetenv("COR_SIM_REPLAY");
    assert_int_equal(replayed.runs, 1);
    assert_true(replayed.result.hash == report.result.hash);
}

static void the_environment_says_the_schedule(void **state)
{
    cor_sim_options options = {.report_fd = -1};
    void *with = (void *)(uintptr_t)&faults[0];
    (void)state;
    assert_int_equal(cor_sim_search(1, 30, &options, run_fault, with, NULL), 0);
    (void)setenv("COR_SIM_SCHEDULE", "pct:1", 1);
    assert_int_equal(cor_sim_search(1, 100, &options, run_fault, with, NULL), FAULT);
    (void)unsetenv("COR_SIM_SCHEDULE");
}

/* A task is left with a spin lock of the library's, or in the middle of a wait: nothing hangs, and seeds repeat. */
static void equal_seeds_give_equal_runs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (cor_sim_schedule schedule = COR_SIM_POINTS; schedule <= COR_SIM_PCT; schedule++) {
            cor_sim_result first, again;
            cor_sim_options options = {.schedule = schedule, .report_fd = -1};
            void *with = (void *)(uintptr_t)&faults[seed % 3];
            int code = cor_sim_run(seed, &options, run_fault, with, &first);
            assert_int_equal(cor_sim_run(seed, &options, run_fault, with, &again), code);
            assert_true(first.hash == again.hash && first.events == again.events);
        }
    }
}

/* A task that waits by looking again and again has to let those go on that are said to be last. */
static void waits_by_looking(void *unused)
{
    (void)unused;
    while (!get(&it.registered)) {
        cor_yield();
    }
    cor_waitgroup_done(&it.done);
}

static void nobody_is_left_out_for_good(void **state)
{
    static const fault none = {"none", 1, {waits_by_looking, waits_by_looking, registers}};
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        cor_sim_options options = {.schedule = COR_SIM_PCT, .report_fd = -1};
        assert_int_equal(cor_sim_run(seed, &options, run_fault, (void *)(uintptr_t)&none, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priorities_find_what_chance_does_not), cmocka_unit_test(a_search_says_the_schedule),
        cmocka_unit_test(the_environment_says_the_schedule),    cmocka_unit_test(equal_seeds_give_equal_runs),
        cmocka_unit_test(nobody_is_left_out_for_good),
    };
    const char *table = getenv("COR_SIM_TABLE");
    if (table != NULL) {
        print_table(strtoull(table, NULL, 10));
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

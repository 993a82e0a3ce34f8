/* SPDX-License-Identifier: MIT */
/* The task switch: cor_yield among 2 to 10,000 tasks. One operation is one switch. */
#include "bench.h"

/* Tasks that take turns until each has yielded `turns` times, and then wait for the end of the measurement. */
typedef struct turns {
    uint64_t turns;
    cor_waitgroup running;
    cor_waitgroup measuring;
    cor_waitgroup alive;
} turns;

static void take_turns(void *arg)
{
    turns *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        cor_yield();
    }
    cor_waitgroup_done(&of->running);
    (void)cor_waitgroup_wait(&of->measuring, 0);
    cor_waitgroup_done(&of->alive);
}

static void run_tasks(uint64_t ops, uint64_t tasks)
{
    turns of = {.turns = ops / tasks + 1};
    cor_waitgroup_add(&of.running, (int64_t)tasks);
    cor_waitgroup_add(&of.alive, (int64_t)tasks);
    cor_waitgroup_add(&of.measuring, 1);
    for (uint64_t i = 0; i < tasks; i++) {
        bench_go(take_turns, &of);
    }
    cor_yield(); /* now all have started */
    bench_begin();
    (void)cor_waitgroup_wait(&of.running, 0);
    bench_end();
    cor_waitgroup_done(&of.measuring);
    (void)cor_waitgroup_wait(&of.alive, 0);
}

static void yield_alone(uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        cor_yield();
    }
}

static void two_tasks(uint64_t ops)
{
    run_tasks(ops, 2);
}

static void ten_tasks(uint64_t ops)
{
    run_tasks(ops, 10);
}

/* Few operations, while the right number is being found, are done by fewer tasks. */
static void thousand_tasks(uint64_t ops)
{
    run_tasks(ops, ops < 10000 ? ops / 10 + 1 : 1000);
}

static void many_tasks(uint64_t ops)
{
    run_tasks(ops, ops < 100000 ? ops / 10 + 1 : 10000);
}

static const bench_case cases[] = {
    {"yield_alone", yield_alone, 0},          {"switch_2_tasks", two_tasks, 0},      {"switch_10_tasks", ten_tasks, 0},
    {"switch_1000_tasks", thousand_tasks, 0}, {"switch_10000_tasks", many_tasks, 0},
};

BENCH_MAIN(cases)

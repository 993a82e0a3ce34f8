/* SPDX-License-Identifier: MIT */
/* The task switch: cor_yield among 2, 10 and 10,000 tasks. One operation is one switch. */
#include "bench.h"

/* Tasks that take turns until each has yielded `turns` times. */
typedef struct turns {
    uint64_t turns;
    cor_waitgroup running;
} turns;

static void take_turns(void *arg)
{
    turns *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        cor_yield();
    }
    cor_waitgroup_done(&of->running);
}

static void run_tasks(uint64_t ops, uint64_t tasks)
{
    turns of = {.turns = ops / tasks + 1};
    cor_waitgroup_add(&of.running, (int64_t)tasks);
    for (uint64_t i = 0; i < tasks; i++) {
        bench_go(take_turns, &of);
    }
    (void)cor_waitgroup_wait(&of.running, 0);
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

/* Making the tasks would weigh more than their turns: there are always at least 100 turns. */
static void many_tasks(uint64_t ops)
{
    run_tasks(ops, ops < 1000000 ? ops / 100 + 1 : 10000);
}

static const bench_case cases[] = {
    {"yield_alone", yield_alone, 0},
    {"switch_2_tasks", two_tasks, 0},
    {"switch_10_tasks", ten_tasks, 0},
    {"switch_10000_tasks", many_tasks, 0},
};

BENCH_MAIN(cases)

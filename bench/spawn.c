/* SPDX-License-Identifier: MIT */
/*
 * Starting a task, running it and cleaning up after it. One at a time reuses one stack; a batch shows what a burst
 * costs: each of them ends before the next begins, in the same stack.
 */
#include "bench.h"

static void nothing(void *arg)
{
    (void)arg;
}

static void run_batches(uint64_t ops, uint64_t batch)
{
    while (ops > 0) {
        uint64_t now = batch < ops ? batch : ops;
        for (uint64_t i = 0; i < now; i++) {
            bench_go(nothing, NULL);
        }
        cor_yield();
        ops -= now;
    }
}

static void one_by_one(uint64_t ops)
{
    run_batches(ops, 1);
}

static void batch_100(uint64_t ops)
{
    run_batches(ops, 100);
}

static void batch_2000(uint64_t ops)
{
    run_batches(ops, 2000);
}

static void in_group(uint64_t ops)
{
    while (ops > 0) {
        cor_group group = {0};
        uint64_t now = ops < 100 ? ops : 100;
        for (uint64_t i = 0; i < now; i++) {
            bench_must(cor_group_go(&group, nothing, NULL), "cor_group_go");
        }
        (void)cor_group_wait(&group, 0);
        ops -= now;
    }
}

static const bench_case cases[] = {
    {"spawn_exit", one_by_one, 0},
    {"spawn_exit_batch_100", batch_100, 0},
    {"spawn_exit_batch_2000", batch_2000, 0},
    {"group_spawn_exit_wait", in_group, 0},
};

BENCH_MAIN(cases)

/* SPDX-License-Identifier: MIT */
/*
 * What all micro-benchmarks share: a program is a table of cases. Each case runs as the first task of a cor_run of its
 * own, with one worker unless it says otherwise, is called with a growing number of operations until that takes
 * long enough to be measured, and then for a number of rounds. A line per case is printed:
 *
 *      switch_2_tasks          4.9 ns/op  (min 4.8, median 4.9, max 5.3 of 9 rounds)
 *
 * The first figure is the median. `--ops N` fixes the number of operations, for counting instructions with other tools.
 */
#ifndef CORACLE_BENCH_H
#define CORACLE_BENCH_H

#include <coracle.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_ROUNDS = 9, BENCH_ROUNDS_MAX = 99 };
#define BENCH_ROUND_NS (20 * COR_MILLISECOND)
#define BENCH_OPS_MAX (UINT64_C(1) << 40)

/*
 * Does `ops` operations. What it prepares before and clears up after counts as well, unless it says bench_begin,
 * bench_end.
 */
typedef struct bench_case {
    const char *name;
    void (*run)(uint64_t ops);
    int workers; /* 0: one */
} bench_case;

static struct {
    int rounds;
    int workers;
    uint64_t ops;
    const char *only; /* a case's name, NULL: all */
} bench_options = {.rounds = BENCH_ROUNDS};

/* Ends the program when something that cannot fail has failed: then there is nothing to measure. */
static inline void bench_must(int64_t rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "bench: %s: %s\n", what, cor_strerror((int)rc));
        exit(1);
    }
}

static inline void bench_go(void (*task)(void *arg), void *arg)
{
    bench_must(cor_go(task, arg), "cor_go");
}

static int bench_compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static struct {
    int64_t start, end;
} bench_span;

/* The preparations are done: what is measured begins here. */
static inline void bench_begin(void)
{
    bench_span.start = cor_now();
}

/* What is measured ends here. */
static inline void bench_end(void)
{
    bench_span.end = cor_now();
}

static int64_t bench_time(const bench_case *one, uint64_t ops)
{
    bench_span.end = 0;
    bench_begin();
    one->run(ops);
    if (bench_span.end == 0) {
        bench_end();
    }
    return bench_span.end - bench_span.start;
}

/* How many operations make a round that is long enough. */
static uint64_t bench_calibrate(const bench_case *one)
{
    uint64_t ops = 64;
    int64_t took = bench_time(one, ops);
    while (took < BENCH_ROUND_NS / 4 && ops < BENCH_OPS_MAX) {
        ops *= 2;
        took = bench_time(one, ops);
    }
    return (uint64_t)((double)ops * (double)BENCH_ROUND_NS / (double)took) + 1;
}

static int bench_one(void *arg)
{
    const bench_case *one = arg;
    double ns[BENCH_ROUNDS_MAX];
    int rounds = bench_options.rounds;
    uint64_t ops = bench_options.ops != 0 ? bench_options.ops : bench_calibrate(one);
    for (int i = 0; i < rounds; i++) {
        ns[i] = (double)bench_time(one, ops) / (double)ops;
    }
    qsort(ns, (size_t)rounds, sizeof(ns[0]), bench_compare);
    printf("%-26s %9.1f ns/op  (min %.1f, median %.1f, max %.1f of %d rounds)\n", one->name, ns[rounds / 2], ns[0],
           ns[rounds / 2], ns[rounds - 1], rounds);
    fflush(stdout);
    return 0;
}

/* The value of option `name` if argv[i] is it; the program ends with a usage line when there is none. */
static inline const char *bench_option(char **argv, int i, const char *name)
{
    if (strcmp(argv[i], name) != 0) {
        return NULL;
    }
    if (argv[i + 1] == NULL) {
        fprintf(stderr, "%s: option '%s' needs a value\n", argv[0], name);
        exit(2);
    }
    return argv[i + 1];
}

static void bench_parse(char **argv)
{
    for (int i = 1; argv[i] != NULL; i += 2) {
        const char *value;
        if ((value = bench_option(argv, i, "--only")) != NULL) {
            bench_options.only = value;
        } else if ((value = bench_option(argv, i, "--ops")) != NULL) {
            bench_options.ops = strtoull(value, NULL, 10);
        } else if ((value = bench_option(argv, i, "--rounds")) != NULL) {
            bench_options.rounds = atoi(value);
        } else if ((value = bench_option(argv, i, "--workers")) != NULL) {
            bench_options.workers = atoi(value);
        } else {
            fprintf(stderr, "usage: %s [--only NAME] [--ops N] [--rounds N] [--workers N]\n", argv[0]);
            exit(2);
        }
    }
    if (bench_options.rounds < 1 || bench_options.rounds > BENCH_ROUNDS_MAX) {
        bench_options.rounds = BENCH_ROUNDS;
    }
}

/* The whole of main(). */
static inline int bench_main(char **argv, const bench_case *cases, size_t count)
{
    bench_parse(argv);
    for (size_t i = 0; i < count; i++) {
        cor_options options = {.workers = cases[i].workers != 0 ? cases[i].workers : 1};
        if (bench_options.workers != 0) {
            options.workers = bench_options.workers;
        }
        if (bench_options.only == NULL || strcmp(cases[i].name, bench_options.only) == 0) {
            bench_must(cor_run(bench_one, (void *)(uintptr_t)&cases[i], &options), cases[i].name);
        }
    }
    return 0;
}

#define BENCH_MAIN(cases)                                                                                              \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        (void)argc;                                                                                                    \
        return bench_main(argv, cases, sizeof(cases) / sizeof((cases)[0]));                                            \
    }

#endif

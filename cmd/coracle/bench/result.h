/* SPDX-License-Identifier: MIT */
/* What came out of a run: the figures, the judgement, and how they are shown. */
#ifndef CORACLE_CMD_BENCH_RESULT_H
#define CORACLE_CMD_BENCH_RESULT_H

#include "bench/run.h"
#include "bench/usage.h"

#include <stdio.h>

struct result {
    const struct plan *plan;
    tally *sum;             /* over all workers; owned */
    double seconds;         /* of measuring */
    double own_cpu_seconds; /* of the generator in that time */
    double server_cpu_seconds;
    int server_cores; /* that it may use */
    uint64_t server_peak_bytes;
    bool server_known;
    bool interrupted;
    char error[COR_ERROR_TEXT]; /* the first one; "": none */
    char verdict[256];          /* what limits the meaning of the figures; "": nothing */
};

/*
 * Makes the result of a run whose tasks have ended, and takes its tallies; the usage was read where measuring began and
 * ended.
 */
void result_make(struct run *run, const usage *from, const usage *to, struct result *out);

void result_free(struct result *of);

/* The value of a metric; times in ns. */
double result_metric(const struct result *of, metric which);

uint64_t result_errors(const struct result *of);

/* CPU time per message in us; 0 without messages. */
double result_cpu_us(const struct result *of, double cpu_seconds);

/* The part of the CPUs it had that the server, and the generator, used: 0..1. */
double result_server_share(const struct result *of);
double result_own_share(const struct result *of);

/* Judges the conditions; says on stderr which do not hold. Returns whether all do. */
bool result_judge(const struct result *of);

/* Writes the result. Returns false if that failed. */
bool report_write(const struct result *of, bench_format format, FILE *to);

#endif

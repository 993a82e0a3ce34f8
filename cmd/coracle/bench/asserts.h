/* SPDX-License-Identifier: MIT */
/*
 * The conditions of `coracle bench --assert`: 'p99<5ms,errors=0,rate>100k'. They are read before the run, so that a
 * mistake costs no time, and judged after it.
 */
#ifndef CORACLE_CMD_BENCH_ASSERTS_H
#define CORACLE_CMD_BENCH_ASSERTS_H

#include <stdbool.h>
#include <stddef.h>

/* What conditions can be about. Times are in nanoseconds, the rate in messages per second. */
typedef enum metric {
    METRIC_P50,
    METRIC_P90,
    METRIC_P99,
    METRIC_P999,
    METRIC_P9999,
    METRIC_MAX,
    METRIC_MEAN,
    METRIC_RATE,
    METRIC_ERRORS,
    METRIC_STARVED,
    METRIC_WRONG,
    METRIC_LOST,
    METRIC_REORDERED,
    METRIC_DUPLICATES,
    METRIC_COUNT
} metric;

extern const char *const metric_names[METRIC_COUNT + 1]; /* ends with NULL */

/* Whether a metric is a time. */
bool metric_is_time(metric which);

typedef enum comparison { LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, EQUAL } comparison;

typedef struct condition {
    metric metric;
    comparison comparison;
    double limit;
    char text[40]; /* as it was written */
} condition;

/* Of them CONDITIONS_MAX may be written; the rest are the defaults. */
enum { CONDITIONS_MAX = 32, CONDITIONS_DEFAULT = 3 };

struct conditions {
    condition list[CONDITIONS_MAX + CONDITIONS_DEFAULT];
    size_t count;
};

/* Where and why a text is no list of conditions. */
typedef struct conditions_error {
    size_t at; /* index of the byte where it begins to make no sense */
    char reason[192];
} conditions_error;

/* Reads `text`. Returns false, with *error, if it cannot be understood. */
bool conditions_parse(const char *text, struct conditions *out, conditions_error *error);

/* Adds `metric = 0` unless there is a condition about it already. */
void conditions_default_zero(struct conditions *to, metric which);

bool condition_holds(const condition *of, double value);

#endif

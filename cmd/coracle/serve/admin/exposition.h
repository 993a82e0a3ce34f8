/* SPDX-License-Identifier: MIT */
/*
 * The two text formats in which Prometheus takes metrics: its own, 0.0.4, and OpenMetrics 1.0. They differ in how the
 * family of a counter is named, and in the last line.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_EXPOSITION_H
#define CORACLE_CMD_SERVE_ADMIN_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Where metrics are written to. */
typedef struct exposition {
    FILE *to;
    bool open; /* OpenMetrics */
} exposition;

/* Whether a request with this Accept header, which may be NULL, is for OpenMetrics. */
bool exposition_wants_open(const char *accept);

/* The Content-Type. */
const char *exposition_type(bool open);

/* Begins a family. A counter's samples are called `name` and "_total". */
void exposition_gauge(const exposition *out, const char *name, const char *help);
void exposition_counter(const exposition *out, const char *name, const char *help);

/* Writes a sample. `label` is NULL, or has the value `value`, which must be plain. */
void exposition_put(const exposition *out, const char *name, const char *label, const char *value, uint64_t number);

/* Writes a sample in seconds. */
void exposition_seconds(const exposition *out, const char *name, int64_t ns);

/* A family of one sample without a label. */
void exposition_one_gauge(const exposition *out, const char *name, const char *help, uint64_t number);
void exposition_one_counter(const exposition *out, const char *name, const char *help, uint64_t number);

/* A family of one histogram: how many samples were at most each bound, in ns; counts[count] is how many were above. */
void exposition_histogram(const exposition *out, const char *name, const char *help, const int64_t *bounds,
                          const uint64_t *counts, size_t count, int64_t sum_ns);

/* Ends the text. */
void exposition_end(const exposition *out);

#endif

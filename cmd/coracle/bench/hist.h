/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times in nanoseconds with a relative error of less than 1 %, in fixed memory. Each power of two is
 * split evenly into HIST_SUBS buckets; below HIST_SUBS every value has its own. One task or thread writes to it at a
 * time; histograms of several are merged by adding them.
 */
#ifndef CORACLE_CMD_BENCH_HIST_H
#define CORACLE_CMD_BENCH_HIST_H

#include <stddef.h>
#include <stdint.h>

/* 128 buckets per power of two: a bucket is at most 0.8 % wide. Values from 2^HIST_TOP_BIT ns (73 min) on share one. */
enum {
    HIST_SUB_BITS = 7,
    HIST_SUBS = 1 << HIST_SUB_BITS,
    HIST_TOP_BIT = 42,
    HIST_BUCKETS = (HIST_TOP_BIT - HIST_SUB_BITS + 1) * HIST_SUBS + 1
};

/* All-zero is empty. */
typedef struct hist {
    uint64_t counts[HIST_BUCKETS];
    uint64_t total; /* values in it */
    uint64_t sum;   /* ns, of all values */
    uint64_t max;   /* ns, exact */
} hist;

/* The bucket that a value belongs to. */
static inline size_t hist_bucket(uint64_t value)
{
    if (value < HIST_SUBS) {
        return (size_t)value;
    }
    if (value >= UINT64_C(1) << HIST_TOP_BIT) {
        return HIST_BUCKETS - 1;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
    return (size_t)shift * HIST_SUBS + (size_t)(value >> shift);
}

/* Adds one value; a negative one (a clock that is read on two CPUs) counts as 0. */
static inline void hist_add(hist *to, int64_t value_ns)
{
    uint64_t value = value_ns > 0 ? (uint64_t)value_ns : 0;
    to->counts[hist_bucket(value)]++;
    to->total++;
    to->sum += value;
    to->max = value > to->max ? value : to->max;
}

/* Adds all values of `from`. */
void hist_merge(hist *to, const hist *from);

/* The value that the part `part` (0..1) of all values does not exceed, at most 0.8 % above it; 0 if it is empty. */
uint64_t hist_quantile(const hist *of, double part);

/* How many values are at most `value`, or in the same bucket. */
uint64_t hist_count_to(const hist *of, uint64_t value);

double hist_mean(const hist *of);

double hist_deviation(const hist *of);

#endif

/* SPDX-License-Identifier: MIT */
/* Reading a histogram. Values are given as the upper end of their bucket: a latency is never shown as less. */
#include "bench/hist.h"

#include <math.h>

/* The greatest value of a bucket. */
static uint64_t top_of(size_t bucket)
{
    if (bucket < 2 * HIST_SUBS) {
        return bucket;
    }
    size_t shift = bucket / HIST_SUBS - 1;
    return ((uint64_t)(bucket - shift * HIST_SUBS + 1) << shift) - 1;
}

void hist_merge(hist *to, const hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->total += from->total;
    to->sum += from->sum;
    to->max = from->max > to->max ? from->max : to->max;
}

uint64_t hist_quantile(const hist *of, double part)
{
    uint64_t rank = (uint64_t)ceil(part * (double)of->total), seen = 0;
    rank = rank < 1 ? 1 : rank;
    for (size_t i = 0; i < HIST_BUCKETS - 1; i++) {
        seen += of->counts[i];
        if (seen >= rank) {
            return top_of(i) < of->max ? top_of(i) : of->max;
        }
    }
    return of->max;
}

uint64_t hist_count_to(const hist *of, uint64_t value)
{
    uint64_t seen = 0;
    for (size_t i = 0, last = hist_bucket(value); i <= last; i++) {
        seen += of->counts[i];
    }
    return seen;
}

double hist_mean(const hist *of)
{
    return of->total == 0 ? 0 : (double)of->sum / (double)of->total;
}

double hist_deviation(const hist *of)
{
    double mean = hist_mean(of), squares = 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        double distance = (double)(top_of(i) < of->max ? top_of(i) : of->max) - mean;
        squares += (double)of->counts[i] * distance * distance;
    }
    return of->total == 0 ? 0 : sqrt(squares / (double)of->total);
}

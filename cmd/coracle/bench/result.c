/* SPDX-License-Identifier: MIT */
/* The figures of a run, what limits their meaning, and the conditions they have to meet. */
#include "bench/result.h"

#include <stdlib.h>

/* A generator that uses more of its CPUs than this is what limits the rate. */
#define BUSY_SHARE 0.95
/* More late alarms than this, or less than this of the rate, and an open loop is not what was asked for. */
#define LATE_SHARE 0.01
#define RATE_SHARE 0.99

static void add_tally(tally *to, const tally *from)
{
    atomic_fetch_add(&to->messages, atomic_load(&from->messages));
    to->wrong += from->wrong;
    to->failed += from->failed;
    to->lost += from->lost;
    to->timeouts += from->timeouts;
    to->lost_packets += from->lost_packets;
    to->reordered += from->reordered;
    to->duplicates += from->duplicates;
    to->starved += from->starved;
    to->alarms += from->alarms;
    to->late += from->late;
    hist_merge(&to->latency, &from->latency);
}

uint64_t result_errors(const struct result *of)
{
    return of->sum->failed + of->sum->lost + of->sum->timeouts;
}

static double rate_of(const struct result *of)
{
    return of->seconds > 0 ? (double)of->sum->messages / of->seconds : 0;
}

double result_cpu_us(const struct result *of, double cpu_seconds)
{
    return of->sum->messages > 0 ? cpu_seconds * 1e6 / (double)of->sum->messages : 0;
}

double result_server_share(const struct result *of)
{
    return of->seconds > 0 ? of->server_cpu_seconds / of->seconds / of->server_cores : 0;
}

double result_own_share(const struct result *of)
{
    return of->seconds > 0 ? of->own_cpu_seconds / of->seconds / (double)of->plan->options.workers : 0;
}

double result_metric(const struct result *of, metric which)
{
    static const double parts[] = {
        [METRIC_P50] = 0.5, [METRIC_P90] = 0.9, [METRIC_P99] = 0.99, [METRIC_P999] = 0.999, [METRIC_P9999] = 0.9999,
    };
    switch (which) {
    case METRIC_MAX:
        return (double)of->sum->latency.max;
    case METRIC_MEAN:
        return hist_mean(&of->sum->latency);
    case METRIC_RATE:
        return rate_of(of);
    case METRIC_ERRORS:
        return (double)result_errors(of);
    case METRIC_STARVED:
        return (double)of->sum->starved;
    case METRIC_WRONG:
        return (double)of->sum->wrong;
    case METRIC_LOST:
        return (double)of->sum->lost_packets;
    case METRIC_REORDERED:
        return (double)of->sum->reordered;
    case METRIC_DUPLICATES:
        return (double)of->sum->duplicates;
    default:
        return (double)hist_quantile(&of->sum->latency, parts[which]);
    }
}

/* What an open loop should have reached; in a fan-out each message is told to many. */
static double rate_wanted(const struct plan *plan)
{
    const bench_options *options = &plan->options;
    return options->mode == MODE_FANOUT ? plan->rate * (double)(options->connections - options->stalled) : plan->rate;
}

/* What the generator has to say of itself. */
static void judge_generator(struct result *of)
{
    const struct plan *plan = of->plan;
    double own = result_own_share(of), late = (double)of->sum->late / (double)(of->sum->alarms + 1);
    unsigned long long workers = plan->options.workers;
    char *to = of->verdict;
    size_t size = sizeof(of->verdict);
    if (own > BUSY_SHARE && of->server_known && result_server_share(of) > BUSY_SHARE) {
        snprintf(to, size, "server and generator were both busy all the time: the rate is what they can do together");
    } else if (own > BUSY_SHARE) {
        snprintf(to, size,
                 "the generator was the bottleneck: it used %.0f %% of its %llu worker%s; use more --workers, or judge "
                 "the server by its CPU time per message (--pid)",
                 100 * own, workers, workers == 1 ? "" : "s");
    } else if (plan->rate > 0 && late > LATE_SHARE) {
        snprintf(to, size,
                 "the generator fell behind its schedule: %.1f %% of its alarms rang more than 1 ms late; use more "
                 "--workers, a lower --rate, or CPUs of its own",
                 100 * late);
    } else if (plan->options.mode != MODE_IDLE && rate_of(of) < RATE_SHARE * rate_wanted(plan)) {
        snprintf(to, size,
                 "the rate was not reached: %.0f of %.0f per second; the server is the bottleneck, or there are too "
                 "few --connections or too little --depth",
                 rate_of(of), rate_wanted(plan));
    }
}

void result_make(struct run *run, const usage *from, const usage *to, struct result *out)
{
    const bench_options *options = &run->plan->options;
    *out = (struct result){.plan = run->plan, .interrupted = atomic_load(&run->interrupted) != 0};
    out->sum = run->tallies;
    run->tallies = NULL;
    for (uint64_t i = 1; i < options->workers; i++) {
        add_tally(out->sum, &out->sum[i]);
    }
    int64_t end = to->at_ns < run->end_ns ? to->at_ns : run->end_ns;
    out->seconds = end > run->measure_ns ? (double)(end - run->measure_ns) / 1e9 : 0;
    /* The CPU clocks were read a moment late; the rest is by the clock, as the messages are. */
    double part = to->at_ns > from->at_ns ? out->seconds / ((double)(to->at_ns - from->at_ns) / 1e9) : 0;
    out->own_cpu_seconds = part * (double)(to->own_ns - from->own_ns) / 1e9;
    out->server_known = from->server_ns >= 0 && to->server_ns >= 0;
    if (out->server_known) {
        out->server_cpu_seconds = part * (double)(to->server_ns - from->server_ns) / 1e9;
        out->server_cores = usage_cores(options->pid);
        out->server_peak_bytes = usage_peak_bytes(options->pid);
    }
    snprintf(out->error, sizeof(out->error), "%s", run->error);
    judge_generator(out);
}

void result_free(struct result *of)
{
    free(of->sum);
}

static void complain(const condition *about, double value)
{
    fprintf(stderr, "coracle bench: failed: %s (%s is ", about->text, metric_names[about->metric]);
    if (metric_is_time(about->metric)) {
        fprintf(stderr, "%.1fus)\n", value / 1000);
    } else {
        fprintf(stderr, "%.0f)\n", value);
    }
}

bool result_judge(const struct result *of)
{
    bool all = true;
    const struct conditions *conditions = &of->plan->conditions;
    for (size_t i = 0; i < conditions->count; i++) {
        double value = result_metric(of, conditions->list[i].metric);
        if (!condition_holds(&conditions->list[i], value)) {
            complain(&conditions->list[i], value);
            all = false;
        }
    }
    return all;
}

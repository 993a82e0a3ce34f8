/* SPDX-License-Identifier: MIT */
/*
 * The result as text for people, as JSON and CSV for programs (one table of figures for both, so that they name things
 * alike), and as HdrHistogram's percentile text for its plotting tools.
 */
#include "bench/result.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One figure of JSON and CSV. */
typedef struct figure {
    const char *name;
    double value;
    int decimals;
    bool known;
} figure;

enum { FIGURES_MAX = 32 };

static double micros(double ns)
{
    return ns / 1000;
}

/* Lists all figures; returns how many there are. */
static size_t list_figures(const struct result *of, figure *list)
{
    const bench_options *options = &of->plan->options;
    const tally *sum = of->sum;
    bool known = of->server_known, packets = options->mode == MODE_PACKET;
    const figure all[] = {
        {"connections", (double)options->connections, 0, true},
        {"depth", (double)options->depth, 0, true},
        {"size_bytes", (double)of->plan->size, 0, true},
        {"workers", (double)options->workers, 0, true},
        {"target_rate", of->plan->rate, 3, of->plan->rate > 0},
        {"seconds", of->seconds, 3, true},
        {"messages", (double)sum->messages, 0, true},
        {"rate", result_metric(of, METRIC_RATE), 1, true},
        {"errors", (double)result_errors(of), 0, true},
        {"failed_connects", (double)sum->failed, 0, true},
        {"lost_connections", (double)sum->lost, 0, true},
        {"timeouts", (double)sum->timeouts, 0, true},
        {"wrong", (double)sum->wrong, 0, true},
        {"starved", (double)sum->starved, 0, true},
        {"lost", (double)sum->lost_packets, 0, packets},
        {"reordered", (double)sum->reordered, 0, packets},
        {"duplicates", (double)sum->duplicates, 0, packets},
        {"latency_mean_us", micros(result_metric(of, METRIC_MEAN)), 3, true},
        {"latency_p50_us", micros(result_metric(of, METRIC_P50)), 3, true},
        {"latency_p90_us", micros(result_metric(of, METRIC_P90)), 3, true},
        {"latency_p99_us", micros(result_metric(of, METRIC_P99)), 3, true},
        {"latency_p999_us", micros(result_metric(of, METRIC_P999)), 3, true},
        {"latency_p9999_us", micros(result_metric(of, METRIC_P9999)), 3, true},
        {"latency_max_us", micros(result_metric(of, METRIC_MAX)), 3, true},
        {"generator_cpu_us", result_cpu_us(of, of->own_cpu_seconds), 4, true},
        {"generator_cpu_share", result_own_share(of), 4, true},
        {"server_cpu_us", known ? result_cpu_us(of, of->server_cpu_seconds) : 0, 4, known},
        {"server_cpu_share", known ? result_server_share(of) : 0, 4, known},
        {"server_cores", (double)of->server_cores, 0, known},
        {"server_peak_rss_bytes", (double)of->server_peak_bytes, 0, known && of->server_peak_bytes > 0},
    };
    memcpy(list, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

static const char *loop_name(const struct result *of)
{
    return of->plan->rate > 0 ? "open" : "closed";
}

static void write_quoted(const char *text, FILE *to)
{
    size_t size = strlen(text);
    char *quoted = malloc(COR_JSON_QUOTE_MAX(size));
    if (quoted != NULL) {
        fwrite(quoted, 1, (size_t)(cor_json_quote(quoted, text, size) - quoted), to);
        free(quoted);
    } else {
        fprintf(to, "null");
    }
}

static void write_json_text(const char *name, const char *text, FILE *to)
{
    fprintf(to, "  \"%s\": ", name);
    if (text[0] != '\0') {
        write_quoted(text, to);
    } else {
        fprintf(to, "null");
    }
    fprintf(to, ",\n");
}

static void write_json(const struct result *of, FILE *to)
{
    figure list[FIGURES_MAX];
    size_t count = list_figures(of, list);
    fprintf(to, "{\n");
    write_json_text("mode", bench_mode_names[of->plan->options.mode], to);
    write_json_text("network", of->plan->addresses[0].network, to);
    write_json_text("address", of->plan->addresses[0].text, to);
    write_json_text("loop", loop_name(of), to);
    write_json_text("error", of->error, to);
    write_json_text("verdict", of->verdict, to);
    fprintf(to, "  \"interrupted\": %s", of->interrupted ? "true" : "false");
    for (size_t i = 0; i < count; i++) {
        fprintf(to, ",\n  \"%s\": ", list[i].name);
        if (list[i].known) {
            fprintf(to, "%.*f", list[i].decimals, list[i].value);
        } else {
            fprintf(to, "null");
        }
    }
    fprintf(to, "\n}\n");
}

/* In quotes, with those inside doubled. */
static void write_csv_text(const char *text, FILE *to)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', to);
        }
        fputc(*text, to);
    }
    fputc('"', to);
}

static void write_csv(const struct result *of, FILE *to)
{
    figure list[FIGURES_MAX];
    size_t count = list_figures(of, list);
    fprintf(to, "mode,address,loop");
    for (size_t i = 0; i < count; i++) {
        fprintf(to, ",%s", list[i].name);
    }
    fprintf(to, "\n%s,", bench_mode_names[of->plan->options.mode]);
    write_csv_text(of->plan->addresses[0].text, to);
    fprintf(to, ",%s", loop_name(of));
    for (size_t i = 0; i < count; i++) {
        fprintf(to, ",");
        if (list[i].known) {
            fprintf(to, "%.*f", list[i].decimals, list[i].value);
        }
    }
    fprintf(to, "\n");
}

/* A time with three digits and its unit. */
static char *time_text(double ns, char *text, size_t size)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    size_t i = 0;
    while (i < 2 && ns < units[i].ns) {
        i++;
    }
    double value = ns / units[i].ns;
    snprintf(text, size, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[i].name);
    return text;
}

static void write_latencies(const struct result *of, FILE *to)
{
    static const metric columns[] = {METRIC_MEAN, METRIC_P50,   METRIC_P90, METRIC_P99,
                                     METRIC_P999, METRIC_P9999, METRIC_MAX};
    enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
    char text[32];
    fprintf(to, "latency    ");
    for (size_t i = 0; i < COLUMNS; i++) {
        fprintf(to, "%9s", metric_names[columns[i]]);
    }
    fprintf(to, "\n           ");
    for (size_t i = 0; i < COLUMNS; i++) {
        fprintf(to, "%9s", time_text(result_metric(of, columns[i]), text, sizeof(text)));
    }
    fprintf(to, "\n");
}

/* What was measured, in a line or two. */
static void write_heading(const struct result *of, FILE *to)
{
    const struct plan *plan = of->plan;
    const bench_options *options = &plan->options;
    char text[32];
    fprintf(to, "%s %s://%s\n%" PRIu64 " connections, %zu bytes, depth %" PRIu64 ", %" PRIu64 " worker%s, ",
            bench_mode_names[options->mode], plan->addresses[0].network, plan->addresses[0].text, options->connections,
            plan->size, options->depth, options->workers, options->workers == 1 ? "" : "s");
    if (options->stalled > 0) {
        fprintf(to, "%" PRIu64 " stalled, ", options->stalled);
    }
    if (plan->rate > 0) {
        fprintf(to, "%.6g/s, ", plan->rate);
    } else {
        fprintf(to, "closed loop, ");
    }
    fprintf(to, "%s%s\n\n", time_text(of->seconds * 1e9, text, sizeof(text)), of->interrupted ? " (interrupted)" : "");
}

static void write_text(const struct result *of, FILE *to)
{
    const tally *sum = of->sum;
    write_heading(of, to);
    write_latencies(of, to);
    fprintf(to, "%s %" PRIu64 ", %.0f/s, %.2f MB/s\n",
            of->plan->options.mode == MODE_FANOUT ? "deliveries" : "messages  ", (uint64_t)sum->messages,
            result_metric(of, METRIC_RATE), result_metric(of, METRIC_RATE) * (double)of->plan->size / 1e6);
    fprintf(to,
            "errors     %" PRIu64 " (%" PRIu64 " failed to connect, %" PRIu64 " lost, %" PRIu64
            " timed out), wrong %" PRIu64 ", starved %" PRIu64 "\n",
            result_errors(of), sum->failed, sum->lost, sum->timeouts, sum->wrong, sum->starved);
    if (of->plan->options.mode == MODE_PACKET) {
        uint64_t sent = (uint64_t)sum->messages + sum->lost_packets;
        fprintf(to, "datagrams  %" PRIu64 " lost (%.3f %%), %" PRIu64 " reordered, %" PRIu64 " duplicates\n",
                sum->lost_packets, sent > 0 ? 100 * (double)sum->lost_packets / (double)sent : 0, sum->reordered,
                sum->duplicates);
    }
    if (of->server_known) {
        fprintf(to, "server     %.3f us of CPU time per message, %.0f %% of %d core%s, peak RSS %.1f MiB\n",
                result_cpu_us(of, of->server_cpu_seconds), 100 * result_server_share(of), of->server_cores,
                of->server_cores == 1 ? "" : "s", (double)of->server_peak_bytes / (1024 * 1024));
    }
    fprintf(to, "generator  %.3f us of CPU time per message, %.0f %% of %" PRIu64 " worker%s\n",
            result_cpu_us(of, of->own_cpu_seconds), 100 * result_own_share(of), of->plan->options.workers,
            of->plan->options.workers == 1 ? "" : "s");
    if (of->error[0] != '\0') {
        fprintf(to, "first error: %s\n", of->error);
    }
    if (of->verdict[0] != '\0') {
        fprintf(to, "verdict: %s\n", of->verdict);
    }
}

/* Writes a latency histogram as the text that HdrHistogram's tools read, in milliseconds. */
static void write_hdr(const hist *of, FILE *to)
{
    /* Steps grow finer towards the end: each half of what is left has as many. */
    enum { STEPS_PER_HALF = 5 };
    const double ms = 1e6;
    fprintf(to, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    uint64_t count = 0;
    for (double left = 1; count < of->total; left /= 2) {
        for (int step = 0; step < STEPS_PER_HALF && count < of->total; step++) {
            double part = 1 - left + left / 2 * step / STEPS_PER_HALF;
            uint64_t value = hist_quantile(of, part);
            count = hist_count_to(of, value);
            fprintf(to, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", (double)value / ms, part, count, 1 / (1 - part));
        }
    }
    fprintf(to, "%12.3f %2.12f %10" PRIu64 "\n", (double)of->max / ms, 1.0, of->total);
    fprintf(to, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", hist_mean(of) / ms, hist_deviation(of) / ms);
    fprintf(to, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)of->max / ms, of->total);
    fprintf(to, "#[Buckets = %12d, SubBuckets     = %12d]\n", HIST_TOP_BIT - HIST_SUB_BITS + 1, HIST_SUBS);
}

bool report_write(const struct result *of, bench_format format, FILE *to)
{
    switch (format) {
    case REPORT_TEXT:
        write_text(of, to);
        break;
    case REPORT_JSON:
        write_json(of, to);
        break;
    case REPORT_CSV:
        write_csv(of, to);
        break;
    case REPORT_HDR:
        write_hdr(&of->sum->latency, to);
        break;
    }
    return fflush(to) == 0 && ferror(to) == 0;
}

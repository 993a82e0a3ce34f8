/* SPDX-License-Identifier: MIT */
/* Metrics as text. */
#include "serve/admin/exposition.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_SECOND INT64_C(1000000000)

bool exposition_wants_open(const char *accept)
{
    return accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
}

const char *exposition_type(bool open)
{
    return open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                : "text/plain; version=0.0.4; charset=utf-8";
}

static void begin(const exposition *out, const char *name, const char *suffix, const char *kind, const char *help)
{
    fprintf(out->to, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, kind);
}

void exposition_gauge(const exposition *out, const char *name, const char *help)
{
    begin(out, name, "", "gauge", help);
}

void exposition_counter(const exposition *out, const char *name, const char *help)
{
    begin(out, name, out->open ? "" : "_total", "counter", help);
}

void exposition_put(const exposition *out, const char *name, const char *label, const char *value, uint64_t number)
{
    if (label != NULL) {
        fprintf(out->to, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, number);
    } else {
        fprintf(out->to, "%s %" PRIu64 "\n", name, number);
    }
}

void exposition_seconds(const exposition *out, const char *name, int64_t ns)
{
    fprintf(out->to, "%s %" PRId64 ".%06" PRId64 "\n", name, ns / NS_PER_SECOND, ns % NS_PER_SECOND / 1000);
}

void exposition_one_gauge(const exposition *out, const char *name, const char *help, uint64_t number)
{
    exposition_gauge(out, name, help);
    exposition_put(out, name, NULL, NULL, number);
}

void exposition_one_counter(const exposition *out, const char *name, const char *help, uint64_t number)
{
    exposition_counter(out, name, help);
    fprintf(out->to, "%s_total %" PRIu64 "\n", name, number);
}

void exposition_histogram(const exposition *out, const char *name, const char *help, const int64_t *bounds,
                          const uint64_t *counts, size_t count, int64_t sum_ns)
{
    uint64_t sum = 0;
    begin(out, name, "", "histogram", help);
    for (size_t i = 0; i < count; i++) {
        sum += counts[i];
        fprintf(out->to, "%s_bucket{le=\"%.3f\"} %" PRIu64 "\n", name, (double)bounds[i] / (double)NS_PER_SECOND, sum);
    }
    sum += counts[count];
    fprintf(out->to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name, sum, name,
            (double)sum_ns / (double)NS_PER_SECOND, name, sum);
}

void exposition_end(const exposition *out)
{
    if (out->open) {
        fputs("# EOF\n", out->to);
    }
}

/* SPDX-License-Identifier: MIT */
/* Reading and judging conditions. */
#include "bench/asserts.h"

#include "parse.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *const metric_names[METRIC_COUNT + 1] = {
    "p50",    "p90",     "p99",   "p99.9", "p99.99",    "max",        "mean", "rate",
    "errors", "starved", "wrong", "lost",  "reordered", "duplicates", NULL,
};

static const struct {
    const char *text;
    comparison comparison;
} operators[] = {
    {"<=", LESS_EQUAL}, {">=", GREATER_EQUAL}, {"<", LESS}, {">", GREATER}, {"=", EQUAL},
};

bool metric_is_time(metric which)
{
    return which <= METRIC_MEAN;
}

static bool find_metric(const char *name, size_t size, metric *found)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (strlen(metric_names[i]) == size && strncmp(metric_names[i], name, size) == 0) {
            *found = (metric)i;
            return true;
        }
    }
    return false;
}

/* Reads the operator at *text and moves *text past it. */
static bool take_operator(const char **text, comparison *found)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t size = strlen(operators[i].text);
        if (strncmp(*text, operators[i].text, size) == 0) {
            *text += size;
            *found = operators[i].comparison;
            return true;
        }
    }
    return false;
}

static bool parse_limit(metric which, const char *text, double *limit)
{
    int64_t duration_ns;
    if (!metric_is_time(which)) {
        return parse_number(text, limit);
    }
    if (!parse_duration(text, &duration_ns)) {
        return false;
    }
    *limit = (double)duration_ns;
    return true;
}

/* Lists what would have been understood. */
static void expect_metric(conditions_error *error)
{
    size_t used = (size_t)snprintf(error->reason, sizeof(error->reason), "expected a metric:");
    for (size_t i = 0; i < METRIC_COUNT && used < sizeof(error->reason); i++) {
        used += (size_t)snprintf(error->reason + used, sizeof(error->reason) - used, " %s", metric_names[i]);
    }
}

/* Reads one condition of `size` bytes. On failure error->at counts from its beginning. */
static bool parse_condition(const char *text, size_t size, condition *out, conditions_error *error)
{
    error->at = 0;
    if (size >= sizeof(out->text)) {
        snprintf(error->reason, sizeof(error->reason), "a condition has fewer than %zu characters", sizeof(out->text));
        return false;
    }
    memcpy(out->text, text, size);
    out->text[size] = '\0';
    const char *next = out->text;
    size_t name_size = strcspn(next, "<>=");
    if (!find_metric(next, name_size, &out->metric)) {
        expect_metric(error);
        return false;
    }
    next += name_size;
    error->at = name_size;
    if (!take_operator(&next, &out->comparison)) {
        snprintf(error->reason, sizeof(error->reason), "expected one of < <= > >= =");
        return false;
    }
    error->at = (size_t)(next - out->text);
    if (!parse_limit(out->metric, next, &out->limit)) {
        snprintf(error->reason, sizeof(error->reason), "expected %s",
                 metric_is_time(out->metric) ? "a duration such as 500us, 5ms or 1s"
                                             : "a number such as 0, 1.5k or 2M");
        return false;
    }
    return true;
}

bool conditions_parse(const char *text, struct conditions *out, conditions_error *error)
{
    struct conditions read = {0};
    for (size_t at = 0;; at++) {
        at += strspn(text + at, " ");
        size_t size = strcspn(text + at, ",");
        if (read.count == CONDITIONS_MAX) {
            error->at = at;
            snprintf(error->reason, sizeof(error->reason), "more than %d conditions", CONDITIONS_MAX);
            return false;
        }
        if (!parse_condition(text + at, size, &read.list[read.count++], error)) {
            error->at += at;
            return false;
        }
        at += size;
        if (text[at] == '\0') {
            *out = read;
            return true;
        }
    }
}

void conditions_default_zero(struct conditions *to, metric which)
{
    for (size_t i = 0; i < to->count; i++) {
        if (to->list[i].metric == which) {
            return;
        }
    }
    condition *added = &to->list[to->count++];
    *added = (condition){.metric = which, .comparison = EQUAL};
    snprintf(added->text, sizeof(added->text), "%s=0", metric_names[which]);
}

bool condition_holds(const condition *of, double value)
{
    switch (of->comparison) {
    case LESS:
        return value < of->limit;
    case LESS_EQUAL:
        return value <= of->limit;
    case GREATER:
        return value > of->limit;
    case GREATER_EQUAL:
        return value >= of->limit;
    case EQUAL:
        return value == of->limit;
    }
    return false;
}

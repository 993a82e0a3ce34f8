/* SPDX-License-Identifier: MIT */
/* From the command line to the plan: what does not fit together is said before anything is started. */
#include "bench/plan.h"
#include "bench/usage.h"
#include "exits.h"
#include "parse.h"

#include <coracle.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of echo: a period that is no multiple of anything, so that a shift by any size shows. */
enum { ECHO_PERIOD = 251 };
/* Descriptors that are not connections. */
enum { OTHER_DESCRIPTORS = 32 };
#define FANOUT_LOG_MAX ((uint64_t)64 * 1024 * 1024)

const char *const bench_mode_names[] = {"echo", "line", "connect", "fanout", "idle", "packet", NULL};

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "coracle bench: ");
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n");
    va_end(values);
    return EXIT_USAGE;
}

/* Options that belong to one mode. */
static int check_mode_options(const bench_options *options)
{
    bool fanout = options->mode == MODE_FANOUT, line = options->mode == MODE_LINE;
    if (options->rst && options->mode != MODE_CONNECT) {
        return refuse("--rst belongs to --mode connect");
    }
    if (!line && (options->line != NULL || options->expect != NULL)) {
        return refuse("--line and --expect belong to --mode line");
    }
    if (options->line != NULL && strchr(options->line, '\n') != NULL) {
        return refuse("--line must be one line");
    }
    if (!fanout && options->stalled > 0) {
        return refuse("--stalled belongs to --mode fanout");
    }
    if (options->stalled >= options->connections) {
        return refuse("--stalled: of %" PRIu64 " connections at least one has to read", options->connections);
    }
    return EXIT_OK;
}

static int check_sizes(const bench_options *options)
{
    bool fanout = options->mode == MODE_FANOUT;
    if (options->duration <= 0 || options->timeout <= 0) {
        return refuse("--duration and --timeout must be more than 0");
    }
    if ((fanout || options->mode == MODE_LINE) && options->size > BENCH_WINDOW_BYTES / 2) {
        return refuse("--size: a line has at most %d bytes", BENCH_WINDOW_BYTES / 2);
    }
    if (options->line != NULL && strlen(options->line) > BENCH_WINDOW_BYTES / 2) {
        return refuse("--line: a line has at most %d bytes", BENCH_WINDOW_BYTES / 2);
    }
    if (fanout && options->size < FANOUT_DIGITS) {
        return refuse("--size: a message of --mode fanout has at least %d bytes", FANOUT_DIGITS);
    }
    if (fanout && options->depth * options->size > FANOUT_LOG_MAX) {
        return refuse("--depth times --size must not exceed %" PRIu64, FANOUT_LOG_MAX);
    }
    if (options->mode == MODE_PACKET && (options->size < PACKET_HEAD || options->size > PACKET_BYTES_MAX)) {
        return refuse("--size: a datagram of --mode packet has %d to %d bytes", PACKET_HEAD, PACKET_BYTES_MAX);
    }
    if (options->pid != 0 && !usage_knows(options->pid)) {
        return refuse("--pid: there is no process %" PRIu64, options->pid);
    }
    return EXIT_OK;
}

/* Reads the texts that have a grammar of their own. */
static int parse_texts(struct plan *plan)
{
    const bench_options *options = &plan->options;
    if (options->rate != NULL && (!parse_number(options->rate, &plan->rate) || plan->rate <= 0)) {
        return refuse("--rate: '%s' is not a number of messages per second such as 500, 20k or 1.5M", options->rate);
    }
    if (options->assert != NULL) {
        conditions_error error;
        if (!conditions_parse(options->assert, &plan->conditions, &error)) {
            return refuse("--assert: %s\n  %s\n  %*s", error.reason, options->assert, (int)error.at + 1, "^");
        }
    }
    conditions_default_zero(&plan->conditions, METRIC_ERRORS);
    conditions_default_zero(&plan->conditions, METRIC_STARVED);
    conditions_default_zero(&plan->conditions, METRIC_WRONG);
    return EXIT_OK;
}

/* Makes room for the bytes to send; the caller fills the first period. */
static unsigned char *make_bytes(struct plan *plan, size_t period)
{
    plan->period = period;
    plan->bytes = malloc(period + BENCH_WINDOW_BYTES);
    return plan->bytes;
}

/* Repeats the first period over the rest. */
static void repeat_bytes(struct plan *plan)
{
    for (size_t i = plan->period; i < plan->period + BENCH_WINDOW_BYTES; i++) {
        plan->bytes[i] = plan->bytes[i - plan->period];
    }
}

static bool fill_bytes(struct plan *plan)
{
    const bench_options *options = &plan->options;
    if (options->mode != MODE_LINE) {
        plan->size = options->size;
        unsigned char *bytes = make_bytes(plan, ECHO_PERIOD);
        for (size_t i = 0; bytes != NULL && i < ECHO_PERIOD; i++) {
            bytes[i] = (unsigned char)i;
        }
    } else {
        plan->size = (options->line != NULL ? strlen(options->line) : options->size - 1) + 1;
        unsigned char *bytes = make_bytes(plan, plan->size);
        for (size_t i = 0; bytes != NULL && i + 1 < plan->size; i++) {
            bytes[i] = options->line != NULL ? (unsigned char)options->line[i] : (unsigned char)('a' + i % 26);
        }
        if (bytes != NULL) {
            bytes[plan->size - 1] = '\n';
        }
    }
    if (plan->bytes != NULL) {
        repeat_bytes(plan);
    }
    return plan->bytes != NULL;
}

static int check_descriptors(const bench_options *options)
{
    uint64_t limit, needed = options->connections + OTHER_DESCRIPTORS;
    if (usage_allow_descriptors(needed, &limit)) {
        return EXIT_OK;
    }
    refuse("%" PRIu64 " connections need %" PRIu64 " descriptors and the limit is %" PRIu64
           ": raise it ('ulimit -Hn %" PRIu64 "' as root) or use fewer --connections",
           options->connections, needed, limit, needed);
    return EXIT_TRY_AGAIN;
}

/* Takes the addresses, which must be of datagrams in mode packet and of streams in the others. */
static int take_addresses(struct plan *plan, char **addresses, size_t count)
{
    bool packets = plan->options.mode == MODE_PACKET;
    plan->address_count = count;
    plan->addresses = calloc(count, sizeof(*plan->addresses));
    if (plan->addresses == NULL) {
        refuse("%s", cor_strerror(-ENOMEM));
        return EXIT_TRY_AGAIN;
    }
    for (size_t i = 0; i < count; i++) {
        plan->addresses[i] = address_split(addresses[i]);
        if (address_is_packets(&plan->addresses[i]) != packets) {
            return refuse(packets ? "%s: --mode packet needs datagrams, as in udp://127.0.0.1:9999"
                                  : "%s: datagrams need --mode packet",
                          addresses[i]);
        }
    }
    return EXIT_OK;
}

int plan_make(struct plan *plan, char **addresses, size_t address_count)
{
    bench_options *options = &plan->options;
    bool fanout = options->mode == MODE_FANOUT;
    options->timeout = options->timeout >= 0          ? options->timeout
                       : options->mode == MODE_PACKET ? COR_SECOND
                                                      : 5 * COR_SECOND;
    options->depth = options->depth > 0 ? options->depth : fanout ? FANOUT_WINDOW : 1;
    options->warmup = options->mode == MODE_IDLE ? 0 : options->warmup;
    if (options->mode == MODE_CONNECT || options->mode == MODE_IDLE) {
        options->depth = 1;
    }
    int code = check_mode_options(options);
    code = code == EXIT_OK ? check_sizes(options) : code;
    code = code == EXIT_OK ? parse_texts(plan) : code;
    code = code == EXIT_OK ? take_addresses(plan, addresses, address_count) : code;
    code = code == EXIT_OK ? check_descriptors(options) : code;
    if (code != EXIT_OK) {
        return code;
    }
    /* The one message of each idle connection: all within a second. */
    plan->rate = options->mode == MODE_IDLE && plan->rate == 0 ? (double)options->connections : plan->rate;
    plan->limit = options->mode == MODE_CONNECT || options->mode == MODE_IDLE ? 1 : UINT64_MAX;
    if (!fill_bytes(plan)) {
        refuse("%s", cor_strerror(-ENOMEM));
        return EXIT_TRY_AGAIN;
    }
    return EXIT_OK;
}

void plan_free(struct plan *plan)
{
    free(plan->addresses);
    free(plan->bytes);
}

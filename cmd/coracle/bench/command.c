/* SPDX-License-Identifier: MIT */
/* `coracle bench`: its command line, and what is done with the result. */
#include "command.h"

#include "bench/lead.h"
#include "exits.h"
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const format_names[] = {"text", "json", "csv", "hdr", NULL};

#define FIELD(name) offsetof(bench_options, name)
#define GIB ((uint64_t)1024 * 1024 * 1024)

static const option_def defs[] = {
    {"mode", 'm', OPTION_CHOICE, FIELD(mode), "MODE", "what to do (default echo)", bench_mode_names, 0, 0},
    {"connections", 'c', OPTION_COUNT, FIELD(connections), "N",
     "connections at a time (default 100); fanout: receivers", NULL, 1, 1000000},
    {"duration", 'd', OPTION_DURATION, FIELD(duration), "D",
     "how long to measure (default 5s); idle: how long to be silent", NULL, 0, 0},
    {"warmup", 0, OPTION_DURATION, FIELD(warmup), "D", "how long to run before measuring (default 500ms)", NULL, 0, 0},
    {"size", 's', OPTION_SIZE, FIELD(size), "BYTES", "size of a message (default 64)", NULL, 1, GIB},
    {"depth", 0, OPTION_COUNT, FIELD(depth), "K", "unanswered messages per connection (default 1; fanout: 64)", NULL, 1,
     65536},
    {"rate", 'r', OPTION_TEXT, FIELD(rate), "R", "open loop: messages per second over all connections", NULL, 0, 0},
    {"workers", 'w', OPTION_COUNT, FIELD(workers), "N", "worker threads (default 1)", NULL, 1, 256},
    {"timeout", 't', OPTION_DURATION, FIELD(timeout), "D",
     "time limit for connecting and for an answer (default 5s; packet: 1s)", NULL, 0, 0},
    {"line", 0, OPTION_TEXT, FIELD(line), "TEXT", "line: the text to send (default: --size bytes with the LF)", NULL, 0,
     0},
    {"expect", 0, OPTION_TEXT, FIELD(expect), "TEXT", "line: the text that each answer must be (default: any line)",
     NULL, 0, 0},
    {"rst", 0, OPTION_FLAG, FIELD(rst), NULL, "connect: close with RST instead of FIN", NULL, 0, 0},
    {"stalled", 0, OPTION_COUNT, FIELD(stalled), "K", "fanout: K receivers never read", NULL, 0, 1000000},
    {"pid", 'p', OPTION_COUNT, FIELD(pid), "PID", "the server's process: show its CPU time and memory", NULL, 1,
     1 << 22},
    {"format", 'f', OPTION_CHOICE, FIELD(format), "FORMAT", "format of the result (default text)", format_names, 0, 0},
    {"output", 'o', OPTION_TEXT, FIELD(output), "FILE", "write the result here; standard output then gets the text",
     NULL, 0, 0},
    {"assert", 'a', OPTION_TEXT, FIELD(assert), "LIST",
     "exit with 1 unless all of these hold: 'p99<5ms,errors=0,rate>100k'", NULL, 0, 0},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, "no progress, and no text besides --output", NULL, 0, 0},
};

static const option_table table = {"coracle bench", defs, sizeof(defs) / sizeof(defs[0])};

void bench_help(FILE *to)
{
    fprintf(to,
            "Usage: coracle bench [OPTIONS] ADDRESS...\n"
            "Loads a server and measures how fast, how evenly and how correctly it answers.\n\n"
            "Modes:\n"
            "  echo       each connection sends messages and compares every byte that comes back\n"
            "  line       each connection sends lines; the server answers each with one line\n"
            "  connect    connect, one echo, close, over and over\n"
            "  fanout     one sender, and receivers that check everything they hear, for 'coracle serve broadcast'\n"
            "  idle       connections that stay silent the whole time, then one echo on each\n"
            "  packet     sockets that send datagrams (udp://...), and count what is lost, reordered and doubled\n\n"
            "In a closed loop (the default) a connection sends its next message once the last one is answered. With\n"
            "--rate messages are sent when they are due, and latency counts from that moment, which leaves out no\n"
            "stall of the server. ADDRESS is as for dial; connections are spread over all of them.\n\n"
            "Options:\n");
    options_print(&table, to);
    fprintf(to, "\nMetrics of --assert: p50 p90 p99 p99.9 p99.99 max mean (durations), rate errors starved wrong\n"
                "lost reordered duplicates (numbers); operators < <= > >= =.\n"
                "'errors=0,starved=0,wrong=0' is asserted unless the list says otherwise.\n"
                "\nExits with 0 if all was well, 1 if not, 69 if nobody answers at ADDRESS.\n");
}

/* Writes the result where it was asked for. */
static int show(const struct result *result, FILE *file)
{
    const bench_options *options = &result->plan->options;
    bool text_shown = false, written;
    if (file != NULL) {
        written = report_write(result, (bench_format)options->format, file);
        if (!options->quiet) {
            written &= report_write(result, REPORT_TEXT, stdout);
            text_shown = true;
        }
    } else {
        written = report_write(result, (bench_format)options->format, stdout);
        text_shown = options->format == REPORT_TEXT;
    }
    if (!text_shown && result->verdict[0] != '\0') {
        fprintf(stderr, "coracle bench: %s\n", result->verdict);
    }
    if (!text_shown && result->error[0] != '\0') {
        fprintf(stderr, "coracle bench: %s\n", result->error);
    }
    if (!written) {
        fprintf(stderr, "coracle bench: the result could not be written: %s\n", cor_strerror(-errno));
    }
    return result_judge(result) && written ? EXIT_OK : EXIT_FAILED;
}

static int run_and_show(const struct plan *plan)
{
    FILE *file = NULL;
    if (plan->options.output != NULL) {
        file = fopen(plan->options.output, "we");
        if (file == NULL) {
            int code = -errno;
            fprintf(stderr, "coracle bench: %s: %s\n", plan->options.output, cor_strerror(code));
            return code == -EACCES ? EXIT_NO_PERMISSION : EXIT_FAILED;
        }
    }
    struct result result = {0};
    int code = lead_plan(plan, &result);
    if (code == EXIT_OK) {
        code = show(&result, file);
        result_free(&result);
    }
    if (file != NULL && fclose(file) != 0) {
        code = EXIT_FAILED;
    }
    return code;
}

int bench_command(int argc, char **argv)
{
    struct plan plan = {.options = {.connections = 100,
                                    .workers = 1,
                                    .duration = 5 * COR_SECOND,
                                    .warmup = 500 * COR_MILLISECOND,
                                    .timeout = -1,
                                    .size = 64}};
    int first = options_read(&table, argc, argv, &plan.options);
    if (first == OPTIONS_HELP) {
        bench_help(stdout);
        return EXIT_OK;
    }
    if (first == OPTIONS_BAD) {
        return EXIT_USAGE;
    }
    if (first == argc) {
        fprintf(stderr, "coracle bench: no ADDRESS given; see 'coracle bench --help'\n");
        return EXIT_USAGE;
    }
    int code = plan_make(&plan, argv + first, (size_t)(argc - first));
    code = code == EXIT_OK ? run_and_show(&plan) : code;
    plan_free(&plan);
    return code;
}

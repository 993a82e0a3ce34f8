/* SPDX-License-Identifier: MIT */
/* `coracle status`: shows the state of a running `coracle serve --admin`, once or every second. */
#include "command.h"

#include "escape.h"
#include "exits.h"
#include "options.h"
#include "status/fetch.h"

#include <coracle.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_NS (5 * COR_SECOND)
#define EVERY_NS COR_SECOND
#define DEFAULT_ADDRESS "127.0.0.1:7070"
/* To the terminal's first line and column; from there to the end, nothing. */
#define TO_TOP "\033[H"
#define CLEAR_REST "\033[J"

enum { FORMAT_TEXT, FORMAT_JSON };
static const char *const format_names[] = {"text", "json", NULL};

typedef struct status_options {
    bool watch;
    bool live;
    int format;
    uint64_t limit; /* connections to list */
} status_options;

/* A run of the command. */
typedef struct status_run {
    status_options options;
    address from;
} status_run;

#define FIELD(name) offsetof(status_options, name)

static const option_def defs[] = {
    {"watch", 'w', OPTION_FLAG, FIELD(watch), NULL, "show it again every second until Ctrl-C", NULL, 0, 0},
    {"live", 0, OPTION_FLAG, FIELD(live), NULL, "only ask whether the server is alive: exits with 0 or 1", NULL, 0, 0},
    {"limit", 'n', OPTION_COUNT, FIELD(limit), "N", "connections to list, and closed ones (default 20)", NULL, 0, 4096},
    {"format", 'f', OPTION_CHOICE, FIELD(format), "F", "format", format_names, 0, 0},
};

static const option_table table = {"coracle status", defs, sizeof(defs) / sizeof(defs[0])};

void status_help(FILE *to)
{
    fprintf(to,
            "Usage: coracle status [OPTIONS] [ADDRESS]\n"
            "Shows the state of a running 'coracle serve --admin ADDRESS': counters, connections, those with the most\n"
            "pending bytes first, and those closed last, with the reasons. Default address: %s.\n\n"
            "ADDRESS is a port, host:port or unix:///path, as for --admin.\n\n"
            "Options:\n",
            DEFAULT_ADDRESS);
    options_print(&table, to);
}

/* Shows an answer; false: not all of it was taken, which stderr says. Text is escaped: we may talk to anything. */
static bool show(const fetched *answer, bool is_json, FILE *to)
{
    const int keep = ESCAPE_KEEP_LINES | ESCAPE_KEEP_BACKSLASH;
    size_t size = is_json ? answer->size : escape_size(answer->body, answer->size, keep);
    char *escaped = is_json ? NULL : malloc(size + 1);
    if (escaped != NULL) {
        escape_copy(escaped, answer->body, answer->size, keep);
    }
    const char *shown = is_json ? answer->body : escaped;
    /* A long text goes past the stream's buffer: then there is nothing left for fflush to fail at. */
    bool done = shown != NULL && fwrite(shown, 1, size, to) == size && fflush(to) == 0;
    if (!done) {
        fprintf(stderr, "coracle status: standard output: %s\n", cor_strerror(-errno));
    }
    free(escaped);
    return done;
}

/* Says what to do about an error. */
static void advise(int code)
{
    const char *advice = NULL;
    switch (code) {
    case -ECONNREFUSED:
    case -ENOENT:
        advice = "nothing listens there: start the server with --admin and this address, or give the one that it has";
        break;
    case -EACCES:
    case -EPERM:
        advice = "the socket is its server's: run this as the same user";
        break;
    case COR_ETIMEOUT:
        advice =
            "it does not answer: is this the address of --admin, and is the server running (kill -QUIT shows tasks)?";
        break;
    case -EPROTO:
        advice = "what listens there is not a status server; give the address of --admin, not that of a service";
        break;
    default:
        break;
    }
    if (advice != NULL) {
        fprintf(stderr, "coracle status: %s\n", advice);
    }
}

/* Asks once and shows the answer. Returns an exit code. */
static int look(const status_run *run, bool on_terminal)
{
    char path[64], text[COR_ERROR_TEXT];
    fetched answer;
    cor_error error;
    if (run->options.live) {
        snprintf(path, sizeof(path), "/livez");
    } else {
        snprintf(path, sizeof(path), "/status?format=%s&limit=%llu", format_names[run->options.format],
                 (unsigned long long)run->options.limit);
    }
    int code = fetch(&run->from, path, cor_after(ANSWER_NS), &answer, &error);
    if (code < 0) {
        fprintf(stderr, "coracle status: %s\n", cor_error_text(&error, text, sizeof(text)));
        advise(code);
        return code == -EPROTO ? EXIT_FAILED : exit_code_of(code);
    }
    bool good = answer.status == 200;
    if (good && on_terminal) {
        fputs(TO_TOP CLEAR_REST, stdout);
    }
    if (!good) {
        fprintf(stderr, "coracle status: %d ", answer.status);
    }
    bool shown = show(&answer, good && run->options.format == FORMAT_JSON, good ? stdout : stderr);
    free(answer.bytes);
    return good && shown ? EXIT_OK : EXIT_FAILED;
}

/* Looks again and again. Returns an exit code. */
static int watch(const status_run *run)
{
    bool is_text = run->options.format == FORMAT_TEXT;
    bool clears = is_text && isatty(STDOUT_FILENO);
    int code = cor_signal_catch(SIGINT);
    code = code < 0 ? code : cor_signal_catch(SIGTERM);
    if (code < 0) {
        fprintf(stderr, "coracle status: signals: %s\n", cor_strerror(code));
        return EXIT_FAILED;
    }
    int exit_code = look(run, clears);
    while (exit_code == EXIT_OK && cor_signal_wait(cor_after(EVERY_NS)) == COR_ETIMEOUT) {
        if (is_text && !clears) {
            putchar('\n');
        }
        exit_code = look(run, clears);
    }
    return exit_code;
}

static int status_main(void *arg)
{
    const status_run *run = arg;
    return run->options.watch ? watch(run) : look(run, false);
}

int status_command(int argc, char **argv)
{
    status_run run = {.options = {.limit = 20}};
    int first = options_read(&table, argc, argv, &run.options);
    if (first == OPTIONS_HELP) {
        status_help(stdout);
        return EXIT_OK;
    }
    if (first == OPTIONS_BAD) {
        return EXIT_USAGE;
    }
    if (argc - first > 1) {
        fprintf(stderr, "coracle status: more than one ADDRESS\n");
        return EXIT_USAGE;
    }
    char text[COR_ADDR_TEXT];
    run.from = address_of_admin(first < argc ? argv[first] : DEFAULT_ADDRESS, text, sizeof(text));
    int code = cor_run(status_main, &run, &(cor_options){.workers = 1});
    if (code < 0) {
        fprintf(stderr, "coracle status: cannot start: %s\n", cor_strerror(code));
        return exit_code_of(code);
    }
    return code;
}

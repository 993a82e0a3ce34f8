/* SPDX-License-Identifier: MIT */
/*
 * cor_sim_search: runs seed after seed until one fails, then makes that run smaller, one step at a time: the schedule
 * becomes a simpler one, a fault is switched off, the workers become fewer, cor_sim_scale gives less. A step is kept if
 * the run still ends with the same code. Each step makes another run of the seed, which may miss the fault by chance:
 * some seeds after it are tried too.
 *
 * A run that aborts takes the search with it; its seed is told before.
 */
#include "base/sys.h"
#include "sim/event.h"
#include "sim/report.h"

#include <coracle/error.h>
#include <coracle/sim.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEEDS_TRIED = 20 };

typedef struct search {
    int (*main_task)(void *arg);
    void *arg;
    cor_sim_report best; /* the smallest failure so far */
    int runs;
} search;

static char last_words[600];
static size_t last_words_size;
static int last_words_fd;

static const char *const schedules[] = {[COR_SIM_TURNS] = "turns", [COR_SIM_POINTS] = "points", [COR_SIM_PCT] = "pct"};

/* What repeats a run: an environment for the same program. */
static int replay_text(char *text, size_t size, uint64_t seed, const cor_sim_options *options)
{
    char schedule[40] = "";
    if (options->schedule != COR_SIM_TURNS) {
        (void)snprintf(schedule, sizeof(schedule), ":%s:%d", schedules[options->schedule], options->depth);
    }
    return snprintf(text, size, "COR_SIM_REPLAY=%llu:%d:%x:%d%s %.200s", (unsigned long long)seed, options->workers,
                    options->without, options->scale, schedule, program_invocation_name);
}

static void on_abort(int number)
{
    (void)number;
    (void)cori_sys_write(last_words_fd, last_words, last_words_size);
}

static int run_once(search *of, uint64_t seed, const cor_sim_options *options, cor_sim_result *result)
{
    char replay[400];
    (void)replay_text(replay, sizeof(replay), seed, options);
    int length = snprintf(last_words, sizeof(last_words), "simulation: seed %llu aborts; again: %s\n",
                          (unsigned long long)seed, replay);
    last_words_size = (size_t)length;
    of->runs++;
    return cor_sim_run(seed, options, of->main_task, of->arg, result);
}

/* True if it still fails so, with this seed or one of the next; it is the smallest then. */
static bool still_fails(search *of, const cor_sim_options *options)
{
    for (uint64_t i = 0; i < SEEDS_TRIED; i++) {
        cor_sim_result result;
        if (run_once(of, of->best.seed + i, options, &result) == of->best.code) {
            of->best.seed += i;
            of->best.options = *options;
            of->best.result = result;
            return true;
        }
    }
    return false;
}

static void fewer_faults(search *of)
{
    for (int fault = 0; fault < CORI_SIM_FAULTS; fault++) {
        cor_sim_options with = of->best.options;
        with.without |= 1u << fault;
        if (with.without != of->best.options.without) {
            (void)still_fails(of, &with);
        }
    }
}

static void simpler_schedule(search *of)
{
    bool fails = false;
    for (cor_sim_schedule schedule = COR_SIM_TURNS; schedule < of->best.options.schedule && !fails; schedule++) {
        cor_sim_options with = of->best.options;
        with.schedule = schedule;
        fails = still_fails(of, &with);
    }
}

static void fewer_workers(search *of)
{
    bool fails = false;
    for (int workers = 1; workers <= 3 && !fails && workers != of->best.options.workers; workers++) {
        cor_sim_options with = of->best.options;
        with.workers = workers;
        fails = still_fails(of, &with);
    }
}

/* Halves the scale while that fails, then looks between. */
static void smaller_scale(search *of)
{
    int fails = of->best.options.scale != 0 ? of->best.options.scale : 100, passes = 0;
    while (fails - passes > 1) {
        cor_sim_options with = of->best.options;
        with.scale = (fails + passes) / 2;
        if (still_fails(of, &with)) {
            fails = with.scale;
        } else {
            passes = with.scale;
        }
    }
}

static void shrink(search *of)
{
    int fd = of->best.options.report_fd;
    of->best.options.report_fd = -1;
    simpler_schedule(of);
    fewer_workers(of);
    fewer_faults(of);
    smaller_scale(of);
    fewer_faults(of);
    of->best.options.report_fd = fd;
}

/* Runs it once more, now with its report. */
static void show(search *of)
{
    char replay[400];
    const cor_sim_report *best = &of->best;
    (void)run_once(of, best->seed, &best->options, NULL);
    (void)replay_text(replay, sizeof(replay), best->seed, &best->options);
    cori_sim_report_begin(best->options.report_fd != 0 ? best->options.report_fd : STDERR_FILENO);
    cori_sim_print("simulation: seed %llu ends with %d (%s); the smallest that does, of %d runs: %llu events, %.6f s\n",
                   (unsigned long long)best->seed, best->code, best->code < 0 ? cor_strerror(best->code) : "main_task",
                   of->runs, (unsigned long long)best->result.events, (double)best->result.virtual_ns / 1e9);
    cori_sim_print("again: %s (COR_SIM_TRACE=1 traces it)\n", replay);
}

/* A schedule's name, and a depth or not: "pct:3". What is none changes nothing. */
static void read_schedule(const char *text, cor_sim_options *options)
{
    char name[16] = "";
    int depth = 0;
    if (text == NULL || sscanf(text, "%15[a-z]:%d", name, &depth) < 1) {
        return;
    }
    for (size_t i = 0; i < sizeof(schedules) / sizeof(*schedules); i++) {
        if (strcmp(schedules[i], name) == 0) {
            options->schedule = (cor_sim_schedule)i;
            options->depth = depth;
        }
    }
}

/* COR_SIM_REPLAY=seed:workers:without:scale, and :schedule:depth if it is not by turns; false: there is none. */
static bool read_replay(uint64_t *seed, cor_sim_options *options)
{
    const char *text = getenv("COR_SIM_REPLAY");
    unsigned long long number;
    int used = 0;
    if (text == NULL ||
        sscanf(text, "%llu:%d:%x:%d%n", &number, &options->workers, &options->without, &options->scale, &used) != 4) {
        return false;
    }
    *seed = number;
    read_schedule(text[used] == ':' ? text + used + 1 : schedules[COR_SIM_TURNS], options);
    return true;
}

static int search_all(search *of, uint64_t seed, uint64_t count, const cor_sim_options *options)
{
    cor_sim_options quiet = *options;
    quiet.report_fd = -1;
    for (uint64_t i = 0; i < count; i++) {
        cor_sim_result result;
        int code = run_once(of, seed + i, &quiet, &result);
        if (code != 0) {
            of->best = (cor_sim_report){.seed = seed + i, .code = code, .options = *options, .result = result};
            shrink(of);
            show(of);
            return code;
        }
    }
    return 0;
}

int cor_sim_search(uint64_t first_seed, uint64_t count, const cor_sim_options *options, int (*main_task)(void *arg),
                   void *arg, cor_sim_report *report)
{
    search of = {.main_task = main_task, .arg = arg};
    cor_sim_options with = options != NULL ? *options : (cor_sim_options){0};
    struct sigaction aborting = {.sa_handler = on_abort, .sa_flags = SA_RESETHAND | SA_ONSTACK}, earlier;
    last_words_fd = with.report_fd != 0 ? with.report_fd : STDERR_FILENO;
    (void)sigaction(SIGABRT, &aborting, &earlier);
    read_schedule(getenv("COR_SIM_SCHEDULE"), &with);
    int code;
    if (read_replay(&first_seed, &with)) {
        code = run_once(&of, first_seed, &with, &of.best.result);
        of.best = (cor_sim_report){.seed = first_seed, .code = code, .options = with, .result = of.best.result};
    } else {
        code = search_all(&of, first_seed, count, &with);
    }
    (void)sigaction(SIGABRT, &earlier, NULL);
    if (report != NULL) {
        *report = of.best;
        report->runs = of.runs;
    }
    return code;
}

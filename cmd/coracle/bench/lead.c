/* SPDX-License-Identifier: MIT */
/*
 * A run from its first connection to its result. The main task connects everybody, opens the gate, looks at the clocks
 * of CPU time where measuring begins and ends, and waits until the messages under way have been answered. A signal
 * cancels the tasks; the main task notices that they are gone.
 */
#include "bench/lead.h"

#include "bench/usage.h"
#include "exits.h"
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So many connect at a time: fewer than any listener's backlog. */
enum { DIALING_MAX = 64 };
/* What tasks have beyond the time limit of an answer to notice it themselves. */
#define LEAVE_NS (200 * COR_MILLISECOND)

/* The first signal ends the run, the second the program. */
static void watch_signals(void *arg)
{
    struct run *run = arg;
    int number = signals_wait();
    if (number > 0) {
        atomic_store(&run->interrupted, number);
        signals_end_at_once(NULL);
        cor_group_cancel(&run->tasks);
    }
}

static uint64_t messages_so_far(struct run *run)
{
    uint64_t messages = 0;
    for (uint64_t i = 0; i < run->plan->options.workers; i++) {
        messages += atomic_load_explicit(&run->tallies[i].messages, memory_order_relaxed);
    }
    return messages;
}

/* Waits until `deadline` or until all tasks have ended, and shows each second how things stand. */
static void watch_until(struct run *run, int64_t deadline)
{
    bool shows = !run->plan->options.quiet && isatty(STDERR_FILENO);
    uint64_t before = messages_so_far(run);
    for (;;) {
        int64_t next = cor_after(COR_SECOND);
        bool last = next >= deadline;
        if (cor_group_wait(&run->tasks, last ? deadline : next) == 0 || last) {
            break;
        }
        uint64_t messages = messages_so_far(run);
        if (shows) {
            double seconds = (double)(cor_now() - run->measure_ns) / 1e9;
            fprintf(stderr, "\r%8.0f s %12llu messages %10llu/s\033[K", seconds > 0 ? seconds : 0,
                    (unsigned long long)messages, (unsigned long long)(messages - before));
        }
        before = messages;
    }
    if (shows) {
        fprintf(stderr, "\r\033[K");
    }
}

/* Sets the times of the run, from now on. */
static void set_times(struct run *run)
{
    const struct plan *plan = run->plan;
    int64_t now = cor_now();
    run->schedule = (struct schedule){.start_ns = now, .open = plan->rate > 0};
    run->schedule.interval_ns = plan->rate > 0 ? 1e9 / plan->rate : 0;
    if (plan->options.mode == MODE_IDLE) {
        run->schedule.start_ns += plan->options.duration;
        run->measure_ns = now;
        run->end_ns = INT64_MAX;
    } else {
        run->measure_ns = now + plan->options.warmup;
        run->end_ns = run->measure_ns + plan->options.duration;
    }
}

/* When every task has had time to end by itself. */
static int64_t last_moment(const struct run *run)
{
    const bench_options *options = &run->plan->options;
    int64_t end = run->end_ns;
    if (options->mode == MODE_IDLE) {
        end = schedule_due(&run->schedule, options->connections);
    }
    return end + options->timeout + LEAVE_NS;
}

/* From the gate to the last answer. */
static void measure(struct run *run, usage *from, usage *to)
{
    set_times(run);
    cor_waitgroup_done(&run->gate);
    watch_until(run, run->measure_ns);
    *from = usage_now(run->plan->options.pid);
    watch_until(run, run->end_ns < last_moment(run) ? run->end_ns : last_moment(run));
    *to = usage_now(run->plan->options.pid);
    watch_until(run, last_moment(run));
}

/* Says why there is nothing to measure. */
static int nothing_to_measure(const struct run *run)
{
    int number = atomic_load(&run->interrupted);
    if (number != 0) {
        return EXIT_SIGNAL + number;
    }
    fprintf(stderr, "coracle bench: %s\n", run->error);
    return exit_code_of(run->error_code) == EXIT_OK ? EXIT_FAILED : exit_code_of(run->error_code);
}

/* A run and what becomes of it, for the main task. */
struct job {
    struct run run;
    struct result *out;
};

static int run_tasks(struct job *job, const bench_kind *kind)
{
    struct run *run = &job->run;
    usage from = {0}, to = {0};
    cor_waitgroup_add(&run->gate, 1);
    int code = kind->start(run);
    if (code < 0) {
        run_explain(run, code, cor_strerror(code));
        cor_group_cancel(&run->tasks);
    } else {
        (void)cor_waitgroup_wait(&run->setup, 0);
    }
    bool ready = code == 0 && atomic_load(&run->connected) > 0 && !atomic_load(&run->fatal);
    if (ready && atomic_load(&run->interrupted) == 0) {
        measure(run, &from, &to);
    }
    cor_group_cancel(&run->tasks);
    (void)cor_group_wait(&run->tasks, 0);
    kind->finish(run);
    if (!ready || run->measure_ns == 0 || (atomic_load(&run->interrupted) != 0 && to.at_ns <= run->measure_ns)) {
        return nothing_to_measure(run);
    }
    result_make(run, &from, &to, job->out); /* takes the tallies */
    return EXIT_OK;
}

/* Whoever started this, nohup for one, may have the hang-up of the terminal ignored: so be it. */
static int catch_signals(void)
{
    struct sigaction hangup;
    bool ignored = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    int code = signals_catch();
    return code == 0 && ignored ? cor_signal_reset(SIGHUP) : code;
}

static int bench_main(void *arg)
{
    struct job *job = arg;
    struct run *run = &job->run;
    int mode = run->plan->options.mode;
    const bench_kind *kind = mode == MODE_FANOUT ? &fanout_kind : mode == MODE_PACKET ? &packet_kind : &client_kind;
    int code = catch_signals();
    code = code < 0 ? code : cor_go(watch_signals, run);
    if (code < 0) {
        return exit_code_of(code);
    }
    return run_tasks(job, kind);
}

int lead_plan(const struct plan *plan, struct result *out)
{
    struct job job = {.run = {.plan = plan}, .out = out};
    size_t size = plan->options.workers * sizeof(tally);
    job.run.tallies = aligned_alloc(_Alignof(tally), size);
    job.run.dialing = cor_chan_new(0, DIALING_MAX);
    int code = -ENOMEM;
    if (job.run.tallies != NULL && job.run.dialing != NULL) {
        memset(job.run.tallies, 0, size);
        code = cor_run(bench_main, &job, &(cor_options){.workers = (int)plan->options.workers});
    }
    cor_chan_free(job.run.dialing);
    free(job.run.tallies);
    if (code < 0) {
        fprintf(stderr, "coracle bench: cannot start: %s\n", cor_strerror(code));
        return exit_code_of(code);
    }
    return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * One run, and many. A run begins with `coracle serve`, lets the clients come, sends the signal, and looks at what is
 * left when all have gone. Sweeps run in a child, so that a seed that crashes or hangs is named like any other.
 *     test_sim_room SEED                  one seed, and what it has in store
 *     test_sim_room --seeds FROM COUNT    many; --for SECONDS ends them early, --all does not end at the first failure,
 *                                         --hashes prints a line for each
 *     test_sim_room --shrink SEED         looks for a smaller run that fails in the same way; COR_SIM_REPLAY, as it
 *                                         prints it, repeats that, and COR_SIM_TRACE=1 traces it
 *     test_sim_room --idle MEMBERS        an hour in which nothing happens; --busy MEMBERS: a minute with much
 */
#include "serve/limits.h"
#include "world.h"

#include <coracle/sim.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_NS (10 * COR_MINUTE) /* in which clients that do not stay must have done what they came for */
#define DRAIN_LATE_NS (2 * COR_SECOND)
enum { HANG_S = 60 };

struct run run;

void violated(const char *format, ...)
{
    if (run.violation[0] == '\0') {
        va_list values;
        va_start(values, format);
        (void)vsnprintf(run.violation, sizeof(run.violation), format, values);
        va_end(values);
        run.failed_as = format;
        cor_waitgroup_done(&run.failed);
    }
}

static bool holds(void)
{
    return run.violation[0] == '\0';
}

static void serve_task(void *arg)
{
    (void)arg;
    int code = serve_main(&run.serve);
    run.serving = false;
    if (code != 0) {
        violated("serve ends with %d", code);
    }
    cor_waitgroup_done(&run.served);
}

/* Waits, but not once something does not hold. Returns whether it came in time. */
static bool await(cor_waitgroup *group, int64_t limit_ns)
{
    int64_t deadline = cor_after(limit_ns);
    while (holds() && cor_now() < deadline) {
        int64_t look = cor_after(COR_SECOND);
        if (cor_waitgroup_wait(group, look < deadline ? look : deadline) == 0) {
            return true;
        }
    }
    return false;
}

static void start_clients(void)
{
    for (int i = 0; i < run.plan.clients && holds(); i++) {
        if (cor_sim_go(run.hosts[run.clients[i].does.host], client_main, &run.clients[i]) < 0) {
            violated("client %d does not start", i);
        }
    }
}

/* Cuts one host after the other off for a while. */
static void cut_task(void *arg)
{
    uint64_t chance = run.seed;
    (void)arg;
    while (cor_waitgroup_wait(&run.over, cor_after((int64_t)below(&chance, 3000) * COR_MILLISECOND)) == COR_ETIMEOUT) {
        int host = (int)below(&chance, (uint64_t)run.plan.hosts);
        cor_sim_cut(run.server, run.hosts[host], true);
        run.cut_until[host] = INT64_MAX;
        (void)cor_waitgroup_wait(&run.over, cor_after(COR_MILLISECOND << below(&chance, 15)));
        cor_sim_cut(run.server, run.hosts[host], false);
        run.cut_until[host] = cor_now() + 2 * COR_SECOND; /* what was held up is on its way */
    }
    cor_waitgroup_done(&run.alive);
}

static void stop(void)
{
    int64_t begun = cor_now();
    run.stopping = true;
    cor_waitgroup_done(&run.stop);
    int64_t limit = run.plan.options.grace + DRAIN_LATE_NS;
    if (!await(&run.served, limit) && holds()) {
        violated("the drain has not ended after %.3f s; its grace period is %.3f s",
                 (double)(cor_now() - begun) / (double)COR_SECOND, (double)run.plan.options.grace / (double)COR_SECOND);
    }
}

/* Nothing is left of anybody. */
static void check_end_of_run(void)
{
    cor_runtime_stats stats = {0};
    for (int i = 0; i < 100 && cor_stats(&stats) == 0 && (stats.connections > 0 || stats.tasks > 1); i++) {
        (void)cor_sleep(100 * COR_MILLISECOND); /* who has said that he is done still has to return */
    }
    check_always();
    conns_counts counts;
    conns_count(&run.serve.conns, &counts);
    if (counts.open != 0 || run.closed_told != counts.closed) {
        violated("%llu sessions are open after the end, %llu closed, of which %llu were told",
                 (unsigned long long)counts.open, (unsigned long long)counts.closed,
                 (unsigned long long)run.closed_told);
    } else if (stats.connections > 0 || stats.tasks > 1) {
        violated("%llu connections and %llu tasks are left", (unsigned long long)stats.connections,
                 (unsigned long long)stats.tasks);
    } else if (run.program_bytes != 0) {
        violated("%zu bytes of the program's are left", run.program_bytes);
    }
}

static int run_main(void *arg)
{
    (void)arg;
    run.server = cor_sim_host("server", "10.0.0.1");
    for (int i = 0; i < run.plan.hosts; i++) {
        char name[16], text[16];
        (void)snprintf(name, sizeof(name), "clients %d", i);
        (void)snprintf(text, sizeof(text), "10.0.1.%d", i + 1);
        run.hosts[i] = cor_sim_host(name, text);
    }
    cor_waitgroup_add(&run.listening, 1);
    cor_waitgroup_add(&run.stop, 1);
    cor_waitgroup_add(&run.served, 1);
    cor_waitgroup_add(&run.over, 1);
    cor_waitgroup_add(&run.failed, 1);
    cor_waitgroup_add(&run.busy, run.plan.clients);
    cor_waitgroup_add(&run.alive, run.plan.clients + (run.plan.cuts ? 1 : 0));
    if (cor_sim_go(run.server, serve_task, NULL) < 0 || !await(&run.listening, COR_SECOND)) {
        violated("serve does not listen");
        return 1;
    }
    start_clients();
    if (run.plan.cuts && cor_go(cut_task, NULL) < 0) {
        violated("nobody cuts");
    }
    if (run.plan.stops_early) {
        (void)cor_waitgroup_wait(&run.failed, cor_after(run.plan.stop_ns));
    } else if (!await(&run.busy, WINDOW_NS + 2 * 24 * 60 * COR_MINUTE) && holds()) {
        violated("there are clients that never get done");
    }
    stop();
    cor_waitgroup_done(&run.over);
    if (!await(&run.alive, 2 * COR_MINUTE) && holds()) {
        violated("there are clients that do not hear the end");
    }
    if (holds()) {
        access_clear(&run.serve.access);
        limits_stop(&run.serve);
        check_end_of_run();
    }
    return holds() ? 0 : 1;
}

static void free_all(void)
{
    access_clear(&run.serve.access);
    limits_stop(&run.serve);
    for (int r = 0; r < ROOMS_MAX; r++) {
        for (size_t i = 0; i < run.rooms[r].log_count; i++) {
            free(run.rooms[r].log[i].text);
        }
        free(run.rooms[r].log);
        free(run.rooms[r].entered);
    }
    for (int i = 0; i < run.plan.clients; i++) {
        free(run.clients[i].line);
    }
    free(run.clients);
    run.clients = NULL;
}

/* All that a run begins with. */
static void prepare(uint64_t seed, int plain_members, bool busy)
{
    memset(&run, 0, sizeof(run));
    run.seed = run.chance = seed;
    if (plain_members > 0) {
        plan_make_plain(plain_members, busy);
    } else {
        plan_make(seed);
    }
    run.serve = (struct serve){
        .options = run.plan.options, .services = run.services, .service_count = SERVICES + (size_t)run.plan.rooms - 1};
    conns_init(&run.serve.conns);
    char trouble[ACCESS_TROUBLE];
    run.serve.access = (struct access){.lock = PTHREAD_MUTEX_INITIALIZER};
    if (((run.plan.options.allow != NULL || run.plan.options.deny != NULL) &&
         !access_read(&run.serve.access, run.plan.options.allow, run.plan.options.deny, trouble)) ||
        limits_start(&run.serve) < 0) {
        abort();
    }
    for (int i = 0; i < ENTRIES; i++) {
        (void)snprintf(run.bound_at[i], sizeof(run.bound_at[i]), "10.0.0.1:%d", 7000 + i);
        run.services[i] =
            (struct service){.def = service_table[i < SERVICES ? i : (int)BROADCAST], .serve = &run.serve};
        if (i >= SERVICES) {
            (void)snprintf(run.services[i].room, sizeof(run.services[i].room), "%d", i - SERVICES + 1);
        }
        run.services[i].address = address_split(run.bound_at[i]);
    }
}

/* One seed. Returns whether all holds. */
static bool run_seed(uint64_t seed, int plain_members, bool busy, cor_sim_result *result)
{
    prepare(seed, plain_members, busy);
    cor_sim_options options = {.workers = run.plan.workers, .hostile = run.plan.hostile};
    int code = cor_sim_run(seed, &options, run_main, NULL, result);
    if (code != 0 && holds()) {
        (void)snprintf(run.violation, sizeof(run.violation), "the run ends with %s", cor_strerror(code));
    }
    free_all();
    return holds();
}

/* What the child tells its parent. */
struct progress {
    uint64_t seed; /* under way */
    uint64_t done, failed, events, lines, virtual_ns, hash;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void tell_failed(uint64_t seed, const char *why)
{
    printf("seed %llu: %s\n    again: test_sim_room %llu\n", (unsigned long long)seed, why, (unsigned long long)seed);
    (void)fflush(stdout);
}

static void tell_plan(const cor_sim_result *result)
{
    const sim_plan *plan = &run.plan;
    const serve_options *options = &plan->options;
    static const char *const policies[] = {"cut", "drop-oldest", "drop-newest", "block"};
    printf("clients %d (%d stalled, %d slow), rooms %d, history %llu, hosts %d, workers %d%s%s%s%s\n", plan->clients,
           plan->stalled, plan->slow, plan->rooms, (unsigned long long)options->history, plan->hosts, plan->workers,
           plan->hostile ? ", hostile" : "", plan->cuts ? ", cuts" : "", plan->stops_early ? ", stops early" : "",
           plan->no_memory_once_in ? ", memory runs out" : "");
    printf("policy %s, outbox %zu, max-line %zu, max-conns %llu, grace %.3f s, idle %.3f s, first byte %.3f s, write "
           "%.3f s, slow after %.3f s\n",
           policies[options->slow_policy], options->outbox, options->max_line, (unsigned long long)options->max_conns,
           (double)options->grace / 1e9, (double)options->idle_timeout / 1e9, (double)options->first_byte_timeout / 1e9,
           (double)options->write_timeout / 1e9, (double)options->slow_after / 1e9);
    size_t messages = run.rooms[0].log_count + run.rooms[1].log_count + run.rooms[2].log_count;
    printf("messages %zu, lines heard %llu, events %llu, virtual %.3f s, hash %016llx\n", messages,
           (unsigned long long)run.lines, (unsigned long long)result->events, (double)result->virtual_ns / 1e9,
           (unsigned long long)result->hash);
}

/* How to sweep. */
struct sweep {
    uint64_t from, count;
    double seconds;   /* 0: as long as it takes */
    bool all, hashes; /* goes on after a failure; prints a line for each seed */
};

static void sweep(const struct sweep *how, struct progress *at, uint64_t from, double until_s)
{
    uint64_t end = how->from + how->count;
    for (at->seed = from; at->seed < end && now_s() < until_s; at->seed++) {
        cor_sim_result result;
        alarm(HANG_S);
        bool fine = run_seed(at->seed, 0, false, &result);
        at->done++;
        at->events += result.events;
        at->virtual_ns += (uint64_t)result.virtual_ns;
        at->lines += run.lines;
        at->hash = (at->hash ^ result.hash) * UINT64_C(0x100000001b3);
        if (how->hashes) {
            printf("%llu %016llx\n", (unsigned long long)at->seed, (unsigned long long)result.hash);
        }
        if (!fine) {
            at->failed++;
            tell_failed(at->seed, run.violation);
            if (!how->all) {
                at->seed++;
                return;
            }
        }
    }
    alarm(0);
}

static int sweep_in_children(const struct sweep *how)
{
    struct progress *at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double begun = now_s(), until_s = how->seconds > 0 ? begun + how->seconds : 1e300;
    uint64_t end = how->from + how->count, next = how->from;
    if (at == MAP_FAILED) {
        return 2;
    }
    while (next < end && now_s() < until_s && (at->failed == 0 || how->all)) {
        (void)fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            sweep(how, at, next, until_s);
            exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) {
            return 2;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            at->failed++;
            at->done++;
            tell_failed(at->seed++,
                        WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "the process ends with an error");
        }
        next = at->seed;
    }
    double took = now_s() - begun;
    printf(
        "%llu seeds from %llu, %llu failed: %.1f s, %.0f seeds/s, %.2f million events/s, %.0f virtual s, %llu lines, "
        "hash %016llx\n",
        (unsigned long long)at->done, (unsigned long long)how->from, (unsigned long long)at->failed, took,
        (double)at->done / took, (double)at->events / took / 1e6, (double)at->virtual_ns / 1e9,
        (unsigned long long)at->lines, (unsigned long long)at->hash);
    return at->failed > 0;
}

/* One run with all about it. */
static int run_one(uint64_t seed, int plain_members, bool busy)
{
    cor_sim_result result;
    double begun = now_s();
    bool fine = run_seed(seed, plain_members, busy, &result);
    double took = now_s() - begun;
    tell_plan(&result);
    printf("%.3f s, %.2f million events/s, %.0f virtual seconds a second\n", took, (double)result.events / took / 1e6,
           (double)result.virtual_ns / 1e9 / took);
    if (!fine) {
        tell_failed(seed, run.violation);
    }
    return !fine;
}

/* The plan of a seed with fewer clients that say less. Each way to fail has a number of its own. */
static int run_smaller(void *arg)
{
    if (run.clients != NULL) {
        free_all();
    }
    prepare(*(uint64_t *)arg, 0, false);
    int all = run.plan.clients;
    run.plan.clients = cor_sim_scale(all);
    for (int i = 0; i < run.plan.clients; i++) {
        run.clients[i].does.messages = cor_sim_scale(run.clients[i].does.messages);
    }
    (void)run_main(NULL);
    int code = 0;
    for (const char *c = holds() ? "" : run.failed_as; *c != '\0'; c++) {
        code = (code * 31 + *c) % 9973 + 1;
    }
    return code;
}

static int shrink(uint64_t seed)
{
    prepare(seed, 0, false);
    cor_sim_options options = {.workers = run.plan.workers, .hostile = run.plan.hostile};
    cor_sim_report report;
    int code = cor_sim_search(seed, 1, &options, run_smaller, &seed, &report);
    tell_plan(&report.result);
    printf("%s\n", code == 0 ? "all holds" : run.violation);
    free_all();
    return code != 0;
}

int main(int argc, char **argv)
{
    struct sweep how = {.from = 1, .count = 300};
    bool seed_given = false, busy = false;
    int plain_members = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            how.from = strtoull(argv[i + 1], NULL, 10);
            how.count = strtoull(argv[i + 2], NULL, 10);
            i += 2;
        } else if (strcmp(argv[i], "--for") == 0 && i + 1 < argc) {
            how.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--all") == 0) {
            how.all = true;
        } else if (strcmp(argv[i], "--hashes") == 0) {
            how.hashes = true;
        } else if ((strcmp(argv[i], "--idle") == 0 || strcmp(argv[i], "--busy") == 0) && i + 1 < argc) {
            busy = argv[i][2] == 'b';
            plain_members = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--shrink") == 0 && i + 1 < argc) {
            return shrink(strtoull(argv[i + 1], NULL, 10));
        } else {
            seed_given = true;
            how.from = strtoull(argv[i], NULL, 10);
        }
    }
    if (seed_given || plain_members > 0) {
        return run_one(how.from, plain_members, busy);
    }
    return sweep_in_children(&how);
}

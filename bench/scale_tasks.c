/* SPDX-License-Identifier: MIT */
/*
 * Very many tasks in one process: each is parked in a read on its end of an in-memory pipe, main holds the other ends.
 * Everything runs on one worker, so tasks run in order of arrival and a yield of main is one turn of all that are
 * runnable.
 *
 * usage: bench_scale_tasks [--tasks N] [--rounds N]
 * Prints one line of key=value pairs. Memory is this process's: stacks, objects and pipes (user), page tables (ptes).
 */
#include "bench.h"

#include <time.h>

enum { MESSAGE = 64, ROUNDS = 5, BYTES_EACH = 6000 };

static struct {
    uint64_t tasks, rounds;
    int64_t start;
} run = {.tasks = 10000, .rounds = ROUNDS};

static cor_conn **ends; /* main's ends */
static cor_chan *gate;  /* all tasks wait here between gather and open_gate */
static uint64_t ended;

/* One figure of a file of /proc, in bytes; 0 if it has none. */
static uint64_t proc_bytes(const char *path, const char *name)
{
    char line[256];
    unsigned long long kib = 0;
    size_t length = strlen(name);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %llu kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib * 1024;
}

static uint64_t user_bytes(void)
{
    return proc_bytes("/proc/self/status", "RssAnon");
}

static uint64_t table_bytes(void)
{
    return proc_bytes("/proc/self/status", "VmPTE");
}

/* CPU time: all is done by one thread, and what others do on the machine counts less. */
static int64_t cpu_now(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * COR_SECOND + now.tv_nsec;
}

static void lap(void)
{
    run.start = cpu_now();
}

static void show_ns(const char *name, uint64_t count)
{
    printf(" %s=%.1f", name, (double)(cpu_now() - run.start) / (double)count);
    lap();
}

static void show_seconds(const char *name)
{
    printf(" %s=%.3f", name, (double)(cpu_now() - run.start) / (double)COR_SECOND);
    lap();
}

static void show_each(const char *name, uint64_t now, uint64_t before)
{
    printf(" %s=%.0f", name, (double)(now - before) / (double)run.tasks);
}

/* Waits with all others at the gate, then takes `rounds` turns with them. */
static void take_turns(void)
{
    bench_must(cor_chan_recv(gate, NULL, 0), "cor_chan_recv");
    for (uint64_t i = 0; i < run.rounds; i++) {
        cor_yield();
    }
}

/* Echoes messages; one that begins with 'g' sends it to the gate. */
static void serve(void *arg)
{
    char data[MESSAGE];
    cor_conn *conn = arg;
    ssize_t count;
    while ((count = cor_read(conn, data, sizeof(data))) > 0) {
        if (data[0] == 'g') {
            take_turns();
            continue;
        }
        bench_must(cor_write(conn, data, (size_t)count), "cor_write");
    }
    bench_must(count, "cor_read");
    (void)cor_close(conn);
    ended++;
}

static void spawn_all(void)
{
    cor_conn **others = malloc(run.tasks * sizeof(*others)); /* tasks of the first turn find theirs in their argument */
    bench_must(others != NULL ? 0 : -ENOMEM, "memory");
    lap();
    for (uint64_t i = 0; i < run.tasks; i++) {
        bench_must(cor_pipe(&ends[i], &others[i]), "cor_pipe");
    }
    show_ns("pipe_ns", run.tasks);
    for (uint64_t i = 0; i < run.tasks; i++) {
        bench_go(serve, others[i]);
    }
    show_ns("spawn_ns", run.tasks);
    cor_yield();
    show_ns("first_run_ns", run.tasks);
    free(others);
}

/* A message through every task, there and back, checked. */
static void echo_all(void)
{
    for (uint64_t i = 0; i < run.tasks; i++) {
        char data[MESSAGE] = "echo", back[MESSAGE];
        memcpy(data + 8, &i, sizeof(i));
        bench_must(cor_write(ends[i], data, sizeof(data)), "cor_write");
        ssize_t count = cor_read(ends[i], back, sizeof(back));
        bench_must(count == MESSAGE && memcmp(data, back, MESSAGE) == 0 ? 0 : -EPROTO, "the same bytes back");
    }
}

/* Parks all at the gate, opens it (that makes all runnable at once), then lets them run in turn. */
static void turns(void)
{
    for (uint64_t i = 0; i < run.tasks; i++) {
        bench_must(cor_write(ends[i], "g", 1), "cor_write");
    }
    cor_yield(); /* the last one has its byte, but has not come to the gate yet */
    lap();
    cor_chan_close(gate);
    show_ns("wake_all_ns", run.tasks);
    cor_yield();
    show_ns("woken_run_ns", run.tasks);
    for (uint64_t i = 1; i < run.rounds; i++) {
        cor_yield();
    }
    show_ns("switch_ns", run.tasks * (run.rounds - 1));
    cor_yield(); /* back to their pipes */
}

static void end_all(void)
{
    for (uint64_t i = 0; i < run.tasks; i++) {
        (void)cor_close(ends[i]);
    }
    while (ended < run.tasks) {
        cor_yield();
    }
}

/* Waits until what the tasks needed has been given back, or nothing changes any more. */
static uint64_t settled_bytes(void)
{
    uint64_t before, now = user_bytes();
    do {
        before = now;
        bench_must(cor_sleep(COR_SECOND), "cor_sleep");
        now = user_bytes();
    } while (now < before);
    return now;
}

static int measure(void *arg)
{
    (void)arg;
    ends = calloc(run.tasks, sizeof(cor_conn *));
    gate = cor_chan_new(0, 0);
    bench_must(ends != NULL && gate != NULL ? 0 : -ENOMEM, "memory");
    memset(ends, 0xff, run.tasks * sizeof(cor_conn *)); /* its pages are the benchmark's, not the tasks' */
    uint64_t user = user_bytes(), tables = table_bytes();
    printf("tasks=%llu", (unsigned long long)run.tasks);
    spawn_all();
    show_each("user_bytes", user_bytes(), user);
    show_each("pte_bytes", table_bytes(), tables);
    printf(" virtual_gib=%.1f", (double)proc_bytes("/proc/self/status", "VmSize") / (1 << 30));
    lap();
    echo_all();
    show_ns("first_echo_ns", run.tasks);
    echo_all();
    show_ns("echo_ns", run.tasks);
    turns();
    show_each("user_bytes_after", user_bytes(), user);
    lap();
    end_all();
    show_seconds("end_s");
    printf(" kept_mib=%.1f", (double)(settled_bytes() - user) / (1 << 20));
    cor_chan_free(gate);
    free(ends);
    lap();
    return 0;
}

static void parse(char **argv)
{
    for (int i = 1; argv[i] != NULL; i += 2) {
        const char *value;
        if ((value = bench_option(argv, i, "--tasks")) != NULL) {
            run.tasks = strtoull(value, NULL, 10);
        } else if ((value = bench_option(argv, i, "--rounds")) != NULL) {
            run.rounds = strtoull(value, NULL, 10);
        } else {
            run.tasks = 0;
            break;
        }
    }
    if (run.tasks == 0 || run.rounds < 2) {
        fprintf(stderr, "usage: %s [--tasks N] [--rounds N]\n", argv[0]);
        exit(2);
    }
    if (proc_bytes("/proc/meminfo", "MemAvailable") < run.tasks * BYTES_EACH) {
        fprintf(stderr, "%s: %llu tasks need about %llu MiB of free memory\n", argv[0], (unsigned long long)run.tasks,
                (unsigned long long)run.tasks * BYTES_EACH >> 20);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    cor_options options = {.workers = 1};
    (void)argc;
    parse(argv);
    bench_must(cor_run(measure, NULL, &options), "cor_run");
    show_seconds("unmap_s");
    printf("\n");
    return 0;
}

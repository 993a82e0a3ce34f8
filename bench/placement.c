/* SPDX-License-Identifier: MIT */
/*
 * Where the tasks of some usual programs come to run, and what that costs; go/placement.go is the same in Go. A line
 * per program, on two workers: time per item, CPU time per item, and how many tasks each worker had.
 */
#include "bench.h"

#include <sys/resource.h>

enum { STAGES = 4, FANS = 4, PARTS = 64, CLIENTS = 8, WORKERS = 2, BUFFERED = 16 };

typedef struct program {
    cor_chan *links[STAGES + 1];
    cor_waitgroup running;
    uint64_t items; /* for each task that counts them */
    int64_t work_ns;
    cor_listener *listener;
    char address[64];
} program;

static uint32_t tasks_on[WORKERS]; /* atomic */

/* The first thing each task does. */
static void count_here(void)
{
    __atomic_add_fetch(&tasks_on[cor_worker_id()], 1, __ATOMIC_RELAXED);
}

static void work(int64_t ns)
{
    int64_t until = ns > 0 ? cor_now() + ns : 0;
    while (ns > 0 && cor_now() < until) {}
}

typedef struct stage {
    program *of;
    cor_chan *from, *to; /* NULL: none */
    uint64_t items;
} stage;

/* Takes items from one link, does the work, passes them on. */
static void pass_on(void *arg)
{
    stage *here = arg;
    count_here();
    for (uint64_t i = 0; i < here->items; i++) {
        uint64_t value = i;
        if (here->from != NULL) {
            bench_must(cor_chan_recv(here->from, &value, 0), "cor_chan_recv");
        }
        work(here->of->work_ns);
        if (here->to != NULL) {
            bench_must(cor_chan_send(here->to, &value, 0), "cor_chan_send");
        }
    }
    cor_waitgroup_done(&here->of->running);
}

static void start_all(program *of, stage *all, int count)
{
    cor_waitgroup_add(&of->running, count);
    for (int i = 0; i < count; i++) {
        bench_go(pass_on, &all[i]);
    }
    bench_must(cor_waitgroup_wait(&of->running, 0), "cor_waitgroup_wait");
}

static void make_links(program *of, int count, size_t capacity)
{
    for (int i = 0; i < count; i++) {
        of->links[i] = cor_chan_new(sizeof(uint64_t), capacity);
    }
}

static void free_links(program *of)
{
    for (int i = 0; i <= STAGES; i++) {
        cor_chan_free(of->links[i]);
    }
}

static void ping_pong(uint64_t ops)
{
    program of = {.links = {NULL}};
    make_links(&of, 1, 0);
    stage all[] = {{&of, NULL, of.links[0], ops}, {&of, of.links[0], NULL, ops}};
    start_all(&of, all, 2);
    free_links(&of);
}

static void run_pipeline(uint64_t ops, int64_t work_ns)
{
    program of = {.work_ns = work_ns};
    stage all[STAGES];
    make_links(&of, STAGES - 1, BUFFERED);
    for (int i = 0; i < STAGES; i++) {
        all[i] = (stage){&of, i > 0 ? of.links[i - 1] : NULL, i < STAGES - 1 ? of.links[i] : NULL, ops};
    }
    start_all(&of, all, STAGES);
    free_links(&of);
}

static void pipeline(uint64_t ops)
{
    run_pipeline(ops, 0);
}

static void pipeline_5_us(uint64_t ops)
{
    run_pipeline(ops, 5 * COR_MICROSECOND);
}

static void pipeline_1_us(uint64_t ops)
{
    run_pipeline(ops, COR_MICROSECOND);
}

static void pipeline_50_us(uint64_t ops)
{
    run_pipeline(ops, 50 * COR_MICROSECOND);
}

static void fan_out_in(uint64_t ops)
{
    program of = {.work_ns = 0};
    uint64_t each = ops / FANS + 1;
    make_links(&of, 2, BUFFERED);
    stage all[FANS + 2] = {{&of, NULL, of.links[0], each * FANS}, {&of, of.links[1], NULL, each * FANS}};
    for (int i = 0; i < FANS; i++) {
        all[2 + i] = (stage){&of, of.links[0], of.links[1], each};
    }
    start_all(&of, all, FANS + 2);
    free_links(&of);
}

/* Each part computes without a pause; the results are collected. */
static void map_reduce(uint64_t ops)
{
    program of = {.work_ns = (int64_t)(ops / PARTS + 1) * 10 * COR_MICROSECOND};
    stage all[PARTS + 1];
    make_links(&of, 1, BUFFERED);
    for (int i = 0; i < PARTS; i++) {
        all[i] = (stage){&of, NULL, of.links[0], 1};
    }
    program reduce = {.work_ns = 0};
    all[PARTS] = (stage){&reduce, of.links[0], NULL, PARTS};
    cor_waitgroup_add(&reduce.running, 1);
    bench_go(pass_on, &all[PARTS]);
    start_all(&of, all, PARTS);
    bench_must(cor_waitgroup_wait(&reduce.running, 0), "cor_waitgroup_wait");
    free_links(&of);
}

static void echo(void *arg)
{
    cor_conn *conn = arg;
    char data[64];
    int64_t n;
    count_here();
    while ((n = cor_read(conn, data, sizeof(data))) > 0) {
        bench_must(cor_write(conn, data, (size_t)n), "cor_write");
    }
    cor_close(conn);
}

static void ask(void *arg)
{
    program *of = arg;
    cor_conn *conn;
    char data[64] = "";
    bench_must(cor_dial(&conn, "tcp", of->address, NULL), "cor_dial");
    for (uint64_t i = 0; i < of->items; i++) {
        bench_must(cor_write(conn, data, sizeof(data)), "cor_write");
        bench_must(cor_read_full(conn, data, sizeof(data)), "cor_read_full");
    }
    cor_close(conn);
    cor_waitgroup_done(&of->running);
}

/* A loop that accepts and starts a task each; the clients are tasks of this program, too. */
static void accept_loop(uint64_t ops)
{
    program of = {.items = ops / CLIENTS + 1};
    bench_must(cor_listen(&of.listener, "tcp", "127.0.0.1:0", NULL), "cor_listen");
    cor_listener_addr(of.listener, of.address, sizeof(of.address));
    cor_waitgroup_add(&of.running, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        bench_go(ask, &of);
    }
    for (int i = 0; i < CLIENTS; i++) {
        cor_conn *conn;
        bench_must(cor_accept(of.listener, &conn), "cor_accept");
        bench_go(echo, conn);
    }
    bench_must(cor_waitgroup_wait(&of.running, 0), "cor_waitgroup_wait");
    cor_listener_close(of.listener);
}

static const bench_case cases[] = {
    {"ping_pong", ping_pong, WORKERS},           {"pipeline", pipeline, WORKERS},
    {"pipeline_1_us", pipeline_1_us, WORKERS},   {"pipeline_5_us", pipeline_5_us, WORKERS},
    {"pipeline_50_us", pipeline_50_us, WORKERS}, {"fan_out_in", fan_out_in, WORKERS},
    {"map_reduce", map_reduce, WORKERS},         {"accept_loop", accept_loop, WORKERS},
};

static double cpu_ns(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return 1e9 * (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e3 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* The median round by time, with what it cost. */
static int measure(void *arg)
{
    const bench_case *one = arg;
    double ns[BENCH_ROUNDS_MAX], cpu = 0;
    uint64_t ops = bench_options.ops != 0 ? bench_options.ops : bench_calibrate(one);
    memset(tasks_on, 0, sizeof(tasks_on));
    double before = cpu_ns();
    for (int i = 0; i < bench_options.rounds; i++) {
        ns[i] = (double)bench_time(one, ops) / (double)ops;
    }
    cpu = (cpu_ns() - before) / (double)ops / bench_options.rounds;
    qsort(ns, (size_t)bench_options.rounds, sizeof(ns[0]), bench_compare);
    printf("%-16s %9.1f ns/op  (min %.1f, max %.1f of %d rounds)  CPU %.1f ns/op  tasks %.1f + %.1f\n", one->name,
           ns[bench_options.rounds / 2], ns[0], ns[bench_options.rounds - 1], bench_options.rounds, cpu,
           (double)tasks_on[0] / bench_options.rounds, (double)tasks_on[1] / bench_options.rounds);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    bench_parse(argv);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cor_options options = {.workers = WORKERS};
        if (bench_options.only == NULL || strcmp(cases[i].name, bench_options.only) == 0) {
            bench_must(cor_run(measure, (void *)(uintptr_t)&cases[i], &options), cases[i].name);
        }
    }
    return 0;
}

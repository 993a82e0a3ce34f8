/* SPDX-License-Identifier: MIT */
/*
 * Lookups by DNS: 10,000 names, 200 tasks at a time, on one worker. go/lookup.go and raw/lookup_libc.c do the same;
 * lookups.py runs all three beside a name server of its own.
 *
 * usage: bench_lookup                     prints the rate and the CPU time per lookup
 *        bench_lookup ADDRESS TASKS       an echo server on whose worker so many tasks look names up without a pause
 */
#include "bench.h"

#include <sys/resource.h>

enum { TASKS = 200, LOOKUPS = 50, ADDRESSES = 2 };

static int wrong;

static void look_up(uint64_t task, uint64_t number)
{
    char name[48], out[ADDRESSES + 1][COR_ADDR_TEXT];
    (void)snprintf(name, sizeof(name), "n%llu-%llu.test.", (unsigned long long)task, (unsigned long long)number);
    wrong += cor_lookup_host(out, ADDRESSES + 1, name, 0, NULL) != ADDRESSES;
}

static void look_up_some(void *task)
{
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        look_up((uintptr_t)task, i);
    }
}

static void look_up_always(void *task)
{
    for (uint64_t i = 0;; i++) {
        look_up((uintptr_t)task, i);
    }
}

static double cpu_seconds(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int measure(void *unused)
{
    cor_group group = {0};
    double cpu = cpu_seconds();
    int64_t begun = cor_now();
    (void)unused;
    for (uintptr_t i = 0; i < TASKS; i++) {
        bench_must(cor_group_go(&group, look_up_some, (void *)i), "cor_group_go");
    }
    bench_must(cor_group_wait(&group, 0), "cor_group_wait");
    double seconds = (double)(cor_now() - begun) / COR_SECOND, count = TASKS * LOOKUPS;
    printf("coracle rate=%.0f cpu_us=%.1f wrong=%d\n", count / seconds, (cpu_seconds() - cpu) * 1e6 / count, wrong);
    return 0;
}

static void echo(cor_conn *conn, void *unused)
{
    char data[4096];
    ssize_t count;
    (void)unused;
    while ((count = cor_read(conn, data, sizeof(data))) > 0 && cor_write(conn, data, (size_t)count) == count) {}
    (void)cor_close(conn);
}

static int serve(void *arg)
{
    char **argv = arg;
    cor_listener *listener = NULL;
    bench_must(cor_listen(&listener, "tcp", argv[1], NULL), "cor_listen");
    for (uintptr_t i = 0; i < strtoul(argv[2], NULL, 10); i++) {
        bench_go(look_up_always, (void *)i);
    }
    return cor_serve_until_signal(listener, echo, NULL, 0) < 0;
}

int main(int argc, char **argv)
{
    const cor_options one_worker = {.workers = 1};
    return argc == 3 ? cor_run(serve, argv, &one_worker) : cor_run(measure, NULL, &one_worker);
}

/* SPDX-License-Identifier: MIT */
/*
 * A storm: a million tasks started without a pause, each of which takes one off a wait group; the time until all have
 * ended, and the most memory the process ever had. bench/go/spawn.go is Go's side.
 *
 * usage: bench_storm [--workers N]
 */
#include "bench.h"

enum { TASKS = 1000000 };

static cor_waitgroup running;

static void take_off(void *arg)
{
    (void)arg;
    cor_waitgroup_done(&running);
}

/* VmHWM, KiB. */
static unsigned long peak_kib(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && kib == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmHWM: %lu", &kib);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib;
}

static int storm(void *arg)
{
    int64_t start = cor_now();
    for (int i = 0; i < TASKS; i++) {
        cor_waitgroup_add(&running, 1);
        bench_go(take_off, NULL);
    }
    bench_must(cor_waitgroup_wait(&running, 0), "cor_waitgroup_wait");
    printf("workers=%d tasks=%d ms=%.0f peak_kib=%lu\n", *(int *)arg, TASKS, (double)(cor_now() - start) / 1e6,
           peak_kib());
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    bench_parse(argv);
    int workers = bench_options.workers != 0 ? bench_options.workers : 1;
    cor_options options = {.workers = workers};
    return cor_run(storm, &workers, &options);
}

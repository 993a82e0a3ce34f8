/* SPDX-License-Identifier: MIT */
/*
 * What a line about a connection costs in the log of `coracle serve`: CPU time of all threads, ns per `closed` event of
 * a worker, into a file. The worker says nothing else; at_once, it waits for the writer only where its queue would
 * overflow. A busy server says as much as 25,000 a second: then the writer wakes up for some 200 lines at a time, and
 * with cold caches. The worker's own waking is not counted.
 */
#include "bench.h"

#include "log.h"

#include <sys/resource.h>
#include <unistd.h>

enum { AT_ONCE = 2000, PER_NAP = 200 };
#define NAP_NS (8 * COR_MILLISECOND)

/* CPU time of this thread (RUSAGE_THREAD) or of all (RUSAGE_SELF). */
static int64_t cpu_ns(int whose)
{
    struct rusage used;
    (void)getrusage(whose, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * COR_SECOND +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * COR_MICROSECOND;
}

static void closed(void)
{
    LOG(LEVEL_INFO, "closed", {"service", "echo", 0}, {"peer", "127.0.0.1:54321", 0}, {"reason", "eof", 0},
        {"in", NULL, 64}, {"out", NULL, 64}, {"ms", NULL, 3});
}

/* Tells as many lines as there are operations, some at a time. */
static void tell(uint64_t ops, uint64_t some, int64_t pause_ns)
{
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    bench_must(file == NULL || before < 0 || dup2(fileno(file), STDERR_FILENO) < 0 ? -errno : 0, "a file");
    bench_must(log_open(&(log_options){.level = LEVEL_INFO}), "log_open");
    int64_t all = cpu_ns(RUSAGE_SELF), here = cpu_ns(RUSAGE_THREAD), telling = 0;
    for (uint64_t done = 0; done < ops; done += some) {
        int64_t start = cpu_ns(RUSAGE_THREAD);
        for (uint64_t i = done; i < ops && i < done + some; i++) {
            closed();
        }
        telling += cpu_ns(RUSAGE_THREAD) - start;
        if (pause_ns > 0) {
            bench_must(cor_sleep(pause_ns), "cor_sleep");
        } else {
            log_flush();
        }
    }
    log_flush();
    here = cpu_ns(RUSAGE_THREAD) - here;
    bench_span.start = 0;
    bench_span.end = cpu_ns(RUSAGE_SELF) - all - here + telling;
    log_close();
    bench_must(dup2(before, STDERR_FILENO) < 0 || close(before) < 0 || fclose(file) != 0 ? -errno : 0, "the end");
}

static void at_once(uint64_t ops)
{
    tell(ops, AT_ONCE, 0);
}

static void per_second_25000(uint64_t ops)
{
    tell(ops, PER_NAP, NAP_NS);
}

static const bench_case cases[] = {
    {"at_once", at_once, 1},
    {"per_second_25000", per_second_25000, 1},
};

BENCH_MAIN(cases)

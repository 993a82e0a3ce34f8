/* SPDX-License-Identifier: MIT */
/* Reading what processes use, from their CPU clocks and from /proc. */
#include "bench/usage.h"

#include <coracle.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static int64_t cpu_ns(uint64_t pid)
{
    struct timespec used;
    clockid_t clock;
    if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return -1;
    }
    return (int64_t)used.tv_sec * COR_SECOND + used.tv_nsec;
}

bool usage_knows(uint64_t pid)
{
    return cpu_ns(pid) >= 0;
}

usage usage_now(uint64_t pid)
{
    return (usage){.at_ns = cor_now(), .own_ns = cpu_ns(0), .server_ns = pid != 0 ? cpu_ns(pid) : -1};
}

int usage_cores(uint64_t pid)
{
    cpu_set_t set;
    return sched_getaffinity((pid_t)pid, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

uint64_t usage_peak_bytes(uint64_t pid)
{
    char line[256];
    uint64_t peak_kib = 0;
    snprintf(line, sizeof(line), "/proc/%" PRIu64 "/status", pid);
    FILE *status = fopen(line, "re");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (sscanf(line, "VmHWM: %" SCNu64 " kB", &peak_kib) == 1) {
            break;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return peak_kib * 1024;
}

bool usage_allow_descriptors(uint64_t count, uint64_t *limit)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= count) {
        return true;
    }
    *limit = files.rlim_max;
    files.rlim_cur = count < files.rlim_max ? count : files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= count;
}

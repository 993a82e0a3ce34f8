/* SPDX-License-Identifier: MIT */
/* Facts of /proc/self. */
#include "serve/admin/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    if (dir != NULL) {
        closedir(dir);
        count--; /* its own */
    }
    return count;
}

static uint64_t read_resident(void)
{
    uint64_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %" SCNu64, &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int64_t to_ns(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

void process_look(struct process_facts *facts)
{
    struct rusage usage;
    struct rlimit limit;
    *facts = (struct process_facts){.open_fds = count_fds(), .resident_bytes = read_resident()};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        facts->cpu_ns = to_ns(usage.ru_utime) + to_ns(usage.ru_stime);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        facts->max_fds = limit.rlim_cur;
    }
}

/* SPDX-License-Identifier: MIT */
/* What processes use: CPU time, memory, descriptors. */
#ifndef CORACLE_CMD_BENCH_USAGE_H
#define CORACLE_CMD_BENCH_USAGE_H

#include <stdbool.h>
#include <stdint.h>

/* CPU time used so far, of this process and of the server. */
typedef struct usage {
    int64_t at_ns; /* on the clock of cor_now() */
    int64_t own_ns;
    int64_t server_ns; /* -1: not known */
} usage;

/* Whether there is a process `pid` whose CPU time can be read. */
bool usage_knows(uint64_t pid);

/* Reads both; pid 0: only the own. */
usage usage_now(uint64_t pid);

/* How many CPUs a process may use; 1 if that is not known. */
int usage_cores(uint64_t pid);

/* The most memory that a process had resident, in bytes; 0 if that is not known. */
uint64_t usage_peak_bytes(uint64_t pid);

/* Sees to it that `count` descriptors may be open; if that cannot be, gives in *limit how many may. */
bool usage_allow_descriptors(uint64_t count, uint64_t *limit);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How far apart two CPUs are: the time a cache line needs from one to the other and back, ns, the least of several
 * batches. On a virtual machine it tells when the host has moved the CPUs apart; everything is slower then, and
 * measurements from before and after cannot be compared.
 * usage: raw_c2c [CPU CPU]
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 20, ROUND_TRIPS = 2000, SECONDS_MAX = 20 };

static struct {
    _Alignas(128) uint32_t turn; /* atomic: even, the asker's; odd, the answerer's */
    _Alignas(128) int cpus[2];
} shared = {.cpus = {0, 1}};

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static cpu_set_t only(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

static void wait_for(uint32_t turn)
{
    while (__atomic_load_n(&shared.turn, __ATOMIC_ACQUIRE) != turn) {}
}

static void *answer(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < BATCHES * ROUND_TRIPS; i++) {
        wait_for(2 * i + 1);
        __atomic_store_n(&shared.turn, 2 * i + 2, __ATOMIC_RELEASE);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t other;
    if (argc == 3) {
        shared.cpus[0] = atoi(argv[1]);
        shared.cpus[1] = atoi(argv[2]);
    }
    (void)alarm(SECONDS_MAX);
    cpu_set_t here = only(shared.cpus[0]), there = only(shared.cpus[1]);
    pthread_attr_t attributes;
    (void)pthread_attr_init(&attributes);
    /* The thread begins on its own CPU: on this one it might never get to run, as it would wait for a loop. */
    if (pthread_setaffinity_np(pthread_self(), sizeof(here), &here) != 0 ||
        pthread_attr_setaffinity_np(&attributes, sizeof(there), &there) != 0 ||
        pthread_create(&other, &attributes, answer, NULL) != 0) {
        fprintf(stderr, "raw_c2c: no thread on CPU %d and %d\n", shared.cpus[0], shared.cpus[1]);
        return 1;
    }
    double least = 1e9;
    uint32_t i = 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t start = now_ns();
        for (int trip = 0; trip < ROUND_TRIPS; trip++, i++) {
            __atomic_store_n(&shared.turn, 2 * i + 1, __ATOMIC_RELEASE);
            wait_for(2 * i + 2);
        }
        double ns = (double)(now_ns() - start) / ROUND_TRIPS;
        least = ns < least ? ns : least;
    }
    (void)pthread_join(other, NULL);
    printf("%.0f\n", least);
    return 0;
}

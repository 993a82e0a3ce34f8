/* SPDX-License-Identifier: MIT */
/*
 * How far apart two CPUs are: the time a cache line needs from one to the other and back, ns, the least of several
 * batches. On a virtual machine it tells when the host has moved the CPUs apart; everything is slower then, and
 * measurements from before and after cannot be compared.
 *
 * With a third argument, the floor of this machine for a hand-off from thread to thread: by a cache line that both look
 * at all the time, or by a futex or an eventfd that the other one sleeps on. The line is that of a micro-benchmark; an
 * operation is one way, half of there and back, and the figure is the median of the batches.
 * usage: raw_c2c [CPU CPU [line|futex|eventfd]]
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 20, ROUND_TRIPS = 2000, SECONDS_MAX = 20 };

enum kind { LINE, FUTEX, EVENTFD };

static struct {
    _Alignas(128) uint32_t turn; /* atomic: even, the asker's; odd, the answerer's */
    _Alignas(128) int cpus[2];
    int events[2]; /* eventfds: the one whose turn is even sleeps on the first */
    enum kind kind;
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
    uint64_t count;
    if (shared.kind == EVENTFD && read(shared.events[turn % 2], &count, sizeof(count)) < 0) {
        exit(1);
    }
    while (__atomic_load_n(&shared.turn, __ATOMIC_ACQUIRE) != turn) {
        if (shared.kind == FUTEX) {
            (void)syscall(SYS_futex, &shared.turn, FUTEX_WAIT_PRIVATE, turn - 1, NULL, NULL, 0);
        }
    }
}

static void hand_over(uint32_t turn)
{
    const uint64_t one = 1;
    __atomic_store_n(&shared.turn, turn, __ATOMIC_RELEASE);
    if (shared.kind == FUTEX) {
        (void)syscall(SYS_futex, &shared.turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    } else if (shared.kind == EVENTFD && write(shared.events[turn % 2], &one, sizeof(one)) < 0) {
        exit(1);
    }
}

static void *answer(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < BATCHES * ROUND_TRIPS; i++) {
        wait_for(2 * i + 1);
        hand_over(2 * i + 2);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void choose(const char *name)
{
    static const char *const names[] = {[LINE] = "line", [FUTEX] = "futex", [EVENTFD] = "eventfd"};
    while (shared.kind <= EVENTFD && strcmp(name, names[shared.kind]) != 0) {
        shared.kind++;
    }
    if (shared.kind > EVENTFD || (shared.events[0] = eventfd(0, EFD_CLOEXEC)) < 0 ||
        (shared.events[1] = eventfd(0, EFD_CLOEXEC)) < 0) {
        fprintf(stderr, "raw_c2c: no %s\n", name);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    pthread_t other;
    if (argc >= 3) {
        shared.cpus[0] = atoi(argv[1]);
        shared.cpus[1] = atoi(argv[2]);
    }
    if (argc == 4) {
        choose(argv[3]);
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
    double ns[BATCHES];
    uint32_t i = 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t start = now_ns();
        for (int trip = 0; trip < ROUND_TRIPS; trip++, i++) {
            hand_over(2 * i + 1);
            wait_for(2 * i + 2);
        }
        ns[batch] = (double)(now_ns() - start) / ROUND_TRIPS;
    }
    (void)pthread_join(other, NULL);
    qsort(ns, BATCHES, sizeof(ns[0]), compare);
    if (argc == 4) {
        printf("%-26s %9.1f ns/op\n", argv[3], ns[BATCHES / 2] / 2);
    } else {
        printf("%.0f\n", ns[0]);
    }
    return 0;
}

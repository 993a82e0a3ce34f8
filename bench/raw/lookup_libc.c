/* SPDX-License-Identifier: MIT */
/* 10,000 lookups by getaddrinfo, on 200 threads: what bench_lookup does with tasks. Prints a line of key=value. */
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { THREADS = 200, LOOKUPS = 50, ADDRESSES = 2 };

static int wrong;

static int count_addresses(const char *name)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int count = 0;
    if (getaddrinfo(name, NULL, &hints, &found) == 0) {
        for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
            count++;
        }
        freeaddrinfo(found);
    }
    return count;
}

static void *look_up_some(void *thread)
{
    for (int i = 0; i < LOOKUPS; i++) {
        char name[48];
        (void)snprintf(name, sizeof(name), "n%ju-%d.test.", (uintmax_t)(uintptr_t)thread, i);
        __atomic_fetch_add(&wrong, count_addresses(name) != ADDRESSES, __ATOMIC_RELAXED);
    }
    return NULL;
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(void)
{
    pthread_t threads[THREADS];
    double begun = seconds_now(), count = THREADS * LOOKUPS;
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, look_up_some, (void *)i) != 0) {
            (void)fprintf(stderr, "no more threads\n");
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    double took = seconds_now() - begun;
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("libc rate=%.0f cpu_us=%.1f wrong=%d\n", count / took, cpu * 1e6 / count, wrong);
    return 0;
}

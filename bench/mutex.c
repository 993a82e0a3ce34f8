/* SPDX-License-Identifier: MIT */
/* Locks and their kin: without contention, and with two tasks of one worker handing a mutex to each other. */
#include "bench.h"

static void mutex_free(uint64_t ops)
{
    cor_mutex mutex = {0};
    for (uint64_t i = 0; i < ops; i++) {
        cor_mutex_lock(&mutex);
        cor_mutex_unlock(&mutex);
    }
}

typedef struct shared {
    cor_mutex mutex;
    uint64_t turns;
    cor_waitgroup running;
} shared;

static void lock_and_yield(void *arg)
{
    shared *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        cor_mutex_lock(&of->mutex);
        cor_yield(); /* the other meets a locked mutex */
        cor_mutex_unlock(&of->mutex);
    }
    cor_waitgroup_done(&of->running);
}

static void mutex_contended(uint64_t ops)
{
    shared of = {.turns = ops / 2 + 1};
    cor_waitgroup_add(&of.running, 2);
    bench_go(lock_and_yield, &of);
    bench_go(lock_and_yield, &of);
    (void)cor_waitgroup_wait(&of.running, 0);
}

static void rwmutex_read(uint64_t ops)
{
    cor_rwmutex mutex = {0};
    for (uint64_t i = 0; i < ops; i++) {
        cor_rwmutex_rlock(&mutex);
        cor_rwmutex_runlock(&mutex);
    }
}

static void waitgroup(uint64_t ops)
{
    cor_waitgroup group = {0};
    for (uint64_t i = 0; i < ops; i++) {
        cor_waitgroup_add(&group, 1);
        cor_waitgroup_done(&group);
        (void)cor_waitgroup_wait(&group, 0);
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

static void once(uint64_t ops)
{
    cor_once first = {0};
    for (uint64_t i = 0; i < ops; i++) {
        cor_once_do(&first, nothing, NULL);
    }
}

static const bench_case cases[] = {
    {"mutex_lock_unlock", mutex_free, 0},
    {"mutex_hand_over", mutex_contended, 0},
    {"rwmutex_rlock_runlock", rwmutex_read, 0},
    {"waitgroup_add_done_wait", waitgroup, 0},
    {"once_done", once, 0},
};

BENCH_MAIN(cases)

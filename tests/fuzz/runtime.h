/* SPDX-License-Identifier: MIT */
/*
 * One cor_run for the whole process, on a thread of its own with one worker: starting it anew for each input would be
 * too slow. The thread of the fuzzer hands each input to a task and waits until that task has returned.
 */
#ifndef CORACLE_TESTS_FUZZ_RUNTIME_H
#define CORACLE_TESTS_FUZZ_RUNTIME_H

#include "input.h"

#include <coracle/chan.h>
#include <coracle/task.h>
#include <pthread.h>
#include <semaphore.h>

static struct {
    sem_t ready, done;
    void (*task)(void *arg);
    void *arg;
} runtime;

static int runtime_main(void *arg)
{
    (void)arg;
    sem_post(&runtime.ready);
    return cor_chan_recv(NULL, NULL, 0); /* a nil channel: for ever */
}

static void *runtime_thread(void *arg)
{
    /* A sanitizer's report needs more stack than a task usually has, and the fuzzer handles signals itself. */
    const cor_options options = {.workers = 1,
                                 .stack_size_bytes = 256 << 10,
                                 .no_sigquit_dump = true,
                                 .no_overflow_report = true,
                                 .foreign_wakeups = true,
                                 .seed = 1};
    (void)arg;
    int rc = cor_run(runtime_main, NULL, &options);
    fprintf(stderr, "cor_run returned %d\n", rc);
    abort();
}

static inline void runtime_start(void)
{
    pthread_t thread;
    CHECK(sem_init(&runtime.ready, 0, 0) == 0 && sem_init(&runtime.done, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, runtime_thread, NULL) == 0);
    CHECK(pthread_detach(thread) == 0);
    while (sem_wait(&runtime.ready) != 0) {}
}

static void runtime_task(void *arg)
{
    runtime.task(runtime.arg);
    (void)arg;
    sem_post(&runtime.done);
}

/* Runs `task(arg)` as a task to its end. */
static inline void runtime_run(void (*task)(void *arg), void *arg)
{
    runtime.task = task;
    runtime.arg = arg;
    CHECK(cor_go_foreign(runtime_task, NULL) == 0);
    while (sem_wait(&runtime.done) != 0) {}
}

#endif

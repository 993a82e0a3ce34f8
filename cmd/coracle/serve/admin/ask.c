/* SPDX-License-Identifier: MIT */
/* A question of the status server's thread to the tasks. */
#include "serve/admin/ask.h"

#include <coracle.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define END_POLL_NS COR_MILLISECOND

enum ask_state { ASKED, ANSWERED, GIVEN_UP };

/* Belongs to the thread and the task; whoever finds the other gone frees it. */
struct ask {
    struct asker *asker;
    void (*fill)(void *arg);
    void (*drop)(void *arg);
    void *arg;
    sem_t answered;
    atomic_int state; /* an ask_state */
};

static void free_ask(struct ask *of)
{
    sem_destroy(&of->answered);
    free(of);
}

static void answer_task(void *arg)
{
    struct ask *of = arg;
    of->fill(of->arg);
    int expected = ASKED;
    /* Once it is ANSWERED only the semaphore is touched, and the thread frees nothing before it has been raised. */
    if (atomic_compare_exchange_strong(&of->state, &expected, ANSWERED)) {
        sem_post(&of->answered);
    } else {
        struct asker *asker = of->asker;
        of->drop(of->arg);
        free_ask(of);
        atomic_store(&asker->late_since, 0);
    }
}

/* Waits until it is answered or time is up. Returns whether it is answered. */
static bool wait_for(struct ask *of, int64_t timeout_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    timeout_ns += until.tv_nsec;
    until.tv_sec += (time_t)(timeout_ns / COR_SECOND);
    until.tv_nsec = (long)(timeout_ns % COR_SECOND);
    int code;
    do {
        code = sem_clockwait(&of->answered, CLOCK_MONOTONIC, &until);
    } while (code != 0 && errno == EINTR);
    /* The load is for TSan, which does not know sem_clockwait. */
    return code == 0 && atomic_load(&of->state) == ANSWERED;
}

/* Leaves the ask to its task, unless that has just answered. Returns whether it has. */
static bool give_up(struct ask *of, int64_t asked_at)
{
    int expected = ASKED;
    atomic_store(&of->asker->late_since, asked_at); /* first: the task clears it when it finds itself late */
    if (atomic_compare_exchange_strong(&of->state, &expected, GIVEN_UP)) {
        return false;
    }
    atomic_store(&of->asker->late_since, 0);
    while (sem_wait(&of->answered) != 0) { /* the task is about to raise it */
    }
    return true;
}

int ask_task(struct asker *asker, int64_t wait_ns, void (*fill)(void *arg), void (*drop)(void *arg), void *arg)
{
    struct ask *of = atomic_load(&asker->late_since) == 0 ? malloc(sizeof(*of)) : NULL;
    if (of == NULL) {
        drop(arg);
        return -EAGAIN;
    }
    *of = (struct ask){.asker = asker, .fill = fill, .drop = drop, .arg = arg, .state = ASKED};
    sem_init(&of->answered, 0, 0);
    int64_t asked_at = cor_now();
    int code = cor_go_foreign(answer_task, of);
    if (code == 0 && !wait_for(of, wait_ns) && !give_up(of, asked_at)) {
        return -EAGAIN;
    }
    free_ask(of);
    if (code < 0) {
        drop(arg);
    }
    return code;
}

int64_t ask_late_for(const struct asker *asker)
{
    int64_t since = atomic_load(&asker->late_since);
    return since == 0 ? 0 : cor_now() - since;
}

void ask_end(const struct asker *asker)
{
    for (int64_t until = cor_after(COR_SECOND); atomic_load(&asker->late_since) != 0 && cor_now() < until;) {
        if (cor_sleep(END_POLL_NS) < 0) {
            return;
        }
    }
}

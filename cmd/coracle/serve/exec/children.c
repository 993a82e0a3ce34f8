/* SPDX-License-Identifier: MIT */
/* The table of processes. */
#include "serve/exec/children.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { FREE = -1, TAKEN = 0 }; /* in place of a process's id */

const char *const child_end_names[CHILD_END_COUNT] = {
    [CHILD_EXITED_0] = "exited_0",
    [CHILD_EXITED] = "exited",
    [CHILD_KILLED] = "killed",
    [CHILD_NOT_STARTED] = "not_started",
};

static struct {
    pthread_mutex_t lock;
    pid_t *pids;            /* guard: lock; FREE, TAKEN or an id */
    size_t max;             /* guard: lock */
    bool ending;            /* guard: lock; all are to end */
    children_counts counts; /* guard: lock */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

int children_open(size_t max)
{
    pid_t *pids = malloc(max * sizeof(*pids));
    if (pids == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < max; i++) {
        pids[i] = FREE;
    }
    pthread_mutex_lock(&all.lock);
    all.pids = pids;
    all.max = max;
    pthread_mutex_unlock(&all.lock);
    return 0;
}

void children_close(void)
{
    pthread_mutex_lock(&all.lock);
    free(all.pids);
    all.pids = NULL;
    all.max = 0;
    pthread_mutex_unlock(&all.lock);
}

ssize_t children_enter(void)
{
    ssize_t place = -1;
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < all.max && place < 0 && all.counts.running < all.max; i++) {
        if (all.pids[i] == FREE) {
            all.pids[i] = TAKEN;
            all.counts.running++;
            place = (ssize_t)i;
        }
    }
    pthread_mutex_unlock(&all.lock);
    return place;
}

bool children_set(ssize_t place, pid_t pid)
{
    pthread_mutex_lock(&all.lock);
    all.pids[place] = pid;
    bool stays = !all.ending;
    pthread_mutex_unlock(&all.lock);
    return stays;
}

void children_forget(ssize_t place)
{
    pthread_mutex_lock(&all.lock);
    all.pids[place] = TAKEN;
    pthread_mutex_unlock(&all.lock);
}

void children_leave(ssize_t place, child_end end)
{
    pthread_mutex_lock(&all.lock);
    all.pids[place] = FREE;
    all.counts.running--;
    all.counts.ends[end]++;
    pthread_mutex_unlock(&all.lock);
}

bool children_has(pid_t pid)
{
    bool found = false;
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < all.max && !found; i++) {
        found = all.pids[i] == pid;
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

void children_end_all(int signal_number)
{
    pthread_mutex_lock(&all.lock);
    all.ending = true;
    for (size_t i = 0; i < all.max; i++) {
        if (all.pids[i] > 0) {
            kill(-all.pids[i], signal_number);
        }
    }
    pthread_mutex_unlock(&all.lock);
}

void children_count(children_counts *counts)
{
    pthread_mutex_lock(&all.lock);
    *counts = all.counts;
    pthread_mutex_unlock(&all.lock);
}

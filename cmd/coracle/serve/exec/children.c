/* SPDX-License-Identifier: MIT */
/* The table of processes, and the barrier behind which it is complete. */
#include "serve/exec/children.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { FREE = -1, TAKEN = 0 }; /* in place of a process's id */

struct place {
    pid_t pid; /* FREE, TAKEN or an id */
    bool over; /* it has ended, or is about to: no more signals */
};

const char *const child_end_names[CHILD_END_COUNT] = {
    [CHILD_EXITED_0] = "exited_0",
    [CHILD_EXITED] = "exited",
    [CHILD_KILLED] = "killed",
    [CHILD_NOT_STARTED] = "not_started",
};

static struct {
    pthread_mutex_t lock;
    struct place *places;   /* guard: lock */
    size_t max;             /* guard: lock */
    bool ending;            /* guard: lock; all are to end */
    children_counts counts; /* guard: lock */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Held shared by starts. Who waits for those under way goes before those that come. */
static pthread_rwlock_t starts = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

int children_open(size_t max)
{
    struct place *places = malloc(max * sizeof(*places));
    if (places == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < max; i++) {
        places[i] = (struct place){.pid = FREE};
    }
    pthread_mutex_lock(&all.lock);
    all.places = places;
    all.max = max;
    pthread_mutex_unlock(&all.lock);
    return 0;
}

void children_close(void)
{
    pthread_mutex_lock(&all.lock);
    free(all.places);
    all.places = NULL;
    all.max = 0;
    pthread_mutex_unlock(&all.lock);
}

ssize_t children_enter(void)
{
    ssize_t place = -1;
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < all.max && place < 0 && all.counts.running < all.max; i++) {
        if (all.places[i].pid == FREE) {
            all.places[i].pid = TAKEN;
            all.counts.running++;
            place = (ssize_t)i;
        }
    }
    pthread_mutex_unlock(&all.lock);
    return place;
}

void children_begin_start(void)
{
    pthread_rwlock_rdlock(&starts);
}

void children_end_start(void)
{
    pthread_rwlock_unlock(&starts);
}

void children_settle(void)
{
    pthread_rwlock_wrlock(&starts);
    pthread_rwlock_unlock(&starts);
}

bool children_set(ssize_t place, pid_t pid)
{
    pthread_mutex_lock(&all.lock);
    all.places[place].pid = pid;
    bool stays = !all.ending;
    pthread_mutex_unlock(&all.lock);
    return stays;
}

void children_is_over(ssize_t place)
{
    pthread_mutex_lock(&all.lock);
    all.places[place].over = true;
    pthread_mutex_unlock(&all.lock);
}

void children_leave(ssize_t place, child_end end)
{
    pthread_mutex_lock(&all.lock);
    all.places[place] = (struct place){.pid = FREE};
    all.counts.running--;
    all.counts.ends[end]++;
    pthread_mutex_unlock(&all.lock);
}

bool children_has(pid_t pid)
{
    bool found = false;
    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < all.max && !found; i++) {
        found = all.places[i].pid == pid;
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

void children_end_all(int signal_number)
{
    pthread_mutex_lock(&all.lock);
    all.ending = true;
    for (size_t i = 0; i < all.max; i++) {
        if (all.places[i].pid > 0 && !all.places[i].over) {
            kill(-all.places[i].pid, signal_number);
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

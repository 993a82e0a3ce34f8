/* SPDX-License-Identifier: MIT */
/*
 * The pthread mutexes that a thread holds, in debug builds. The program's calls of pthread_mutex_lock and its like come
 * here instead of to the C library: the names are found in the program, or in libcoracle.so, before those of libc. Each
 * does what libc's does and then notes the mutex, and where it was locked, in a list of the calling thread's own; so
 * there is nothing to guard. A wait for a condition gives the mutex back and takes it again inside the C library: the
 * list stays as it is, and the thread, which stands still meanwhile, parks no task. What the C library locks for
 * itself, and C11's mtx_lock, do not come by here.
 */
#include "sched/locks.h"

#if COR_DEBUG_LOCKS

#include "base/fatal.h"
#include "sched/text.h"

#include <coracle/base.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 32 }; /* more at a time are not noted */

static __thread struct {
    const pthread_mutex_t *mutex;
    const void *site;
} held[HELD_MAX];
static __thread int held_count;

static void note(const pthread_mutex_t *mutex, const void *site)
{
    if (held_count < HELD_MAX) {
        held[held_count].mutex = mutex;
        held[held_count++].site = site;
    }
}

/* The newest entry: a recursive mutex has several. */
static void forget(const pthread_mutex_t *mutex)
{
    int at = held_count - 1;
    while (at >= 0 && held[at].mutex != mutex) {
        at--;
    }
    if (at >= 0) {
        held_count--;
        for (; at < held_count; at++) {
            held[at] = held[at + 1];
        }
    }
}

void cori_locks_check(const cori_task *self, const char *what)
{
    if (cori_likely(held_count == 0)) {
        return;
    }
    cori_text text = {.fd = STDERR_FILENO};
    cori_text_add(&text, "fatal error: task ");
    cori_text_number(&text, self->id);
    cori_text_add(&text, " (");
    if (self->name != NULL) {
        cori_text_add(&text, self->name);
    } else {
        cori_text_symbol(&text, (const void *)(uintptr_t)self->function);
    }
    cori_text_add(&text, ") ");
    cori_text_add(&text, what);
    cori_text_add(&text, " with a mutex locked: cor_mutex is for that");
    cori_text_end(&text);
    for (int i = 0; i < held_count; i++) {
        cori_text_add(&text, "mutex ");
        cori_text_hex(&text, (uint64_t)(uintptr_t)held[i].mutex);
        cori_text_add(&text, ", locked at ");
        cori_text_symbol(&text, held[i].site);
        cori_text_end(&text);
    }
    abort();
}

/* The C library's function of that name, looked up once. */
static void *real(void **known, const char *name)
{
    void *found = __atomic_load_n(known, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        if (found == NULL) {
            cori_fatal("COR_DEBUG_LOCKS: the C library's mutexes cannot be found");
        }
        __atomic_store_n(known, found, __ATOMIC_RELAXED);
    }
    return found;
}

/* Defines one that locks `mutex`. */
#define LOCKS(name, parameters, arguments)                                                                             \
    COR_API int name parameters                                                                                        \
    {                                                                                                                  \
        static void *known;                                                                                            \
        int(*next) parameters;                                                                                         \
        *(void **)&next = real(&known, #name);                                                                         \
        int error = next arguments;                                                                                    \
        if (error == 0 || error == EOWNERDEAD) {                                                                       \
            note(mutex, __builtin_return_address(0));                                                                  \
        }                                                                                                              \
        return error;                                                                                                  \
    }

LOCKS(pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
LOCKS(pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
LOCKS(pthread_mutex_timedlock, (pthread_mutex_t * mutex, const struct timespec *until), (mutex, until))
LOCKS(pthread_mutex_clocklock, (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *until),
      (mutex, clock, until))

COR_API int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static void *known;
    int (*next)(pthread_mutex_t * mutex);
    *(void **)&next = real(&known, "pthread_mutex_unlock");
    int error = next(mutex);
    if (error == 0) {
        forget(mutex);
    }
    return error;
}

#endif

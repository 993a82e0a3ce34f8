/* SPDX-License-Identifier: MIT */
/* Carrying errno and C++'s caught exceptions from task to task: see carry.h. */
#include "sched/carry.h"

#include <coracle/errno.h>
#include <dlfcn.h>

/* Of the C++ run-time library: there if the program, or a library that it has loaded, is C++. */
extern void *__cxa_get_globals(void) __attribute__((weak));

static const int no_errno = INT_MIN + 1;

static cori_caught *find_caught(void)
{
    void *(*get)(void) = __cxa_get_globals;
    if (get == NULL) {
        get = (void *(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "__cxa_get_globals");
    }
    return get != NULL ? get() : NULL;
}

void cori_carry_init(cori_worker *worker)
{
    worker->errno_at = &errno;
    worker->caught_at = find_caught();
    worker->errno_shown = worker->caught_at == NULL ? worker->errno_at : &no_errno;
}

int *cor_errno_place(void)
{
    return __errno_location();
}

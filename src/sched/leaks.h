/* SPDX-License-Identifier: MIT */
/*
 * The report of what is left at the end of cor_run, if it was asked for: tasks, channels, connections and listeners,
 * each with the place where it was made. What is made meanwhile is kept in a table; else one look at a variable is all.
 */
#ifndef CORI_SCHED_LEAKS_H
#define CORI_SCHED_LEAKS_H

#include "base/atomic.h"
#include "base/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cori_leak { CORI_LEAK_CHANNEL, CORI_LEAK_CONN, CORI_LEAK_LISTENER, CORI_LEAK_KINDS } cori_leak;

extern uint32_t cori_leaks_on; /* atomic: a cor_run is active that is to report */

void cori_leaks_add_now(cori_leak kind, const void *object,
                        void (*describe)(const void *object, char *text, size_t size));
void cori_leaks_drop_now(const void *object);

/*
 * An object is made; `describe` says later what it is, if it is still there then. No memory: it is not kept. Any
 * thread.
 */
static inline void cori_leaks_add(cori_leak kind, const void *object,
                                  void (*describe)(const void *object, char *text, size_t size))
{
    if (cori_unlikely(cori_load_relaxed(&cori_leaks_on) != 0)) {
        cori_leaks_add_now(kind, object, describe);
    }
}

/* It is freed, or closed, or nobody's business. */
static inline void cori_leaks_drop(const void *object)
{
    if (cori_unlikely(cori_load_relaxed(&cori_leaks_on) != 0)) {
        cori_leaks_drop_now(object);
    }
}

/* In the main task, when it is done: lets those end that are about to. Parks. */
void cori_leaks_settle(void);
/* When no worker runs any more: prints what is left, if anything is; fd < 0: does not. Then forgets all. */
void cori_leaks_report(int fd);

#endif

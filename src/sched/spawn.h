/* SPDX-License-Identifier: MIT */
/* Making tasks, for the library's own use: two arguments, a group, a worker of choice. */
#ifndef CORI_SCHED_SPAWN_H
#define CORI_SCHED_SPAWN_H

#include "sched/task.h"

#include <coracle/task.h>

/* What a new task is to be. */
typedef struct cori_spawn {
    void (*entry)(void *a, void *b); /* NULL: function(arg_a) is called */
    void *arg_a, *arg_b;
    void (*function)(void *arg); /* what the user asked to run; shown in dumps */
    const char *name;            /* keeps; NULL: none */
    const void *site;            /* return address of the public call */
    size_t stack_size_bytes;     /* 0: the default */
    struct cori_scope *scope;    /* of its group, which counts it already; NULL: none */
    int worker;                  /* >= 0: start there, whatever the load; -1: anywhere */
    bool floats;                 /* float.h */
    bool stack_now;              /* it is refused now if there is no stack for it, not kept waiting */
} cori_spawn;

/*
 * Starts a task. 0, -ENOMEM, -EINVAL (stack size). *out, which may be NULL, is the task if it is for a given worker;
 * others have no object yet, and *out is left alone. Tasks only.
 */
int cori_spawn_task(const cori_spawn *spawn, cori_task **out);

/* Takes over what a user wants; NULL: nothing special. */
static inline void cori_spawn_options(cori_spawn *spawn, const cor_task_options *options)
{
    if (options != NULL) {
        spawn->name = options->name;
        spawn->stack_size_bytes = options->stack_size_bytes;
        spawn->floats = options->floats;
        spawn->stack_now = options->stack_now;
    }
}

#endif

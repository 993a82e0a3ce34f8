/* SPDX-License-Identifier: MIT */
/*
 * The task object. It lives at the top of its own stack, so an idle task costs one page in all. Until its first run a
 * task is a record only (fresh.h).
 *
 *                 cor_go                  taken from a fresh queue
 *      (none) ------------> FRESH -----------------------------------> RUNNING <-----+
 *                                                       returned |        | park     | scheduled
 *                                                     (none) <---+        v          |
 *                                                                       PARKED --> queued
 *                                                                          wake
 *
 * A FRESH task may be moved between workers; from its first instruction on it belongs to one (`worker`), and all
 * fields but `permit` are touched by that worker's thread only. A floating task may change workers later: float.h.
 *
 * Park and wake are a permit, as in a binary semaphore: `permit` is RUNNING, NOTIFIED or PARKED.
 *
 *      wake:  compare-and-swap PARKED -> RUNNING, and queue the task (this waker alone does), or else -> NOTIFIED
 *      park:  compare-and-swap RUNNING -> PARKED, then switch away; or, if NOTIFIED came first, exchange it for RUNNING
 *             and go on at once
 *      both ways of going on: look at the condition again
 *
 * Every waiter publishes itself, then loops "condition? interrupted? park". So a wake means "look again" and may come
 * for no reason: late wakes, even for a task that has ended and whose slot has a new owner, do no harm (stack memory
 * stays mapped). No wake-up is lost: the waker changes the condition before its compare-and-swap. If that queues the
 * task, the task looks later. If it leaves NOTIFIED, the next park does not wait and the task looks again, after
 * an exchange that has read what the waker wrote.
 *
 * With one worker the permit is moved without atomic operations: only that worker's thread does (state.h).
 *
 * There is no window between "parked" and "switched away": only the task's own worker can run it, and that worker is
 * busy switching. Other workers put it on the worker's inject list.
 */
#ifndef CORI_SCHED_TASK_H
#define CORI_SCHED_TASK_H

#include "ctx/ctx.h"
#include "ctx/stack.h"
#include "timer/heap.h"

enum { CORI_RUNNING = 0, CORI_NOTIFIED = 1, CORI_PARKED = 2 };

/* The exceptions that a C++ thread is handling: __cxa_eh_globals of the Itanium C++ ABI (section 2.2.2). */
typedef struct cori_caught {
    void *chain;
    unsigned uncaught;
} cori_caught;

typedef struct cori_task {
    cori_ctx ctx;
    union {
        struct {
            uint8_t permit; /* atomic: besides the links the only field that other threads write */
            bool floats;    /* set before it first runs, never with one worker: float.h; see cori_here_stay */
            uint16_t host;  /* which simulated one it runs on: that of the task that spawned it */
        };
        uint32_t new_permit; /* both at once */
    };
    int errno_kept;                            /* the task's errno while another runs: see carry.h */
    struct cori_task *next;                    /* in one of: run queue, inject list, hot stacks */
    struct cori_worker *worker;                /* where it runs, from its start on; atomic if it floats */
    cori_timer timer;                          /* armed lazily: may fire early for an old deadline, never late */
    int64_t deadline;                          /* of the current park; 0: none */
    uint64_t ticket;                           /* place in its worker's order of arrival; see cori_ticket_take */
    const char *waiting_for;                   /* text for the dump, while PARKED */
    int64_t since;                             /* when it parked or was queued, on the worker's coarse clock */
    int64_t trimmed;                           /* the `since` of the park for which reclaim.c has seen to it */
    struct cori_scope *scope;                  /* of its group; NULL: none */
    struct cori_task *scope_next, *scope_prev; /* guard: the scope's spin lock */
    void (*entry)(void *a, void *b);           /* NULL: function(arg_a) is called */
    void *arg_a, *arg_b;
    cori_caught caught;          /* as errno_kept */
    const char *name;            /* NULL: unnamed */
    const void *site;            /* return address of the spawning call */
    void (*function)(void *arg); /* what the user asked to run; for the dump, too */
    uint64_t id;
    struct cori_task *live_next, *live_prev; /* the worker's list of started tasks */
    cori_stack stack;
} cori_task;

#endif

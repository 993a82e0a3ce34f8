/* SPDX-License-Identifier: MIT */
/* The watchdog for tasks: names one that computes for long and keeps its worker from all others. See stall.c. */
#ifndef CORI_SCHED_STALL_H
#define CORI_SCHED_STALL_H

#include "sched/state.h"

#include <ucontext.h>

/* Makes what cori_rt.stall_ns asks for; nothing if that is 0. 0, -ENOMEM or -EAGAIN. */
int cori_stall_begin(void);
/* Ends it when all has been told. No worker runs any more. */
void cori_stall_end(void);

/* On a worker's thread: from now on, and no longer. */
void cori_stall_watch(cori_worker *worker);
void cori_stall_unwatch(cori_worker *worker);

/* In the signal handler, on a worker's thread or another: a timer has ticked. */
void cori_stall_tick(const ucontext_t *running);

/* A worker has been silent in a roll call for so long: its task is named if that is too long. Workers' threads. */
void cori_stall_ask(cori_worker *worker, int64_t silent_ns);
/* In the signal handler, when no timer has ticked: sees whether that was asked. */
void cori_stall_asked(const ucontext_t *running);

#endif

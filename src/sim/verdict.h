/* SPDX-License-Identifier: MIT */
/*
 * What a simulated run is judged by, apart from what main_task returns: the program's checks, and what is left at the
 * end. The first fault found is the run's result; it is reported at once or, if all tasks are to be shown, when the
 * workers have stopped and nothing is closed yet.
 */
#ifndef CORI_SIM_VERDICT_H
#define CORI_SIM_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

/* Begins a run without checks. */
void cori_sim_verdict_begin(uint64_t seed);
/* Adds a check: 0, -ENOSPC. */
int cori_sim_verdict_add(int (*check)(void *arg), void *arg);
/* Calls the checks; false: one has failed, now or earlier. */
bool cori_sim_verdict_holds(void);
/* The run has failed with `code`, unless it had before. */
void cori_sim_verdict_set(int code);
/* When the workers have stopped: reports what failed. Gives where reports go. */
int cori_sim_verdict_report(void);
/* When cor_run has returned `rc`: the last checks, and what the run comes to. */
int cori_sim_verdict_end(int rc, bool must_end);

#endif

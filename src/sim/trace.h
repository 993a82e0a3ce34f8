/* SPDX-License-Identifier: MIT */
/*
 * The trace of a simulated run: a line for each thing that happens, with its virtual time and the task that does it.
 * It is the same each time a seed runs: tasks are numbered from the main task's 1, and nothing in it is an address of
 * memory. Calls that would have had to wait are left out. Tracing does not change the run.
 */
#ifndef CORI_SIM_TRACE_H
#define CORI_SIM_TRACE_H

#include "base/sys_other.h"

#include <stdbool.h>

extern bool cori_sim_traces; /* this run */

/* Begins a run; COR_SIM_TRACE=1 asks for a trace, too. Gives the kernel to use: the one given, or one that traces. */
const cori_sys_other_ops *cori_sim_trace_begin(bool asked, const cori_sys_other_ops *kernel);
/* On the main task: it is task 1. */
void cori_sim_trace_main(void);
/* A line of the running task's, or of the network's. As printf, without LF; only if cori_sim_traces. */
__attribute__((format(printf, 1, 2))) void cori_sim_trace(const char *format, ...);

#endif

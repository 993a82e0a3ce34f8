/* SPDX-License-Identifier: MIT */
/* What cor_run sets up before the workers run and takes down after them; each part is the file of its name. */
#ifndef CORI_SCHED_LIFECYCLE_H
#define CORI_SCHED_LIFECYCLE_H

#include "sched/state.h"

void cori_fault_install(void);
void cori_fault_uninstall(void);
/* Takes the memory for a worker's signal stack; then, on its own thread, uses it. 0 or -errno. */
int cori_fault_thread_prepare(cori_worker *worker);
int cori_fault_thread_init(cori_worker *worker);
void cori_fault_thread_end(cori_worker *worker);
void cori_dump_install(void);
void cori_dump_uninstall(void);
void cori_dump_all_stopped(int fd);
void cori_signal_uninstall(void);
/* Forgets tasks that were waiting in a roll call. */
void cori_roll_end(void);
/* On a worker's thread: lets through the signals that the library relies on, from now on. */
void cori_signal_thread_begin(cori_worker *worker);
/* It runs no task any more: caught signals are as before, those for a dump are still let through. */
void cori_signal_thread_stop(const cori_worker *worker);
/* All are as before. */
void cori_signal_thread_end(const cori_worker *worker);
/*
 * Waits for the pool's threads, for as long as the options say; then leaves them alone and says so. True if none is
 * out, of earlier runs neither.
 */
bool cori_blocking_end(void);

#endif

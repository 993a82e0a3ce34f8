/* SPDX-License-Identifier: MIT */
/* What cor_run sets up before the workers run and takes down after them; each part is the file of its name. */
#ifndef CORI_SCHED_LIFECYCLE_H
#define CORI_SCHED_LIFECYCLE_H

#include "sched/state.h"

void cori_fault_install(void);
void cori_fault_uninstall(void);
int cori_fault_thread_init(cori_worker *worker);
void cori_fault_thread_end(cori_worker *worker);
void cori_dump_install(void);
void cori_dump_uninstall(void);
void cori_dump_all_stopped(int fd);
void cori_signal_uninstall(void);
void cori_blocking_end(void);

#endif

/* SPDX-License-Identifier: MIT */
/* Allocations of the library that fail in a simulated run: by plan (cor_sim_fail_memory) and by the seed. */
#ifndef CORI_SIM_MEMORY_H
#define CORI_SIM_MEMORY_H

#include <stdbool.h>

/* Begins a run in which none fails. */
void cori_sim_memory_begin(void);
/* main_task begins, or has ended. */
void cori_sim_memory_main(bool on);
/* Tells whether the allocation that is asked for now fails. */
bool cori_sim_memory_fails(void);

#endif

/* SPDX-License-Identifier: MIT */
/* What names lead to in a simulated run: see names.c. */
#ifndef CORI_SIM_NAMES_H
#define CORI_SIM_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Begins a run: nothing is planned, chance from `seed`. */
void cori_sim_names_begin(uint64_t seed, bool hostile);

/* As look_up of cori_sys_other_ops. */
int cori_sim_look_up(const char *name, struct in6_addr *list, int max, int64_t *after_ns);

#endif

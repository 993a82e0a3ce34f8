/* SPDX-License-Identifier: MIT */
/* The hosts of a simulated run as a program sees them: coracle/sim.h. */
#ifndef CORI_SIM_HOST_H
#define CORI_SIM_HOST_H

struct cori_scope;

/* Begins a run with host 0. */
void cori_sim_hosts_run(void);
/* A task that is in no group starts on the running task's host: see cori_virtual.enter. */
int cori_sim_host_enter(struct cori_scope **out);

#endif

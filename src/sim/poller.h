/* SPDX-License-Identifier: MIT */
/*
 * The poller of a simulated run, and the driver of its workers (sched/virtual.h): where a poller would wait, its worker
 * gives way. The driver lets happen what is due, then has schedule.h pick one of the workers that can go on; if none
 * can, the clock jumps to the next event or the end of the next wait.
 */
#ifndef CORI_SIM_POLLER_H
#define CORI_SIM_POLLER_H

#include "poll/poll.h"
#include "sched/virtual.h"

extern const cori_poll_ops cori_sim_poll_ops;

/* With points, if this run's schedule has them. */
const cori_virtual *cori_sim_driver(void);
void cori_sim_pollers_begin(void);
/* True unless the worker waits for something that has not happened yet. */
bool cori_sim_can_go_on(int worker);

#endif

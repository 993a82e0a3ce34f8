/* SPDX-License-Identifier: MIT */
/*
 * Which of a run's virtual workers goes on, and where a task is left or yields in the middle of its turn.
 *
 *      turns     any worker that can go on, after each round; a task is left where it parks, yields or ends only
 *      points    the same, and in the middle of a turn now and then, as if by the kernel: sched/virtual.h says where.
 *                How often is the seed's choice; so is whether new tasks begin on any worker or where placement says
 *      pct       probabilistic concurrency testing (Burckhardt and others, 2010). Workers have priorities by chance,
 *                the first that can go on does, and at `depth` - 1 steps, chosen beforehand, the one that is running
 *                becomes one of the last. An order that takes `depth` such constraints among n workers in k steps then
 *                comes up once in n * k^(depth - 1) runs at least, however long one side must wait for the other; by
 *                chance at every step that is once in 2^k. New tasks begin on any worker, so priorities are nearly
 *                those of tasks.
 *
 * PCT knows the number of steps of a run beforehand; here k is chosen from 16 to 8192, the lower the more often. And it
 * knows no task that waits by looking again and again: a worker that could have gone on for STARVED turns becomes the
 * first.
 *
 * The choices have a generator of their own: a run by turns is what it was before there were others.
 */
#ifndef CORI_SIM_SCHEDULE_H
#define CORI_SIM_SCHEDULE_H

#include "base/sys_other.h"
#include "sched/virtual.h"

#include <coracle/sim.h>

/*
 * Begins a run, and gives the number of its workers: `usual`, by turns, if the options do not say. `can_go_on`: false
 * while that worker waits for something that has not happened yet.
 */
int cori_sim_schedule_begin(uint64_t seed, const cor_sim_options *options, int usual, bool (*can_go_on)(int worker));
/* Of the workers that can go on, the one that does; < 0: none can. */
int cori_sim_schedule_choose(void);
/* How many switches the round that begins may take. */
int cori_sim_schedule_switches(void);
/* The driver's points and places; neither where the schedule is by turns. */
enum cori_virtual_then cori_sim_schedule_point(void);
int cori_sim_schedule_place(void);
bool cori_sim_schedule_has_points(void);
/* The kernel, with points on both sides of each call that another worker could meet. */
const cori_sys_other_ops *cori_sim_schedule_kernel(const cori_sys_other_ops *kernel);

#endif

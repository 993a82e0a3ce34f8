/* SPDX-License-Identifier: MIT */
/* Groups, for the floors above: starting a task of any kind in one. */
#ifndef CORI_SYNC_GROUP_H
#define CORI_SYNC_GROUP_H

#include "sched/spawn.h"

#include <coracle/group.h>

/* As cor_group_go, for what `spawn` says; its `scope` is set here. NULL: in no group. Tasks only. */
int cori_group_start(cor_group *group, cori_spawn *spawn);

/* Counts a task about to start in a group without a limit: 0, -ENOMEM; cori_member_uncount undoes it. Tasks only. */
int cori_group_enter(cor_group *group, struct cori_scope **out);

/*
 * Makes the running task one of the group's, below its own, until it leaves: what ends the group's tasks ends its waits
 * too. 0 and *before, for leaving; -ENOMEM, COR_ENOT_TASK. `group` is a new one.
 */
int cori_group_join(cor_group *group, struct cori_scope **before);
void cori_group_leave(struct cori_scope *before);

/* Decides the parent of a group now, as a start by the calling task would. NULL is accepted. Tasks only. */
void cori_group_decide(cor_group *group);

#endif

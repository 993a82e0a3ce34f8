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

/* Decides the parent of a group now, as a start by the calling task would. NULL is accepted. Tasks only. */
void cori_group_decide(cor_group *group);

#endif

/* SPDX-License-Identifier: MIT */
/* A task in its group: entering, leaving, and what the group may do to its waits. The public calls: sync/group.c. */
#ifndef CORI_SCHED_MEMBER_H
#define CORI_SCHED_MEMBER_H

#include "base/atomic.h"
#include "sched/task.h"

/* A task in cor_group_wait; on its stack, linked under the group's lock. */
typedef struct cori_group_waiter {
    cori_task *task;
    struct cori_group_waiter *next;
} cori_group_waiter;

/* Makes the new `task` a member; called before it is queued. */
void cori_group_join(cor_group *group, cori_task *task);
/* An ending task leaves its group (which may be gone afterwards). */
void cori_group_leave(cori_task *task);
/*
 * COR_ECANCELED or COR_ETIMEOUT when the task's group or one above it was cancelled or is past its deadline at `now`,
 * else 0.
 */
int cori_group_interrupted(const cori_task *task, int64_t now);
/* True if there is nothing in a task's group that could interrupt it: the usual case, without a call. */
static inline bool cori_group_is_plain(const cor_group *group)
{
    return group == NULL ||
           (cori_load(&group->cancelled) == 0 && group->parent == NULL && cori_load(&group->deadline) == 0);
}
/* The earlier of `deadline` (0: none) and the deadlines of the task's groups. */
int64_t cori_group_deadline(const cori_task *task, int64_t deadline);

#endif

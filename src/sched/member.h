/* SPDX-License-Identifier: MIT */
/* A task in its group: entering, leaving, and what the group may do to its waits. The public calls: sync/group.c. */
#ifndef CORI_SCHED_MEMBER_H
#define CORI_SCHED_MEMBER_H

#include "sched/scope.h"

/* A task that waits for a group, on its stack; in one of the group's two queues, under the group's lock. */
typedef struct cori_group_waiter {
    struct cori_group_waiter *next, *prev;
    cori_task *task;
    uint64_t ends; /* group->ends when the wait began */
} cori_group_waiter;

/* Makes the new `task` a member of its scope, which the group holds for it: before its first instruction. */
void cori_member_join(cori_task *task);
/* The running task is no member of its scope any more, but of `to`, whose group counts it; NULL: of none. */
void cori_member_move(cori_task *self, cori_scope *to);
/* An ending task leaves its group (which may be gone afterwards). */
void cori_member_leave(cori_task *task);
/* Takes one off the group's count of tasks: for a member that has left, or a start that failed. Lets go of `scope`. */
void cori_member_uncount(cori_scope *scope);

/* What a walk up from a scope found: the nearest that is cancelled or past its deadline at `now`; NULL: none. */
const cori_scope *cori_scope_ended(const cori_scope *scope, int64_t now);
/* COR_ECANCELED or COR_ETIMEOUT when the task's group or one above it has ended so, else 0. */
int cori_member_interrupted(const cori_task *task, int64_t now);
/* The earlier of `deadline` (0: none) and the deadlines of the task's groups. */
int64_t cori_member_deadline(const cori_task *task, int64_t deadline);

/* True if there is nothing in a task's group that could interrupt it: the usual case, without a call. */
static inline bool cori_member_is_free(const cori_task *task)
{
    const cori_scope *scope = task->scope;
    return scope == NULL ||
           (scope->parent == NULL && cori_load(&scope->cancelled) == 0 && cori_load(&scope->deadline) == 0);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a task and its group do with each other: the list of members, and the questions that each park asks. How groups
 * form a tree, and how long they live: sync/group.c.
 */
#include "sched/member.h"

#include "base/lock.h"
#include "sched/wake.h"

#include <coracle/error.h>

int cori_group_interrupted(const cori_task *task, int64_t now)
{
    for (const cor_group *group = task->group; group != NULL; group = group->parent) {
        if (cori_load(&group->cancelled) != 0) {
            return COR_ECANCELED;
        }
        int64_t deadline = cori_load(&group->deadline);
        if (deadline != 0 && deadline <= now) {
            return COR_ETIMEOUT;
        }
    }
    return 0;
}

int64_t cori_group_deadline(const cori_task *task, int64_t deadline)
{
    for (const cor_group *group = task->group; group != NULL; group = group->parent) {
        int64_t own = cori_load(&group->deadline);
        if (own != 0 && (deadline == 0 || own < deadline)) {
            deadline = own;
        }
    }
    return deadline;
}

void cori_group_join(cor_group *group, cori_task *task)
{
    cori_spin_lock(&group->spin);
    cori_task *head = group->members;
    task->group_prev = NULL;
    task->group_next = head;
    if (head != NULL) {
        head->group_prev = task;
    }
    group->members = task;
    group->count++;
    cori_spin_unlock(&group->spin);
}

void cori_group_leave(cori_task *task)
{
    cor_group *group = task->group;
    cori_spin_lock(&group->spin);
    if (task->group_prev != NULL) {
        task->group_prev->group_next = task->group_next;
    } else {
        group->members = task->group_next;
    }
    if (task->group_next != NULL) {
        task->group_next->group_prev = task->group_prev;
    }
    if (--group->count == 0) {
        for (cori_group_waiter *waiter = group->waiters; waiter != NULL; waiter = waiter->next) {
            cori_wake(waiter->task);
        }
    }
    task->group = NULL;
    cori_spin_unlock(&group->spin);
}

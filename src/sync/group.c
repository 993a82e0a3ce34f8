/* SPDX-License-Identifier: MIT */
/*
 * Groups: the tree, cancellation, deadlines. What a park asks of its task's group is sched/member.h.
 *
 * A group's spin lock guards its member list, its list of children, its count and its waiters. Order: a parent before
 * its children. `cancelled` and `deadline` are also read without the lock, by members: they are set first, then the
 * members are woken, and a wake makes a member look again (task.h), so none sleeps past either.
 *
 * Lifetimes. A group is its creator's memory. It is linked to a parent (the group of the task that first starts
 * something in it) until its waiter has seen it empty. A task touches its groups only while it is a member; leaving,
 * its last touch is the unlock, and the waiter takes the lock once before it returns.
 */
#include "base/atomic.h"
#include "base/lock.h"
#include "sched/park.h"
#include "sched/spawn.h"

#include <coracle/time.h>

int cor_cancelled(void)
{
    cori_task *self = cori_self();
    return self != NULL && self->group != NULL ? cori_group_interrupted(self, cor_now()) : 0;
}

/* Makes `group` a child of the calling task's group, once, before it has members. */
static void adopt(cor_group *group, cor_group *parent)
{
    if (parent == NULL || parent == group || group->parent != NULL || group->count != 0) {
        return;
    }
    cori_spin_lock(&parent->spin);
    group->parent = parent;
    group->prev_sibling = NULL;
    group->next_sibling = parent->children;
    if (parent->children != NULL) {
        parent->children->prev_sibling = group;
    }
    parent->children = group;
    cori_spin_unlock(&parent->spin);
}

static void disown(cor_group *group)
{
    cor_group *parent = group->parent;
    if (parent == NULL) {
        return;
    }
    cori_spin_lock(&parent->spin);
    if (group->prev_sibling != NULL) {
        group->prev_sibling->next_sibling = group->next_sibling;
    } else {
        parent->children = group->next_sibling;
    }
    if (group->next_sibling != NULL) {
        group->next_sibling->prev_sibling = group->prev_sibling;
    }
    group->parent = NULL;
    cori_spin_unlock(&parent->spin);
}

/* Makes every member of the group and of the groups below it look at its groups again. */
static void wake_members(cor_group *group)
{
    for (cori_task *task = group->members; task != NULL; task = task->group_next) {
        cori_wake(task);
    }
    for (cor_group *child = group->children; child != NULL; child = child->next_sibling) {
        cori_spin_lock(&child->spin);
        wake_members(child);
        cori_spin_unlock(&child->spin);
    }
}

int cor_group_go(cor_group *group, void (*task)(void *arg), void *arg)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    adopt(group, self->group);
    return cori_spawn_user(group, task, arg, __builtin_return_address(0));
}

int cor_group_wait(cor_group *group, int64_t deadline)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    cori_group_waiter waiter = {.task = self};
    int rc = 0;
    cori_spin_lock(&group->spin);
    waiter.next = group->waiters;
    group->waiters = &waiter;
    while (group->count != 0) {
        if (deadline != 0 && deadline <= cori_here_now()) {
            rc = COR_ETIMEOUT;
            break;
        }
        cori_spin_unlock(&group->spin);
        cori_park_plain(self, deadline, "group wait");
        cori_spin_lock(&group->spin);
    }
    cori_group_waiter **link = (cori_group_waiter **)&group->waiters;
    while (*link != &waiter) {
        link = &(*link)->next;
    }
    *link = waiter.next;
    cori_spin_unlock(&group->spin);
    if (rc == 0) {
        disown(group);
    }
    return rc;
}

void cor_group_cancel(cor_group *group)
{
    cori_spin_lock(&group->spin);
    cori_store(&group->cancelled, 1);
    wake_members(group);
    cori_spin_unlock(&group->spin);
}

void cor_group_set_deadline(cor_group *group, int64_t deadline)
{
    cori_spin_lock(&group->spin);
    cori_store(&group->deadline, deadline);
    wake_members(group);
    cori_spin_unlock(&group->spin);
}

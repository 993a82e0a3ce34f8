/* SPDX-License-Identifier: MIT */
/*
 * What a task and its group do with each other: the list of members, and the questions that each park asks. How long a
 * scope lives: scope.h. How groups are used: sync/group.c.
 */
#include "sched/member.h"

#include "base/fatal.h"
#include "base/list.h"
#include "sched/wake.h"

#include <coracle/error.h>

const cori_scope *cori_scope_ended(const cori_scope *scope, int64_t now)
{
    for (; scope != NULL; scope = scope->parent) {
        int64_t deadline = cori_load(&scope->deadline);
        if (cori_load(&scope->cancelled) != 0 || (deadline != 0 && deadline <= now)) {
            break;
        }
    }
    return scope;
}

int cori_member_interrupted(const cori_task *task, int64_t now)
{
    const cori_scope *ended = cori_scope_ended(task->scope, now);
    if (ended == NULL) {
        return 0;
    }
    return cori_load(&ended->cancelled) != 0 ? COR_ECANCELED : COR_ETIMEOUT;
}

int64_t cori_member_deadline(const cori_task *task, int64_t deadline)
{
    for (const cori_scope *scope = task->scope; scope != NULL; scope = scope->parent) {
        int64_t own = cori_load(&scope->deadline);
        if (own != 0 && (deadline == 0 || own < deadline)) {
            deadline = own;
        }
    }
    return deadline;
}

void cori_member_join(cori_task *task)
{
    cori_scope *scope = task->scope;
    cori_scope_lock(&scope->spin);
    cori_list_add(&scope->members, task, scope_next, scope_prev);
    cori_scope_unlock(&scope->spin);
}

static void unlink_member(cori_scope *scope, cori_task *task)
{
    cori_scope_lock(&scope->spin);
    for (cori_walk *walk = scope->walks; walk != NULL; walk = walk->other) {
        if (walk->next == task) {
            walk->next = task->scope_next;
        }
    }
    cori_list_remove(&scope->members, task, scope_next, scope_prev);
    cori_scope_unlock(&scope->spin);
}

void cori_member_move(cori_task *self, cori_scope *to)
{
    if (self->scope != NULL) {
        unlink_member(self->scope, self);
    }
    self->scope = to;
    if (to != NULL) {
        cori_member_join(self);
    }
}

static cori_task *task_of(const cori_group_waiter *waiter)
{
    return waiter != NULL ? waiter->task : NULL;
}

static void wake_if(cori_task *task)
{
    if (task != NULL) {
        cori_wake(task);
    }
}

/*
 * Wakes the first of those who wait for the end, and of those who wait for room below the limit; each wakes the next.
 * The group is not touched after the unlock: a waiter takes the lock before it returns, and may then free it.
 */
void cori_member_uncount(cori_scope *scope)
{
    cor_group *group = scope->group;
    if (cori_unlikely(cori_load_relaxed(&group->scope) != scope)) {
        cori_fatal("group: its memory was reused while its tasks were running");
    }
    cori_scope_lock(&group->spin);
    bool last = --group->count == 0;
    group->ends += last;
    cori_task *ended = last ? task_of(group->waiting) : NULL;
    cori_task *room = task_of(group->starting);
    cori_scope_unlock(&group->spin);
    wake_if(ended);
    wake_if(room);
    if (last) {
        cori_scope_let_go(scope);
    }
}

void cori_member_leave(cori_task *task)
{
    cori_scope *scope = task->scope;
    unlink_member(scope, task);
    task->scope = NULL;
    cori_member_uncount(scope);
}

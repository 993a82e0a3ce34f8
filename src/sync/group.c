/* SPDX-License-Identifier: MIT */
/*
 * Groups: starting, waiting, cancelling. What tasks hold on to is the scope (sched/scope.h); what a park asks of its
 * task's group is sched/member.h.
 *
 *                                     cor_group_go             the last task ends
 *       all-zero --> IDLE, undecided -------------> ACTIVE <--------------------> IDLE, decided
 *                         |                                    cor_group_go         |
 *                         +-- cor_group_set_parent -------------------------------->+
 *
 * ACTIVE: `count` > 0; the group holds its scope (one holder), and the scope the group's parent. IDLE: the group holds
 * nothing and may go. It keeps what it was told (cancelled, deadline, limit, error), and its scope and its parent as
 * pointer and life: each is the same again if it lives still. A new scope is put below a living one only, and its
 * parent never changes: no circle can come about.
 *
 * The group's spin lock guards all its fields; it comes before any scope's. `cancelled` and `deadline` are copied into
 * the scope under it. A task looks at the scopes' without a lock: they are set first, then the members are woken, and a
 * wake makes a member look again (task.h), and a member or child that comes later joined under a lock that the walk of
 * the waker had before: none sleeps past either.
 *
 * Waiters queue in the order of arrival. The last task to leave counts an end in `ends` and wakes the first; each that
 * sees an end wakes the next as it leaves the queue. Tasks that wait for room below the limit pass it on likewise. No
 * wake-up is lost: whoever leaves a queue, for whatever reason, looks whether the next has something to see.
 */
#include "sync/group.h"

#include "base/atomic.h"
#include "sched/park.h"

#include <coracle/time.h>
#include <errno.h>

static void lock(cor_group *group)
{
    cori_scope_lock(&group->spin);
}

static void unlock(cor_group *group)
{
    cori_scope_unlock(&group->spin);
}

static void queue_push(cori_group_waiter **head, cori_group_waiter **last, cori_group_waiter *waiter)
{
    cori_group_waiter *tail = *last;
    waiter->next = NULL;
    waiter->prev = tail;
    *(tail != NULL ? &tail->next : head) = waiter;
    *last = waiter;
}

static void queue_remove(cori_group_waiter **head, cori_group_waiter **last, cori_group_waiter *waiter)
{
    *(waiter->prev != NULL ? &waiter->prev->next : head) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->prev : last) = waiter->prev;
}

/* The group's scope, held, if it lives. Under the lock. */
static cori_scope *hold_scope(const cor_group *group)
{
    cori_scope *scope = group->scope;
    return scope != NULL && cori_scope_hold_if(scope, group->scope_life) ? scope : NULL;
}

/* The group's parent, held, if one was decided and lives. Under the lock. */
static cori_scope *hold_parent(const cor_group *group)
{
    cori_scope *parent = group->parent;
    return parent != NULL && cori_scope_hold_if(parent, group->parent_life) ? parent : NULL;
}

/* The parent, held, NULL for none; decides it unless that was done. Under the lock. */
static cori_scope *decide(cor_group *group, cori_scope *callers)
{
    cori_scope *parent = hold_parent(group);
    if (parent == NULL && callers == NULL) {
        group->alone = true;
    } else if (parent == NULL && !group->alone) {
        cori_scope_hold(callers);
        group->parent = parent = callers;
        group->parent_life = callers->life;
    }
    return parent;
}

void cori_group_decide(cor_group *group)
{
    if (group == NULL) {
        return;
    }
    lock(group);
    cori_scope *scope = hold_scope(group);
    cori_scope *parent = scope == NULL ? decide(group, cori_here_task()->scope) : NULL;
    unlock(group);
    cori_scope_let_go(scope);
    cori_scope_let_go(parent);
}

/* Makes `scope` what the group's tasks belong to. Under the lock. */
static void adopt_scope(cor_group *group, cori_scope *scope, cori_scope *callers)
{
    cori_store_relaxed(&scope->cause, group->cause);
    cori_store_relaxed(&scope->cancelled, group->cancelled);
    cori_store_relaxed(&scope->deadline, group->deadline);
    cori_store_relaxed(&group->scope, scope);
    group->scope_life = scope->life;
    cori_scope_link(scope, decide(group, callers));
}

/* Counts one more task. *spare is used up if the group had no living scope; without one: false. Under the lock. */
static bool count_task(cor_group *group, cori_scope *callers, cori_scope **spare)
{
    if (group->count == 0 && hold_scope(group) == NULL) {
        if (*spare == NULL) {
            return false;
        }
        adopt_scope(group, *spare, callers);
        *spare = NULL;
    }
    group->count++;
    return true;
}

static bool has_room(const cor_group *group)
{
    return group->limit == 0 || group->count < group->limit;
}

/* The task that must look whether there is room, NULL: none. Under the lock. */
static cori_task *next_starter(const cor_group *group)
{
    const cori_group_waiter *first = group->starting;
    return first != NULL && has_room(group) ? first->task : NULL;
}

static void wake_if(cori_task *task)
{
    if (task != NULL) {
        cori_wake(task);
    }
}

/* Waits until the caller is first in the queue and there is room. Under the lock. */
static int await_room(cor_group *group, cori_task *self)
{
    cori_group_waiter waiter = {.task = self};
    int rc = 0;
    queue_push(&group->starting, &group->starting_last, &waiter);
    while (rc == 0 && !(group->starting == &waiter && has_room(group))) {
        unlock(group);
        rc = cori_interrupted(self, 0);
        if (rc == 0) {
            cori_park(self, 0, "group limit");
        }
        lock(group);
    }
    queue_remove(&group->starting, &group->starting_last, &waiter);
    return rc;
}

/*
 * Under the lock: 0 when a task was counted, 1 if that needs a scope to spare, else why it cannot be. Whoever waits has
 * one before: it must not lose its place in the queue for want of it.
 */
static int try_enter(cor_group *group, cori_task *self, bool waits, cori_scope **spare)
{
    if (cori_unlikely(!has_room(group) || group->starting != NULL)) {
        if (!waits || *spare == NULL) {
            return waits ? 1 : -EAGAIN;
        }
        int rc = await_room(group, self);
        if (rc != 0) {
            return rc;
        }
    }
    return count_task(group, self->scope, spare) ? 0 : 1;
}

/*
 * Counts a task that is about to start, once there is room; `waits` false: -EAGAIN if there is none. Inline: a start is
 * 13 instructions dearer without.
 */
static inline __attribute__((always_inline)) int enter(cor_group *group, cori_task *self, bool waits)
{
    cori_scope *spare = NULL;
    int rc = 1;
    while (rc > 0) {
        lock(group);
        rc = try_enter(group, self, waits, &spare);
        cori_task *next = next_starter(group);
        unlock(group);
        wake_if(next);
        if (rc > 0) {
            spare = cori_scope_new(group); /* not under the lock; then all is looked at again */
            rc = spare != NULL ? rc : -ENOMEM;
        }
    }
    cori_scope_let_go(spare);
    return rc;
}

int cori_group_enter(cor_group *group, cori_scope **out)
{
    int rc = enter(group, cori_here_task(), false);
    *out = rc == 0 ? group->scope : NULL;
    return rc;
}

int cori_group_join(cor_group *group, cori_scope **before)
{
    cori_task *self = cori_self();
    cori_scope *scope;
    int rc = self != NULL ? cori_group_enter(group, &scope) : COR_ENOT_TASK;
    if (rc == 0) {
        *before = self->scope; /* its group counts the task as before, and the new scope holds it */
        cori_member_move(self, scope);
    }
    return rc;
}

void cori_group_leave(cori_scope *before)
{
    cori_task *self = cori_here_task();
    cori_scope *scope = self->scope;
    cori_member_move(self, before);
    cori_member_uncount(scope);
}

static int start(cor_group *group, cori_spawn *spawn, bool waits)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = enter(group, self, waits);
    if (rc != 0) {
        return waits ? cori_in_vain(rc) : rc;
    }
    cori_scope *scope = group->scope;
    spawn->scope = scope;
    rc = cori_spawn_task(spawn, NULL);
    if (rc < 0) {
        cori_member_uncount(scope);
    }
    return rc;
}

int cori_group_start(cor_group *group, cori_spawn *spawn)
{
    return group != NULL ? start(group, spawn, true) : cori_spawn_task(spawn, NULL);
}

int cor_group_go(cor_group *group, void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = {.function = task, .arg_a = arg, .site = __builtin_return_address(0), .worker = -1};
    return start(group, &spawn, true);
}

int cor_group_go_with(cor_group *group, const cor_task_options *options, void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = {.function = task, .arg_a = arg, .site = __builtin_return_address(0), .worker = -1};
    cori_spawn_options(&spawn, options);
    return start(group, &spawn, true);
}

int cor_group_try_go(cor_group *group, void (*task)(void *arg), void *arg)
{
    cori_spawn spawn = {.function = task, .arg_a = arg, .site = __builtin_return_address(0), .worker = -1};
    return start(group, &spawn, false);
}

/* Cancels with `cause`; `failed`: it is a task's result, and the group's error if it is the first. */
static void cancel(cor_group *group, int cause, bool failed)
{
    cori_scope *scope = NULL;
    lock(group);
    if (failed && group->error == 0) {
        group->error = cause;
    }
    if (!group->cancelled) {
        group->cancelled = true;
        group->cause = cause;
        scope = hold_scope(group);
    }
    if (scope != NULL) {
        cori_store(&scope->cause, cause);
        cori_store(&scope->cancelled, 1);
    }
    unlock(group);
    if (scope != NULL) {
        cori_scope_wake(scope);
        cori_scope_let_go(scope);
    }
}

/* What a task that can fail begins with; the user's is the task's `function`. */
static void fallible_entry(void *arg, void *unused)
{
    int (*task)(void *) = (int (*)(void *))(uintptr_t)cori_here_task()->function;
    (void)unused;
    int rc = task(arg);
    if (rc < 0) {
        cancel(cori_here_task()->scope->group, rc, true);
    }
}

int cor_group_go_err(cor_group *group, int (*task)(void *arg), void *arg)
{
    cori_spawn spawn = {.entry = fallible_entry,
                        .arg_a = arg,
                        .function = (void (*)(void *))(uintptr_t)task,
                        .site = __builtin_return_address(0),
                        .worker = -1};
    return start(group, &spawn, true);
}

void cor_group_set_limit(cor_group *group, size_t limit)
{
    lock(group);
    group->limit = limit;
    cori_task *next = next_starter(group);
    unlock(group);
    wake_if(next);
}

/* Decides; false if it was decided otherwise. Under the lock; `parent` is held. *held is to be let go of after it. */
static bool decide_for(cor_group *group, cori_scope *parent, cori_scope **held)
{
    cori_scope *scope = hold_scope(group);
    cori_scope *was = scope == NULL ? hold_parent(group) : scope->parent;
    bool free = scope == NULL && was == NULL && !group->alone;
    bool agrees = was == parent && (parent != NULL || group->alone);
    if (free) {
        group->alone = parent == NULL;
        group->parent = parent;
        group->parent_life = parent != NULL ? parent->life : 0;
    }
    *held = scope != NULL ? scope : was;
    return free || agrees;
}

int cor_group_set_parent(cor_group *group, cor_group *parent)
{
    cori_scope *above = NULL;
    if (parent != NULL) {
        lock(parent);
        above = hold_scope(parent);
        unlock(parent);
        if (above == NULL) {
            return COR_EMISUSE;
        }
    }
    lock(group);
    cori_scope *held;
    bool done = decide_for(group, above, &held);
    unlock(group);
    cori_scope_let_go(held);
    cori_scope_let_go(above);
    return done ? 0 : COR_EMISUSE;
}

/* True if the task belongs to the group or to one below it. Under the lock. */
static bool is_inside(const cor_group *group, const cori_task *task)
{
    const cori_scope *scope = task->scope;
    while (scope != NULL && !(scope == group->scope && scope->life == group->scope_life)) {
        scope = scope->parent;
    }
    return scope != NULL;
}

/* The waiter that must see an end that it has not seen, NULL: none. Under the lock. */
static cori_task *next_waiter(const cor_group *group)
{
    const cori_group_waiter *first = group->waiting;
    return first != NULL && first->ends != group->ends ? first->task : NULL;
}

/* Under the lock, which is given back. */
static int await_end(cor_group *group, cori_task *self, int64_t deadline)
{
    cori_group_waiter waiter = {.task = self, .ends = group->ends};
    bool late = false;
    queue_push(&group->waiting, &group->waiting_last, &waiter);
    while (group->ends == waiter.ends && !late) {
        unlock(group);
        late = deadline != 0 && deadline <= cori_here_now();
        if (!late) {
            cori_park_plain(self, deadline, "group wait");
        }
        lock(group);
    }
    queue_remove(&group->waiting, &group->waiting_last, &waiter);
    int rc = group->ends != waiter.ends ? group->error : COR_ETIMEOUT;
    cori_task *next = next_waiter(group);
    unlock(group);
    wake_if(next);
    return rc;
}

int cor_group_wait(cor_group *group, int64_t deadline)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    lock(group);
    if (cori_unlikely(self->scope != NULL && is_inside(group, self))) {
        unlock(group);
        return COR_EMISUSE;
    }
    int rc = group->error;
    if (group->count != 0) {
        rc = await_end(group, self, deadline);
    } else {
        unlock(group);
    }
    cori_charge(self); /* it may not have waited */
    return rc;
}

int cor_group_error(cor_group *group)
{
    lock(group);
    int error = group->error;
    unlock(group);
    return error;
}

void cor_group_cancel(cor_group *group)
{
    cancel(group, COR_ECANCELED, false);
}

void cor_group_cancel_cause(cor_group *group, int cause)
{
    cancel(group, cause < 0 ? cause : COR_ECANCELED, false);
}

void cor_group_set_deadline(cor_group *group, int64_t deadline)
{
    lock(group);
    group->deadline = deadline;
    cori_scope *scope = hold_scope(group);
    if (scope != NULL) {
        cori_store(&scope->deadline, deadline);
    }
    unlock(group);
    if (scope != NULL) {
        cori_scope_wake(scope);
        cori_scope_let_go(scope);
    }
}

int cor_cancelled(void)
{
    const cori_task *self = cori_self();
    return self != NULL && self->scope != NULL ? cori_member_interrupted(self, cor_now()) : 0;
}

int cor_cancel_cause(cor_cause *cause)
{
    const cori_task *self = cori_self();
    const cori_scope *ended = self != NULL ? cori_scope_ended(self->scope, cor_now()) : NULL;
    if (ended == NULL) {
        return 0;
    }
    bool cancelled = cori_load(&ended->cancelled) != 0;
    cause->code = cancelled ? COR_ECANCELED : COR_ETIMEOUT;
    cause->cause = cancelled ? cori_load(&ended->cause) : COR_ETIMEOUT;
    cause->group = ended->group;
    return cause->code;
}

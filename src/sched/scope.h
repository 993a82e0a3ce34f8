/* SPDX-License-Identifier: MIT */
/*
 * The scope: what the tasks of a group hold on to. The `cor_group` is its creator's memory and may go when its tasks
 * have ended; groups started by those tasks may still run then and ask what was cancelled above them. So the tree is
 * made of scopes, which the library owns.
 *
 *      (free) --- the group's first task starts ---> ALIVE --- nobody holds it ---> (free, `life` + 1)
 *
 * Holders are counted under `spin`: the group while it has tasks (one holder however many), each child scope, and a
 * call that works on it. The last holder to let go unlinks the scope from its parent and lets go of the parent in turn.
 * So the parent of a living scope lives, `parent` never changes, and a task walks up its chain without a lock.
 *
 * Memory of scopes is reused for scopes and never given back. So a group may keep a scope without holding it, as a
 * pointer and the `life` it saw: cori_scope_hold_if tells under the scope's lock whether it is still that one. This
 * is how a group that nobody waits for needs no call at its end.
 *
 * Locks: the group's `spin`, then a scope's, a parent's before its children's. A scope's `spin` guards its list of
 * members, its list of children with their sibling links, and its holders. No loop under it is longer than the number
 * of workers or CORI_WAKE_BATCH.
 */
#ifndef CORI_SCHED_SCOPE_H
#define CORI_SCHED_SCOPE_H

#include "base/atomic.h"
#include "base/lock.h"
#include "sched/state.h"

#include <coracle/group.h>

/* A walk over the members that gives the lock back now and then; on the walker's stack, linked in `walks`. */
typedef struct cori_walk {
    struct cori_task *next; /* guard: the scope's spin; a member that leaves moves it on */
    struct cori_walk *other;
} cori_walk;

typedef struct cori_scope {
    uint32_t spin;
    uint32_t holders;            /* guard: spin; 0: dead */
    uint64_t life;               /* guard: spin; changes with each death, so a holder needs no lock to read it */
    uint32_t cancelled;          /* atomic: set, then members are woken; never taken back */
    int32_t cause;               /* atomic: why, set before `cancelled` */
    int64_t deadline;            /* atomic; absolute, 0: none */
    struct cori_scope *parent;   /* held; does not change during a life */
    struct cori_scope *children; /* guard: spin */
    struct cori_scope *next_sibling, *prev_sibling; /* guard: the parent's spin */
    struct cori_task *members;                      /* guard: spin */
    cori_walk *walks;                               /* guard: spin; one per worker at most, for a walk does not park */
    cor_group *group;                               /* whose; its memory is there while it has members */
    struct cori_scope *next_made;                   /* the one made before it; set once */
} cori_scope;

/* With one worker nobody else can be here: groups are used by tasks only. */
static inline void cori_scope_lock(uint32_t *spin)
{
    if (cori_unlikely(!cori_rt.solo)) {
        cori_spin_lock(spin);
    }
}

static inline void cori_scope_unlock(uint32_t *spin)
{
    cori_spin_unlock(spin);
}

/* A scope that is held once by the caller and linked nowhere; NULL: no memory. Cancelled and deadline are unset. */
cori_scope *cori_scope_new(cor_group *group);
/* Makes `scope` a child of `parent`, whose holder it takes over from the caller. NULL: none. */
void cori_scope_link(cori_scope *scope, cori_scope *parent);
/* One more holder of a scope that is held already. */
void cori_scope_hold(cori_scope *scope);
/* The same for a scope that may have died: false if it is not in the life `life` any more. */
bool cori_scope_hold_if(cori_scope *scope, uint64_t life);
/* One holder less. */
void cori_scope_let_go(cori_scope *scope);
/* When no task is left: lets the scopes die that tasks held which cor_run has abandoned. One thread. */
void cori_scope_end(void);
/* Makes every member of the scope and of those below it look at its groups again. The caller holds it. */
void cori_scope_wake(cori_scope *top);

#endif

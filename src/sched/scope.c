/* SPDX-License-Identifier: MIT */
/* The tree of scopes: holders, links, and the walk that wakes. Design: scope.h. */
#include "sched/scope.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/memory.h"
#include "sched/wake.h"

#include <stdlib.h>

/* Dead scopes, linked by next_sibling. */
static uint32_t free_spin;
static cori_scope *free_first; /* guard: free_spin */
static cori_scope *made_last;  /* guard: free_spin; all of them, dead or alive */

static void give_back(cori_scope *scope)
{
    cori_scope_lock(&free_spin);
    scope->next_sibling = free_first;
    free_first = scope;
    cori_scope_unlock(&free_spin);
}

/* One from the heap, for good. */
static cori_scope *make(void)
{
    cori_scope *scope = cori_calloc(1, sizeof(*scope));
    if (scope != NULL) {
        cori_scope_lock(&free_spin);
        scope->next_made = made_last;
        made_last = scope;
        cori_scope_unlock(&free_spin);
    }
    return scope;
}

cori_scope *cori_scope_new(cor_group *group)
{
    cori_scope_lock(&free_spin);
    cori_scope *scope = free_first;
    if (scope != NULL) {
        free_first = scope->next_sibling;
    }
    cori_scope_unlock(&free_spin);
    if (scope == NULL) {
        scope = make();
    }
    if (scope != NULL) {
        cori_scope_lock(&scope->spin); /* somebody may look whether it is still what it was */
        scope->holders = 1;
        scope->parent = NULL;
        scope->children = NULL;
        scope->next_sibling = NULL;
        scope->prev_sibling = NULL;
        scope->group = group;
        cori_store_relaxed(&scope->cancelled, 0);
        cori_store_relaxed(&scope->cause, 0);
        cori_store_relaxed(&scope->deadline, 0);
        cori_scope_unlock(&scope->spin);
    }
    return scope;
}

void cori_scope_link(cori_scope *scope, cori_scope *parent)
{
    scope->parent = parent;
    if (parent == NULL) {
        return;
    }
    cori_scope_lock(&parent->spin);
    cori_list_add(&parent->children, scope, next_sibling, prev_sibling);
    cori_scope_unlock(&parent->spin);
}

static void unlink_child(cori_scope *scope)
{
    cori_scope *parent = scope->parent;
    cori_scope_lock(&parent->spin);
    cori_list_remove(&parent->children, scope, next_sibling, prev_sibling);
    cori_scope_unlock(&parent->spin);
}

void cori_scope_hold(cori_scope *scope)
{
    cori_scope_lock(&scope->spin);
    scope->holders++;
    cori_scope_unlock(&scope->spin);
}

bool cori_scope_hold_if(cori_scope *scope, uint64_t life)
{
    cori_scope_lock(&scope->spin);
    bool alive = scope->holders != 0 && scope->life == life;
    scope->holders += alive;
    cori_scope_unlock(&scope->spin);
    return alive;
}

/* True for the last one. */
static bool drop(cori_scope *scope)
{
    cori_scope_lock(&scope->spin);
    bool last = --scope->holders == 0;
    if (last) { /* other holders read it without the lock: it must not be written while there are any */
        scope->life++;
    }
    cori_scope_unlock(&scope->spin);
    return last;
}

void cori_scope_let_go(cori_scope *scope)
{
    while (scope != NULL && drop(scope)) {
        cori_scope *parent = scope->parent;
        if (parent != NULL) {
            unlink_child(scope);
        }
        give_back(scope);
        scope = parent; /* which the child held */
    }
}

void cori_scope_end(void)
{
    for (cori_scope *scope = made_last; scope != NULL; scope = scope->next_made) {
        if (scope->holders != 0) {
            scope->holders = 0;
            scope->life++;
            scope->members = NULL;
            scope->walks = NULL;
            give_back(scope);
        }
    }
}

/* Takes up to a batch of members from the walk. Under the lock. */
static int take_batch(cori_walk *walk, cori_task **batch)
{
    int count = 0;
    while (count < CORI_WAKE_BATCH && walk->next != NULL) {
        batch[count++] = walk->next;
        walk->next = walk->next->scope_next;
    }
    return count;
}

/* Not inline: gcc cannot see that walk_end always takes the local variable out again. */
static __attribute__((noinline)) void walk_begin(cori_scope *scope, cori_walk *walk)
{
    walk->next = scope->members;
    walk->other = scope->walks;
    scope->walks = walk;
}

static void walk_end(cori_scope *scope, cori_walk *walk)
{
    cori_walk **link = &scope->walks;
    while (*link != walk) {
        link = &(*link)->other;
    }
    *link = walk->other;
}

/*
 * Wakes the members in batches, without the lock: they may leave and end meanwhile, and a wake that comes too late does
 * no harm (task.h). Members that come during the walk are put before it and see for themselves what was set.
 */
static void wake_members(cori_scope *scope)
{
    cori_task *batch[CORI_WAKE_BATCH];
    cori_walk walk;
    int count;
    bool more = true;
    cori_scope_lock(&scope->spin);
    walk_begin(scope, &walk);
    while (more) {
        count = take_batch(&walk, batch);
        more = walk.next != NULL;
        if (!more) {
            walk_end(scope, &walk);
        }
        cori_scope_unlock(&scope->spin);
        cori_wakes wakes = {0};
        for (int i = 0; i < count; i++) {
            cori_wakes_add(&wakes, batch[i]);
        }
        cori_wakes_end(&wakes);
        if (more) {
            cori_scope_lock(&scope->spin);
        }
    }
}

/* The first living scope from `scope` on along the siblings, held; NULL: none. Under the parent's lock. */
static cori_scope *hold_first(cori_scope *scope)
{
    for (; scope != NULL; scope = scope->next_sibling) { /* dead ones are being unlinked, by a worker each */
        cori_scope_lock(&scope->spin);
        bool alive = scope->holders != 0;
        scope->holders += alive;
        cori_scope_unlock(&scope->spin);
        if (alive) {
            break;
        }
    }
    return scope;
}

static cori_scope *hold_child(cori_scope *scope)
{
    cori_scope_lock(&scope->spin);
    cori_scope *child = hold_first(scope->children);
    cori_scope_unlock(&scope->spin);
    return child;
}

static cori_scope *hold_sibling(cori_scope *scope)
{
    cori_scope *parent = scope->parent;
    cori_scope_lock(&parent->spin);
    cori_scope *sibling = hold_first(scope->next_sibling);
    cori_scope_unlock(&parent->spin);
    return sibling;
}

/*
 * A walk down and across without recursion: trees are as deep as users make them. It holds one scope at a time, `at`;
 * that keeps those above it alive, and `at` itself among its siblings.
 */
void cori_scope_wake(cori_scope *top)
{
    cori_scope *at = top;
    cori_scope_hold(at);
    for (;;) {
        wake_members(at);
        cori_scope *next = hold_child(at);
        while (next == NULL && at != top) {
            next = hold_sibling(at);
            if (next == NULL) {
                cori_scope *parent = at->parent;
                cori_scope_hold(parent);
                cori_scope_let_go(at);
                at = parent;
            }
        }
        cori_scope_let_go(at);
        if (next == NULL) {
            return;
        }
        at = next;
    }
}

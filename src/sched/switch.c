/* SPDX-License-Identifier: MIT */
/*
 * Which task runs next, and how to get there. Within a round a task that parks switches straight to the next runnable
 * one; the scheduler's own stack runs only between rounds and when there is nothing to run. Tasks run in order of
 * arrival, those that never ran (in the fresh queue) and the others together: while there are any of the former, each
 * gets a ticket when it is queued, and the lower of the two queues' heads is next.
 *
 * Nobody can free the stack it stands on. An ended task is kept for this thread's next spawn, which cannot come before
 * the switch away from it is over; when enough are kept already, it is released at the end of the round (`ended`). So
 * nothing has to be done after a switch, and the switch is the last thing that cori_worker_next does.
 */
#include "sched/switch.h"

#include "base/fatal.h"
#include "sched/carry.h"
#include "sched/locks.h"
#include "sched/member.h"
#include "sched/placement.h"
#include "sched/round.h"
#include "sched/task_stack.h"

static inline cori_task *pick(cori_worker *worker)
{
    cori_task *first = worker->ready.head;
    uint64_t fresh_first = cori_load_relaxed(&worker->fresh_first);
    if (cori_unlikely(fresh_first != UINT64_MAX) && (first == NULL || fresh_first <= first->ticket)) {
        cori_task *fresh = cori_place_take(worker);
        if (fresh != NULL) {
            return fresh;
        }
    }
    return cori_ready_pop(worker);
}

cori_task *cori_pick(cori_worker *worker)
{
    return pick(worker);
}

/* When errno or C++'s exceptions have to be carried over, or `next` never ran. */
static __attribute__((noinline)) void switch_carrying(cori_worker *worker, cori_task *self, cori_task *next)
{
    cori_carry_off(worker, self);
    cori_carry_in(worker, next);
    if (next->ctx.sp != NULL) {
        cori_ctx_switch(&self->ctx, &next->ctx);
    } else {
        cori_ctx_enter(&self->ctx, &next->ctx, next, cori_task_main, next, false);
    }
}

static inline void switch_to(cori_worker *worker, cori_task *self, cori_task *next)
{
    cori_begin_turn(worker, next);
    if (cori_carry_quickly(worker, self, next)) {
        cori_ctx_switch(&self->ctx, &next->ctx);
    } else {
        switch_carrying(worker, self, next);
    }
}

static inline void switch_to_scheduler(cori_worker *worker, cori_task *self)
{
    cori_begin_turn(worker, NULL);
    cori_carry_off(worker, self);
    cori_ctx_switch(&self->ctx, &worker->scheduler);
}

static inline void go_on_with(cori_worker *worker, cori_task *self, cori_task *next)
{
    if (next == NULL) {
        switch_to_scheduler(worker, self);
    } else if (next == self) {
        cori_begin_turn(worker, self);
    } else {
        switch_to(worker, self, next);
    }
}

/* True if the round goes on with the head of the run queue, if there is one. */
static inline bool next_is_ready(const cori_worker *worker)
{
    return cori_round_goes_on(worker) && cori_load_relaxed(&worker->fresh_first) == UINT64_MAX;
}

/* When the round may be over, or a task of the fresh queue may be next, or there is none. */
static __attribute__((noinline)) cori_task *find_next(cori_worker *worker)
{
    if (worker->ready.head == NULL && cori_load_relaxed(&worker->fresh_first) == UINT64_MAX) {
        return NULL;
    }
    if (!cori_round_goes_on(worker) && cori_round_is_over(worker)) {
        return NULL;
    }
    worker->switches++;
    return pick(worker);
}

/* The task that this round goes on with, NULL: there is none, or the round is over. */
static inline cori_task *next_of_round(cori_worker *worker)
{
    if (cori_likely(worker->ready.head != NULL) && next_is_ready(worker)) {
        worker->switches++;
        return cori_ready_pop(worker);
    }
    return find_next(worker);
}

static __attribute__((noinline)) void next_slowly(cori_worker *worker, cori_task *self)
{
    go_on_with(worker, self, find_next(worker));
}

void cori_worker_next(cori_worker *worker, cori_task *self)
{
    cori_locks_check(self, "parks");
    if (cori_likely(worker->ready.head != NULL) && next_is_ready(worker)) {
        worker->switches++;
        cori_task *next = cori_ready_pop(worker);
        if (cori_unlikely(next == self)) {
            cori_begin_turn(worker, self);
        } else {
            switch_to(worker, self, next);
        }
    } else {
        next_slowly(worker, self);
    }
}

/*
 * A yield that may end the round, or has nobody to yield to. If it ends the round, the task is not queued yet: what
 * happened while it ran (a timer that is due, I/O, another thread's wake) came before its yield. Nor is one that
 * floats: another worker may take it as soon as it is, so it is not queued on its own stack.
 */
static __attribute__((noinline)) void yield_slowly(cori_worker *worker, cori_task *self)
{
    bool over = !cori_round_goes_on(worker) && cori_round_is_over(worker);
    if (!over) {
        worker->switches++;
        if (worker->ready.head == NULL && cori_load_relaxed(&worker->fresh_first) == UINT64_MAX) {
            cori_begin_turn(worker, self);
            return;
        }
    }
    if (over || cori_unlikely(self->floats)) {
        worker->yielded = self;
        switch_to_scheduler(worker, self);
        return;
    }
    cori_ready_push(worker, self);
    go_on_with(worker, self, pick(worker));
}

/* A yield of the only task that has run, to one that never did: the whole of a child that is started and ends. */
static __attribute__((noinline)) void yield_to_fresh(cori_worker *worker, cori_task *self)
{
    cori_task *fresh = cori_place_take(worker);
    worker->switches++;
    if (cori_unlikely(fresh == NULL)) {
        cori_begin_turn(worker, self);
        return;
    }
    cori_ready_push(worker, self);
    cori_begin_turn(worker, fresh);
    cori_carry_off(worker, self);
    cori_carry_in(worker, fresh);
    cori_ctx_enter(&self->ctx, &fresh->ctx, fresh, cori_task_main, fresh, false);
}

void cor_yield(void)
{
    cori_worker *worker = cori_self_worker;
    cori_task *self = worker != NULL ? worker->current : NULL;
    if (self == NULL) {
        return;
    }
    cori_locks_check(self, "yields");
    if (cori_likely(worker->ready.head != NULL) && next_is_ready(worker)) {
        worker->switches++;
        switch_to(worker, self, cori_ready_rotate(worker, self));
    } else if (worker->ready.head == NULL && worker->solo && cori_round_goes_on(worker) &&
               cori_load_relaxed(&worker->fresh_first) != UINT64_MAX) {
        yield_to_fresh(worker, self);
    } else {
        yield_slowly(worker, self);
    }
}

/* Leaves an ended task for the next one. */
static inline void leave(cori_worker *worker, cori_task *self)
{
    cori_task *next = next_of_round(worker);
    cori_begin_turn(worker, next);
    if (next == NULL) {
        cori_ctx_exit(&self->ctx, &worker->scheduler);
        return;
    }
    if (cori_unlikely(*worker->errno_shown != next->errno_kept)) {
        cori_carry_in(worker, next);
    }
    if (next->ctx.sp == NULL) {
        cori_ctx_enter(&self->ctx, &next->ctx, next, cori_task_main, next, true);
    } else {
        cori_ctx_exit(&self->ctx, &next->ctx);
    }
}

void cori_task_main(void *arg)
{
    cori_task *self = arg;
    cori_ctx_arrived(&self->ctx);
    if (self->entry != NULL) {
        self->entry(self->arg_a, self->arg_b);
    } else {
        self->function(self->arg_a);
    }
    cori_locks_check(self, "ends");
    cori_worker *worker = self->worker; /* not the one that it began on, if it floats */
    if (self->scope != NULL) {
        cori_member_leave(self);
    }
    if (self->timer.slot != 0) {
        cori_heap_remove(&worker->timers, &self->timer);
        cori_store_relaxed(&worker->timer_count, worker->timers.count);
    }
    cori_task_unpin(worker, self);
    if (CORI_TSAN || !cori_task_keep(worker, self)) { /* TSan's idea of the task is still needed for the switch */
        self->next = worker->ended;
        worker->ended = self;
    }
    leave(worker, self);
}

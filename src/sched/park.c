/* SPDX-License-Identifier: MIT */
/* Parking with deadlines: the slower paths of park.h. */
#include "sched/park.h"

#include "base/clock.h"
#include "base/fatal.h"
#include "sched/virtual.h"

/* Arms the task's timer for self->deadline unless it will fire earlier anyway. */
static __attribute__((noinline)) int arm(cori_worker *worker, cori_task *self)
{
    if (self->timer.slot != 0 && self->timer.when <= self->deadline) {
        return 0;
    }
    int rc = cori_heap_set(&worker->timers, &self->timer, self->deadline);
    cori_store_relaxed(&worker->timer_count, worker->timers.count);
    return rc;
}

static inline __attribute__((always_inline)) void park(cori_task *self, int64_t deadline, const char *what)
{
    cori_worker *worker = self->worker;
    cori_assert(self == worker->current); /* nobody parks another */
    self->deadline = deadline;
    if (cori_unlikely(deadline != 0) && arm(worker, self) < 0) {
        cor_yield(); /* no memory for the timer: the caller's loop polls until there is some */
        return;
    }
    cori_park_now(self, what, cori_rt.solo);
}

static inline int64_t with_group(const cori_task *self, int64_t deadline)
{
    return cori_member_is_free(self) ? deadline : cori_member_deadline(self, deadline);
}

void cori_park_plain(cori_task *self, int64_t deadline, const char *what)
{
    park(self, deadline, what);
}

void cori_park_until(cori_task *self, int64_t deadline, const char *what)
{
    park(self, with_group(self, deadline), what);
}

int cori_in_vain(int rc)
{
    cori_task *self = cori_self();
    if (self != NULL) {
        cori_charge(self);
    }
    return rc;
}

/*
 * Fetches what the task after the next will need first: its innermost frames and its object. Until its turn the next
 * one does its system calls: long enough to hide that a thousand parked tasks fit neither the nearer caches nor the
 * TLB, and that the kernel's work in between displaces them. (Always inline: gcc takes a function that only prefetches
 * for one without effect, and drops the call.)
 */
static inline __attribute__((always_inline)) void prefetch_after_next(const cori_worker *worker)
{
    const cori_task *next = worker->ready.head;
    const cori_task *after = next != NULL && next != worker->ready.tail ? next->next : NULL;
    if (after != NULL) {
        uintptr_t frames = (uintptr_t)after->ctx.sp; /* a number: a task that never ran has none yet */
#pragma GCC unroll 16
        for (int line = 0; line < CORI_PREFETCH_LINES; line++) {
            __builtin_prefetch((const void *)(frames + (uintptr_t)line * CORI_CACHE_LINE));
        }
        __builtin_prefetch((const char *)after + CORI_CACHE_LINE);
    }
}

/* A wait for something outside the program has ended on `worker`. Of several only the sum is never below nothing. */
static inline void end_outside(cori_worker *worker)
{
    if (worker->solo) {
        cori_assert(worker->external > 0);
    }
    cori_bump(worker->external, -1);
}

void cori_park_external(cori_task *self, int64_t deadline, const char *what)
{
    cori_worker *worker = self->worker;
    prefetch_after_next(worker);
    cori_bump(worker->external, 1);
    park(self, with_group(self, deadline), what);
    end_outside(self->worker); /* another perhaps, if it floats */
}

void cori_park_outside(cori_task *self, const char *what)
{
    cori_worker *worker = self->worker;
    cori_bump(worker->external, 1);
    cori_park_plain(self, 0, what);
    end_outside(self->worker);
}

void cori_turn_spent(void)
{
    if (cori_virtual_driver == NULL || cori_virtual_point()) {
        cor_yield();
    }
}

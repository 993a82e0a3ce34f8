/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's loop. A worker works in rounds: take what other threads injected, run up to CORI_ROUND_SWITCHES
 * tasks, read the clock, fire timers, ask the poller (without waiting while anything is runnable). So a busy pair of
 * tasks keeps neither timers nor other tasks waiting for longer than a round. A round may take a microsecond only, so
 * while there is something to run the poller is asked at most every CORI_POLL_INTERVAL_NS.
 *
 * Within a round a task that parks switches straight to the next runnable one; the scheduler's own stack runs only
 * between rounds and when there is nothing to run. Tasks run in order of arrival, those that never ran (in the fresh
 * queue) and the others together: each gets a ticket when it is queued, and the lower of the two queues' heads is next.
 *
 * Nobody can free the stack it stands on. An ended task is kept for this thread's next spawn, which cannot come before
 * the switch away from it is over; when enough are kept already, it is released at the end of the round (`ended`). So
 * nothing has to be done after a switch, and the switch is the last thing that cori_worker_next does.
 */
#include "sched/worker.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "sched/park.h"

#include <errno.h>

cori_runtime cori_rt;
__thread cori_worker *cori_self_worker;

/* Releases the tasks that have ended in this round and could not be kept. On the scheduler's own stack. */
static void release_ended(cori_worker *worker)
{
    while (worker->ended != NULL) {
        cori_task *task = worker->ended;
        worker->ended = task->next;
        cori_task_release(worker, task);
    }
}

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

static inline void begin_turn(cori_worker *worker, cori_task *next)
{
    worker->current = next;
    if (worker->ops_left != CORI_OPS_BUDGET) {
        worker->ops_left = CORI_OPS_BUDGET;
    }
}

/* To the task's code, NULL: to the scheduler's. */
static inline void switch_to(cori_worker *worker, cori_ctx *from, cori_task *next)
{
    begin_turn(worker, next);
    if (next == NULL) {
        cori_ctx_switch(from, &worker->scheduler);
    } else if (cori_likely(next->ctx.sp != NULL)) {
        cori_ctx_switch(from, &next->ctx);
    } else {
        cori_ctx_enter(from, &next->ctx, next, cori_task_main, next, false);
    }
}

static inline void go_on_with(cori_worker *worker, cori_task *self, cori_task *next)
{
    if (next == self) {
        begin_turn(worker, self);
        return;
    }
    switch_to(worker, &self->ctx, next);
}

/* When the round is over, a task of the fresh queue may be next, or nothing is runnable. */
static __attribute__((noinline)) void next_slowly(cori_worker *worker, cori_task *self)
{
    go_on_with(worker, self, --worker->switches_left > 0 ? pick(worker) : NULL);
}

/* True if the round goes on with the head of the run queue, if there is one. */
static inline bool next_is_ready(const cori_worker *worker)
{
    return cori_likely(worker->switches_left > 1) && cori_load_relaxed(&worker->fresh_first) == UINT64_MAX;
}

void cori_worker_next(cori_worker *worker, cori_task *self)
{
    if (cori_likely(worker->ready.head != NULL) && next_is_ready(worker)) {
        worker->switches_left--;
        go_on_with(worker, self, cori_ready_pop(worker));
    } else {
        next_slowly(worker, self);
    }
}

void cor_yield(void)
{
    cori_worker *worker = cori_self_worker;
    cori_task *self = worker != NULL ? worker->current : NULL;
    if (self == NULL) {
        return;
    }
    if (cori_likely(worker->ready.head != NULL) && next_is_ready(worker)) {
        worker->switches_left--;
        switch_to(worker, &self->ctx, cori_ready_rotate(worker, self));
    } else {
        cori_ready_push(worker, self);
        cori_worker_next(worker, self);
    }
}

static void live_remove(cori_worker *worker, cori_task *task)
{
    if (task->live_prev != NULL) {
        task->live_prev->live_next = task->live_next;
    } else {
        worker->live_head = task->live_next;
    }
    if (task->live_next != NULL) {
        task->live_next->live_prev = task->live_prev;
    }
    if (cori_unlikely(worker->trim_next == task)) {
        worker->trim_next = task->live_next;
    }
    cori_bump(worker->live, -1);
}

/* Leaves an ended task for the next one. */
static inline void leave(cori_worker *worker, cori_task *self)
{
    cori_task *next = --worker->switches_left > 0 ? pick(worker) : NULL;
    begin_turn(worker, next);
    if (next != NULL && next->ctx.sp == NULL) {
        cori_ctx_enter(&self->ctx, &next->ctx, next, cori_task_main, next, true);
    } else {
        cori_ctx_exit(&self->ctx, next != NULL ? &next->ctx : &worker->scheduler);
    }
}

void cori_task_main(void *arg)
{
    cori_task *self = arg;
    cori_worker *worker = self->worker;
    cori_ctx_arrived(&self->ctx);
    if (self->entry != NULL) {
        self->entry(self->arg_a, self->arg_b);
    } else {
        self->function(self->arg_a);
    }
    if (self->group != NULL) {
        cori_group_leave(self);
    }
    if (self->timer.place != 0) {
        cori_heap_remove(&worker->timers, &self->timer);
        cori_store_relaxed(&worker->timer_count, worker->timers.count);
    }
    live_remove(worker, self);
    if (CORI_TSAN || !cori_task_keep(worker, self)) { /* TSan's idea of the task is still needed for the switch */
        self->next = worker->ended;
        worker->ended = self;
    }
    leave(worker, self);
}

/* Queues for the owner of `task->worker` what happened on any thread. */
void cori_worker_inject(cori_task *task)
{
    cori_worker *worker = task->worker;
    cori_task *head = cori_load_relaxed(&worker->injected);
    do {
        task->next = head;
    } while (!cori_cas(&worker->injected, &head, task));
    cori_worker_kick(worker);
}

bool cori_worker_kick(cori_worker *worker)
{
    if (cori_load(&worker->sleeping) == 0 || cori_swap(&worker->sleeping, 0) == 0) {
        return false;
    }
    worker->poller->ops->kick(worker->poller);
    return true;
}

void cori_worker_note(cori_worker *worker, cori_note *note)
{
    cori_note *head = cori_load_relaxed(&worker->notes);
    do {
        note->next = head;
    } while (!cori_cas(&worker->notes, &head, note));
    cori_worker_kick(worker);
}

void cori_wake(cori_task *task)
{
    if (cori_permit_wake(task, cori_rt.solo)) {
        cori_worker *worker = task->worker;
        if (worker == cori_self_worker) {
            cori_ready_push(worker, task);
        } else {
            cori_worker_inject(task);
        }
    }
}

/* Arms the task's timer for self->deadline unless it will fire earlier anyway. */
static __attribute__((noinline)) int arm(cori_worker *worker, cori_task *self)
{
    if (self->timer.place != 0 && self->timer.when <= self->deadline) {
        return 0;
    }
    int rc = cori_heap_set(&worker->timers, &self->timer, self->deadline);
    cori_store_relaxed(&worker->timer_count, worker->timers.count);
    return rc;
}

static inline __attribute__((always_inline)) void park(cori_task *self, int64_t deadline, const char *what)
{
    cori_worker *worker = self->worker;
    self->deadline = deadline;
    if (cori_unlikely(deadline != 0) && arm(worker, self) < 0) {
        cor_yield(); /* no memory for the timer: the caller's loop polls until there is some */
        return;
    }
    cori_park_now(self, what, cori_rt.solo);
}

static inline int64_t with_group(const cori_task *self, int64_t deadline)
{
    return cori_group_is_plain(self->group) ? deadline : cori_group_deadline(self, deadline);
}

void cori_park_plain(cori_task *self, int64_t deadline, const char *what)
{
    park(self, deadline, what);
}

void cori_park_until(cori_task *self, int64_t deadline, const char *what)
{
    park(self, with_group(self, deadline), what);
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

void cori_park_external(cori_task *self, int64_t deadline, const char *what)
{
    cori_worker *worker = self->worker;
    prefetch_after_next(worker);
    cori_bump(worker->external, 1);
    park(self, with_group(self, deadline), what);
    cori_bump(worker->external, -1);
}

void cori_park_outside(cori_task *self, const char *what)
{
    cori_worker *worker = self->worker;
    cori_bump(worker->external, 1);
    cori_park_plain(self, 0, what);
    cori_bump(worker->external, -1);
}

static void take_injected(cori_worker *worker)
{
    if (cori_load_relaxed(&worker->injected) == NULL) {
        return;
    }
    cori_task *task = cori_swap_acquire(&worker->injected, NULL);
    cori_task *oldest = NULL;
    while (task != NULL) { /* the list is newest first */
        cori_task *next = task->next;
        task->next = oldest;
        oldest = task;
        task = next;
    }
    while (oldest != NULL) {
        cori_task *next = oldest->next;
        if (oldest->ctx.sp == NULL) {
            cori_task_pin(worker, oldest); /* it never ran */
        }
        cori_ready_push(worker, oldest);
        oldest = next;
    }
}

static void read_notes(cori_worker *worker)
{
    if (cori_load_relaxed(&worker->notes) == NULL) {
        return;
    }
    cori_note *note = cori_swap_acquire(&worker->notes, NULL);
    while (note != NULL) {
        cori_note *next = note->next; /* afterwards the note may be gone */
        note->act(note);
        note = next;
    }
}

static void fire_timers(cori_worker *worker)
{
    cori_timer *timer = cori_heap_first(&worker->timers);
    if (timer == NULL || timer->when > worker->now) {
        return;
    }
    while (timer != NULL && timer->when <= worker->now) {
        cori_task *task = cori_container(timer, cori_task, timer);
        bool parked = cori_load_relaxed(&task->permit) == CORI_PARKED;
        if (parked && task->deadline > worker->now) {
            (void)cori_heap_set(&worker->timers, timer, task->deadline); /* it is in the heap: cannot fail */
        } else {
            cori_heap_remove(&worker->timers, timer);
            if (parked && task->deadline != 0) {
                cori_wake(task);
            }
        }
        timer = cori_heap_first(&worker->timers);
    }
    cori_store_relaxed(&worker->timer_count, worker->timers.count);
}

static void poll_events(cori_worker *worker, int64_t timeout_ns)
{
    cori_event events[CORI_POLL_EVENTS];
    int count = worker->poller->ops->wait(worker->poller, timeout_ns, events, CORI_POLL_EVENTS);
    cori_store(&worker->naps, worker->naps + 1);
    for (int i = 0; i < count; i++) {
        for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
            if ((events[i].mask & (1u << direction)) != 0) {
                void *waiter = cori_pollfd_ready(events[i].pollfd, direction);
                if (waiter != NULL) {
                    cori_wake(waiter);
                }
            }
        }
    }
}

/* True when all workers looked asleep with nothing to wait for, each at the moment it was looked at. */
static bool nothing_can_run(void)
{
    if (cori_rt.foreign_wakeups || cori_load(&cori_foreign_inside) != 0) {
        return false;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_load(&worker->sleeping) == 0 || cori_load(&worker->external) != 0 ||
            cori_load(&worker->timer_count) != 0 || cori_load(&worker->injected) != NULL ||
            cori_load(&worker->notes) != NULL || cori_load(&worker->fresh_count) != 0) {
            return false;
        }
    }
    return true;
}

static uint64_t total_naps(void)
{
    uint64_t naps = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        naps += cori_load(&cori_rt.workers[i].naps);
    }
    return naps;
}

/*
 * True when no task of any worker can ever run again. Called by a worker that is about to sleep for ever. A worker that
 * wakes counts its nap before it changes anything. So if the sum of naps stands still, each worker that the first pass
 * saw asleep has slept since: after that pass nobody ran, and the second one looks at a state that stands still too.
 */
static bool deadlocked(void)
{
    uint64_t naps = total_naps();
    return nothing_can_run() && nothing_can_run() && total_naps() == naps;
}

/* True if there is something to do: never sleep on it. */
static bool has_work(cori_worker *worker)
{
    return worker->ready.head != NULL || cori_load(&worker->injected) != NULL || cori_load(&worker->notes) != NULL ||
           cori_load(&worker->fresh_count) != 0 || cori_load(&cori_rt.stop) != 0;
}

/* The shorter of two waits, ns; < 0: for ever. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void sleep_until_event(cori_worker *worker)
{
    int64_t timeout_ns = -1;
    cori_timer *timer = cori_heap_first(&worker->timers);
    if (timer != NULL) {
        timeout_ns = timer->when > worker->now ? timer->when - worker->now : 0;
    }
    cori_swap(&worker->sleeping, 1);
    if (!has_work(worker)) {
        cori_fetch_add(&cori_rt.idle, 1);
        int64_t watch_ns = cori_rt.worker_count > 1 ? cori_place_watch(worker) : -1;
        timeout_ns = earlier(timeout_ns, watch_ns);
        if (timeout_ns < 0 && deadlocked()) {
            cori_store(&cori_rt.deadlock, 1);
            cori_worker_stop_all();
        }
        poll_events(worker, earlier(timeout_ns, cori_tidy(worker)));
        cori_fetch_sub(&cori_rt.idle, 1);
    } else {
        cori_store(&worker->naps, worker->naps + 1); /* it looked asleep for a moment */
    }
    cori_store(&worker->sleeping, 0);
}

void cori_worker_stop_all(void)
{
    cori_store(&cori_rt.stop, 1);
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker_kick(&cori_rt.workers[i]);
    }
}

static void run_round(cori_worker *worker)
{
    worker->switches_left = CORI_ROUND_SWITCHES;
    while (worker->switches_left > 0) {
        cori_task *next = pick(worker);
        if (next == NULL && cori_rt.worker_count > 1) {
            next = cori_place_steal(worker);
        }
        if (next == NULL) {
            return;
        }
        if (cori_unlikely(worker->watcher || cori_load_relaxed(&worker->appointed) != 0)) {
            cori_place_resign(worker);
        }
        worker->untidy = true;
        switch_to(worker, &worker->scheduler, next);
        worker->switches_left--;
    }
}

/* Between two rounds: time, timers, events. */
static void look_around(cori_worker *worker)
{
    if (worker->switches_left != CORI_ROUND_SWITCHES) {
        cori_spin_found(worker, worker->now); /* a task from another worker's fresh queue */
    }
    bool busy = has_work(worker);
    if (busy || worker->timers.count > 0 || cori_rt.spin_ns > 0) {
        worker->now = cori_clock_now();
        fire_timers(worker);
        busy = has_work(worker);
    }
    if (busy && worker->now - worker->polled < CORI_POLL_INTERVAL_NS && ++worker->unpolled < CORI_POLL_ROUNDS) {
        return;
    }
    if (busy || (cori_rt.spin_ns > 0 && cori_spin(worker))) {
        poll_events(worker, 0);
    } else {
        sleep_until_event(worker);
    }
    worker->unpolled = 0;
    worker->now = worker->polled = cori_clock_now();
    fire_timers(worker);
    if (cori_rt.spin_ns > 0 && has_work(worker)) {
        cori_spin_found(worker, worker->now);
    }
}

void cori_worker_run(cori_worker *worker)
{
    cori_self_worker = worker;
    cori_ctx_init_thread(&worker->scheduler);
    if (worker->poller->ops->start != NULL) {
        worker->poller->ops->start(worker->poller);
    }
    worker->now = cori_clock_now();
    while (cori_load_relaxed(&cori_rt.stop) == 0) {
        take_injected(worker);
        read_notes(worker);
        run_round(worker);
        release_ended(worker);
        look_around(worker);
    }
    if (worker->poller->ops->stop != NULL) {
        worker->poller->ops->stop(worker->poller);
    }
    cori_self_worker = NULL;
}

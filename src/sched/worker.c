/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's loop. A worker works in rounds: take what other threads injected, run up to CORI_ROUND_SWITCHES
 * tasks, read the clock, fire timers, ask the poller (without waiting while anything is runnable). So a busy pair of
 * tasks keeps neither I/O nor timers nor other tasks waiting for longer than a round.
 *
 * Within a round a task that parks switches straight to the next runnable one; the scheduler's own stack runs only
 * between rounds and when there is nothing to run. Tasks run in order of arrival, those that never ran (in the fresh
 * queue) and the others together: each gets a ticket when it is queued, and the lower of the two queues' heads is next.
 *
 * The memory of an ended task is released by whatever context runs next (`ending`): nobody can free the stack it
 * stands on.
 */
#include "sched/worker.h"

#include "base/clock.h"
#include "base/fatal.h"
#include "sched/park.h"

#include <errno.h>

cori_runtime cori_rt;
__thread cori_worker *cori_self_worker;

/* Releases the task that has just been switched away from for good. First thing after every switch. */
static inline void reap(cori_worker *worker)
{
    cori_task *ended = worker->ending;
    if (cori_unlikely(ended != NULL)) {
        worker->ending = NULL;
        cori_task_release(worker, ended);
    }
}

static inline cori_task *pick(cori_worker *worker)
{
    cori_task *first = worker->ready.head;
    uint64_t fresh_first = __atomic_load_n(&worker->fresh_first, __ATOMIC_RELAXED);
    if (cori_unlikely(fresh_first != UINT64_MAX) && (first == NULL || fresh_first <= first->ticket)) {
        cori_task *fresh = cori_place_take(worker);
        if (fresh != NULL) {
            return fresh;
        }
    }
    return cori_runq_pop(&worker->ready);
}

static inline void switch_to(cori_worker *worker, cori_ctx *from, cori_task *next, int ending)
{
    worker->current = next;
    worker->ops_left = CORI_OPS_BUDGET;
    cori_ctx_switch(from, next != NULL ? &next->ctx : &worker->scheduler, ending);
    reap(worker);
}

void cori_worker_next(cori_worker *worker, cori_task *self)
{
    cori_task *next = --worker->switches_left > 0 ? pick(worker) : NULL;
    if (next == self) {
        worker->ops_left = CORI_OPS_BUDGET;
        return;
    }
    switch_to(worker, &self->ctx, next, 0);
}

void cor_yield(void)
{
    cori_task *self = cori_self();
    if (self != NULL) {
        cori_ready_push(self->worker, self);
        cori_worker_next(self->worker, self);
    }
}

static void live_add(cori_worker *worker, cori_task *task)
{
    task->live_prev = NULL;
    task->live_next = worker->live_head;
    if (worker->live_head != NULL) {
        worker->live_head->live_prev = task;
    }
    /* The dump walks this list from a signal handler on this thread: the new head must be complete first. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    worker->live_head = task;
    __atomic_store_n(&worker->live, worker->live + 1, __ATOMIC_RELAXED);
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
    __atomic_store_n(&worker->live, worker->live - 1, __ATOMIC_RELAXED);
}

void cori_task_main(void *arg)
{
    cori_task *self = arg;
    cori_worker *worker = cori_self_worker;
    cori_ctx_arrived(&self->ctx);
    reap(worker);
    self->waiting_for = NULL;
    live_add(worker, self);
    self->entry(self->arg_a, self->arg_b);
    if (self->group != NULL) {
        cori_group_leave(self);
    }
    if (self->timer.place != 0) {
        cori_heap_remove(&worker->timers, &self->timer);
        __atomic_store_n(&worker->timer_count, worker->timers.count, __ATOMIC_RELAXED);
    }
    live_remove(worker, self);
    worker->ending = self;
    switch_to(worker, &self->ctx, --worker->switches_left > 0 ? pick(worker) : NULL, 1);
    cori_fatal("coracle: an ended task was scheduled");
}

/* Queues for the owner of `task->worker` what happened on any thread. */
void cori_worker_inject(cori_task *task)
{
    cori_worker *worker = task->worker;
    cori_task *head = __atomic_load_n(&worker->injected, __ATOMIC_RELAXED);
    do {
        task->next = head;
    } while (!__atomic_compare_exchange_n(&worker->injected, &head, task, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    cori_worker_kick(worker);
}

bool cori_worker_kick(cori_worker *worker)
{
    if (__atomic_load_n(&worker->sleeping, __ATOMIC_SEQ_CST) == 0 ||
        __atomic_exchange_n(&worker->sleeping, 0, __ATOMIC_SEQ_CST) == 0) {
        return false;
    }
    worker->poller->ops->kick(worker->poller);
    return true;
}

void cori_wake(cori_task *task)
{
    if (__atomic_exchange_n(&task->permit, CORI_NOTIFIED, __ATOMIC_SEQ_CST) != CORI_PARKED) {
        return;
    }
    cori_worker *worker = task->worker;
    if (worker == cori_self_worker) {
        cori_ready_push(worker, task);
    } else {
        cori_worker_inject(task);
    }
}

void cori_worker_note(cori_worker *worker, cori_note *note)
{
    cori_note *head = __atomic_load_n(&worker->notes, __ATOMIC_RELAXED);
    do {
        note->next = head;
    } while (!__atomic_compare_exchange_n(&worker->notes, &head, note, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    cori_worker_kick(worker);
}

/* Arms the task's timer for self->deadline unless it will fire earlier anyway. */
static __attribute__((noinline)) int arm(cori_worker *worker, cori_task *self)
{
    if (self->timer.place != 0 && self->timer.when <= self->deadline) {
        return 0;
    }
    int rc = cori_heap_set(&worker->timers, &self->timer, self->deadline);
    __atomic_store_n(&worker->timer_count, worker->timers.count, __ATOMIC_RELAXED);
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
    self->waiting_for = what;
    self->since = worker->now;
    uint32_t running = CORI_RUNNING;
    if (__atomic_compare_exchange_n(&self->permit, &running, CORI_PARKED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        cori_worker_next(worker, self);
    }
    (void)__atomic_exchange_n(&self->permit, CORI_RUNNING, __ATOMIC_SEQ_CST);
    self->waiting_for = NULL;
}

static inline int64_t with_group(const cori_task *self, int64_t deadline)
{
    return cori_group_is_plain(self->group) ? deadline : cori_group_deadline(self, deadline);
}

void cori_park_plain(cori_task *self, int64_t deadline, const char *what)
{
    park(self, deadline, what);
}

void cori_park(cori_task *self, int64_t deadline, const char *what)
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
    const cori_task *after = next != NULL ? next->next : NULL;
    if (after != NULL) {
        const char *frames = after->ctx.sp;
#pragma GCC unroll 16
        for (int line = 0; line < CORI_PREFETCH_LINES; line++) {
            __builtin_prefetch(frames + line * CORI_CACHE_LINE);
        }
        __builtin_prefetch((const char *)after + CORI_CACHE_LINE);
    }
}

void cori_park_external(cori_task *self, int64_t deadline, const char *what)
{
    cori_worker *worker = self->worker;
    prefetch_after_next(worker);
    __atomic_store_n(&worker->external, worker->external + 1, __ATOMIC_RELAXED);
    park(self, with_group(self, deadline), what);
    __atomic_store_n(&worker->external, worker->external - 1, __ATOMIC_RELAXED);
}

void cori_park_outside(cori_task *self, const char *what)
{
    cori_worker *worker = self->worker;
    __atomic_store_n(&worker->external, worker->external + 1, __ATOMIC_RELAXED);
    cori_park_plain(self, 0, what);
    __atomic_store_n(&worker->external, worker->external - 1, __ATOMIC_RELAXED);
}

static void take_injected(cori_worker *worker)
{
    if (__atomic_load_n(&worker->injected, __ATOMIC_RELAXED) == NULL) {
        return;
    }
    cori_task *task = __atomic_exchange_n(&worker->injected, NULL, __ATOMIC_ACQUIRE);
    cori_task *oldest = NULL;
    while (task != NULL) { /* the list is newest first */
        cori_task *next = task->next;
        task->next = oldest;
        oldest = task;
        task = next;
    }
    while (oldest != NULL) {
        cori_task *next = oldest->next;
        cori_ready_push(worker, oldest);
        oldest = next;
    }
}

static void read_notes(cori_worker *worker)
{
    if (__atomic_load_n(&worker->notes, __ATOMIC_RELAXED) == NULL) {
        return;
    }
    cori_note *note = __atomic_exchange_n(&worker->notes, NULL, __ATOMIC_ACQUIRE);
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
        bool parked = __atomic_load_n(&task->permit, __ATOMIC_RELAXED) == CORI_PARKED;
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
    __atomic_store_n(&worker->timer_count, worker->timers.count, __ATOMIC_RELAXED);
}

static void poll_events(cori_worker *worker, int64_t timeout_ns)
{
    cori_event events[CORI_POLL_EVENTS];
    int count = worker->poller->ops->wait(worker->poller, timeout_ns, events, CORI_POLL_EVENTS);
    __atomic_store_n(&worker->naps, worker->naps + 1, __ATOMIC_SEQ_CST);
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
    if (cori_rt.foreign_wakeups || __atomic_load_n(&cori_foreign_inside, __ATOMIC_SEQ_CST) != 0) {
        return false;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (__atomic_load_n(&worker->sleeping, __ATOMIC_SEQ_CST) == 0 ||
            __atomic_load_n(&worker->external, __ATOMIC_SEQ_CST) != 0 ||
            __atomic_load_n(&worker->timer_count, __ATOMIC_SEQ_CST) != 0 ||
            __atomic_load_n(&worker->injected, __ATOMIC_SEQ_CST) != NULL ||
            __atomic_load_n(&worker->notes, __ATOMIC_SEQ_CST) != NULL ||
            __atomic_load_n(&worker->fresh_count, __ATOMIC_SEQ_CST) != 0) {
            return false;
        }
    }
    return true;
}

static uint64_t total_naps(void)
{
    uint64_t naps = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        naps += __atomic_load_n(&cori_rt.workers[i].naps, __ATOMIC_SEQ_CST);
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
    return worker->ready.head != NULL || __atomic_load_n(&worker->injected, __ATOMIC_SEQ_CST) != NULL ||
           __atomic_load_n(&worker->notes, __ATOMIC_SEQ_CST) != NULL ||
           __atomic_load_n(&worker->fresh_count, __ATOMIC_SEQ_CST) != 0 ||
           __atomic_load_n(&cori_rt.stop, __ATOMIC_SEQ_CST) != 0;
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
    __atomic_exchange_n(&worker->sleeping, 1, __ATOMIC_SEQ_CST);
    if (!has_work(worker)) {
        __atomic_fetch_add(&cori_rt.idle, 1, __ATOMIC_SEQ_CST);
        int64_t watch_ns = cori_rt.worker_count > 1 ? cori_place_watch(worker) : -1;
        timeout_ns = earlier(timeout_ns, watch_ns);
        if (timeout_ns < 0 && deadlocked()) {
            __atomic_store_n(&cori_rt.deadlock, 1, __ATOMIC_SEQ_CST);
            cori_worker_stop_all();
        }
        poll_events(worker, earlier(timeout_ns, cori_tidy(worker)));
        __atomic_fetch_sub(&cori_rt.idle, 1, __ATOMIC_SEQ_CST);
    } else {
        __atomic_store_n(&worker->naps, worker->naps + 1, __ATOMIC_SEQ_CST); /* it looked asleep for a moment */
    }
    __atomic_store_n(&worker->sleeping, 0, __ATOMIC_SEQ_CST);
}

void cori_worker_stop_all(void)
{
    __atomic_store_n(&cori_rt.stop, 1, __ATOMIC_SEQ_CST);
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
        if (cori_unlikely(worker->watcher || __atomic_load_n(&worker->appointed, __ATOMIC_RELAXED) != 0)) {
            cori_place_resign(worker);
        }
        worker->untidy = true;
        switch_to(worker, &worker->scheduler, next, 0);
        worker->switches_left--;
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
    while (__atomic_load_n(&cori_rt.stop, __ATOMIC_RELAXED) == 0) {
        take_injected(worker);
        read_notes(worker);
        run_round(worker);
        if (worker->timers.count > 0) {
            worker->now = cori_clock_now();
            fire_timers(worker);
        }
        if (has_work(worker)) {
            poll_events(worker, 0);
        } else {
            sleep_until_event(worker);
        }
        worker->now = cori_clock_now();
        fire_timers(worker);
    }
    if (worker->poller->ops->stop != NULL) {
        worker->poller->ops->stop(worker->poller);
    }
    cori_self_worker = NULL;
}

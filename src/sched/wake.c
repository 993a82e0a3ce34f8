/* SPDX-License-Identifier: MIT */
/*
 * What reaches a worker from outside. The inject list and the notes are stacks: any thread pushes with one
 * compare-and-swap, the owner takes all of them with one exchange. So there is no pop that could meet a node pushed
 * again meanwhile (ABA), and no lock that a signal handler could find taken.
 *
 * Not lost: work is pushed first, then `sleeping` is read; the worker sets `sleeping` first, then looks at the lists
 * (state.h). One of them sees the other. The list of a worker that looks is not empty but CORI_LOOKING; who replaces
 * that need not read `sleeping`.
 *
 * Order of arrival holds for what other threads hand over: taking a list turns it round.
 */
#include "sched/wake.h"

#include "base/fatal.h"
#include "base/list.h"
#include "sched/float.h"
#include "sched/seat.h"

bool cori_worker_kick(cori_worker *worker)
{
    bool slept = cori_load(&worker->sleeping) != CORI_AWAKE && cori_swap(&worker->sleeping, CORI_AWAKE) == CORI_ASLEEP;
    if (slept) {
        worker->poller->ops->kick(worker->poller);
    }
    return slept;
}

/*
 * Pushes a chain for `worker`, which is kicked if it sleeps. True if it was looking. The first guess spares another
 * miss where it counts: a look at the list would fetch the line once, and the exchange once more.
 */
static inline bool inject(cori_worker *worker, cori_task *newest, cori_task *oldest)
{
    cori_task *head = CORI_LOOKING;
    do {
        cori_assert(head != newest); /* woken twice without having run */
        oldest->next = head != CORI_LOOKING ? head : NULL;
    } while (!cori_cas(&worker->injected, &head, newest));
    if (head == CORI_LOOKING) {
        return true;
    }
    (void)cori_worker_kick(worker);
    return false;
}

/* As inject, by a worker's task: it takes the seat of one that looked over. */
static __attribute__((noinline)) void inject_from(cori_worker *self, cori_task *newest, cori_task *oldest)
{
    if (inject(newest->worker, newest, oldest)) {
        cori_seat_take_over(self);
    }
}

/* Perhaps in a signal handler, in the middle of a look. */
void cori_worker_inject(cori_task *task)
{
    if (inject(task->worker, task, task)) {
        cori_fetch_sub(&cori_rt.looking, 1);
    }
}

void cori_worker_note(cori_worker *worker, cori_note *note)
{
    cori_stack_push(&worker->notes, note, next);
    cori_worker_kick(worker);
}

void cori_watcher_appoint(void)
{
    if (cori_swap(&cori_rt.watching, 1) != 0) {
        return;
    }
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        if (cori_load(&worker->sleeping) != CORI_AWAKE) {
            cori_store(&worker->appointed, 1);
            if (cori_worker_kick(worker)) {
                return;
            }
        }
    }
    cori_store(&cori_rt.watching, 0); /* nobody sleeps any more: each looks before it does */
}

void cori_watcher_call(void)
{
    if (cori_load(&cori_rt.idle) != 0 && cori_load(&cori_rt.watching) == 0) {
        cori_watcher_appoint();
    }
}

void cori_queue_floating(cori_worker *worker, cori_task *task)
{
    if (cori_float_put(worker, task)) {
        cori_watcher_call();
    }
}

void cori_wake(cori_task *task)
{
    if (cori_rt.solo) {
        cori_wake_solo(task);
    } else if (cori_permit_wake(task, false)) {
        cori_worker *self = cori_self_worker;
        if (task->worker == self) {
            cori_queue(self, task);
        } else {
            inject_from(self, task, task);
        }
    }
}

void cori_wakes_end(cori_wakes *wakes)
{
    if (wakes->newest == NULL) {
        return;
    }
    inject_from(cori_self_worker, wakes->newest, wakes->oldest);
    wakes->newest = NULL;
    wakes->count = 0;
}

void cori_wakes_add(cori_wakes *wakes, cori_task *task)
{
    if (!cori_permit_wake(task, cori_rt.solo)) {
        return;
    }
    cori_worker *worker = task->worker;
    if (worker == cori_self_worker) {
        cori_queue(worker, task);
        return;
    }
    if (worker != wakes->worker || wakes->count == CORI_WAKES) {
        cori_wakes_end(wakes);
        wakes->worker = worker;
    }
    task->next = wakes->newest;
    wakes->oldest = wakes->newest == NULL ? task : wakes->oldest;
    wakes->newest = task;
    wakes->count++;
}

/* The frames of a parked task in which its waker has written. */
static inline __attribute__((always_inline)) void prefetch_frames(const cori_task *task)
{
    uintptr_t frames = (uintptr_t)task->ctx.sp; /* a number: a task that never ran has none yet */
    __builtin_prefetch((const void *)(frames + 2 * (uintptr_t)CORI_CACHE_LINE));
    __builtin_prefetch((const void *)(frames + 3 * (uintptr_t)CORI_CACHE_LINE));
    __builtin_prefetch((const void *)(frames + 4 * (uintptr_t)CORI_CACHE_LINE));
}

static void take_injected(cori_worker *worker)
{
    cori_task *task = cori_stack_take_all(&worker->injected, next);
    while (task != NULL) {
        cori_task *next = task->next;
        cori_assert(task->worker == worker);
        prefetch_frames(task);
        if (task->ctx.sp == NULL) {
            cori_task_pin(worker, task); /* it never ran */
        }
        cori_queue(worker, task);
        task = next;
    }
}

static void read_notes(cori_worker *worker)
{
    cori_note *note = cori_stack_take_all(&worker->notes, next);
    while (note != NULL) {
        cori_note *next = note->next; /* afterwards the note may be gone */
        note->act(note);
        note = next;
    }
}

void cori_worker_stop_all(void)
{
    cori_store(&cori_rt.stop, 1);
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker_kick(&cori_rt.workers[i]);
    }
}

void cori_worker_take(cori_worker *worker)
{
    take_injected(worker);
    read_notes(worker);
}

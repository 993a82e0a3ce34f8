/* SPDX-License-Identifier: MIT */
/*
 * What reaches a worker from outside. The inject list and the notes are stacks: any thread pushes with one
 * compare-and-swap, the owner takes all of them with one exchange. So there is no pop that could meet a node pushed
 * again meanwhile (ABA), and no lock that a signal handler could find taken.
 *
 * Not lost: work is pushed first, then `sleeping` is read; the worker sets `sleeping` first, then looks at the lists
 * (state.h). One of them sees the other.
 *
 * Order of arrival holds for what other threads hand over: taking a list turns it round.
 */
#include "sched/wake.h"

#include "base/fatal.h"
#include "base/list.h"

bool cori_worker_kick(cori_worker *worker)
{
    uint32_t was = cori_load(&worker->sleeping);
    was = was != CORI_AWAKE ? cori_swap(&worker->sleeping, CORI_AWAKE) : was;
    if (was == CORI_LOOKING) {
        cori_fetch_sub(&cori_rt.looking, 1);
    } else if (was == CORI_ASLEEP) {
        worker->poller->ops->kick(worker->poller);
    }
    return was != CORI_AWAKE;
}

/* Queues for the owner of `task->worker` what happened on any thread. */
void cori_worker_inject(cori_task *task)
{
    cori_worker *worker = task->worker;
    cori_task *head = cori_load_relaxed(&worker->injected);
    do {                           /* cori_stack_push, with a look at each head */
        cori_assert(head != task); /* woken twice without having run */
        task->next = head;
    } while (!cori_cas(&worker->injected, &head, task));
    cori_worker_kick(worker);
}

void cori_worker_note(cori_worker *worker, cori_note *note)
{
    cori_stack_push(&worker->notes, note, next);
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

void cori_wakes_end(cori_wakes *wakes)
{
    cori_worker *worker = wakes->worker;
    if (wakes->newest == NULL) {
        return;
    }
    cori_task *head = cori_load_relaxed(&worker->injected);
    do {
        wakes->oldest->next = head;
    } while (!cori_cas(&worker->injected, &head, wakes->newest));
    wakes->newest = NULL;
    wakes->count = 0;
    cori_worker_kick(worker);
}

void cori_wakes_add(cori_wakes *wakes, cori_task *task)
{
    if (!cori_permit_wake(task, cori_rt.solo)) {
        return;
    }
    cori_worker *worker = task->worker;
    if (worker == cori_self_worker) {
        cori_ready_push(worker, task);
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

static void take_injected(cori_worker *worker)
{
    cori_task *task = cori_stack_take_all(&worker->injected, next);
    while (task != NULL) {
        cori_task *next = task->next;
        cori_assert(task->worker == worker);
        if (task->ctx.sp == NULL) {
            cori_task_pin(worker, task); /* it never ran */
        }
        cori_ready_push(worker, task);
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

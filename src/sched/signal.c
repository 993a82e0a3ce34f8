/* SPDX-License-Identifier: MIT */
/*
 * Signals for tasks. The handler may run on any thread at any instruction, so it does only what is atomic: it sets the
 * signal's bit in `pending` and leaves a note for the waiter's worker, which wakes it: another might be computing. The
 * waiter publishes itself and its worker, then looks at `pending`; the handler sets the bit, then looks for a waiter:
 * one of them sees the other. A worker has one note, which is under way while `signalled` is set; it clears that before
 * it looks for the waiter. A handler may still run on some thread of the program's own when cor_run ends: it enters as
 * a foreign thread does, or leaves all alone.
 */
#include "base/atomic.h"
#include "base/lock.h"
#include "base/sys.h"
#include "sched/lifecycle.h"
#include "sched/park.h"

#include <errno.h>
#include <signal.h>

enum { SIGNAL_MAX = 63 };

static uint64_t pending;                     /* atomic: bit n = signal n+1 arrived and was not taken */
static cori_task *signal_waiter;             /* atomic */
static uint32_t waits_on;                    /* atomic: the waiter's worker, which changes if it floats */
static uint32_t actions_spin;                /* tasks of several workers may catch and reset; no handler takes it */
static uint64_t caught;                      /* signals whose action was replaced; bit as above; guard: actions_spin */
static struct sigaction earlier[SIGNAL_MAX]; /* guard: actions_spin */

/* On the worker that the note was left for. */
static void wake_waiter(cori_note *note)
{
    cori_store(&cori_container(note, cori_worker, signal_note)->signalled, 0);
    cori_task *task = cori_load(&signal_waiter);
    if (task != NULL) {
        cori_wake(task);
    }
}

static void leave_note(cori_worker *worker)
{
    if (cori_swap(&worker->signalled, 1) == 0) {
        worker->signal_note.act = wake_waiter;
        cori_worker_note(worker, &worker->signal_note);
    }
}

static void on_signal(int number)
{
    cori_fetch_or(&pending, UINT64_C(1) << (number - 1));
    if (cori_load(&signal_waiter) != NULL) {
        if (cori_foreign_enter()) {
            leave_note(&cori_rt.workers[cori_load(&waits_on)]);
        }
        cori_foreign_leave();
    }
}

/* Guard: actions_spin. */
static bool is_caught(int number)
{
    return number >= 1 && number <= SIGNAL_MAX && (caught & (UINT64_C(1) << (number - 1))) != 0;
}

/* Under the lock from the call to the note of it: else another task might take our action for the earlier one. */
static int replace_action(int number)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    (void)sigfillset(&action.sa_mask);
    struct sigaction before;
    int error = cori_errno_keep();
    cori_spin_lock(&actions_spin);
    int rc = sigaction(number, &action, &before) < 0 ? -errno : 0;
    if (rc == 0 && !is_caught(number)) {
        earlier[number - 1] = before;
        caught |= UINT64_C(1) << (number - 1);
    }
    cori_spin_unlock(&actions_spin);
    cori_errno_restore(error);
    return rc;
}

int cor_signal_catch(int number)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = number >= 1 && number <= SIGNAL_MAX ? replace_action(number) : -EINVAL;
    if (rc == 0) {
        sigset_t own;
        (void)sigemptyset(&own);
        (void)sigaddset(&own, number);
        (void)pthread_sigmask(SIG_UNBLOCK, &own, NULL); /* until cor_run ends */
    }
    return rc;
}

int cor_signal_reset(int number)
{
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    cori_spin_lock(&actions_spin);
    bool ours = is_caught(number);
    if (ours) {
        (void)sigaction(number, &earlier[number - 1], NULL);
        caught &= ~(UINT64_C(1) << (number - 1));
    }
    cori_spin_unlock(&actions_spin);
    return ours ? 0 : -EINVAL;
}

/* Takes a signal that has arrived, 0: none. Of one that comes later this worker hears. */
static int take_pending(void)
{
    cori_store(&waits_on, (uint32_t)cori_here_id());
    uint64_t bits = cori_load(&pending);
    if (bits == 0) {
        return 0;
    }
    int index = __builtin_ctzll(bits);
    cori_fetch_and(&pending, ~(UINT64_C(1) << index));
    return index + 1;
}

int cor_signal_wait(int64_t deadline)
{
    cori_task *self = cori_self();
    cori_task *none = NULL;
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    int result = cori_interrupted(self, 0);
    if (result != 0) {
        return cori_in_vain(result);
    }
    if (!cori_cas(&signal_waiter, &none, self)) {
        return cori_in_vain(-EBUSY);
    }
    result = take_pending();
    while (result == 0) {
        result = cori_interrupted(self, deadline);
        if (result == 0) {
            cori_park_external(self, deadline, "signal");
            result = take_pending();
        }
    }
    cori_store(&signal_waiter, NULL);
    cori_charge(self); /* it may not have waited */
    return result;
}

/*
 * A program may be started with signals blocked (some supervisors do), and a thread inherits that. The signals that the
 * library itself relies on are let through on each worker's thread, a caught one on the thread of the task that asks
 * for it: one thread is enough.
 */
static void own_signals(sigset_t *set, int (*change)(sigset_t *set, int number))
{
    (void)change(set, SIGURG);
    if (!cori_rt.no_sigquit_dump) {
        (void)change(set, SIGQUIT);
    }
    if (!cori_rt.no_overflow_report) {
        (void)change(set, SIGSEGV);
    }
}

void cori_signal_thread_begin(cori_worker *worker)
{
    sigset_t ours;
    (void)sigemptyset(&ours);
    own_signals(&ours, sigaddset);
    (void)pthread_sigmask(SIG_UNBLOCK, &ours, &worker->earlier_mask);
}

void cori_signal_thread_stop(const cori_worker *worker)
{
    sigset_t mask = worker->earlier_mask;
    own_signals(&mask, sigdelset);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void cori_signal_thread_end(const cori_worker *worker)
{
    (void)pthread_sigmask(SIG_SETMASK, &worker->earlier_mask, NULL);
}

void cori_signal_uninstall(void)
{
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        if (is_caught(number)) {
            (void)sigaction(number, &earlier[number - 1], NULL);
        }
    }
    caught = 0;
    cori_store(&pending, 0);
    cori_store(&signal_waiter, NULL);
    cori_store(&waits_on, 0);
}

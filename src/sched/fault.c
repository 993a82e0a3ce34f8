/* SPDX-License-Identifier: MIT */
/*
 * The report of a stack overflow. The guard below each stack turns it into SIGSEGV; the handler runs on an alternate
 * stack (one per worker), names the task if the address lies in a guard, and lets the program die of the fault as it
 * would have.
 */
#include "base/memory.h"
#include "sched/lifecycle.h"
#include "sched/text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIGNAL_STACK_BYTES = 64 * 1024 };

static struct sigaction earlier_segv;

static void report(const char *low, const char *top)
{
    cori_worker *worker = cori_self_worker;
    const cori_task *task = worker != NULL ? worker->current : NULL;
    cori_text text = {.fd = STDERR_FILENO};
    cori_text_add(&text, "fatal error: stack overflow");
    if (task != NULL && task->stack.low == low) {
        cori_text_add(&text, " in task ");
        cori_text_number(&text, task->id);
        cori_text_add(&text, " (");
        if (task->name != NULL) {
            cori_text_add(&text, task->name);
        } else {
            cori_text_symbol(&text, (const void *)(uintptr_t)task->function);
        }
        cori_text_add(&text, "), spawned at ");
        cori_text_symbol(&text, task->site);
    }
    cori_text_end(&text);
    cori_text_add(&text, "its stack has ");
    cori_text_number(&text, (uint64_t)(top - low));
    cori_text_add(&text, " bytes; give it more with cor_task_options.stack_size_bytes or cor_options.stack_size_bytes");
    cori_text_end(&text);
}

static void on_segv(int number, siginfo_t *info, void *context)
{
    const char *low = NULL, *top = NULL;
    if (cori_stack_guard_hit(info->si_addr, &low, &top)) {
        report(low, top);
    } else if ((earlier_segv.sa_flags & SA_SIGINFO) != 0) {
        earlier_segv.sa_sigaction(number, info, context);
        return;
    } else if (earlier_segv.sa_handler != SIG_DFL && earlier_segv.sa_handler != SIG_IGN) {
        earlier_segv.sa_handler(number);
        return;
    }
    (void)signal(SIGSEGV, SIG_DFL); /* the instruction faults again and the program dies of it */
}

void cori_fault_install(void)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigfillset(&action.sa_mask);
    if (!cori_rt.no_overflow_report) {
        (void)sigaction(SIGSEGV, &action, &earlier_segv);
    }
}

void cori_fault_uninstall(void)
{
    if (!cori_rt.no_overflow_report) {
        (void)sigaction(SIGSEGV, &earlier_segv, NULL);
    }
}

int cori_fault_thread_prepare(cori_worker *worker)
{
    worker->signal_stack = cori_malloc(SIGNAL_STACK_BYTES);
    return worker->signal_stack != NULL ? 0 : -ENOMEM;
}

int cori_fault_thread_init(cori_worker *worker)
{
    stack_t own = {.ss_sp = worker->signal_stack, .ss_size = SIGNAL_STACK_BYTES};
    return sigaltstack(&own, &worker->earlier_signal_stack) == 0 ? 0 : -errno;
}

void cori_fault_thread_end(cori_worker *worker)
{
    if (worker->signal_stack != NULL) {
        (void)sigaltstack(&worker->earlier_signal_stack, NULL);
        free(worker->signal_stack);
        worker->signal_stack = NULL;
    }
}

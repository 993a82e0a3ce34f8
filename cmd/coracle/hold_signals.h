/* SPDX-License-Identifier: MIT */
/* For threads of the program that are no workers: signals are for the workers. */
#ifndef CORACLE_CMD_HOLD_SIGNALS_H
#define CORACLE_CMD_HOLD_SIGNALS_H

#include <signal.h>

/*
 * Blocks all signals of this thread and of those that it starts until `before` is put back; but not SIGSYS, for which
 * the kernel ends a process that blocks it (serve/sandbox).
 */
static inline void hold_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

#endif

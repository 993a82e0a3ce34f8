/* SPDX-License-Identifier: MIT */
/* Signals as something tasks wait for. */
#include "signals.h"

#include "exits.h"
#include "log.h"

#include <coracle.h>
#include <signal.h>
#include <unistd.h>

int signals_catch(void)
{
    int code = cor_signal_catch(SIGINT);
    code = code < 0 ? code : cor_signal_catch(SIGTERM);
    code = code < 0 ? code : cor_signal_catch(SIGHUP);
    code = code < 0 ? code : cor_signal_catch(SIGUSR1);
    return code < 0 ? code : cor_signal_catch(SIGUSR2);
}

int signals_wait(void)
{
    return cor_signal_wait(0);
}

static int reopen_log(void *unused)
{
    (void)unused;
    log_reopen();
    return 0;
}

void signals_reopen_log(void)
{
    (void)cor_blocking(reopen_log, NULL);
}

static void (*call_before)(void);

static void wait_and_exit(void *arg)
{
    (void)arg;
    int number;
    do {
        number = cor_signal_wait(0);
        if (number == SIGUSR1) { /* an end may take minutes, and the file be moved away meanwhile */
            signals_reopen_log();
        }
    } while (number == SIGHUP || number == SIGUSR1 || number == SIGUSR2);
    if (number > 0) {
        if (call_before != NULL) {
            call_before();
        }
        /* At once: what has not been written by now waits for a reader that may never come. */
        _exit(EXIT_SIGNAL + number);
    }
}

void signals_end_at_once(void (*before)(void))
{
    call_before = before;
    if (cor_go(wait_and_exit, NULL) < 0) {
        /* Without the task a second signal would do nothing: better the default action. */
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
}

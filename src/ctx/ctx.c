/* SPDX-License-Identifier: MIT */
/* What the sanitizers want to know of a thread's own stack: the part of stack switching that is no inline code. */
#include "ctx/ctx.h"

#include <pthread.h>
#include <signal.h>

void cori_ctx_init_thread(cori_ctx *ctx)
{
    ctx->sp = NULL;
#if CORI_ASAN
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstack(&attr, &low, &size);
        (void)pthread_attr_destroy(&attr);
    }
    ctx->fake_stack = NULL;
    ctx->stack_low = low;
    ctx->stack_size = size;
#endif
#if CORI_TSAN
    ctx->fiber = __tsan_get_current_fiber();
    cori_ctx_let_signals();
#endif
}

#if CORI_TSAN
static __thread sigset_t held; /* this thread's mask before the switch that is under way */

void cori_ctx_hold_signals(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSEGV); /* a stack that overflows right here is still reported */
    (void)pthread_sigmask(SIG_BLOCK, &all, &held);
}

void cori_ctx_let_signals(void)
{
    /* TSan prepares a fiber for signals in a call that it knows, and would lose one that came meanwhile: so now. */
    (void)pthread_kill(pthread_self(), 0);
    (void)pthread_sigmask(SIG_SETMASK, &held, NULL);
}
#endif

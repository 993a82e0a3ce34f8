/* SPDX-License-Identifier: MIT */
/* What the sanitizers want to know of a thread's own stack: the part of stack switching that is no inline code. */
#include "ctx/ctx.h"

#include <pthread.h>

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
#endif
}

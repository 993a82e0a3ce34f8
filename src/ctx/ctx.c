/* SPDX-License-Identifier: MIT */
/* Laying down new contexts: the part of stack switching that can be said in C. */
#include "ctx/ctx.h"

#include <pthread.h>

/*
 * Words that cori_ctx_swap pops, per CPU; entry and argument travel in the first two callee-saved registers it
 * restores.
 */
#if defined(__x86_64__)
enum { FRAME_WORDS = 7, FRAME_ENTRY = 3, FRAME_ARG = 2, FRAME_RETURN = 6 };
#elif defined(__aarch64__)
enum { FRAME_WORDS = 20, FRAME_ENTRY = 0, FRAME_ARG = 1, FRAME_RETURN = 11 };
#else
#error "no context switch for this CPU: add src/ctx/ctx_<cpu>.S and its frame here"
#endif

void cori_ctx_make(cori_ctx *ctx, void *low, void *top, void (*entry)(void *arg), void *arg)
{
    void **frame = (void **)top - FRAME_WORDS;
    for (int i = 0; i < FRAME_WORDS; i++) {
        frame[i] = NULL;
    }
    frame[FRAME_ENTRY] = (void *)(uintptr_t)entry;
    frame[FRAME_ARG] = arg;
    frame[FRAME_RETURN] = (void *)(uintptr_t)cori_ctx_start;
    ctx->sp = frame;
#if CORI_ASAN
    ctx->fake_stack = NULL;
    ctx->stack_low = low;
    ctx->stack_size = (size_t)((char *)top - (char *)low);
#endif
#if CORI_TSAN
    ctx->fiber = __tsan_create_fiber(0);
#endif
    (void)low;
}

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

/* SPDX-License-Identifier: MIT */
/*
 * How to change stacks. A context is a suspended flow of control: its stack pointer, with the registers that the ABI
 * wants preserved saved on its own stack. The switch itself is in ctx_<cpu>.S; this header adds what the sanitizers
 * must be told.
 *
 * Not preserved: signal mask (one per worker by rule), floating-point control words (a task that changes the rounding
 * mode must restore it before it parks) and shadow stacks (the object files do not claim to support them).
 */
#ifndef CORI_CTX_CTX_H
#define CORI_CTX_CTX_H

#include "base/platform.h"

#if CORI_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if CORI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

typedef struct cori_ctx {
    void *sp; /* valid while suspended */
#if CORI_ASAN
    void *fake_stack;
    const void *stack_low;
    size_t stack_size;
#endif
#if CORI_TSAN
    void *fiber;
#endif
} cori_ctx;

/* Saves the running flow in *save_sp and goes on where `load_sp` was saved. In ctx_<cpu>.S. */
void cori_ctx_swap(void **save_sp, void *load_sp);
/* First instruction of a new context: calls the entry function laid down by cori_ctx_make. In ctx_<cpu>.S. */
void cori_ctx_start(void);

/*
 * Lays down a context on the stack [low, top) that will call `entry(arg)`, which must never return. `top` is aligned
 * to 16.
 */
void cori_ctx_make(cori_ctx *ctx, void *low, void *top, void (*entry)(void *arg), void *arg);

/* Describes the calling thread's own stack, so that switching back to it is understood. Call once per thread. */
void cori_ctx_init_thread(cori_ctx *ctx);

/* Releases what cori_ctx_make took beside the stack. */
static inline void cori_ctx_drop(cori_ctx *ctx)
{
#if CORI_TSAN
    __tsan_destroy_fiber(ctx->fiber);
    ctx->fiber = NULL;
#endif
    (void)ctx;
}

/* Must be the first thing a new context does: tells ASan that the switch has arrived. */
static inline void cori_ctx_arrived(cori_ctx *self)
{
#if CORI_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
    (void)self;
}

/*
 * Switches from `self` (the running context) to `next`; returns when somebody switches back. `ending`: never comes
 * back.
 */
static inline void cori_ctx_switch(cori_ctx *self, cori_ctx *next, int ending)
{
#if CORI_ASAN
    __sanitizer_start_switch_fiber(ending ? NULL : &self->fake_stack, next->stack_low, next->stack_size);
#endif
#if CORI_TSAN
    __tsan_switch_to_fiber(next->fiber, 0);
#endif
    cori_ctx_swap(&self->sp, next->sp);
    cori_ctx_arrived(self);
    (void)ending;
}

#endif

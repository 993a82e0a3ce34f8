/* SPDX-License-Identifier: MIT */
/*
 * How to change stacks. A context is a suspended flow of control: its stack pointer, with the registers that the ABI
 * wants preserved saved on its own stack. The switch itself is in ctx_<cpu>.S; this header adds what the sanitizers
 * must be told.
 *
 * A CPU predicts where a `ret` goes by remembering the calls. So a switch should be the last thing that a function does
 * (then it returns straight to the task's code), a new context begins with a jump, not a return, and an ended one
 * leaves no call behind: a task that is started, ends and gives way to its parent costs no misprediction.
 *
 * Not preserved: signal mask (one per worker by rule), floating-point control words (a task that changes the rounding
 * mode must restore it before it parks) and shadow stacks (the object files do not claim to support them).
 */
#ifndef CORI_CTX_CTX_H
#define CORI_CTX_CTX_H

#include "base/platform.h"

#include <stdbool.h>

#if CORI_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if CORI_TSAN
#include <sanitizer/tsan_interface.h>
#endif

typedef struct cori_ctx {
    void *sp; /* valid while suspended; NULL: has not begun */
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
/* Saves the running flow in *save_sp and calls `entry(arg)`, which must never return, on the stack below `top`. */
void cori_ctx_begin(void **save_sp, void *top, void (*entry)(void *arg), void *arg);
/* Forgets the running flow, goes on where `load_sp` was saved. (Not _Noreturn: gcc would not jump there, but call.) */
void cori_ctx_leave(void *load_sp);

#if CORI_TSAN
/*
 * TSan keeps a signal for the fiber that it found running until that fiber calls something that TSan knows: if it parks
 * first, perhaps for ever. So no signal arrives while a switch is under way, and what has arrived before is handled
 * before: pthread_sigmask does both, since it is itself such a call. Making and destroying a fiber count as switches:
 * TSan goes to that fiber and back. New threads are started with signals held, until cori_ctx_init_thread.
 */
void cori_ctx_hold_signals(void);
void cori_ctx_let_signals(void);
#endif

/* Describes a context on the stack [low, top) that has not begun. `top` is aligned to 16. */
static inline void cori_ctx_make(cori_ctx *ctx, void *low, void *top)
{
    ctx->sp = NULL;
#if CORI_ASAN
    ctx->fake_stack = NULL;
    ctx->stack_low = low;
    ctx->stack_size = (size_t)((char *)top - (char *)low);
#endif
#if CORI_TSAN
    cori_ctx_hold_signals();
    ctx->fiber = __tsan_create_fiber(0);
    cori_ctx_let_signals();
#endif
    (void)low;
    (void)top;
}

/* Describes the calling thread's own stack, so that switching back to it is understood. Call once per thread. */
void cori_ctx_init_thread(cori_ctx *ctx);

/* Releases what cori_ctx_make took beside the stack. */
static inline void cori_ctx_drop(cori_ctx *ctx)
{
#if CORI_TSAN
    cori_ctx_hold_signals();
    __tsan_destroy_fiber(ctx->fiber);
    cori_ctx_let_signals();
    ctx->fiber = NULL;
#endif
    (void)ctx;
}

/* Tells the sanitizers that `self` (the running context) is left for `next`. */
static inline void cori_ctx_departs(cori_ctx *self, const cori_ctx *next, bool ending)
{
#if CORI_ASAN
    __sanitizer_start_switch_fiber(ending ? NULL : &self->fake_stack, next->stack_low, next->stack_size);
#endif
#if CORI_TSAN
    cori_ctx_hold_signals();
    __tsan_switch_to_fiber(next->fiber, 0);
#endif
    (void)self;
    (void)next;
    (void)ending;
}

/* Must be the first thing a new context does: tells the sanitizers that the switch has arrived. */
static inline void cori_ctx_arrived(cori_ctx *self)
{
#if CORI_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
#if CORI_TSAN
    cori_ctx_let_signals();
#endif
    (void)self;
}

/* Switches from `self` to `next`, which was suspended; returns when somebody switches back. */
static inline void cori_ctx_switch(cori_ctx *self, cori_ctx *next)
{
    cori_ctx_departs(self, next, false);
    cori_ctx_swap(&self->sp, next->sp);
    cori_ctx_arrived(self);
}

/* Switches from `self` to `next`, which begins; `top` as given to cori_ctx_make. `ending`: for good. */
static inline void cori_ctx_enter(cori_ctx *self, cori_ctx *next, void *top, void (*entry)(void *arg), void *arg,
                                  bool ending)
{
    cori_ctx_departs(self, next, ending);
    cori_ctx_begin(&self->sp, top, entry, arg);
    cori_ctx_arrived(self);
}

/* Switches from `self`, which has ended, to `next`, which was suspended. */
static inline void cori_ctx_exit(cori_ctx *self, cori_ctx *next)
{
    cori_ctx_departs(self, next, true);
    cori_ctx_leave(next->sp);
}

#endif

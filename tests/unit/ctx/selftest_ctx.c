/* SPDX-License-Identifier: MIT */
/*
 * The context switch alone: a plain program, so that it also runs under an emulator for another CPU. Each of three
 * contexts keeps more integers and doubles alive across switches than there are caller-saved registers to hold them, so
 * whatever the switch fails to preserve shows up as a wrong sum.
 */
/* test: workers=1 no-valgrind */
/* Valgrind must be told of stacks, which stack.c does and this program, without it, does not. */
#include "ctx/ctx.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXTS = 3, ROUNDS = 1000, STACK_BYTES = 64 * 1024 };

typedef struct context {
    cori_ctx ctx;
    int number;
    long rounds;
    bool aligned;
    bool values_kept;
    bool ended;
} context;

static _Alignas(64) char stacks[CONTEXTS][STACK_BYTES];
static context contexts[CONTEXTS];
static cori_ctx home;
static int failures;

static void check(bool condition, const char *what)
{
    if (!condition) {
        printf("FAILED: %s\n", what);
        failures++;
    }
}

static void entry(void *arg);

/* To a context that may have to begin, NULL: home. */
static __attribute__((noinline)) void go_to(cori_ctx *from, context *next)
{
    if (next == NULL) {
        cori_ctx_switch(from, &home);
    } else if (next->ctx.sp != NULL) {
        cori_ctx_switch(from, &next->ctx);
    } else {
        cori_ctx_enter(from, &next->ctx, stacks[next->number] + STACK_BYTES, entry, next, false);
    }
}

/* To the next context, or home after the last. */
static __attribute__((noinline)) void pass_on(context *self)
{
    int next = self->number + 1;
    go_to(&self->ctx, next < CONTEXTS ? &contexts[next] : NULL);
}

/* Twelve integers and twelve doubles live across each switch; every context has its own values. */
static __attribute__((noinline)) bool churn(context *self, volatile const long *seeds, volatile const double *fractions)
{
    long a = seeds[0], b = seeds[1], c = seeds[2], d = seeds[3], e = seeds[4], f = seeds[5];
    long g = seeds[6], h = seeds[7], i = seeds[8], j = seeds[9], k = seeds[10], l = seeds[11];
    double m = fractions[0], n = fractions[1], o = fractions[2], p = fractions[3], q = fractions[4], r = fractions[5];
    double s = fractions[6], t = fractions[7], u = fractions[8], v = fractions[9], w = fractions[10], x = fractions[11];
    for (int round = 0; round < ROUNDS; round++) {
        pass_on(self);
        self->rounds++;
        a += 1, b += 2, c += 3, d += 4, e += 5, f += 6, g += 7, h += 8, i += 9, j += 10, k += 11, l += 12;
        m += 0.5, n += 1.5, o += 2.5, p += 3.5, q += 4.5, r += 5.5, s += 6.5, t += 7.5, u += 8.5, v += 9.5, w += 10.5;
        x += 11.5;
    }
    bool integers = a == seeds[0] + ROUNDS && b == seeds[1] + 2 * ROUNDS && c == seeds[2] + 3 * ROUNDS &&
                    d == seeds[3] + 4 * ROUNDS && e == seeds[4] + 5 * ROUNDS && f == seeds[5] + 6 * ROUNDS &&
                    g == seeds[6] + 7 * ROUNDS && h == seeds[7] + 8 * ROUNDS && i == seeds[8] + 9 * ROUNDS &&
                    j == seeds[9] + 10 * ROUNDS && k == seeds[10] + 11 * ROUNDS && l == seeds[11] + 12 * ROUNDS;
    bool doubles =
        m == fractions[0] + 0.5 * ROUNDS && n == fractions[1] + 1.5 * ROUNDS && o == fractions[2] + 2.5 * ROUNDS &&
        p == fractions[3] + 3.5 * ROUNDS && q == fractions[4] + 4.5 * ROUNDS && r == fractions[5] + 5.5 * ROUNDS &&
        s == fractions[6] + 6.5 * ROUNDS && t == fractions[7] + 7.5 * ROUNDS && u == fractions[8] + 8.5 * ROUNDS &&
        v == fractions[9] + 9.5 * ROUNDS && w == fractions[10] + 10.5 * ROUNDS && x == fractions[11] + 11.5 * ROUNDS;
    return integers && doubles;
}

static void entry(void *arg)
{
    context *self = arg;
    cori_ctx_arrived(&self->ctx);
    long seeds[12];
    double fractions[12];
    _Alignas(16) char probe[16];
    char *volatile address = probe; /* so that the compiler cannot assume the alignment it asked for */
    self->aligned = (uintptr_t)address % 16 == 0 && (uintptr_t)__builtin_frame_address(0) % 16 == 0;
    for (int i = 0; i < 12; i++) {
        seeds[i] = 1000000L * (self->number + 1) + i;
        fractions[i] = 1024.0 * (self->number + 1) + i;
    }
    self->values_kept = churn(self, seeds, fractions);
    self->ended = true;
    if (self->number + 1 < CONTEXTS) { /* an entry function never returns: the last round goes through all */
        cori_ctx_exit(&self->ctx, &contexts[self->number + 1].ctx);
    }
    cori_ctx_exit(&self->ctx, &home);
}

static void run_all(void)
{
    cori_ctx_init_thread(&home);
    for (int i = 0; i < CONTEXTS; i++) {
        contexts[i].number = i;
        cori_ctx_make(&contexts[i].ctx, stacks[i], stacks[i] + STACK_BYTES);
    }
    double kept = 0.125;
    for (int round = 0; round <= ROUNDS; round++) {
        go_to(&home, &contexts[0]);
        kept += 1;
    }
    check(kept == ROUNDS + 1.125, "the home context keeps its doubles");
    for (int i = 0; i < CONTEXTS; i++) {
        cori_ctx_drop(&contexts[i].ctx);
    }
}

int main(void)
{
    run_all();
    for (int i = 0; i < CONTEXTS; i++) {
        check(contexts[i].rounds == ROUNDS, "every context ran every round");
        check(contexts[i].aligned, "the stack is aligned to 16 at entry");
        check(contexts[i].ended, "every context has ended");
        check(contexts[i].values_kept, "integers and doubles survive the switch");
    }
    printf("%d contexts, %d rounds, %d failures\n", CONTEXTS, ROUNDS, failures);
    return failures == 0 ? 0 : 1;
}

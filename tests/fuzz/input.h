/* SPDX-License-Identifier: MIT */
/*
 * What every fuzz target needs: its entry point, a check that ends the process, and taking choices from the input. An
 * input that runs out gives zeros, so every input is a valid one.
 */
#ifndef CORACLE_TESTS_FUZZ_INPUT_H
#define CORACLE_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The entry points that libFuzzer calls, and replay.c; the first is optional. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with the place; libFuzzer then keeps the input. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            dprintf(2, "%s:%d: violated: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* What is left of the input. */
typedef struct input {
    const uint8_t *next;
    size_t left;
} input;

static inline unsigned input_byte(input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->next++;
}

/* Copies `size` bytes into memory of exactly that size, and a NUL if asked for, so that a step beyond is noticed. */
static inline char *exact_copy(const void *bytes, size_t size, size_t nul)
{
    char *copy = malloc(size + nul > 0 ? size + nul : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    if (nul > 0) {
        copy[size] = '\0';
    }
    return copy;
}

/* Takes the text up to the next NUL (or the end) out of the input; owned by the caller. */
static inline char *input_text(input *in)
{
    const uint8_t *nul = in->left > 0 ? memchr(in->next, 0, in->left) : NULL;
    size_t size = nul != NULL ? (size_t)(nul - in->next) : in->left;
    char *text = exact_copy(in->next, size, 1);
    in->next += size;
    in->left -= size;
    (void)input_byte(in);
    return text;
}

/* Where a stream is cut: lengths of pieces, used in turn. None: it comes in one piece. */
typedef struct cuts {
    uint8_t length[15];
    unsigned count, turn;
} cuts;

/* Takes cuts out of the input: a byte with their number, then one byte for each, its length less one. */
static inline cuts input_cuts(input *in)
{
    cuts taken = {.count = input_byte(in) & 15};
    for (unsigned i = 0; i < taken.count; i++) {
        taken.length[i] = (uint8_t)input_byte(in);
    }
    return taken;
}

/* The length of the next piece of a stream that has `left` bytes left. */
static inline size_t cuts_next(cuts *from, size_t left)
{
    if (from->count == 0) {
        return left;
    }
    size_t length = (size_t)from->length[from->turn++ % from->count] + 1;
    return length < left ? length : left;
}

#endif

/* SPDX-License-Identifier: MIT */
/* Finds the word that somebody who mistyped probably meant. */
#ifndef CORACLE_CMD_SUGGEST_H
#define CORACLE_CMD_SUGGEST_H

#include <stddef.h>

/* The nearest candidate so far; start with {0}. */
typedef struct suggestion {
    const char *word; /* NULL: nothing is near enough */
    size_t distance;
} suggestion;

/* Considers one candidate for `typed` (of which only the first `size` bytes count). */
void suggest_consider(suggestion *best, const char *typed, size_t size, const char *candidate);

#endif

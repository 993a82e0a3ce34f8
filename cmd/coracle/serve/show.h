/* SPDX-License-Identifier: MIT */
/*
 * Shows a stream of a client piece by piece, one line per piece, without cutting characters: a UTF-8 sequence that a
 * piece ends in the middle of is shown whole with the next one.
 */
#ifndef CORACLE_CMD_SERVE_SHOW_H
#define CORACLE_CMD_SERVE_SHOW_H

#include <stddef.h>

/* The start of a character whose rest has not come yet; start with {0}. */
typedef struct show_carry {
    unsigned char bytes[4];
    size_t size;
} show_carry;

/* Shows what was carried and `bytes`, except an unfinished character at the end, which is carried on. */
void show_piece(show_carry *carry, const char *before, const void *bytes, size_t size, const char *after);

/* Shows what is carried, if anything, because nothing more will come. */
void show_rest(show_carry *carry, const char *before, const char *after);

#endif

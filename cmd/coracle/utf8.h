/* SPDX-License-Identifier: MIT */
/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. Independent of the locale. */
#ifndef CORACLE_CMD_UTF8_H
#define CORACLE_CMD_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest encoding of one character. */
#define UTF8_MAX 4

/*
 * Decodes the character at `text`. Returns its length 1..4 and sets *rune; 0 if the bytes are not valid there, which
 * includes a sequence that `size` cuts off.
 */
size_t utf8_decode(const void *text, size_t size, uint32_t *rune);

/*
 * Counts the bytes at the start that are printable ASCII and neither a quotation mark nor a backslash: what stands for
 * itself everywhere. Nearly all text there ever is, so it is looked at sixteen bytes at a time.
 */
size_t utf8_plain(const void *text, size_t size);

/* Counts the bytes at the end that begin a character whose rest is still to come: 0..3. */
size_t utf8_unfinished(const void *text, size_t size);

/* Tells whether Unicode calls the character white space, as Go's strings.TrimSpace does. */
bool utf8_is_space(uint32_t rune);

/* Takes white space off both ends: moves *text and shrinks *size. */
void utf8_trim(const char **text, size_t *size);

#endif

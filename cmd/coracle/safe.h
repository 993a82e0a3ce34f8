/* SPDX-License-Identifier: MIT */
/*
 * Makes bytes of a peer safe to show. Valid UTF-8 stays as it is, except what could move the cursor, colour, hide or
 * reorder text: control characters (C0, DEL, C1), line and paragraph separators, and all format characters
 * (bidirectional controls, zero-width ones, tags). Those, and every byte that is not valid UTF-8, become \xNN byte by
 * byte; LF, CR and tab become \n, \r, \t. A backslash is doubled, so that the original can be had back exactly.
 */
#ifndef CORACLE_CMD_SAFE_H
#define CORACLE_CMD_SAFE_H

#include <stddef.h>

/* What may stay although it would be escaped. */
enum {
    SAFE_KEEP_BACKSLASH = 1, /* text that people read, where the way back does not matter */
    SAFE_KEEP_LINES = 2,     /* LF and tab stay, a CR before LF is dropped: for showing a whole document */
    SAFE_KEEP_FORMAT = 4     /* format characters stay: for passing on a message that is not shown here */
};

/* Counts the bytes that safe_copy will write. */
size_t safe_size(const void *bytes, size_t size, int keep);

/* Writes the safe form to `to`, which has room for safe_size bytes; no NUL. Returns the end of what was written. */
char *safe_copy(char *to, const void *bytes, size_t size, int keep);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Escapes what a peer has sent, for showing it. Valid UTF-8 stays as it is, except what could move the cursor, colour,
 * hide or reorder text: control characters (C0, DEL, C1), line and paragraph separators, and all format characters
 * (bidirectional controls, zero-width ones, tags). Those, and every byte that is not valid UTF-8, become \xNN byte by
 * byte; LF, CR and tab become \n, \r, \t. A backslash is doubled, which makes the original recoverable exactly.
 */
#ifndef CORACLE_CMD_ESCAPE_H
#define CORACLE_CMD_ESCAPE_H

#include <stddef.h>

/* What may stay although it would be escaped. */
enum {
    ESCAPE_KEEP_BACKSLASH = 1, /* text that people read, where the way back does not matter */
    ESCAPE_KEEP_LINES = 2,     /* LF and tab stay, a CR before LF is dropped: for showing a whole document */
    ESCAPE_KEEP_FORMAT = 4     /* format characters stay: for passing on a message that is not shown here */
};

/* Counts the bytes that escape_copy will write. */
size_t escape_size(const void *bytes, size_t size, int keep);

/*
 * Writes the escaped form to `to`, which has room for escape_size bytes; no NUL. Returns the end of what was written.
 */
char *escape_copy(char *to, const void *bytes, size_t size, int keep);

#endif

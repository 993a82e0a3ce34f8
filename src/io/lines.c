/* SPDX-License-Identifier: MIT */
/*
 * The bounded line reader, on a buffered reader that holds a line and its LF.
 *
 * A line longer than max_line is reported once (COR_ETOO_LONG) and dropped up to its LF (`skipping`).
 */
#include "io/reader.h"

#include <coracle/error.h>
#include <coracle/lines.h>
#include <stdint.h>
#include <string.h>

enum { LINE_ENDS = 2 }; /* what a line needs besides its bytes: the LF and a NUL */

cor_lines cor_lines_of(cor_conn *conn, size_t max_line_bytes)
{
    size_t limit = SIZE_MAX - LINE_ENDS; /* no line is longer */
    size_t max_line = max_line_bytes < limit ? max_line_bytes : limit;
    return (cor_lines){.reader = cor_reader_of(conn, max_line + 1), .max_line = max_line};
}

void cor_lines_free(cor_lines *lines)
{
    if (lines != NULL) {
        cor_reader_free(&lines->reader);
    }
}

/* Gives out `length` bytes as a line; `behind` bytes are consumed with it. */
static int give(cor_lines *lines, size_t length, size_t behind, char **line, size_t *length_out)
{
    char *text = lines->reader.buf + lines->reader.start;
    lines->reader.start += length + behind;
    lines->partial = behind == 0;
    if (length > lines->max_line) { /* possible when the buffer is larger than a line may be */
        return COR_ETOO_LONG;
    }
    text[length] = '\0';
    *line = text;
    if (length_out != NULL) {
        *length_out = length;
    }
    return 1;
}

/* Drops what is buffered up to an LF. True when the LF was found. */
static bool skip(cor_lines *lines)
{
    char *rest = lines->reader.buf != NULL ? lines->reader.buf + lines->reader.start : NULL;
    char *lf = rest != NULL ? memchr(rest, '\n', lines->reader.end - lines->reader.start) : NULL;
    lines->reader.start = lf != NULL ? (size_t)(lf - lines->reader.buf) + 1 : lines->reader.end;
    return lf != NULL;
}

/* Serves the next line from the buffer: 1, COR_ETOO_LONG, or 0 if it needs more bytes. `scanned` of them hold no LF. */
static int from_buffer(cor_lines *lines, size_t *scanned, char **line, size_t *length)
{
    if (lines->skipping) {
        lines->skipping = !skip(lines);
        *scanned = 0;
        if (lines->skipping) {
            return 0;
        }
    }
    size_t have = lines->reader.end - lines->reader.start;
    char *rest = lines->reader.buf != NULL ? lines->reader.buf + lines->reader.start : NULL;
    char *lf = rest != NULL ? memchr(rest + *scanned, '\n', have - *scanned) : NULL;
    if (lf != NULL) {
        return give(lines, (size_t)(lf - rest), 1, line, length);
    }
    *scanned = have;
    if (have > lines->max_line) {
        lines->skipping = true;
        lines->reader.start = lines->reader.end;
        return COR_ETOO_LONG;
    }
    return 0;
}

size_t cor_lines_buffered(const cor_lines *lines)
{
    return lines->reader.end - lines->reader.start;
}

int cor_lines_next(cor_lines *lines, char **line, size_t *length)
{
    size_t scanned = 0;
    int rc = cori_reader_check(&lines->reader); /* also while there are lines in the buffer */
    if (rc != 0) {
        return rc;
    }
    while (!lines->reader.ended) {
        rc = from_buffer(lines, &scanned, line, length);
        if (rc != 0) {
            return rc;
        }
        ssize_t count = cori_reader_fill(&lines->reader, lines->pause_ns);
        if (count == CORI_READER_PAUSED) {
            return give(lines, lines->reader.end - lines->reader.start, 0, line, length);
        }
        if (count < 0) {
            return (int)count;
        }
    }
    size_t have = lines->reader.end - lines->reader.start;
    if (have > 0 && !lines->skipping) {
        return give(lines, have, 0, line, length);
    }
    cor_lines_free(lines);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The bounded line reader. One buffer per connection: [start, end) holds what was read and not yet given out. It
 * grows by doubling up to the longest line allowed, and is freed when nothing is buffered and the task is about to
 * wait, so an idle connection holds none.
 *
 * A line longer than max_line is reported once (COR_ETOO_LONG) and dropped up to its LF (`skipping`).
 *
 * pause_ns: while a line has begun, the wait's deadline is the end of the pause if that is earlier. It is put where the
 * read deadline is, and taken away again only if it is still there: a deadline that another task sets meanwhile stays.
 */
#include "base/limits.h"
#include "net/slot.h"

#include <coracle/error.h>
#include <coracle/lines.h>
#include <coracle/time.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_ENDS = 2 };    /* what a line needs besides its bytes: the LF and a NUL */
enum { PAUSED = INT_MIN }; /* no error's number */

cor_lines cor_lines_of(cor_conn *conn, size_t max_line_bytes)
{
    size_t limit = SIZE_MAX - LINE_ENDS; /* no line is longer */
    return (cor_lines){.conn = conn, .max_line = max_line_bytes < limit ? max_line_bytes : limit};
}

void cor_lines_free(cor_lines *lines)
{
    if (lines != NULL) {
        free(lines->buf);
        lines->buf = NULL;
        lines->capacity = lines->start = lines->end = 0;
    }
}

/* Makes room for at least one more byte and a NUL. */
static int make_room(cor_lines *lines)
{
    if (lines->start > 0) {
        memmove(lines->buf, lines->buf + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    if (lines->end + 1 < lines->capacity) {
        return 0;
    }
    size_t limit = lines->max_line + LINE_ENDS;
    size_t capacity = lines->capacity == 0 ? CORI_LINES_FIRST_BYTES : lines->capacity * 2;
    capacity = capacity < limit ? capacity : limit;
    char *buf = realloc(lines->buf, capacity);
    if (buf == NULL) {
        return -ENOMEM;
    }
    lines->buf = buf;
    lines->capacity = capacity;
    return 0;
}

/* Waits for more bytes: 0 or an error, PAUSED if a line has begun and the pause has passed. */
static int wait_for_more(cor_lines *lines, cori_slot *slot)
{
    int64_t *word = &slot->deadline[CORI_READ];
    int64_t own = __atomic_load_n(word, __ATOMIC_SEQ_CST), pause = cor_after(lines->pause_ns);
    if (lines->pause_ns == 0 || lines->start == lines->end || (own != 0 && own <= pause) ||
        !__atomic_compare_exchange_n(word, &own, pause, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return lines->start == lines->end ? slot->ops->wait_readable(slot) : cori_slot_wait_for_rest(slot);
    }
    int rc = cori_slot_wait_for_rest(slot);
    bool ours = __atomic_compare_exchange_n(word, &pause, own, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return rc == COR_ETIMEOUT && ours ? PAUSED : rc;
}

/* Waits, without a buffer if nothing is buffered, and reads what came; inside a call on the connection. */
static ssize_t fill_from(cor_lines *lines, cori_slot *slot)
{
    ssize_t count;
    do {
        if (lines->start == lines->end) {
            cor_lines_free(lines);
        }
        int rc = wait_for_more(lines, slot);
        rc = rc < 0 ? rc : make_room(lines);
        if (rc < 0) {
            return rc;
        }
        count = slot->ops->read_now(slot, lines->buf + lines->end, lines->capacity - lines->end - 1);
    } while (count == -EAGAIN);
    return count;
}

/* Reads more into the buffer: the count, 0 at end of stream, or an error. */
static ssize_t fill(cor_lines *lines)
{
    cori_slot *slot;
    int rc = cori_slot_enter(lines->conn, CORI_KIND_CONN, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = fill_from(lines, slot);
    cori_slot_leave(slot, CORI_LOCK_READ);
    lines->end += count > 0 ? (size_t)count : 0;
    return count;
}

/* Gives out `length` bytes as a line; `behind` bytes are consumed with it. */
static int give(cor_lines *lines, size_t length, size_t behind, char **line, size_t *length_out)
{
    char *text = lines->buf + lines->start;
    lines->start += length + behind;
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
    char *rest = lines->buf != NULL ? lines->buf + lines->start : NULL;
    char *lf = rest != NULL ? memchr(rest, '\n', lines->end - lines->start) : NULL;
    lines->start = lf != NULL ? (size_t)(lf - lines->buf) + 1 : lines->end;
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
    size_t have = lines->end - lines->start;
    char *rest = lines->buf != NULL ? lines->buf + lines->start : NULL;
    char *lf = rest != NULL ? memchr(rest + *scanned, '\n', have - *scanned) : NULL;
    if (lf != NULL) {
        return give(lines, (size_t)(lf - rest), 1, line, length);
    }
    *scanned = have;
    if (have > lines->max_line) {
        lines->skipping = true;
        lines->start = lines->end;
        return COR_ETOO_LONG;
    }
    return 0;
}

size_t cor_lines_buffered(const cor_lines *lines)
{
    return lines->end - lines->start;
}

int cor_lines_next(cor_lines *lines, char **line, size_t *length)
{
    const cori_task *self = cori_self();
    size_t scanned = 0;
    int rc = self != NULL ? cori_interrupted(self, 0) : 0; /* also while there are lines in the buffer */
    if (cori_unlikely(rc != 0)) {
        return rc;
    }
    while (!lines->ended) {
        rc = from_buffer(lines, &scanned, line, length);
        if (rc != 0) {
            return rc;
        }
        ssize_t count = fill(lines);
        if (count == PAUSED) {
            return give(lines, lines->end - lines->start, 0, line, length);
        }
        if (count < 0) {
            return (int)count;
        }
        if (count == 0) {
            lines->ended = true;
        }
    }
    size_t have = lines->end - lines->start;
    if (have > 0 && !lines->skipping) {
        return give(lines, have, 0, line, length);
    }
    cor_lines_free(lines);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Buffered reading. One buffer per reader: [start, end) holds what was read and not yet given out. It grows by doubling
 * up to what the reader may buffer, with a byte to spare for the NUL after a line. It is freed when nothing is buffered
 * and the task is about to wait: an idle connection holds none.
 *
 * Every call first makes sure that enough is buffered and then takes it out. So an error in between, of which a passed
 * deadline is the usual one, consumes nothing. Only reads of more than the buffer may hold go past it.
 *
 * pause_ns (for lines): while something is buffered, the wait ends at the end of the pause if that is before the read
 * deadline, which may be moved meanwhile.
 */
#include "io/reader.h"

#include "base/limits.h"
#include "base/memory.h"
#include "net/fd.h"

#include <coracle/time.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE = 1 };

cor_reader cor_reader_of(cor_conn *conn, size_t max_bytes)
{
    size_t limit = SIZE_MAX - SPARE;
    return (cor_reader){.conn = conn, .max = max_bytes < limit ? max_bytes : limit};
}

void cor_reader_free(cor_reader *reader)
{
    if (reader != NULL) {
        free(reader->buf);
        reader->buf = NULL;
        reader->capacity = reader->start = reader->end = 0;
    }
}

size_t cor_reader_buffered(const cor_reader *reader)
{
    return reader->end - reader->start;
}

int cori_reader_check(const cor_reader *reader)
{
    const cori_task *self = cori_self();
    int rc = self != NULL ? cori_interrupted(self, 0) : 0;
    return cori_likely(rc == 0 && !reader->ended) ? 0 : cori_in_vain(rc);
}

/* The first unread byte; NULL while nothing is buffered, for to a null pointer nothing may be added, not even 0. */
static char *first_unread(const cor_reader *reader)
{
    return reader->buf != NULL ? reader->buf + reader->start : NULL;
}

/* Makes room for at least one more byte and a NUL. */
static int make_room(cor_reader *reader)
{
    if (reader->start > 0) {
        memmove(reader->buf, reader->buf + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end + SPARE < reader->capacity) {
        return 0;
    }
    size_t limit = reader->max + SPARE;
    size_t capacity = reader->capacity == 0 ? CORI_READER_FIRST_BYTES : reader->capacity * 2;
    capacity = capacity < limit ? capacity : limit;
    char *buf = cori_realloc(reader->buf, capacity);
    if (buf == NULL) {
        return -ENOMEM;
    }
    reader->buf = buf;
    reader->capacity = capacity;
    return 0;
}

/* As cori_slot_wait_for_rest; CORI_READER_PAUSED if the pause has passed, and before the read deadline. */
static int wait_with_pause(cori_slot *slot, int64_t pause_end)
{
    const cori_limit pause = {.until = pause_end};
    int rc = cori_slot_wait_for_rest(slot, &pause);
    bool passed = pause_end <= cori_here_now() && cori_slot_until(slot, CORI_READ, &pause) == pause_end;
    return rc == COR_ETIMEOUT && passed && cori_interrupted(cori_here_task(), 0) == 0 ? CORI_READER_PAUSED : rc;
}

/* Waits for more bytes: 0 or an error, CORI_READER_PAUSED if the pause (0: none) of what is buffered has passed. */
static int wait_for_more(cor_reader *reader, cori_slot *slot, int64_t pause_end)
{
    if (reader->start == reader->end) {
        return slot->ops->wait_readable(slot, NULL);
    }
    return pause_end == 0 ? cori_slot_wait_for_rest(slot, NULL) : wait_with_pause(slot, pause_end);
}

/* Waits, without a buffer if nothing is buffered, and reads what came; inside a call on the connection. */
static ssize_t fill_from(cor_reader *reader, cori_slot *slot, int64_t pause_ns)
{
    int64_t pause_end = pause_ns != 0 ? cor_after(pause_ns) : 0;
    ssize_t count;
    do {
        if (reader->start == reader->end) {
            cor_reader_free(reader);
        }
        int rc = wait_for_more(reader, slot, pause_end);
        rc = rc < 0 ? rc : make_room(reader);
        if (rc < 0) {
            return rc;
        }
        count = cori_fd_read_stream(slot, reader->buf + reader->end, reader->capacity - reader->end - SPARE);
    } while (count == -EAGAIN);
    return count;
}

/* Begins a call that asks the connection for bytes, once what is to be flushed before has been; ended with leave. */
static int begin_fill(cor_reader *reader, cori_slot **slot)
{
    int rc = reader->flushes != NULL ? cor_writer_flush(reader->flushes) : 0;
    return rc == 0 ? cori_slot_enter(reader->conn, CORI_KIND_CONN, CORI_LOCK_READ, slot) : rc;
}

ssize_t cori_reader_fill(cor_reader *reader, int64_t pause_ns)
{
    cori_slot *slot;
    int rc = begin_fill(reader, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = fill_from(reader, slot, pause_ns);
    cori_slot_leave(slot, CORI_LOCK_READ);
    reader->end += count > 0 ? (size_t)count : 0;
    reader->ended = count == 0;
    return count;
}

/* Reads until `count` bytes (`max` at most) are buffered or the stream has ended: 0 or an error. */
static int ensure(cor_reader *reader, size_t count)
{
    int rc = cori_reader_check(reader);
    while (rc == 0 && reader->end - reader->start < count && !reader->ended) {
        ssize_t more = cori_reader_fill(reader, 0);
        rc = more < 0 ? (int)more : 0;
    }
    return rc;
}

ssize_t cor_reader_peek(cor_reader *reader, size_t count, char **bytes)
{
    int rc = count <= reader->max ? ensure(reader, count) : -EINVAL;
    if (rc < 0) {
        return rc;
    }
    *bytes = first_unread(reader);
    return (ssize_t)cor_reader_buffered(reader);
}

int cor_reader_until(cor_reader *reader, char delimiter, char **bytes, size_t *size)
{
    size_t scanned = 0;
    int rc = cori_reader_check(reader);
    while (rc == 0) {
        size_t have = cor_reader_buffered(reader);
        char *from = first_unread(reader);
        char *found = have > scanned ? memchr(from + scanned, delimiter, have - scanned) : NULL;
        if (found != NULL) {
            size_t length = (size_t)(found - from) + 1;
            reader->start += length;
            *bytes = from;
            if (size != NULL) {
                *size = length;
            }
            return 1;
        }
        if (reader->ended || have >= reader->max) {
            return !reader->ended ? cori_in_vain(COR_ETOO_LONG) : have > 0 ? COR_EUNEXPECTED_EOF : 0;
        }
        scanned = have;
        ssize_t more = cori_reader_fill(reader, 0);
        rc = more < 0 ? (int)more : 0;
    }
    return rc;
}

/* Takes buffered bytes out, `to` NULL: drops them; their number. */
static size_t take(cor_reader *reader, char *to, size_t size)
{
    size_t have = cor_reader_buffered(reader);
    size_t count = have < size ? have : size;
    if (to != NULL && count > 0) {
        memcpy(to, reader->buf + reader->start, count);
    }
    reader->start += count;
    return count;
}

/* What one read of the connection gives, past the buffer. */
static ssize_t read_past(cor_reader *reader, char *to, size_t size)
{
    cori_slot *slot;
    int rc = begin_fill(reader, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count;
    do {
        rc = slot->ops->wait_readable(slot, NULL);
        count = rc < 0 ? rc : cori_fd_read_stream(slot, to, size);
    } while (count == -EAGAIN);
    cori_slot_leave(slot, CORI_LOCK_READ);
    reader->ended = count == 0;
    return count;
}

/* What one read gives, past the buffer if it is empty and the bytes would not fit it. */
static ssize_t read_once(cor_reader *reader, char *to, size_t size)
{
    if (to != NULL && size >= reader->max && reader->start == reader->end && !reader->ended) {
        return read_past(reader, to, size);
    }
    int rc = ensure(reader, 1);
    return rc < 0 ? rc : (ssize_t)take(reader, to, size);
}

ssize_t cor_reader_read(cor_reader *reader, void *buf, size_t size)
{
    return size > 0 ? read_once(reader, buf, size) : cori_in_vain(0);
}

/* What a read of too little gives: the end, in time or not. */
static ssize_t end_after(size_t count)
{
    return count > 0 ? COR_EUNEXPECTED_EOF : 0;
}

/* Takes exactly `size` bytes, more than may be buffered. */
static ssize_t take_much(cor_reader *reader, char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = read_once(reader, to != NULL ? to + done : NULL, size - done);
        if (count <= 0) {
            return count < 0 ? count : end_after(done);
        }
        done += (size_t)count;
    }
    return (ssize_t)size;
}

static ssize_t take_full(cor_reader *reader, char *to, size_t size)
{
    if (size > reader->max) {
        return take_much(reader, to, size);
    }
    int rc = ensure(reader, size);
    if (rc < 0) {
        return rc;
    }
    size_t have = cor_reader_buffered(reader);
    return have < size ? end_after(have) : (ssize_t)take(reader, to, size);
}

ssize_t cor_reader_read_full(cor_reader *reader, void *buf, size_t size)
{
    return take_full(reader, buf, size);
}

ssize_t cor_reader_skip(cor_reader *reader, size_t size)
{
    return take_full(reader, NULL, size);
}

/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of whole lines between any number of threads and one descriptor. A thread of its own writes, so that
 * a blocked or full terminal, pipe or disk never stalls whoever has something to say: what finds no room is dropped and
 * counted. Lines never mix. Safe from every thread and task; no call waits for the descriptor, except
 * line_writer_flush.
 */
#ifndef CORACLE_CMD_LINE_WRITER_H
#define CORACLE_CMD_LINE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct line_writer line_writer;

/* A piece of a line. */
typedef struct line_part {
    const void *bytes;
    size_t size;
    bool foreign; /* comes from a peer: is escaped on the way (escape.h) */
} line_part;

/*
 * Makes a queue with room for `capacity_bytes` waiting (and as much again being written) and starts its thread.
 * `on_drop(count)` is called on that thread when lines were lost and the descriptor takes lines again; may be NULL.
 * Returns NULL when memory or threads ran out. Keeps `fd` without owning it.
 */
line_writer *line_writer_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count));

/* Queues one line made of the parts plus LF. Returns false if it was dropped. */
bool line_writer_put(line_writer *writer, const line_part *parts, size_t count);

/* Waits at most `timeout_ns` until everything queued so far has been written. Returns whether it has. */
bool line_writer_flush(line_writer *writer, int64_t timeout_ns);

/* Counts the lines dropped so far. */
uint64_t line_writer_dropped(line_writer *writer);

/*
 * Flushes for at most `timeout_ns`, then ends the thread and frees the queue. If the descriptor still blocks, thread
 * and memory are left to the end of the process. NULL is accepted.
 */
void line_writer_close(line_writer *writer, int64_t timeout_ns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of whole lines between any number of threads and one descriptor. A thread of its own writes, so that
 * a blocked or full terminal, pipe or disk never stalls whoever has something to say: what finds no room is dropped and
 * counted. Lines never mix. Safe from every thread and task; no call waits for the descriptor, except lineq_flush.
 */
#ifndef CORACLE_CMD_LINEQ_H
#define CORACLE_CMD_LINEQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lineq lineq;

/* A piece of a line. */
typedef struct line_part {
    const void *bytes;
    size_t size;
    bool foreign; /* comes from a peer: is made safe on the way (safe.h) */
} line_part;

/*
 * Makes a queue with room for `capacity_bytes` waiting (and as much again being written) and starts its thread.
 * `on_drop(count)` is called on that thread when lines were lost and the descriptor takes lines again; may be NULL.
 * Returns NULL when memory or threads ran out. Keeps `fd` without owning it.
 */
lineq *lineq_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count));

/* Queues one line made of the parts plus LF. Returns false if it was dropped. */
bool lineq_put(lineq *queue, const line_part *parts, size_t count);

/* Waits at most `timeout_ns` until everything queued so far has been written. Returns whether it has. */
bool lineq_flush(lineq *queue, int64_t timeout_ns);

/* Counts the lines dropped so far. */
uint64_t lineq_dropped(lineq *queue);

/*
 * Flushes for at most `timeout_ns`, then ends the thread and frees the queue. If the descriptor still blocks, thread
 * and memory are left to the end of the process. NULL is accepted.
 */
void lineq_close(lineq *queue, int64_t timeout_ns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Bounded queues of records between any number of threads and one descriptor. A thread of its own makes lines of the
 * records and writes them, many at a time, at most 10 ms after they were put: nobody else formats or writes, and a
 * blocked or full terminal, pipe or disk never stalls whoever has something to say. What finds no room is dropped and
 * counted. Lines never mix; those put by one worker, or by threads that are none, stay in order. Safe from every thread
 * and task; no call waits for the descriptor, except line_writer_flush and line_writer_close.
 */
#ifndef CORACLE_CMD_LINE_WRITER_H
#define CORACLE_CMD_LINE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct line_writer line_writer;

/* Bytes that the text of a record of `size` bytes may have, with its LF. */
#define LINE_WRITER_TEXT_MAX(size) (4 * (size_t)(size) + 2048)

/*
 * Writes the text of a record, LINE_WRITER_TEXT_MAX(size) bytes at most and LF at the end, and returns its end. Runs on
 * the writer's thread. The record is aligned to 16 bytes.
 */
typedef char *line_format(char *to, const void *record, size_t size);

/*
 * Makes the queues and starts the thread. Each worker has `capacity_bytes` of its own from its first record on (a power
 * of two, at least 4096); all threads that are no workers have as much together. `on_drop(count)` is called on the
 * writer's thread when lines were lost and the descriptor takes lines again; may be NULL. Returns NULL when memory or
 * threads ran out. Keeps `fd` without owning it.
 */
line_writer *line_writer_new(int fd, size_t capacity_bytes, void (*on_drop)(uint64_t count));

/*
 * Has the writer's thread call `between` after each of its rounds, `ending` in the last ones. It returns the ns after
 * which it is to be called at the latest, 0: when there is something to write; less: it has just put a record.
 */
void line_writer_between(line_writer *writer, int64_t (*between)(bool ending));

/*
 * From its next round on the thread writes to `fd`, taken: it closes it when it gets another one, or at the end. What
 * was put before may go to either. Never waits, whatever the descriptor before does.
 */
void line_writer_change_fd(line_writer *writer, int fd);

/* Queues one record, the pieces one after the other. Returns false if it was dropped. */
bool line_writer_put(line_writer *writer, line_format *format, const struct iovec *pieces, size_t count);

/* Waits at most `timeout_ns` until everything queued so far has been written. Returns whether it has. */
bool line_writer_flush(line_writer *writer, int64_t timeout_ns);

/* Counts the lines dropped so far. */
uint64_t line_writer_dropped(line_writer *writer);

/*
 * Flushes for at most `timeout_ns`, then ends the thread and frees the queues. If the descriptor still blocks, thread
 * and memory are left to the end of the process. Nobody may put any more. NULL is accepted. Returns whether the thread
 * has ended: one that is left may call on_drop yet.
 */
bool line_writer_close(line_writer *writer, int64_t timeout_ns);

#endif

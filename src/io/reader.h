/* SPDX-License-Identifier: MIT */
/* What readers of lines share with other buffered readers: the buffer, and how it is filled. */
#ifndef CORI_IO_READER_H
#define CORI_IO_READER_H

#include <coracle/buffered.h>
#include <limits.h>

enum { CORI_READER_PAUSED = INT_MIN }; /* no error's number */

/*
 * Reads more into the buffer: the count, 0 at end of stream (noted in `ended`), or an error; CORI_READER_PAUSED if
 * something is buffered and nothing came for `pause_ns` (0: no such limit). There must be room: less than `max`
 * is buffered, or what is may be one byte more for the LF of a line.
 */
ssize_t cori_reader_fill(cor_reader *reader, int64_t pause_ns);

/*
 * Begins a call. Why the running task must not go on, also over what is buffered: COR_ECANCELED, COR_ETIMEOUT, or 0.
 * From the end of the stream on each call pays, because no read does.
 */
int cori_reader_check(const cor_reader *reader);

#endif

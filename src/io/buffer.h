/* SPDX-License-Identifier: MIT */
/* Borrowed read buffers, for the rest of this folder. */
#ifndef CORI_IO_BUFFER_H
#define CORI_IO_BUFFER_H

#include "base/limits.h"
#include "net/fd.h"

#include <coracle/io.h>

/* A buffer of CORI_BUFFER_BYTES; NULL: no memory. Given back by any task, or thread. */
void *cori_buffer_take(void);
void cori_buffer_give(void *buffer);

/* As cor_read_buffer, of at most `max_bytes`, and until `limit`, NULL: none. */
ssize_t cori_buffer_read(cor_conn *conn, size_t max_bytes, const cori_limit *limit, cor_buffer *out);

#endif

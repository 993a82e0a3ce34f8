/* SPDX-License-Identifier: MIT */
/*
 * Borrowed read buffers. A task waits for data without a buffer and takes one only when there is something to read,
 * so at any time about as many buffers exist as tasks are between read and write. Each worker keeps a few, last in
 * first out: the one used last is still in the cache.
 */
#include "base/limits.h"
#include "sched/park.h"

#include <coracle/io.h>
#include <errno.h>
#include <stdlib.h>

static void *buffer_take(void)
{
    cori_worker *worker = cori_self_worker;
    return worker->buffer_count > 0 ? worker->buffers[--worker->buffer_count] : malloc(CORI_BUFFER_BYTES);
}

static void buffer_give(void *buffer)
{
    cori_worker *worker = cori_self_worker;
    if (worker != NULL && worker->buffer_count < CORI_BUFFERS_KEPT) {
        worker->buffers[worker->buffer_count++] = buffer;
    } else {
        free(buffer);
    }
}

ssize_t cor_read_buffer(cor_conn *conn, cor_buffer *out)
{
    *out = (cor_buffer){0};
    int rc = cor_wait_readable(conn);
    if (rc < 0) {
        return rc;
    }
    void *buffer = buffer_take();
    if (buffer == NULL) {
        return -ENOMEM;
    }
    ssize_t count = cor_read(conn, buffer, CORI_BUFFER_BYTES);
    if (count <= 0) {
        buffer_give(buffer);
        return count;
    }
    out->data = buffer;
    out->size = (size_t)count;
    return count;
}

void cor_buffer_free(cor_buffer *buffer)
{
    if (buffer != NULL && buffer->data != NULL) {
        buffer_give(buffer->data);
        *buffer = (cor_buffer){0};
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Borrowed read buffers. A task that waits for data holds no buffer: it takes one, tries, and gives it back before it
 * parks. At any time there are about as many buffers as there are tasks between a read and a write. Each worker keeps
 * a few, last in first out: the one used last is still in the cache.
 */
#include "io/buffer.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>

void *cori_buffer_take(void)
{
    cori_spares *spares = cori_here_spares();
    return spares->count > 0 ? spares->buffers[--spares->count] : cori_malloc(CORI_BUFFER_BYTES);
}

void cori_buffer_give(void *buffer)
{
    cori_spares *spares = cori_here_is_worker() ? cori_here_spares() : NULL;
    if (spares != NULL && spares->count < CORI_BUFFERS_KEPT) {
        spares->buffers[spares->count++] = buffer;
    } else {
        free(buffer);
    }
}

/* Waits without a buffer, reads into one. Only with a count > 0 is *data set, and owned by the caller. */
static ssize_t read_lent(cori_slot *slot, size_t size, const cori_limit *limit, unsigned char **data)
{
    int rc = slot->ops->wait_readable(slot, limit);
    if (rc < 0) {
        return rc;
    }
    void *buffer = cori_buffer_take();
    if (buffer == NULL) {
        return -ENOMEM;
    }
    ssize_t count = cori_fd_read_stream(slot, buffer, size);
    if (count > 0) {
        *data = buffer;
    } else {
        cori_buffer_give(buffer);
    }
    return count;
}

ssize_t cori_buffer_read(cor_conn *conn, size_t max_bytes, const cori_limit *limit, cor_buffer *out)
{
    cori_slot *slot;
    *out = (cor_buffer){0};
    int rc = limit == NULL ? cori_slot_enter(conn, CORI_KIND_CONN, CORI_LOCK_READ, &slot)
                           : cori_slot_enter_until(conn, CORI_KIND_CONN, CORI_LOCK_READ, limit->until, &slot);
    if (rc < 0) {
        return rc;
    }
    size_t size = max_bytes < CORI_BUFFER_BYTES ? max_bytes : CORI_BUFFER_BYTES;
    ssize_t count;
    do { /* a sign without data: wait again, without a buffer */
        count = read_lent(slot, size, limit, &out->data);
    } while (count == -EAGAIN);
    cori_slot_leave(slot, CORI_LOCK_READ);
    out->size = count > 0 ? (size_t)count : 0;
    return count;
}

ssize_t cor_read_buffer(cor_conn *conn, cor_buffer *out)
{
    return cori_buffer_read(conn, CORI_BUFFER_BYTES, NULL, out);
}

void cor_buffer_free(cor_buffer *buffer)
{
    if (buffer != NULL && buffer->data != NULL) {
        cori_buffer_give(buffer->data);
        *buffer = (cor_buffer){0};
    }
}

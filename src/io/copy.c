/* SPDX-License-Identifier: MIT */
/* More than one read: a given number of bytes, what is left before closing. Copies are in transfer.c. */
#include "base/atomic.h"
#include "io/buffer.h"

/* Reads `size` bytes, inside a call that holds the read lock. */
static ssize_t read_full(cori_slot *slot, char *buf, size_t size)
{
    size_t have = 0;
    while (have < size) {
        int rc = have == 0 ? slot->ops->wait_readable(slot, NULL) : cori_slot_wait_for_rest(slot, NULL);
        ssize_t count = rc < 0 ? rc : cori_fd_read_stream(slot, buf + have, size - have);
        if (count == -EAGAIN) {
            continue;
        }
        if (count <= 0) {
            return count < 0 || have == 0 ? count : COR_EUNEXPECTED_EOF;
        }
        have += (size_t)count;
    }
    return (ssize_t)size;
}

ssize_t cor_read_full(cor_conn *conn, void *buf, size_t size)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, size > 0 ? CORI_LOCK_READ : CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = size > 0 ? read_full(slot, buf, size) : cori_in_vain(0);
    cori_slot_leave(slot, size > 0 ? CORI_LOCK_READ : CORI_SHARED);
    return count;
}

/* Gives reads a deadline in place of the read deadline that the connection has now. */
static int limit_to(cor_conn *conn, int64_t deadline, cori_limit *limit)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc == 0) {
        *limit = (cori_limit){cori_slot_deadline(deadline), cori_load(&slot->deadline[CORI_READ])};
        cori_slot_leave(slot, CORI_SHARED);
    }
    return rc;
}

int64_t cor_drain(cor_conn *conn, int64_t max_bytes, int64_t deadline)
{
    cori_limit own, *limit = deadline != 0 ? &own : NULL;
    if (limit != NULL && limit_to(conn, deadline, limit) < 0) {
        return cori_in_vain(0);
    }
    int64_t total = 0;
    while (total < max_bytes) {
        cor_buffer buffer;
        ssize_t count = cori_buffer_read(conn, (size_t)(max_bytes - total), limit, &buffer);
        if (count <= 0) {
            break;
        }
        cor_buffer_free(&buffer);
        total += count;
    }
    return total;
}

int cor_finish(cor_conn *conn, int64_t deadline)
{
    if (cor_close_write(conn) == 0) {
        (void)cor_drain(conn, CORI_FINISH_BYTES, deadline);
    }
    return cor_close(conn);
}

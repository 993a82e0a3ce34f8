/* SPDX-License-Identifier: MIT */
/* More than one read: a given number of bytes, what is left before closing. Copies are in transfer.c. */
#include "io/buffer.h"

#include <coracle/time.h>

/* Reads `size` bytes, inside a call that holds the read lock. */
static ssize_t read_full(cori_slot *slot, char *buf, size_t size)
{
    size_t have = 0;
    while (have < size) {
        int rc = have == 0 ? slot->ops->wait_readable(slot) : cori_slot_wait_for_rest(slot);
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

/* Puts a read deadline in the place of *before, or of any, which is told in *before; and has a parked read see it. */
static int swap_deadline(cor_conn *conn, int64_t deadline, int64_t *before, bool any)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    while (!cori_cas(&slot->deadline[CORI_READ], before, deadline) && any) {}
    slot->ops->deadline_moved(slot, CORI_READ);
    cori_slot_leave(slot, CORI_SHARED);
    return 0;
}

static int64_t drain(cor_conn *conn, int64_t max_bytes)
{
    int64_t total = 0;
    while (total < max_bytes) {
        cor_buffer buffer;
        ssize_t count = cori_buffer_read(conn, (size_t)(max_bytes - total), &buffer);
        if (count <= 0) {
            break;
        }
        cor_buffer_free(&buffer);
        total += count;
    }
    return total;
}

int64_t cor_drain(cor_conn *conn, int64_t max_bytes, int64_t deadline)
{
    int64_t own = 0, put = cori_slot_deadline(deadline);
    if (deadline != 0 && swap_deadline(conn, put, &own, true) < 0) {
        return cori_in_vain(0);
    }
    int64_t total = drain(conn, max_bytes);
    if (deadline != 0) {
        (void)swap_deadline(conn, own, &put, false); /* unless it was moved meanwhile */
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

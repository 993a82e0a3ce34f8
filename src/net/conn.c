/* SPDX-License-Identifier: MIT */
/* The public calls on connections: enter the slot, let its kind do the work, leave. */
#include "net/conn.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/sys.h"

#include <coracle/time.h>
#include <stdio.h>

ssize_t cor_read(cor_conn *conn, void *buf, size_t size_bytes)
{
    /* A read of nothing never waits, so it does not wait for its turn either. */
    enum cori_access access = size_bytes > 0 ? CORI_LOCK_READ : CORI_SHARED;
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = size_bytes > 0 ? cori_slot_read(slot, buf, size_bytes) : 0;
    cori_slot_leave(slot, access);
    return count;
}

int cor_wait_readable(cor_conn *conn)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_LOCK_READ, &slot);
    if (rc < 0) {
        return rc;
    }
    do { /* descriptors: the sign may be an old one */
        rc = slot->ops->wait_readable(slot);
    } while (rc == 0 && slot->ops->fd != NULL && !cori_fd_confirm_readable(slot));
    cori_slot_leave(slot, CORI_LOCK_READ);
    return rc;
}

static inline int write_counted(cor_conn *conn, const void *buf, size_t size_bytes, size_t *written)
{
    cori_slot *slot;
    *written = 0;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = slot->ops->write(slot, buf, size_bytes, written);
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return rc;
}

int cor_write_counted(cor_conn *conn, const void *buf, size_t size_bytes, size_t *written)
{
    return write_counted(conn, buf, size_bytes, written);
}

ssize_t cor_write(cor_conn *conn, const void *buf, size_t size_bytes)
{
    size_t written;
    int rc = write_counted(conn, buf, size_bytes, &written);
    return rc < 0 ? rc : (ssize_t)written;
}

int cor_close(cor_conn *conn)
{
    return conn != NULL ? cori_slot_close(conn, CORI_KIND_CONN) : 0;
}

static int shut(cor_conn *conn, int how)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    rc = slot->ops->shutdown(slot, how);
    cori_slot_leave(slot, CORI_SHARED);
    return rc;
}

int cor_close_write(cor_conn *conn)
{
    return shut(conn, SHUT_WR);
}

int cor_close_read(cor_conn *conn)
{
    return shut(conn, SHUT_RD);
}

/*
 * Stores a deadline and makes parked calls look at it. One that is past by the real clock is stored as "long past":
 * calls compare with their worker's coarse clock, which may be a little behind. Far ones need no look at the clock.
 */
static void move_deadline(cori_slot *slot, int direction, int64_t deadline)
{
    if (deadline != 0 && deadline < cori_here_now() + COR_SECOND && deadline <= cori_clock_now()) {
        deadline = 1;
    }
    cori_store(&slot->deadline[direction], deadline);
    slot->ops->deadline_moved(slot, direction);
}

static int set_deadlines(const void *handle, enum cori_kind kind, bool read, bool write, int64_t deadline)
{
    cori_slot *slot;
    int rc = cori_slot_enter(handle, kind, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    if (read) {
        move_deadline(slot, CORI_READ, deadline);
    }
    if (write) {
        move_deadline(slot, CORI_WRITE, deadline);
    }
    cori_slot_leave(slot, CORI_SHARED);
    return 0;
}

int cor_set_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, CORI_KIND_CONN, true, true, deadline);
}

int cor_set_read_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, CORI_KIND_CONN, true, false, deadline);
}

int cor_set_write_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, CORI_KIND_CONN, false, true, deadline);
}

int cor_listener_set_deadline(cor_listener *listener, int64_t deadline)
{
    return set_deadlines(listener, CORI_KIND_LISTENER, true, false, deadline);
}

static char *addr_text(const void *handle, enum cori_kind kind, bool remote, char *text, size_t size)
{
    cori_slot *slot;
    if (size > 0) {
        text[0] = '\0';
        if (cori_slot_enter(handle, kind, CORI_SHARED, &slot) == 0) {
            (remote ? slot->ops->remote_text : slot->ops->local_text)(slot, text, size);
            cori_slot_leave(slot, CORI_SHARED);
        }
    }
    return text;
}

char *cor_local_addr(cor_conn *conn, char *text, size_t size)
{
    return addr_text(conn, CORI_KIND_CONN, false, text, size);
}

char *cor_remote_addr(cor_conn *conn, char *text, size_t size)
{
    return addr_text(conn, CORI_KIND_CONN, true, text, size);
}

char *cor_listener_addr(cor_listener *listener, char *text, size_t size)
{
    return addr_text(listener, CORI_KIND_LISTENER, false, text, size);
}

int cori_error_fill(cor_error *error, const char *op, const char *network, const char *address, int code)
{
    if (error != NULL) {
        error->code = code;
        (void)snprintf(error->op, sizeof(error->op), "%s", op);
        (void)snprintf(error->network, sizeof(error->network), "%s", network);
        (void)snprintf(error->address, sizeof(error->address), "%s", address);
    }
    return code;
}

void cor_conn_error(cor_conn *conn, const char *op, int code, cor_error *error)
{
    cori_slot *slot;
    *error = (cor_error){0};
    (void)cori_error_fill(error, op, "", "", code);
    if (code < 0 && code > COR_ECLOSED) { /* the kernel's word: the system call is named */
        (void)snprintf(error->where, sizeof(error->where), "%s", op);
    }
    if (cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
        (void)snprintf(error->network, sizeof(error->network), "%s", cori_networks[slot->network].name);
        slot->ops->local_text(slot, error->source, sizeof(error->source));
        slot->ops->remote_text(slot, error->address, sizeof(error->address));
        cori_slot_leave(slot, CORI_SHARED);
    }
}

/* SPDX-License-Identifier: MIT */
/* The public calls on connections: enter the slot, let its kind do the work, leave. */
#include "net/conn.h"
#include "base/atomic.h"
#include "base/sys.h"

#include <coracle/time.h>
#include <stdio.h>
#include <string.h>

ssize_t cor_read(cor_conn *conn, void *buf, size_t size_bytes)
{
    /* A read of nothing never waits, so it does not wait for its turn either. */
    enum cori_access access = size_bytes > 0 ? CORI_LOCK_READ : CORI_SHARED;
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t count = size_bytes > 0 ? cori_slot_read(slot, buf, size_bytes) : cori_in_vain(0);
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
        rc = slot->ops->wait_readable(slot, NULL);
    } while (rc == 0 && slot->ops->fd != NULL && !cori_fd_confirm_readable(slot));
    cori_slot_leave(slot, CORI_LOCK_READ);
    if (rc == 0) {
        cori_charge(cori_here_task());
    }
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

static int set_deadlines(cor_conn *conn, bool read, bool write, int64_t deadline)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot);
    if (rc < 0) {
        return rc;
    }
    if (read) {
        cori_slot_move_deadline(slot, CORI_READ, deadline);
    }
    if (write) {
        cori_slot_move_deadline(slot, CORI_WRITE, deadline);
    }
    cori_slot_leave(slot, CORI_SHARED);
    return 0;
}

int cor_set_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, true, true, deadline);
}

int cor_set_read_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, true, false, deadline);
}

int cor_set_write_deadline(cor_conn *conn, int64_t deadline)
{
    return set_deadlines(conn, false, true, deadline);
}

static char *addr_text(cor_conn *conn, bool remote, char *text, size_t size)
{
    cori_slot *slot;
    if (size > 0) {
        text[0] = '\0';
        if (cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
            (remote ? slot->ops->remote_text : slot->ops->local_text)(slot, text, size);
            cori_slot_leave(slot, CORI_SHARED);
        }
    }
    return text;
}

char *cor_local_addr(cor_conn *conn, char *text, size_t size)
{
    return addr_text(conn, false, text, size);
}

char *cor_remote_addr(cor_conn *conn, char *text, size_t size)
{
    return addr_text(conn, true, text, size);
}

static cor_addr endpoint(cor_conn *conn, bool remote)
{
    cor_addr addr = {.port = 0};
    cori_slot *slot;
    if (cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
        if (slot->ops == &cori_tcp_ops || slot->ops == &cori_udp_ops || slot->ops == &cori_raw_ops) {
            addr = remote ? slot->is.peer : cori_tcp_local(slot);
        }
        addr.port = slot->ops != &cori_raw_ops ? addr.port : 0; /* the kernel puts the protocol there */
        cori_slot_leave(slot, CORI_SHARED);
    }
    return addr;
}

cor_addr cor_local_endpoint(cor_conn *conn)
{
    return endpoint(conn, false);
}

cor_addr cor_remote_endpoint(cor_conn *conn)
{
    return endpoint(conn, true);
}

/* Lets the reader hear of the end of its server: at once if it is parked, else when it would park next. */
static void begin_end(cori_slot *slot)
{
    if (cori_load_relaxed(&slot->ending) == CORI_HEARS_OF_END) {
        cori_store(&slot->ending, CORI_END_HAS_BEGUN);
        slot->ops->deadline_moved(slot, CORI_READ);
        cori_charge(cori_here_task());
    }
}

void cori_conn_begin_end(void)
{
    cori_slot_each_conn(begin_end);
}

void cori_error_to(cor_error *error, cor_addr to)
{
    const cori_network *network = &cori_networks[CORI_NETWORK_UDP];
    for (int i = CORI_NETWORK_IP; i <= CORI_NETWORK_IP6; i++) {
        network = strcmp(error->network, cori_networks[i].name) == 0 ? &cori_networks[i] : network;
    }
    (void)cori_network_text(network, to, error->address, sizeof(error->address));
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
        bool copies = strcmp(op, "readfrom") == 0 || strcmp(op, "writeto") == 0;
        (void)snprintf(error->where, sizeof(error->where), "%s", copies ? "splice" : op);
    }
    if (cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot) == 0) {
        (void)snprintf(error->network, sizeof(error->network), "%s", cori_networks[slot->network].name);
        slot->ops->local_text(slot, error->source, sizeof(error->source));
        slot->ops->remote_text(slot, error->address, sizeof(error->address));
        cori_slot_leave(slot, CORI_SHARED);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes of several parts. Sockets have a system call for it; packets need it to stay one packet. Every other
 * kind of connection is written to part by part within one call, which is one piece to other writers as well; it is
 * read through a lent buffer, because a second read for the next part could meet the only sign of an error.
 *
 * So are TCP connections over io_uring, whose bytes are not the kernel's any more.
 */
#include "base/sys.h"
#include "io/buffer.h"
#include "net/fd.h"

#include <coracle/bulk.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

/* What is left to be written. */
typedef struct rest {
    struct iovec *parts;
    size_t count;
} rest;

/* Takes written bytes off, and the empty parts that come next. */
static void advance(rest *left, size_t bytes)
{
    while (left->count > 0 && bytes >= left->parts->iov_len) {
        bytes -= left->parts->iov_len;
        left->parts->iov_base = (char *)left->parts->iov_base + left->parts->iov_len;
        left->parts->iov_len = 0;
        left->parts++;
        left->count--;
    }
    if (bytes > 0) {
        left->parts->iov_base = (char *)left->parts->iov_base + bytes;
        left->parts->iov_len -= bytes;
    }
}

static ssize_t try_parts(cori_slot *slot, void *arg)
{
    const rest *left = arg;
    if (left->count > IOV_MAX && slot->ops->fd->packets) {
        return -EMSGSIZE;
    }
    return cori_sys_send_parts(slot->pollfd.fd, left->parts, left->count < IOV_MAX ? left->count : IOV_MAX);
}

/* Writes some of the rest: the count or an error; *count also with an error. */
static int write_some(cori_slot *slot, rest *left, size_t *count)
{
    if (slot->ops->fd == NULL || !(slot->ops->fd->streams || slot->ops->fd->packets)) {
        return slot->ops->write(slot, left->parts->iov_base, left->parts->iov_len, count);
    }
    ssize_t rc = cori_fd_put(slot, try_parts, left);
    *count = rc > 0 ? (size_t)rc : 0;
    return rc < 0 ? (int)rc : 0;
}

static ssize_t write_parts(cori_slot *slot, rest left)
{
    size_t total = 0, count = 0;
    int rc = 0;
    advance(&left, 0);
    if (left.count == 0) { /* a write of nothing, with a deadline all the same */
        rc = slot->ops->write(slot, "", 0, &count);
    }
    while (rc == 0 && left.count > 0) {
        rc = write_some(slot, &left, &count);
        advance(&left, count);
        total += count;
    }
    return rc < 0 ? rc : (ssize_t)total;
}

ssize_t cor_writev(cor_conn *conn, struct iovec *parts, size_t count)
{
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, CORI_LOCK_WRITE, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t written = write_parts(slot, (rest){.parts = parts, .count = count});
    cori_slot_leave(slot, CORI_LOCK_WRITE);
    return written;
}

/* Where a read goes. */
typedef struct room {
    const struct iovec *parts; /* the first one has room */
    size_t count;              /* at most IOV_MAX */
    size_t size;               /* bytes in all, but no more than SSIZE_MAX; 0: none has room */
} room;

static room room_of(const struct iovec *parts, size_t count)
{
    while (count > 0 && parts->iov_len == 0) {
        parts++;
        count--;
    }
    room to = {.parts = parts, .count = count < IOV_MAX ? count : IOV_MAX};
    for (size_t i = 0; i < to.count; i++) {
        size_t more = SSIZE_MAX - to.size;
        to.size += parts[i].iov_len < more ? parts[i].iov_len : more;
    }
    return to;
}

static void scatter(const room *to, const char *bytes, size_t size)
{
    for (size_t i = 0; size > 0; i++) {
        size_t count = to->parts[i].iov_len < size ? to->parts[i].iov_len : size;
        if (count > 0) {
            memcpy(to->parts[i].iov_base, bytes, count);
        }
        bytes += count;
        size -= count;
    }
}

static ssize_t try_receive(cori_slot *slot, void *arg)
{
    const room *to = arg;
    struct iovec *parts = (struct iovec *)(uintptr_t)to->parts; /* recvmsg(2) leaves them as they are */
    return cori_sys_recv_parts(slot->pollfd.fd, parts, to->count);
}

/* Reads by way of a lent buffer, after wait_readable. */
static ssize_t read_through_buffer(cori_slot *slot, const room *to)
{
    size_t size = to->size < CORI_BUFFER_BYTES ? to->size : CORI_BUFFER_BYTES;
    char *buffer = cori_buffer_take();
    if (buffer == NULL) {
        return -ENOMEM;
    }
    ssize_t count = slot->ops->read_now(slot, buffer, size);
    if (count > 0) {
        scatter(to, buffer, (size_t)count);
    }
    cori_buffer_give(buffer);
    return count;
}

static ssize_t read_parts(cori_slot *slot, room *to)
{
    const cori_fd_ops *kind = slot->ops->fd;
    bool direct = kind != NULL && (kind->packets || (kind->streams && !cori_fd_is_ahead(slot)));
    ssize_t count;
    do {
        int rc = slot->ops->wait_readable(slot, NULL);
        if (rc < 0) {
            count = rc;
        } else if (to->parts->iov_len >= to->size) { /* one part */
            count = slot->ops->read_now(slot, to->parts->iov_base, to->parts->iov_len);
        } else {
            count = direct ? cori_fd_take(slot, try_receive, to, kind->packets ? 0 : to->size)
                           : read_through_buffer(slot, to);
        }
    } while (count == -EAGAIN);
    return count;
}

ssize_t cor_readv(cor_conn *conn, const struct iovec *parts, size_t count)
{
    room to = room_of(parts, count);
    enum cori_access access = to.size > 0 ? CORI_LOCK_READ : CORI_SHARED;
    cori_slot *slot;
    int rc = cori_slot_enter(conn, CORI_KIND_CONN, access, &slot);
    if (rc < 0) {
        return rc;
    }
    ssize_t read = to.size > 0 ? read_parts(slot, &to) : cori_in_vain(0);
    cori_slot_leave(slot, access);
    return read;
}

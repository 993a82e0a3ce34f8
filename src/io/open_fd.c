/* SPDX-License-Identifier: MIT */
/*
 * Connections on descriptors that are not the library's sockets: terminals, pipes, files, inherited sockets. No call on
 * one may stop a worker, and nobody else who has the same file open may notice (a terminal is the shell's as well):
 *
 *   socket             MSG_DONTWAIT does it. Datagram sockets besides: an empty datagram is no end of stream
 *   pipe, terminal     opened once more, so that the descriptor has an open description, and O_NONBLOCK, of its own
 *   file               never waits
 *   what cannot be     another user's pipe, the controlling side of a pseudo-terminal, an eventfd: each try
 *   opened again       asks poll(2) first. If it has O_NONBLOCK already the call follows; if not, the call is made on
 *                      the pool of cor_blocking, because who shares it may have taken what was there. A write is as
 *                      small as what a "writable" pipe takes for sure, or a terminal: a single byte
 */
#include "base/sys.h"
#include "net/fd.h"

#include <coracle/blocking.h>
#include <coracle/io.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void fd_text(cori_slot *slot, char *text, size_t size)
{
    (void)snprintf(text, size, "fd %d", slot->pollfd.fd);
}

static ssize_t plain_read(cori_slot *slot, void *buf, size_t size)
{
    return cori_sys_read(slot->pollfd.fd, buf, size);
}

static ssize_t plain_write(cori_slot *slot, const void *buf, size_t size)
{
    return cori_sys_write(slot->pollfd.fd, buf, size);
}

/* On a description of our own, and on files. */
static const cori_fd_ops plain = {
    .try_read = plain_read,
    .try_write = plain_write,
    .local = fd_text,
    .remote = fd_text,
};
static const cori_conn_ops plain_ops = CORI_CONN_ON_FD(&plain);

static bool is_ready(cori_slot *slot, bool for_write)
{
    return cori_fd_never_waits(slot) || cori_sys_ready(slot->pollfd.fd, for_write);
}

static ssize_t asking_read(cori_slot *slot, void *buf, size_t size)
{
    return is_ready(slot, false) ? plain_read(slot, buf, size) : -EAGAIN;
}

static ssize_t asking_write(cori_slot *slot, const void *buf, size_t size)
{
    return is_ready(slot, true) ? plain_write(slot, buf, size < PIPE_BUF ? size : PIPE_BUF) : -EAGAIN;
}

/* Shared, and not blocking as long as the others leave it so. */
static const cori_fd_ops asking = {
    .try_read = asking_read,
    .try_write = asking_write,
    .local = fd_text,
    .remote = fd_text,
};
static const cori_conn_ops asking_ops = CORI_CONN_ON_FD(&asking);

static bool is_terminal(int fd)
{
    int before = cori_errno_keep();
    bool is = isatty(fd) != 0;
    cori_errno_restore(before);
    return is;
}

/* A call on the pool. */
typedef struct pooled_call {
    cori_slot *slot;
    void *into;
    const void *from; /* a write; NULL: a read */
    size_t size;
    ssize_t result;
} pooled_call;

static int make_call(void *arg)
{
    pooled_call *call = arg;
    call->result = call->from != NULL ? plain_write(call->slot, call->from, call->size)
                                      : plain_read(call->slot, call->into, call->size);
    return 0;
}

static ssize_t call_in_pool(pooled_call call)
{
    if (cori_fd_never_waits(call.slot) || cor_blocking(make_call, &call) < 0) {
        (void)make_call(&call); /* without a thread for it: poll(2) has just said that it does not wait */
    }
    return call.result;
}

static ssize_t pooled_read(cori_slot *slot, void *buf, size_t size)
{
    return is_ready(slot, false) ? call_in_pool((pooled_call){.slot = slot, .into = buf, .size = size}) : -EAGAIN;
}

static ssize_t pooled_write(cori_slot *slot, const void *buf, size_t size)
{
    size_t sure = is_terminal(slot->pollfd.fd) ? 1 : PIPE_BUF;
    size = size < sure ? size : sure;
    return is_ready(slot, true) ? call_in_pool((pooled_call){.slot = slot, .from = buf, .size = size}) : -EAGAIN;
}

/* Shared, and blocking. */
static const cori_fd_ops pooled = {
    .try_read = pooled_read,
    .try_write = pooled_write,
    .local = fd_text,
    .remote = fd_text,
};
static const cori_conn_ops pooled_ops = CORI_CONN_ON_FD(&pooled);

static const cori_fd_ops stream = {
    .try_read = cori_fd_receive,
    .try_write = cori_fd_send,
    .local = fd_text,
    .remote = fd_text,
    .streams = true,
};
static const cori_conn_ops stream_ops = CORI_CONN_ON_FD(&stream);

/* Leaves empty datagrams out. The end is that nothing is there and the socket is shut down for reading. */
static ssize_t datagram_read(cori_slot *slot, void *buf, size_t size)
{
    for (;;) {
        ssize_t count = cori_fd_receive(slot, buf, size);
        if (count != 0) {
            return count == -EAGAIN && cori_sys_hung_up(slot->pollfd.fd) ? 0 : count;
        }
        cori_charge(cori_here_task()); /* somebody may send nothing but these */
        int rc = cori_fd_check(slot, CORI_READ);
        if (rc < 0) {
            return rc;
        }
    }
}

static const cori_fd_ops datagram = {
    .try_read = datagram_read,
    .try_write = cori_fd_send,
    .local = fd_text,
    .remote = fd_text,
};
static const cori_conn_ops datagram_ops = CORI_CONN_ON_FD(&datagram);

static const cori_conn_ops *ops_for(int fd, mode_t mode)
{
    int type = SOCK_STREAM;
    if (S_ISSOCK(mode)) {
        (void)cori_sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type);
        return type == SOCK_DGRAM || type == SOCK_RAW ? &datagram_ops : &stream_ops;
    }
    bool own = S_ISREG(mode) || S_ISDIR(mode) || ((S_ISFIFO(mode) || is_terminal(fd)) && cori_sys_own_description(fd));
    return own ? &plain_ops : cori_sys_is_blocking(fd) ? &pooled_ops : &asking_ops;
}

int cor_open_fd(cor_conn **out, int fd)
{
    struct stat status;
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    int before = cori_errno_keep();
    int rc = fstat(fd, &status) < 0 ? -errno : 0;
    cori_errno_restore(before);
    if (rc < 0) {
        return rc;
    }
    cori_slot *slot = cori_slot_new(CORI_KIND_CONN, &plain_ops);
    if (slot == NULL) {
        return -ENOMEM;
    }
    slot->ops = ops_for(fd, status.st_mode);
    bool waits = !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
    cori_fd_open(slot, fd, waits ? CORI_FD_PLAIN : CORI_FD_FILE);
    *out = cori_slot_publish(slot);
    return 0;
}

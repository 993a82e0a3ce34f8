/* SPDX-License-Identifier: MIT */
/*
 * Connections on descriptors that are not the library's sockets: terminals, pipes, files, inherited sockets. Their
 * flags stay as they are (a terminal is shared with other programs), so a descriptor may be blocking: each try asks
 * poll(2) first and reads or writes only what will not block. A blocking pipe that is "writable" takes PIPE_BUF bytes
 * without blocking, so that is the most one try writes. A terminal makes no such promise: it is opened once more, so
 * that the descriptor has a description, and flags, of its own; where that cannot be, it is written byte by byte.
 */
#include "base/sys.h"
#include "net/fd.h"

#include <coracle/io.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t file_try_read(cori_slot *slot, void *buf, size_t size)
{
    if (!cori_fd_never_waits(slot) && !cori_sys_ready(slot->pollfd.fd, false)) {
        return -EAGAIN;
    }
    return cori_sys_read(slot->pollfd.fd, buf, size);
}

static ssize_t file_try_write(cori_slot *slot, const void *buf, size_t size)
{
    if (!cori_fd_never_waits(slot) && !cori_sys_ready(slot->pollfd.fd, true)) {
        return -EAGAIN;
    }
    return cori_sys_write(slot->pollfd.fd, buf, size < PIPE_BUF ? size : PIPE_BUF);
}

static void file_text(cori_slot *slot, char *text, size_t size)
{
    (void)snprintf(text, size, "fd %d", slot->pollfd.fd);
}

static const cori_fd_ops file = {
    .try_read = file_try_read,
    .try_write = file_try_write,
    .local = file_text,
    .remote = file_text,
};
static const cori_conn_ops file_ops = CORI_CONN_ON_FD(&file);

/* A socket of whatever kind: its calls can be told not to wait, and not to raise SIGPIPE. */
static const cori_fd_ops any_socket = {
    .try_read = cori_fd_receive,
    .try_write = cori_fd_send,
    .local = file_text,
    .remote = file_text,
};
static const cori_conn_ops socket_ops = CORI_CONN_ON_FD(&any_socket);

/* A terminal whose description is shared with others may be "writable" with room for a single byte. */
static ssize_t terminal_try_write(cori_slot *slot, const void *buf, size_t size)
{
    return file_try_write(slot, buf, size < 1 ? size : 1);
}

static const cori_fd_ops terminal = {
    .try_read = file_try_read,
    .try_write = terminal_try_write,
    .local = file_text,
    .remote = file_text,
};
static const cori_conn_ops terminal_ops = CORI_CONN_ON_FD(&terminal);

static const cori_conn_ops *ops_for(int fd, mode_t mode)
{
    if (S_ISSOCK(mode)) {
        return &socket_ops;
    }
    return S_ISCHR(mode) && isatty(fd) && !cori_sys_own_terminal(fd) ? &terminal_ops : &file_ops;
}

int cor_open_fd(cor_conn **out, int fd)
{
    struct stat status;
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    cori_slot *slot = cori_slot_new(CORI_KIND_CONN, ops_for(fd, status.st_mode));
    if (slot == NULL) {
        return -ENOMEM;
    }
    bool waits = !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
    cori_fd_open(slot, fd, waits ? CORI_FD_PLAIN : CORI_FD_FILE);
    *out = cori_slot_publish(slot);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Unix stream connections: what is theirs beside fd.c. A short read does not mean drained: it can end at passed
 * rights.
 */
#include "base/sys.h"
#include "net/kinds.h"

#include <stdio.h>
#include <stdlib.h>

void cori_unix_local_text(cori_slot *slot, char *text, size_t size)
{
    cori_sockaddr local;
    socklen_t len = sizeof(local);
    text[0] = '\0';
    if (cori_sys_getsockname(slot->pollfd.fd, &local.any, &len) == 0) {
        cori_unix_text(&local, len, text, size);
    }
}

static void unix_remote_text(cori_slot *slot, char *text, size_t size)
{
    (void)snprintf(text, size, "%s", slot->is.path != NULL ? slot->is.path : "@");
}

static void unix_destroy(cori_slot *slot)
{
    cori_fd_close(slot);
    free(slot->is.path);
}

const cori_conn_ops cori_unix_ops = {
    .wait_readable = cori_fd_wait_readable,
    .read_now = cori_fd_read_now,
    .write = cori_fd_write,
    .shutdown = cori_fd_shutdown,
    .deadline_moved = cori_fd_deadline_moved,
    .evict = cori_fd_evict,
    .destroy = unix_destroy,
    .local_text = cori_unix_local_text,
    .remote_text = unix_remote_text,
    .try_read = cori_socket_receive,
    .try_write = cori_socket_send,
};

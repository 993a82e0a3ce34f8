/* SPDX-License-Identifier: MIT */
/*
 * Unix stream connections: what is theirs beside fd.c. A short read does not mean drained: it can end at passed
 * rights.
 */
#include "base/sys.h"
#include "net/conn.h"

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

static void unix_forget(cori_slot *slot)
{
    free(slot->is.path);
}

static const cori_fd_ops local = {
    .try_read = cori_fd_receive,
    .try_write = cori_fd_send,
    .local = cori_unix_local_text,
    .remote = unix_remote_text,
    .forget = unix_forget,
    .streams = true,
};
const cori_conn_ops cori_unix_ops = CORI_CONN_ON_FD(&local);

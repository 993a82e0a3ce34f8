/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets: what is theirs beside fd.c.
 *
 *      unix        streams. A short read does not mean drained: it can end at passed rights
 *      unixpacket  streams with edges: a read takes one record, or its beginning; an empty one reads as the end
 *      unixgram    datagrams. As on UDP sockets an empty one is no end, and there is no half-close. A peer that has a
 *                  name is kept as its text; none: not connected
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

static const cori_fd_ops records = {
    .try_read = cori_fd_receive,
    .try_write = cori_fd_send,
    .local = cori_unix_local_text,
    .remote = unix_remote_text,
    .forget = unix_forget,
    .packets = true,
};
const cori_conn_ops cori_unixpacket_ops = CORI_CONN_ON_FD(&records);

static void datagrams_remote_text(cori_slot *slot, char *text, size_t size)
{
    (void)snprintf(text, size, "%s", slot->is.path != NULL ? slot->is.path : "");
}

static const cori_fd_ops datagrams = {
    .try_read = cori_fd_receive, /* not used: see cori_datagram_read_now */
    .try_write = cori_fd_send,
    .local = cori_unix_local_text,
    .remote = datagrams_remote_text,
    .forget = unix_forget,
    .endless = true,
    .short_read_drains = true, /* counted in datagrams */
    .packets = true,
};
const cori_conn_ops cori_unixgram_ops = CORI_CONN_LIKE_FD(&datagrams, cori_datagram_read_now, cori_datagram_shutdown);

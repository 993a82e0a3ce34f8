/* SPDX-License-Identifier: MIT */
/*
 * Moving much: several buffers in one call.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_BULK_H
#define CORACLE_BULK_H

#include <coracle/net.h>

COR_BEGIN

struct iovec; /* <sys/uio.h> */

/*
 * Writes all the parts, in order and in one piece as seen by other writers of this connection; on sockets in one system
 * call for each 1,024 of them. What has been written is taken off the parts: after success all are empty, after an
 * error they hold the rest, with which the call may be repeated.
 * Returns: the bytes written, or an error of cor_write. Parks: until the write deadline.
 * Threads: tasks only; concurrent writes take turns. Owns: borrows all until return, and changes `parts`.
 * Go: (*net.Buffers).WriteTo.
 */
COR_API COR_CHECK ssize_t cor_writev(cor_conn *conn, struct iovec *parts, size_t count);

/*
 * Reads what is there, at least one byte, into the parts, which are filled in order. Parts without any room: 0 at once.
 * Returns: the count, 0 at end of stream, or an error of cor_read. Parks: until the read deadline.
 * Threads: tasks only; concurrent reads take turns. Owns: borrows all until return; `parts` stay as they are.
 * Go: none; readv(2).
 */
COR_API COR_CHECK ssize_t cor_readv(cor_conn *conn, const struct iovec *parts, size_t count);

COR_END

#endif

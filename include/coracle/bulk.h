/* SPDX-License-Identifier: MIT */
/*
 * Moving much: several buffers in one call, streams from one connection to another, both directions of a proxy.
 *
 * Copies between tcp and unix connections, and from files (cor_open_fd) to them, stay in the kernel, by splice and
 * sendfile, as soon as enough is under way for that to pay. Only the speed shows which way was taken. An idle copy
 * holds no buffer and no descriptor of its own.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_BULK_H
#define CORACLE_BULK_H

#include <coracle/net.h>

COR_BEGIN

struct iovec; /* <sys/uio.h> */

/*
 * Writes all the parts, in order and in one piece as seen by other writers of this connection; on sockets 1,024 parts
 * per system call. On packet sockets they are one packet, of at most 1,024 parts. What has been written is taken off
 * the parts: after success all are empty, after an error they hold the rest, and the call may be repeated with them.
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

/*
 * Copies as cor_copy does, but at most `max_bytes` (< 0: no limit), and tells in *copied how many bytes `target` took,
 * also after an error. Never takes more than `max_bytes` from `source`. An error of `source` loses nothing: after a
 * time-out the call may be repeated. After an error of `target` up to 256 KiB taken from `source` may be lost; if
 * `target` fails from the start, nothing is taken.
 * Returns: 0 at end of stream or at the limit, or the first error. Parks: until a deadline of either.
 * Owns: borrows both until return; closes neither. Go: io.CopyN, io.Copy with both results.
 */
COR_API COR_CHECK int cor_copy_counted(cor_conn *target, cor_conn *source, int64_t max_bytes, int64_t *copied);

/* What each end of a proxy has sent to the other. */
typedef struct cor_copied {
    int64_t from_a, from_b; /* bytes that the other one took */
} cor_copied;

/*
 * Copies both ways at once until both ends have ended their streams: what a proxy does. An end of stream is passed on
 * as a half-close, and the other direction goes on. A peer that no longer takes anything ends the way to it; what it
 * has sent still arrives, and what the other one sends meanwhile is dropped. Any other error, cancellation and
 * deadlines included, ends both ways at once; the deadlines stay as they are. So does an end of stream towards a
 * connection without half-close (cor_pipe).
 * Returns: 0, or the first error; -ENOMEM. `copied` may be NULL. Parks: until a deadline of either.
 * Owns: borrows both until return; close both then, whatever it returned.
 * Go: two goroutines with io.Copy and CloseWrite.
 */
COR_API COR_CHECK int cor_copy_both(cor_conn *a, cor_conn *b, cor_copied *copied);

COR_END

#endif

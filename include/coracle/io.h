/* SPDX-License-Identifier: MIT */
/*
 * Helpers on top of connections: formatted writes, borrowed buffers, in-memory pipes, descriptors that are not sockets.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_IO_H
#define CORACLE_IO_H

#include <coracle/net.h>
#include <stdarg.h>

COR_BEGIN

/*
 * Formats as printf does and writes the text in one piece.
 * Returns: the number of bytes, or an error of cor_write; -ENOMEM; -EINVAL for a bad format.
 * Parks: until the write deadline. Owns: borrows all until return. Go: fmt.Fprintf(conn, ...).
 */
COR_API COR_CHECK ssize_t cor_printf(cor_conn *conn, const char *format, ...) COR_PRINTF(2, 3);

/*
 * Makes bytes from a peer safe to show, in place: every control character that a terminal would obey (C0 except LF and
 * tab, DEL, NUL, and C1 in UTF-8) becomes '?'. A character split between two calls is missed: pass whole lines, or keep
 * its first bytes for the next call.
 * Returns: `data`, to be an argument of printf's %.*s. Threads: any thread. Owns: borrows until return.
 * Go: fmt's %q, shorter.
 */
COR_API char *cor_printable(char *data, size_t size);

/* Bytes that cor_json_quote may need for `size` bytes of text. */
#define COR_JSON_QUOTE_MAX(size) (6 * (size_t)(size) + 2)

/*
 * Writes `text` as a JSON string, in double quotes, exactly as Go does: < > & and the line separators U+2028 and U+2029
 * are escaped too, invalid UTF-8 becomes \ufffd. `to` has room for COR_JSON_QUOTE_MAX(size) bytes.
 * Returns: the end of what was written; there is no NUL. Threads: any thread. Owns: borrows both until return.
 * Go: json.Marshal of a string.
 */
COR_API char *cor_json_quote(char *to, const char *text, size_t size);

/*
 * Gives a failed call in Go's words: cor_conn_error and cor_error_text in one. Call it before cor_close.
 * Returns: `text`, so that the call can stand inside a printf; COR_ERROR_TEXT bytes are always enough.
 * Owns: borrows all until return. Go: err.Error() of a failed Read or Write.
 */
COR_API char *cor_conn_error_text(cor_conn *conn, const char *op, int code, char *text, size_t size);

/* Bytes read into a buffer of the library's; give it back with cor_buffer_free. */
typedef struct cor_buffer {
    unsigned char *data;
    size_t size; /* bytes at data */
} cor_buffer;

/*
 * Waits for data without a buffer, then reads up to 16 KiB into one that the library lends. An idle connection holds no
 * buffer, and busy ones share a few that stay in the cache.
 * Returns: the count (also in out->size), 0 at end of stream, or an error of cor_read; -ENOMEM. Only with a count > 0
 * is there a buffer to free. Parks: until the read deadline. Owns: returns owned (*out).
 * Go: none (asked for in golang/go#15735).
 */
COR_API COR_CHECK ssize_t cor_read_buffer(cor_conn *conn, cor_buffer *out);

/*
 * Gives a buffer of cor_read_buffer back and clears *buffer. Accepts an empty or NULL one.
 * Threads: any task. Owns: takes the buffer.
 */
COR_API void cor_buffer_free(cor_buffer *buffer);

/*
 * Reads exactly `size` bytes, however many reads that takes.
 * Returns: `size`; 0 if the stream ended before the first byte, COR_EUNEXPECTED_EOF if it ended later, or an error
 * of cor_read; what had come by then is lost. Parks: until the read deadline. Threads: tasks only;
 * concurrent calls take turns. Owns: borrows `buf` until return. Go: io.ReadFull.
 */
COR_API COR_CHECK ssize_t cor_read_full(cor_conn *conn, void *buf, size_t size);

/*
 * Copies from `source` to `target` until end of stream. Both may be the same connection: that is an echo server.
 * Returns: the bytes copied, or the first error. Parks: until a deadline of either.
 * Owns: borrows both until return; closes neither. Go: io.Copy.
 */
COR_API COR_CHECK int64_t cor_copy(cor_conn *target, cor_conn *source);

/*
 * Reads and drops what arrives until end of stream, an error, `max_bytes` or `deadline` (absolute; the read deadline,
 * which stays as it is, does not count then unless another is set meanwhile; 0: it counts). Between cor_close_write and
 * cor_close it keeps the kernel from resetting the connection over unread input, which could destroy a reply that is
 * still under way.
 * Returns: the bytes dropped (0 or more), also after an error. Parks: until deadline.
 * Go: none; the usual half-close idiom.
 */
COR_API int64_t cor_drain(cor_conn *conn, int64_t max_bytes, int64_t deadline);

/*
 * Ends a conversation in order: half-closes, drops what the peer still sends until it ends too, but at most 1 MiB and
 * until `deadline`, then closes. Closing over unread input instead would reset the connection and could destroy the
 * reply. The deadline is cor_drain's: absolute, and with 0 the read deadline counts; if that has passed nothing is
 * dropped. A connection without half-close (cor_pipe) is closed at once.
 * Returns: 0, COR_ECLOSED. Parks: until deadline. Owns: takes the connection.
 * Go: none; CloseWrite, io.Copy(io.Discard), Close.
 */
COR_API int cor_finish(cor_conn *conn, int64_t deadline);

/*
 * Makes two connected in-memory connections: what is written on one is read on the other. Synchronous and unbuffered:
 * a write returns when readers have taken all of it (of nothing: at once). Deadlines and close work as on sockets;
 * once the other end is closed reads return 0 and writes COR_EPIPE_CLOSED; there is no half-close; both addresses
 * read "pipe".
 * Returns: 0, -ENOMEM, COR_ENOT_TASK. Owns: returns owned (both). Go: net.Pipe.
 */
COR_API COR_CHECK int cor_pipe(cor_conn **a, cor_conn **b);

/*
 * Makes a connection from an open descriptor: a terminal, pipe, file or socket. Other users of the same open file
 * notice nothing: a pipe or terminal is opened once more, so that only this descriptor does not block; where that is
 * impossible, calls are made on the pool of cor_blocking, and a read that loses the race for its data to another
 * process waits there, whatever the deadline. Empty datagrams are left out: 0 is the end. cor_close closes the
 * descriptor, so pass a dup if you still need it. Writing to a pipe that nobody reads raises SIGPIPE as write(2) does,
 * unless the program ignores it.
 * Returns: 0 and *out, -EBADF and other errnos, COR_ENOT_TASK. Owns: takes `fd` on success; returns owned.
 * Go: os.NewFile, net.FileConn.
 */
COR_API COR_CHECK int cor_open_fd(cor_conn **out, int fd);

/* What cor_wait_fd waits for; together: either of them. */
enum { COR_READABLE = 1, COR_WRITABLE = 2 };

/*
 * Waits until a descriptor that is not the library's can be read from or written to, in poll(2)'s sense: an end, an
 * error or a hang-up counts as everything asked for, and a file is always ready. It lets libraries that hand out their
 * descriptor (libpq, hiredis, c-ares) wait in tasks. Any number of tasks may wait for one descriptor; each is woken. Do
 * not close it meanwhile: the file stays open until the wait ends, and the wait does not notice.
 * Returns: those of `events` that are there (> 0); COR_ETIMEOUT when `deadline` (absolute, 0 for none) has passed, also
 * over one that is ready, COR_ECANCELED, -EBADF, -EINVAL (events), -EMFILE (a wait takes a descriptor), other errnos;
 * COR_ENOT_TASK. Parks: until deadline. Owns: borrows `fd` until return.
 * Go: (syscall.RawConn).Read and Write on an os.File.
 */
COR_API COR_CHECK int cor_wait_fd(int fd, unsigned events, int64_t deadline);

COR_END

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Buffered reading and writing on any connection, for protocols: until a delimiter, exactly so many bytes, a look
 * ahead; many small writes that leave as one. Both hold memory only while something is buffered.
 *
 * Flushing: what is written leaves when the buffer is full or flushed, never by itself. A reader that knows the writer
 * of the same conversation (`flushes`) flushes it before asking for more bytes: no answer sits in a buffer while the
 * peer waits for it, and answers to requests that came together leave together.
 *
 * Unless a call says otherwise: Threads: tasks only, one at a time for one reader or writer. Parks: never.
 */
#ifndef CORACLE_BUFFERED_H
#define CORACLE_BUFFERED_H

#include <coracle/net.h>
#include <stdarg.h>

COR_BEGIN

/* A reader; all fields but the first are private. */
typedef struct cor_reader {
    struct cor_writer *flushes; /* flushed before more bytes are asked for; NULL (as made): none */
    cor_conn *conn;
    char *buf;       /* NULL while nothing is buffered */
    size_t capacity; /* bytes allocated */
    size_t start;    /* first unread byte */
    size_t end;      /* one past the last byte read */
    size_t max;      /* bytes buffered at most */
    bool ended;      /* end of stream was seen */
} cor_reader;

/*
 * Makes a reader of `conn` that buffers at most `max_bytes` (1 .. 1 GiB), the longest message that can be looked at as
 * a whole.
 * Returns: the reader, by value; it holds no memory yet. Threads: any thread.
 * Owns: keeps `conn` without owning it; end with cor_reader_free. Go: bufio.NewReaderSize.
 */
COR_API cor_reader cor_reader_of(cor_conn *conn, size_t max_bytes);

/*
 * Gives the bytes up to and including the first `delimiter`, valid until the next call. No NUL follows them.
 * Returns: 1 and *bytes with *size (which may be NULL); 0 at end of stream; COR_EUNEXPECTED_EOF if the stream ended
 * without a delimiter, COR_ETOO_LONG if there is none in `max_bytes`; -ENOMEM, or an error of cor_read. With an error
 * nothing is consumed: what has come can still be read, and after a time-out the call may be repeated.
 * Parks: until the read deadline. Owns: returns borrowed. Go: (*bufio.Reader).ReadSlice, ReadString.
 */
COR_API COR_CHECK int cor_reader_until(cor_reader *reader, char delimiter, char **bytes, size_t *size);

/*
 * Looks at what comes next without consuming it: waits until `count` bytes are buffered, and gives all that are.
 * With a count of 0 it does not wait. A message that tells its own length needs no copy: peek, parse what is there, ask
 * for one byte more if it is not complete, and cor_reader_skip it when done with it.
 * Returns: how many bytes there are at *bytes, valid until the next call; fewer than `count` only at end of stream.
 * -EINVAL if `count` is more than `max_bytes`, -ENOMEM, or an error of cor_read. Parks: until the read deadline.
 * Owns: returns borrowed. Go: (*bufio.Reader).Peek.
 */
COR_API COR_CHECK ssize_t cor_reader_peek(cor_reader *reader, size_t count, char **bytes);

/*
 * Reads what is buffered or, if that is nothing, what one read of the connection gives; at most `size` bytes.
 * Returns: the count, 0 at end of stream or for a size of 0, -ENOMEM, or an error of cor_read.
 * Parks: until the read deadline. Owns: borrows `buf` until return. Go: (*bufio.Reader).Read.
 */
COR_API COR_CHECK ssize_t cor_reader_read(cor_reader *reader, void *buf, size_t size);

/*
 * Reads exactly `size` bytes. After an error nothing is consumed if `size` is at most `max_bytes`; otherwise what has
 * come is lost.
 * Returns: `size`; 0 if the stream ended before the first byte, COR_EUNEXPECTED_EOF if it ended later, -ENOMEM, or an
 * error of cor_read. Parks: until the read deadline. Owns: borrows `buf` until return. Go: io.ReadFull.
 */
COR_API COR_CHECK ssize_t cor_reader_read_full(cor_reader *reader, void *buf, size_t size);

/*
 * Drops exactly `size` bytes: a message that has been looked at, or that nobody wants.
 * Returns: as cor_reader_read_full. Parks: until the read deadline. Go: (*bufio.Reader).Discard.
 */
COR_API ssize_t cor_reader_skip(cor_reader *reader, size_t size);

/*
 * Tells how many bytes have been read ahead.
 * Returns: the count. Go: (*bufio.Reader).Buffered.
 */
COR_API size_t cor_reader_buffered(const cor_reader *reader);

/*
 * Frees the buffer; bytes read ahead are lost. Accepts NULL, and a reader that was freed before. The connection stays
 * open.
 * Go: none.
 */
COR_API void cor_reader_free(cor_reader *reader);

/* A writer; the fields are private. */
typedef struct cor_writer {
    cor_conn *conn;
    char *buf;    /* lent, 16 KiB; NULL while nothing is buffered */
    size_t count; /* bytes buffered */
    int error;    /* the first; 0: none */
} cor_writer;

/*
 * Makes a writer to `conn` that buffers up to 16 KiB.
 * Returns: the writer, by value; it holds no memory yet. Threads: any thread.
 * Owns: keeps `conn` without owning it; end with cor_writer_flush and cor_writer_free. Go: bufio.NewWriter.
 */
COR_API cor_writer cor_writer_of(cor_conn *conn);

/*
 * Writes into the buffer. What does not fit is sent at once, after what is buffered, in one system call.
 * Returns: `size`, -ENOMEM, or an error of cor_write. The first error stays: every later call returns it, because
 * nobody knows what the peer has got. Parks: until the write deadline, if it does not fit.
 * Owns: borrows `buf` until return. Go: (*bufio.Writer).Write.
 */
COR_API COR_CHECK ssize_t cor_writer_write(cor_writer *writer, const void *buf, size_t size);

/*
 * Formats as printf does into the buffer.
 * Returns: the number of bytes, or as cor_writer_write; -EINVAL for a bad format, which does not stay.
 * Parks: until the write deadline, if it does not fit. Owns: borrows all until return. Go: fmt.Fprintf to a
 * bufio.Writer.
 */
COR_API COR_CHECK ssize_t cor_writer_printf(cor_writer *writer, const char *format, ...) COR_PRINTF(2, 3);

/*
 * Sends what is buffered, if anything.
 * Returns: 0, or as cor_writer_write. Parks: until the write deadline. Go: (*bufio.Writer).Flush.
 */
COR_API COR_CHECK int cor_writer_flush(cor_writer *writer);

/*
 * Tells how many bytes wait to be flushed.
 * Returns: the count. Go: (*bufio.Writer).Buffered.
 */
COR_API size_t cor_writer_buffered(const cor_writer *writer);

/*
 * Gives the buffer back; bytes not flushed are lost. Accepts NULL, and a writer that was freed before. The connection
 * stays open.
 * Go: none.
 */
COR_API void cor_writer_free(cor_writer *writer);

COR_END

#endif

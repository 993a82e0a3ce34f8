/* SPDX-License-Identifier: MIT */
/*
 * Reading lines of bounded length from a connection, one buffer per connection, none while it is idle.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_LINES_H
#define CORACLE_LINES_H

#include <coracle/buffered.h>

COR_BEGIN

/* A line reader; all fields but the first are private. Use by one task at a time. */
typedef struct cor_lines {
    int64_t
        pause_ns; /* a line that has begun also ends when nothing more comes for this long; 0 (as made): only at LF */
    cor_reader reader;
    size_t max_line; /* longest line accepted, without its LF */
    bool skipping;   /* the rest of an over-long line is being dropped */
    bool partial;    /* the line given last had no LF */
} cor_lines;

/*
 * Makes a reader of `conn` for lines of at most `max_line_bytes` (1 .. 1 GiB), not counting the LF.
 * Returns: the reader, by value; it holds no memory yet. Threads: any thread.
 * Owns: keeps `conn` without owning it; end with cor_lines_free. Go: bufio.NewReader, but once per connection.
 */
COR_API cor_lines cor_lines_of(cor_conn *conn, size_t max_line_bytes);

/*
 * Gives the next line without its LF (a CR before it stays), NUL-terminated; NULs inside stay, which is what *length is
 * for. What follows the last LF is given as a last line (cor_lines.partial is then true), and so is what a pause of
 * `pause_ns` ends. Text stays valid until the next call.
 * A line that is too long is dropped up to its LF; the next call goes on after it.
 * Returns: 1 with a line, 0 at end of stream, COR_ETOO_LONG, -ENOMEM, or an error of cor_read.
 * Parks: until the read deadline. Threads: tasks only, one at a time. Owns: returns borrowed (*line). `length` may be
 * NULL.
 * Go: (*bufio.Reader).ReadString('\n').
 */
COR_API COR_CHECK int cor_lines_next(cor_lines *lines, char **line, size_t *length);

/*
 * Tells how many bytes the reader has read ahead; 0 if the next line has to come from the connection as a whole.
 * Returns: the count. Threads: the reader's task. Go: (*bufio.Reader).Buffered.
 */
COR_API size_t cor_lines_buffered(const cor_lines *lines);

/*
 * Cuts the characters of `cut` off both ends of a NUL-terminated text, in place: cor_trim(line, "\r") after
 * cor_lines_next.
 * Returns: where the text begins now. Threads: any thread. Owns: borrows both until return. Go: strings.Trim.
 */
COR_API char *cor_trim(char *text, const char *cut);

/*
 * Frees the buffer; bytes read ahead are lost. Accepts NULL, and a reader that was freed before. The connection stays
 * open.
 * Threads: the reader's task.
 */
COR_API void cor_lines_free(cor_lines *lines);

COR_END

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The line reader, over a pipe and over a socket: wherever the stream is cut, however long a line may be, and although
 * deadlines pass in between, it gives the lines that a search for LF in the whole stream gives.
 *
 * Input: a byte with the longest line, a byte with the transport and how often a deadline passes, cuts, stream.
 */
#include "input.h"
#include "runtime.h"

#include <coracle/error.h>
#include <coracle/io.h>
#include <coracle/lines.h>
#include <sys/socket.h>

enum { OVER_SOCKET = 1 };

typedef struct trial {
    const uint8_t *bytes;
    size_t size, max_line;
    unsigned flags, timeout_every;
    cuts at;
    cor_conn *near, *far;
} trial;

/* Writes the stream piece by piece and closes. */
static void write_stream(void *arg)
{
    trial *of = arg;
    size_t count;
    for (size_t i = 0; i < of->size; i += count) {
        count = cuts_next(&of->at, of->size - i);
        char *piece = exact_copy(of->bytes + i, count, 0);
        CHECK(cor_write(of->far, piece, count) == (ssize_t)count);
        free(piece);
    }
    CHECK(cor_close(of->far) == 0);
}

static void open_pair(trial *of)
{
    if (of->flags & OVER_SOCKET) {
        int fds[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        CHECK(cor_open_fd(&of->near, fds[0]) == 0 && cor_open_fd(&of->far, fds[1]) == 0);
    } else {
        CHECK(cor_pipe(&of->near, &of->far) == 0);
    }
}

/* The next line, with deadlines that have passed already thrown in: they may only delay. */
static int next_line(trial *of, cor_lines *lines, unsigned turn, char **line, size_t *length)
{
    if (of->timeout_every > 0 && turn % of->timeout_every == 0) {
        CHECK(cor_set_read_deadline(of->near, 1) == 0);
        int rc = cor_lines_next(lines, line, length);
        CHECK(cor_set_read_deadline(of->near, 0) == 0);
        if (rc != COR_ETIMEOUT) {
            return rc;
        }
    }
    return cor_lines_next(lines, line, length);
}

/* Checks one result against the stream from *at on, and moves *at behind it. */
static void check_line(const trial *of, const cor_lines *lines, int rc, const char *line, size_t length, size_t *at)
{
    const uint8_t *start = of->bytes + *at;
    size_t left = of->size - *at;
    const uint8_t *lf = memchr(start, '\n', left);
    size_t expected = lf != NULL ? (size_t)(lf - start) : left;
    *at += expected + (lf != NULL);
    if (expected > of->max_line) {
        CHECK(rc == COR_ETOO_LONG);
        return;
    }
    CHECK(rc == 1 && length == expected && memcmp(line, start, length) == 0 && line[length] == '\0');
    CHECK(lines->partial == (lf == NULL));
}

static void read_lines(void *arg)
{
    trial *of = arg;
    char *line = NULL;
    size_t length = 0, at = 0;
    unsigned turn = 0;
    open_pair(of);
    CHECK(cor_go(write_stream, of) == 0);
    cor_lines lines = cor_lines_of(of->near, of->max_line);
    while (at < of->size) {
        int rc = next_line(of, &lines, turn++, &line, &length);
        check_line(of, &lines, rc, line, length, &at);
        CHECK(lines.reader.capacity <= of->max_line + 2);
    }
    CHECK(cor_lines_next(&lines, &line, &length) == 0 && lines.reader.buf == NULL);
    CHECK(cor_lines_next(&lines, &line, &length) == 0);
    cor_lines_free(&lines);
    CHECK(cor_close(of->near) == 0);
    CHECK(cor_lines_next(&lines, &line, &length) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    runtime_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    unsigned longest = input_byte(&in), how = input_byte(&in);
    trial of = {.max_line = longest < 128 ? longest + 1 : (longest - 127) * 64,
                .flags = how & OVER_SOCKET,
                .timeout_every = how >> 1 & 7};
    of.at = input_cuts(&in);
    of.bytes = in.next;
    of.size = in.left;
    runtime_run(read_lines, &of);
    return 0;
}

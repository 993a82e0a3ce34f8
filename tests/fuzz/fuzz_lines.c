/* SPDX-License-Identifier: MIT */
/*
 * The line reader, over a pipe and over a socket: wherever the stream is cut, however long a line may be, and although
 * deadlines pass in between, it gives the lines that a search for LF in the whole stream gives. The reader below it,
 * with its calls in any order, gives the stream as well, and leaves in it what a call did not take.
 *
 * Input: a byte with the longest line, one with the transport, how often a deadline passes, bit 4 for the reader, and
 * bit 5 for a pause too long to be met; cuts, of which the lengths are also the calls of the reader and how much they
 * ask for; stream.
 */
#include "input.h"
#include "runtime.h"

#include <coracle/buffered.h>
#include <coracle/error.h>
#include <coracle/io.h>
#include <coracle/lines.h>
#include <coracle/time.h>
#include <errno.h>
#include <sys/socket.h>

enum { OVER_SOCKET = 1, READER = 16, PAUSES = 32, ASKED_MAX = 256 };

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
    lines.pause_ns = of->flags & PAUSES ? COR_MINUTE : 0;
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

/* What a reader is asked for, and what there is from here on. */
typedef struct wish {
    cor_reader *reader;
    const uint8_t *start;
    size_t left, size, max;
} wish;

/* Each gives how many bytes it has taken. */
static size_t peek(const wish *of)
{
    char *bytes;
    ssize_t count = cor_reader_peek(of->reader, of->size, &bytes);
    if (of->size > of->max) {
        CHECK(count == -EINVAL);
        return 0;
    }
    CHECK(count >= 0 && (size_t)count <= of->left && ((size_t)count >= of->size || (size_t)count == of->left));
    CHECK((size_t)count == cor_reader_buffered(of->reader) &&
          (count == 0 || memcmp(bytes, of->start, (size_t)count) == 0));
    return 0;
}

static size_t take_until(const wish *of)
{
    char *bytes;
    size_t size = 0;
    int rc = cor_reader_until(of->reader, '\n', &bytes, &size);
    const uint8_t *lf = of->left > 0 ? memchr(of->start, '\n', of->left) : NULL;
    size_t expected = lf != NULL ? (size_t)(lf - of->start) + 1 : 0;
    if (rc == 1) {
        CHECK(size == expected && size <= of->max + 1 && memcmp(bytes, of->start, size) == 0);
        return size;
    }
    CHECK(size == 0);
    CHECK(rc == (of->left == 0 ? 0 : rc == COR_ETOO_LONG ? COR_ETOO_LONG : COR_EUNEXPECTED_EOF));
    CHECK(rc == COR_ETOO_LONG ? (lf == NULL || expected > of->max) && of->left >= of->max : lf == NULL);
    return 0;
}

static size_t take_some(const wish *of)
{
    char *bytes = malloc(of->size);
    CHECK(bytes != NULL);
    ssize_t count = cor_reader_read(of->reader, bytes, of->size);
    CHECK(count >= 0 && (size_t)count <= of->size && (size_t)count <= of->left && (count > 0 || of->left == 0));
    CHECK(memcmp(bytes, of->start, (size_t)count) == 0);
    free(bytes);
    return (size_t)count;
}

static size_t take_full(const wish *of, bool skips)
{
    char *bytes = malloc(of->size);
    CHECK(bytes != NULL);
    ssize_t count = skips ? cor_reader_skip(of->reader, of->size) : cor_reader_read_full(of->reader, bytes, of->size);
    bool all = of->left >= of->size;
    CHECK(count == (all ? (ssize_t)of->size : of->left > 0 ? COR_EUNEXPECTED_EOF : 0));
    CHECK(!all || skips || memcmp(bytes, of->start, of->size) == 0);
    free(bytes);
    return all ? of->size : of->size > of->max ? of->left : 0;
}

static void read_anyhow(void *arg)
{
    trial *of = arg;
    size_t at = 0;
    const cuts calls = of->at;
    open_pair(of);
    CHECK(cor_go(write_stream, of) == 0);
    cor_reader reader = cor_reader_of(of->near, of->max_line);
    for (unsigned turn = 0; at < of->size || turn == 0; turn++) {
        unsigned choice = turn % 32 < calls.count ? calls.length[turn % 32] : turn % 5;
        const wish asked = {&reader, of->bytes + at, of->size - at, choice / 5 + 1 + turn % ASKED_MAX, of->max_line};
        switch (choice % 5) {
        case 0:
            at += peek(&asked);
            break;
        case 1:
            at += take_until(&asked);
            break;
        case 2:
            at += take_some(&asked);
            break;
        default:
            at += take_full(&asked, choice % 5 == 4);
            break;
        }
        if (turn % 4 == 3) { /* so that it ends */
            const wish one = {&reader, of->bytes + at, of->size - at, 1, of->max_line};
            at += take_some(&one);
        }
    }
    char last;
    CHECK(cor_reader_read(&reader, &last, 1) == 0 && cor_reader_buffered(&reader) == 0);
    cor_reader_free(&reader);
    CHECK(cor_close(of->near) == 0);
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
                .flags = how & (OVER_SOCKET | PAUSES),
                .timeout_every = how >> 1 & 7};
    of.at = input_cuts(&in);
    of.bytes = in.next;
    of.size = in.left;
    runtime_run((how & READER) != 0 ? read_anyhow : read_lines, &of);
    return 0;
}

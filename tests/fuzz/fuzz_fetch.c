/* SPDX-License-Identifier: MIT */
/*
 * The client of `coracle status`: it may have been pointed at anything that listens. What it takes is an answer of
 * HTTP/1.1 that is all there, found here line by line; everything else is refused; and one that stays silent is left at
 * the deadline.
 *
 * Input: a byte of which bit 0 says that the server keeps the connection open, cuts, then what the server sends.
 */
/* sources: cmd/coracle/status/fetch.c */
#include "input.h"
#include "runtime.h"
#include "status/fetch.h"

#include <coracle/group.h>
#include <coracle/io.h>
#include <coracle/time.h>
#include <errno.h>
#include <strings.h>

enum { WAIT_MS = 2 };
static const char path[] = "/status?format=text&limit=20";

static struct {
    cor_group group;
    cor_conn *conn;
    const uint8_t *bytes;
    size_t size;
    cuts at;
    bool stays;
    char asked[256];
    size_t asked_bytes;
} server;

static void serve(void *arg)
{
    (void)arg;
    ssize_t count = cor_read(server.conn, server.asked, sizeof(server.asked));
    server.asked_bytes = count > 0 ? (size_t)count : 0;
    for (size_t sent = 0, next; sent < server.size && count > 0; sent += next) {
        next = cuts_next(&server.at, server.size - sent);
        count = cor_write(server.conn, server.bytes + sent, next);
    }
    if (!server.stays) {
        cor_close(server.conn);
    }
}

/* In place of the network. */
int address_dial(cor_conn **out, const address *to, int64_t deadline, cor_error *error)
{
    (void)to, (void)deadline, (void)error;
    CHECK(cor_pipe(out, &server.conn) == 0);
    CHECK(cor_group_go(&server.group, serve, NULL) == 0);
    return 0;
}

/* A line of the head without its end, and *at after it. NULL: there is no end. */
static char *next_line(const char **at, const char *end)
{
    const char *stop = memmem(*at, (size_t)(end - *at), "\r\n", 2);
    char *line = stop != NULL ? exact_copy(*at, (size_t)(stop - *at), 1) : NULL;
    *at = stop != NULL ? stop + 2 : end;
    return line;
}

/* The number that is all of the text, but for blanks around it; -1: it is none, or a big one. */
static long number_of(const char *text)
{
    text += strspn(text, " ");
    size_t digits = strspn(text, "0123456789"), zeros = strspn(text, "0");
    bool good = digits >= 1 && digits - zeros <= 9 && text[digits + strspn(text + digits, " ")] == '\0';
    return good ? atol(text) : -1;
}

/* The status of an answer that is whole, and how long its body is; 0: it is none. */
static int read_plainly(const char *bytes, size_t size, size_t *body_bytes)
{
    const char *at = bytes, *end = bytes + size;
    char *line = next_line(&at, end);
    int status = 0;
    long length = -1;
    if (line != NULL && strlen(line) >= 12 && strncmp(line, "HTTP/1.1 ", 9) == 0 &&
        strspn(line + 9, "0123456789") == 3 && (line[12] == ' ' || line[12] == '\0')) {
        status = atoi(line + 9);
    }
    while (line != NULL && *line != '\0') {
        free(line);
        line = next_line(&at, end);
        if (line != NULL && strncasecmp(line, "Content-Length:", 15) == 0 && length < 0) {
            length = number_of(line + 15);
            status = length < 0 ? 0 : status;
        }
    }
    bool whole = line != NULL && memchr(bytes, 0, (size_t)(at - bytes)) == NULL && length == end - at;
    free(line);
    *body_bytes = (size_t)(end - at);
    return whole && status >= 100 ? status : 0;
}

static void check(int code, const fetched *got)
{
    size_t body_bytes;
    int status = read_plainly((const char *)server.bytes, server.size, &body_bytes);
    if (server.stays) {
        CHECK(code == COR_ETIMEOUT);
    } else {
        CHECK(code == (status == 0 ? -EPROTO : 0));
    }
    if (code < 0) {
        CHECK(got->bytes == NULL);
        return;
    }
    CHECK(got->status == status && got->size == body_bytes);
    CHECK(memcmp(got->body, server.bytes + server.size - body_bytes, body_bytes) == 0);
}

static void ask(void *arg)
{
    static const char request[] = "GET /status?format=text&limit=20 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    fetched got;
    cor_error error;
    const address to = {.network = "tcp", .text = "host:1"};
    (void)arg;
    server.group = (cor_group){0};
    int code = fetch(&to, path, server.stays ? cor_after(WAIT_MS * COR_MILLISECOND) : 0, &got, &error);
    CHECK(cor_group_wait(&server.group, 0) == 0);
    if (server.stays) {
        cor_close(server.conn);
    }
    check(code, &got);
    bool late = server.stays && server.asked_bytes == 0; /* the deadline was before the question */
    CHECK(late || server.asked_bytes == sizeof(request) - 1);
    CHECK(late || memcmp(server.asked, request, server.asked_bytes) == 0);
    free(got.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    input in = {data, size};
    if (!started) {
        started = true;
        runtime_start();
    }
    server.stays = (input_byte(&in) & 1) != 0;
    server.at = input_cuts(&in);
    server.bytes = in.next;
    server.size = in.left;
    runtime_run(ask, NULL);
    return 0;
}

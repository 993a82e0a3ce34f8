/* SPDX-License-Identifier: MIT */
/* The client's half of a very small HTTP. The server closes after its answer, which has a Content-Length. */
#include "status/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_BYTES = 64 * 1024, STATUS_DIGITS = 3 };

/* Reads until the end of the stream; there is a NUL after it. Returns its size or a code. */
static ssize_t read_all(cor_conn *conn, char **bytes)
{
    size_t room = FIRST_BYTES, size = 0;
    ssize_t count = 0;
    *bytes = malloc(room + 1);
    while (*bytes != NULL && (count = cor_read(conn, *bytes + size, room - size)) > 0) {
        size += (size_t)count;
        if (size == FETCH_BYTES) {
            return -EPROTO;
        }
        if (size == room) {
            room *= 2;
            char *more = realloc(*bytes, room + 1);
            if (more == NULL) {
                return -ENOMEM;
            }
            *bytes = more;
        }
    }
    if (*bytes == NULL) {
        return -ENOMEM;
    }
    (*bytes)[size] = '\0';
    return count < 0 ? count : (ssize_t)size;
}

static bool is_line_end(const char *text)
{
    return text[0] == '\r' && text[1] == '\n';
}

/* Reads a number of at most `most` that is all there is up to the end of the line; anything else is -1. */
static long read_number(const char *text, long most)
{
    long number = 0;
    const char *at = text + strspn(text, " ");
    if (*at < '0' || *at > '9') {
        return -1;
    }
    for (; *at >= '0' && *at <= '9' && number <= most; at++) {
        number = number * 10 + (*at - '0');
    }
    return number <= most && is_line_end(at + strspn(at, " ")) ? number : -1;
}

/* Reads the status, three digits; anything else is -1. */
static int read_status(const char *text)
{
    bool good = text[0] >= '1' && strspn(text, "0123456789") == STATUS_DIGITS;
    good = good && (text[STATUS_DIGITS] == ' ' || is_line_end(text + STATUS_DIGITS));
    return good ? atoi(text) : -1;
}

/* The value of the header in the head, which ends at `end`; NULL: it is not there. */
static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = head; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            return line + size + 1;
        }
    }
    return NULL;
}

/* Takes the answer apart. Returns 0 or -EPROTO. */
static int take_apart(fetched *out, size_t size)
{
    static const char version[] = "HTTP/1.1 ";
    char *end = strstr(out->bytes, "\r\n\r\n");
    if (strncmp(out->bytes, version, strlen(version)) != 0 || end == NULL) {
        return -EPROTO;
    }
    out->status = read_status(out->bytes + strlen(version));
    out->body = end + 4;
    out->size = size - (size_t)(out->body - out->bytes);
    const char *length = find_header(out->bytes, end + 2, "Content-Length");
    bool whole = length != NULL && read_number(length, FETCH_BYTES) == (long)out->size;
    return whole && out->status > 0 ? 0 : -EPROTO;
}

int fetch(const address *from, const char *path, int64_t deadline, fetched *out, cor_error *error)
{
    char request[512];
    cor_conn *conn;
    *out = (fetched){0};
    int code = address_dial(&conn, from, deadline, error);
    if (code < 0) {
        return code;
    }
    /* "localhost" is every status server's name. */
    int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    cor_set_deadline(conn, deadline);
    const char *op = "write";
    ssize_t count = cor_write(conn, request, (size_t)size);
    if (count >= 0) {
        op = "read";
        count = read_all(conn, &out->bytes);
    }
    code = count < 0 ? (int)count : take_apart(out, (size_t)count);
    if (code < 0) {
        cor_conn_error(conn, op, code, error);
        free(out->bytes);
        out->bytes = NULL;
    }
    cor_close(conn);
    return code;
}

/* SPDX-License-Identifier: MIT */
/* Line by line: the request line, fields, the empty line. */
#include "serve/ws/head.h"

#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What may be in a line: no control characters but tab; in a value, not in the request line, bytes from 0x80 on. */
static bool may_be_in(const struct http_head *head, char c)
{
    unsigned char most = head->method.given ? 0xff : 0x7e;
    return (unsigned char)c >= ' ' ? c != 0x7f && (unsigned char)c <= most : c == '\t';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

bool head_is(const char *bytes, head_text piece, const char *text)
{
    size_t i = 0;
    while (i < piece.size && text[i] != '\0' && lower(bytes[piece.at + i]) == text[i]) {
        i++;
    }
    return piece.given && i == piece.size && text[i] == '\0';
}

/* METHOD SP target SP HTTP/1.x */
static bool read_request_line(struct http_head *head, const char *bytes, size_t at, size_t end)
{
    size_t start = at;
    while (at < end && is_token(bytes[at])) {
        at++;
    }
    head->method = (head_text){start, at - start, true};
    if (at == start || at == end || bytes[at++] != ' ') {
        return false;
    }
    start = at;
    while (at < end && bytes[at] > ' ' && bytes[at] < 0x7f) {
        at++;
    }
    head->target = (head_text){start, at - start, true};
    if (at == start || end - at != strlen(" HTTP/1.1") || memcmp(bytes + at, " HTTP/1.", strlen(" HTTP/1.")) != 0) {
        return false;
    }
    char minor = bytes[end - 1];
    head->minor = (unsigned)(minor - '0');
    return minor == '0' || minor == '1';
}

/* Whether a list of words, as in "keep-alive, Upgrade", has this one. */
static bool has_word(const char *bytes, head_text list, const char *word)
{
    size_t end = list.at + list.size;
    for (size_t at = list.at; at < end;) {
        size_t start = at;
        while (at < end && bytes[at] != ',') {
            at++;
        }
        size_t stop = at;
        while (start < stop && is_space(bytes[start])) {
            start++;
        }
        while (stop > start && is_space(bytes[stop - 1])) {
            stop--;
        }
        if (head_is(bytes, (head_text){start, stop - start, true}, word)) {
            return true;
        }
        at++;
    }
    return false;
}

/* Keeps a value of which there may be one. */
static bool keep_once(head_text *place, head_text value)
{
    bool first = !place->given;
    *place = value;
    return first;
}

static bool note_field(struct http_head *head, const char *bytes, head_text name, head_text value)
{
    if (head_is(bytes, name, "host")) {
        return keep_once(&head->host, value);
    }
    if (head_is(bytes, name, "origin")) {
        return keep_once(&head->origin, value);
    }
    if (head_is(bytes, name, "sec-websocket-key")) {
        return keep_once(&head->key, value);
    }
    if (head_is(bytes, name, "sec-websocket-version")) {
        return keep_once(&head->version, value);
    }
    if (head_is(bytes, name, "upgrade")) {
        head->asks_websocket |= has_word(bytes, value, "websocket");
    } else if (head_is(bytes, name, "connection")) {
        head->asks_upgrade |= has_word(bytes, value, "upgrade");
    } else if (head_is(bytes, name, "content-length")) {
        head->has_body |= !head_is(bytes, value, "0");
    } else if (head_is(bytes, name, "transfer-encoding")) {
        head->has_body = true;
    }
    return true;
}

/* name: value, with white space around the value only. */
static bool read_field(struct http_head *head, const char *bytes, size_t at, size_t end)
{
    size_t start = at;
    while (at < end && is_token(bytes[at])) {
        at++;
    }
    head_text name = {start, at - start, true};
    if (at == start || at == end || bytes[at++] != ':') {
        return false;
    }
    while (at < end && is_space(bytes[at])) {
        at++;
    }
    while (end > at && is_space(bytes[end - 1])) {
        end--;
    }
    return note_field(head, bytes, name, (head_text){at, end - at, true});
}

/* A line without its CRLF. */
static bool read_line(struct http_head *head, const char *bytes, size_t at, size_t end)
{
    return head->method.given ? read_field(head, bytes, at, end) : read_request_line(head, bytes, at, end);
}

head_result head_read(struct http_head *head, const char *bytes, size_t size)
{
    size_t most = size < HEAD_MAX ? size : HEAD_MAX;
    for (; head->seen < most; head->seen++) {
        char c = bytes[head->seen];
        bool after_cr = head->seen > head->size && bytes[head->seen - 1] == '\r';
        if (after_cr != (c == '\n') || (c != '\r' && c != '\n' && !may_be_in(head, c))) {
            return HEAD_BAD;
        }
        if (c != '\n') {
            continue;
        }
        size_t start = head->size, end = head->seen - 1;
        head->size = head->seen + 1;
        if (start == end) {
            return head->method.given ? HEAD_COMPLETE : HEAD_BAD;
        }
        if (!read_line(head, bytes, start, end)) {
            return HEAD_BAD;
        }
    }
    return size < HEAD_MAX ? HEAD_MORE : HEAD_TOO_LONG;
}

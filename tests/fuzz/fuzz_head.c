/* SPDX-License-Identifier: MIT */
/*
 * The head of a WebSocket entry's requests. Whatever comes: in pieces it is read as in one, at most HEAD_MAX bytes of
 * it are, and what is taken obeys the grammar by another way of looking: by lines, cut out of the whole.
 *
 * Input: cuts, bytes.
 */
/* sources: cmd/coracle/serve/ws/head.c cmd/coracle/serve/room/name.c cmd/coracle/escape.c cmd/coracle/utf8.c */
#include "input.h"
#include "serve/room/name.h"
#include "serve/ws/head.h"

#include <ctype.h>

static void check_place(const struct http_head *head, head_text piece)
{
    CHECK(!piece.given || (piece.at <= head->size && piece.size <= head->size - piece.at));
}

/* What is read of a path as the name of a room is one. */
static void check_name(const char *bytes, head_text target)
{
    char name[ROOM_NAME_SIZE];
    if (room_name_decode(bytes + target.at + 1, target.size - 1, name)) {
        CHECK(room_name_is_good(name, strlen(name)) && strpbrk(name, "/ \"%*>") == NULL);
    }
}

static int same_text(head_text a, head_text b)
{
    return a.given == b.given && a.at == b.at && a.size == b.size;
}

static void check_same(const struct http_head *a, const struct http_head *b)
{
    CHECK(a->size == b->size && a->minor == b->minor && a->has_body == b->has_body);
    CHECK(a->asks_websocket == b->asks_websocket && a->asks_upgrade == b->asks_upgrade);
    CHECK(same_text(a->method, b->method) && same_text(a->target, b->target) && same_text(a->host, b->host));
    CHECK(same_text(a->origin, b->origin) && same_text(a->key, b->key) && same_text(a->version, b->version));
}

/* How many fields of that name a head has; its lines end in CRLF, and no CR or LF is anywhere else. */
static int count_fields(const char *bytes, size_t size, const char *name)
{
    int count = 0;
    const char *line = memchr(bytes, '\n', size);
    while (line != NULL && (size_t)(++line - bytes) < size) {
        const char *end = memchr(line, '\n', size - (size_t)(line - bytes));
        CHECK(end != NULL && end > line - 1 && end[-1] == '\r');
        size_t length = strlen(name), i = 0;
        while (i < length && line + i < end && tolower((unsigned char)line[i]) == name[i]) {
            i++;
        }
        count += i == length && line + i < end && line[i] == ':';
        line = end;
    }
    return count;
}

static void check_complete(const struct http_head *head, const char *bytes)
{
    CHECK(head->size >= 4 && head->size <= HEAD_MAX && memcmp(bytes + head->size - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < head->size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        CHECK(c >= ' ' ? c != 0x7f : c == '\t' || c == '\r' || c == '\n');
        CHECK((c == '\r') == (i + 1 < head->size && bytes[i + 1] == '\n'));
    }
    check_place(head, head->method);
    check_place(head, head->target);
    check_place(head, head->host);
    check_place(head, head->origin);
    check_place(head, head->key);
    check_place(head, head->version);
    CHECK(head->method.at == 0 && head->method.size > 0 && head->target.size > 0 && head->minor <= 1);
    CHECK(head->target.at == head->method.size + 1 && bytes[head->method.size] == ' ');
    CHECK(memcmp(bytes + head->target.at + head->target.size, " HTTP/1.", 8) == 0);
    CHECK(count_fields(bytes, head->size, "host") == head->host.given);
    CHECK(count_fields(bytes, head->size, "origin") == head->origin.given);
    CHECK(count_fields(bytes, head->size, "sec-websocket-key") == head->key.given);
    CHECK(count_fields(bytes, head->size, "sec-websocket-version") == head->version.given);
    CHECK(!head->asks_websocket || count_fields(bytes, head->size, "upgrade") > 0);
    CHECK(!head->asks_upgrade || count_fields(bytes, head->size, "connection") > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    cuts pieces_of = input_cuts(&in);
    char *all = exact_copy(in.next, in.left, 0);
    struct http_head whole = {0}, pieces = {0};
    head_result result = head_read(&whole, all, in.left), again = HEAD_MORE;
    size_t come = 0;
    while (again == HEAD_MORE && come < in.left) {
        come += cuts_next(&pieces_of, in.left - come);
        char *copy = exact_copy(all, come, 0);
        again = head_read(&pieces, copy, come);
        free(copy);
    }
    CHECK(again == result);
    if (result == HEAD_COMPLETE) {
        check_same(&whole, &pieces);
        check_complete(&whole, all);
        check_name(all, whole.target);
    }
    CHECK(result != HEAD_MORE || in.left < HEAD_MAX);
    free(all);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Frames, to bytes and back. */
#include "serve/room/frame.h"

#include "escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORD "coracle1"
enum { NODE_DIGITS = 16, MOST_DIGITS = 20 };

size_t frame_head(const struct frame *of, char *to)
{
    char line[FRAME_HEAD_MAX];
    int size = snprintf(line, sizeof(line), WORD " %016" PRIx64 " %" PRIu64 " %" PRIu32 " %" PRIu32 "\n", of->node,
                        of->first, of->count, of->members);
    memcpy(to, line, (size_t)size);
    return (size_t)size;
}

/* Reads a space and the digits after it, up to one that is none. NULL: there are too few or too many of them. */
static const char *read_number(const char *at, const char *end, unsigned base, uint64_t most, uint64_t *out)
{
    uint64_t number = 0;
    const char *start = at + 1;
    if (at == NULL || at == end || *at != ' ') {
        return NULL;
    }
    for (at = start; at < end && *at != ' ' && *at != '\n'; at++) {
        unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
                         : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
                                                    : base;
        if (digit >= base || number > (most - digit) / base) {
            return NULL;
        }
        number = number * base + digit;
    }
    *out = number;
    return at > start && at - start <= MOST_DIGITS ? at : NULL;
}

/* Whether escaping would leave it as it is. A CR before LF would be dropped, and so make up for what else is longer. */
static bool is_harmless(const char *text, size_t size)
{
    const int keep = ESCAPE_KEEP_BACKSLASH | ESCAPE_KEEP_FORMAT | ESCAPE_KEEP_LINES;
    return (size == 0 || memchr(text, '\r', size) == NULL) && escape_size(text, size, keep) == size;
}

bool frame_read(const char *bytes, size_t size, struct frame *out)
{
    const char *end = bytes + size;
    uint64_t node, first, count, members;
    if (size < sizeof(WORD) || memcmp(bytes, WORD, sizeof(WORD) - 1) != 0) {
        return false;
    }
    const char *start = bytes + sizeof(WORD) - 1;
    const char *at = read_number(start, end, 16, UINT64_MAX, &node);
    if (at == NULL || at - start != NODE_DIGITS + 1) {
        return false;
    }
    at = read_number(at, end, 10, UINT64_MAX - UINT32_MAX, &first);
    at = at == NULL ? NULL : read_number(at, end, 10, UINT32_MAX, &count);
    at = at == NULL ? NULL : read_number(at, end, 10, UINT32_MAX, &members);
    if (at == NULL || at == end || *at != '\n') {
        return false;
    }
    *out = (struct frame){.node = node,
                          .first = first,
                          .count = (uint32_t)count,
                          .members = (uint32_t)members,
                          .text = at + 1,
                          .size = (size_t)(end - at - 1)};
    return (out->size == 0 || end[-1] == '\n') && frame_lines(out->text, out->size) == count &&
           is_harmless(out->text, out->size);
}

uint32_t frame_lines(const char *text, size_t size)
{
    uint32_t count = 0;
    const char *end = text + size;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        count++;
        text++;
    }
    return count;
}

size_t frame_skip(const char *text, size_t size, uint32_t count)
{
    const char *at = text, *end = text + size;
    while (count > 0 && at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        at = line != NULL ? line + 1 : end;
        count--;
    }
    return (size_t)(at - text);
}

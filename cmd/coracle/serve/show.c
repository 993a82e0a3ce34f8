/* SPDX-License-Identifier: MIT */
/* Pieces of a stream as whole characters. */
#include "serve/show.h"

#include "log.h"
#include "utf8.h"

#include <string.h>

/* Moves bytes from the piece to the carried ones until those are a character or can no longer become one. */
static size_t complete_carry(show_carry *carry, const unsigned char *bytes, size_t size)
{
    size_t taken = 0;
    while (carry->size > 0 && taken < size && utf8_unfinished(carry->bytes, carry->size) == carry->size) {
        carry->bytes[carry->size++] = bytes[taken++];
    }
    uint32_t rune;
    if (taken > 0 && utf8_unfinished(carry->bytes, carry->size) != carry->size &&
        utf8_decode(carry->bytes, carry->size, &rune) == 0) {
        carry->size--; /* the last byte is none of its bytes: it may begin a character of its own */
        taken--;
    }
    return taken;
}

void show_piece(show_carry *carry, const char *before, const void *bytes, size_t size, const char *after)
{
    const unsigned char *next = bytes;
    size_t taken = complete_carry(carry, next, size);
    next += taken;
    size -= taken;
    size_t joined = carry->size;
    if (size == 0 && utf8_unfinished(carry->bytes, joined) == joined) {
        joined = 0; /* still unfinished: stays carried */
    }
    size_t tail = utf8_unfinished(next, size);
    const line_part parts[] = {
        {before, strlen(before), false},
        {carry->bytes, joined, true},
        {next, size - tail, true},
        {after, strlen(after), false},
    };
    log_show_parts(parts, sizeof(parts) / sizeof(parts[0]));
    if (joined > 0) {
        carry->size = 0;
    }
    memcpy(carry->bytes + carry->size, next + size - tail, tail);
    carry->size += tail;
}

void show_rest(show_carry *carry, const char *before, const char *after)
{
    if (carry->size > 0) {
        log_show(before, carry->bytes, carry->size, after);
        carry->size = 0;
    }
}

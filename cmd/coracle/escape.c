/* SPDX-License-Identifier: MIT */
/* Escaping: one function decides about the next character, and sizing and copying both ask it. */
#include "escape.h"

#include "utf8.h"

#include <stdbool.h>
#include <string.h>

/* Unicode's format characters (category Cf) and the two separators Zl and Zp. */
static const struct {
    uint32_t first, last;
} format_ranges[] = {
    {0x00AD, 0x00AD},   {0x0600, 0x0605},   {0x061C, 0x061C},   {0x06DD, 0x06DD},   {0x070F, 0x070F},
    {0x0890, 0x0891},   {0x08E2, 0x08E2},   {0x180E, 0x180E},   {0x200B, 0x200F},   {0x2028, 0x202E},
    {0x2060, 0x206F},   {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD},
    {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE007F},
};

static bool is_format(uint32_t rune)
{
    for (size_t i = 0; i < sizeof(format_ranges) / sizeof(format_ranges[0]); i++) {
        if (rune >= format_ranges[i].first && rune <= format_ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool is_shown(uint32_t rune, int keep)
{
    if (rune < 0x20 || (rune >= 0x7F && rune < 0xA0)) {
        return false;
    }
    return rune < 0xA0 || (keep & ESCAPE_KEEP_FORMAT) || !is_format(rune);
}

static size_t put_hex(char *out, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[4 * i] = '\\';
        out[4 * i + 1] = 'x';
        out[4 * i + 2] = digits[bytes[i] >> 4];
        out[4 * i + 3] = digits[bytes[i] & 15];
    }
    return 4 * count;
}

static size_t put_short(char *out, char letter)
{
    out[0] = '\\';
    out[1] = letter;
    return 2;
}

/* Writes the form of the first character to `out` (16 bytes); sets *taken to its bytes. Returns the bytes written. */
static size_t put_one(char *out, const unsigned char *bytes, size_t size, int keep, size_t *taken)
{
    unsigned char first = bytes[0];
    *taken = 1;
    if ((keep & ESCAPE_KEEP_LINES) && first == '\r' && size > 1 && bytes[1] == '\n') {
        return 0;
    }
    if ((keep & ESCAPE_KEEP_LINES) && (first == '\n' || first == '\t')) {
        out[0] = (char)first;
        return 1;
    }
    switch (first) {
    case '\n':
        return put_short(out, 'n');
    case '\r':
        return put_short(out, 'r');
    case '\t':
        return put_short(out, 't');
    case '\\':
        if (!(keep & ESCAPE_KEEP_BACKSLASH)) {
            return put_short(out, '\\');
        }
        break;
    default:
        break;
    }
    uint32_t rune;
    size_t length = utf8_decode(bytes, size, &rune);
    if (length == 0 || !is_shown(rune, keep)) {
        *taken = length == 0 ? 1 : length;
        return put_hex(out, bytes, *taken);
    }
    memcpy(out, bytes, length);
    *taken = length;
    return length;
}

size_t escape_size(const void *bytes, size_t size, int keep)
{
    char form[4 * UTF8_MAX];
    size_t total = 0;
    const unsigned char *next = bytes;
    while (size > 0) {
        size_t taken = utf8_plain(next, size);
        total += taken > 0 ? taken : put_one(form, next, size, keep, &taken);
        next += taken;
        size -= taken;
    }
    return total;
}

char *escape_copy(char *to, const void *bytes, size_t size, int keep)
{
    char form[4 * UTF8_MAX];
    const unsigned char *next = bytes;
    while (size > 0) {
        size_t taken = utf8_plain(next, size);
        size_t written = taken;
        if (taken > 0) {
            memcpy(to, next, taken);
        } else {
            written = put_one(form, next, size, keep, &taken);
            memcpy(to, form, written);
        }
        to += written;
        next += taken;
        size -= taken;
    }
    return to;
}

/* SPDX-License-Identifier: MIT */
/* JSON strings in Go's spelling. */
#include "json_text.h"

#include "utf8.h"

#include <string.h>

static char *put_escape(char *to, unsigned value)
{
    static const char digits[] = "0123456789abcdef";
    to[0] = '\\';
    to[1] = 'u';
    for (int i = 0; i < 4; i++) {
        to[2 + i] = digits[value >> (12 - 4 * i) & 15];
    }
    return to + 6;
}

static char *put_ascii(char *to, char c)
{
    switch (c) {
    case '"':
    case '\\':
        *to++ = '\\';
        *to++ = c;
        return to;
    case '\n':
    case '\r':
    case '\t':
        *to++ = '\\';
        *to++ = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        return to;
    default:
        if ((unsigned char)c < 0x20 || c == '<' || c == '>' || c == '&') {
            return put_escape(to, (unsigned char)c);
        }
        *to++ = c;
        return to;
    }
}

char *json_quote(char *to, const char *text, size_t size)
{
    *to++ = '"';
    while (size > 0) {
        uint32_t rune;
        size_t length = utf8_decode(text, size, &rune);
        if (length == 1) {
            to = put_ascii(to, *text);
        } else if (length == 0 || rune == 0x2028 || rune == 0x2029) {
            to = put_escape(to, length == 0 ? 0xFFFD : rune);
        } else {
            memcpy(to, text, length);
            to += length;
        }
        length += length == 0;
        text += length;
        size -= length;
    }
    *to++ = '"';
    return to;
}

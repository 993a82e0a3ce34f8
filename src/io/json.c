/* SPDX-License-Identifier: MIT */
/* JSON strings in Go's spelling. Reading JSON takes a library; writing one string does not. */
#include <coracle/io.h>
#include <string.h>

/*
 * How many bytes the UTF-8 character at `text` has, 0 if there is none (RFC 3629, section 4: the second byte's range
 * keeps out long forms, surrogates, and what is above U+10FFFF).
 */
static size_t rune_bytes(const unsigned char *text, size_t size)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 1) {
        return 1;
    }
    low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
    high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
    if (first < 0xc2 || first > 0xf4 || size < length || text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

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

/* U+2028 and U+2029 end a line in JavaScript. */
static bool is_separator(const char *text, size_t length)
{
    return length == 3 && memcmp(text, "\xe2\x80", 2) == 0 && (text[2] == '\xa8' || text[2] == '\xa9');
}

char *cor_json_quote(char *to, const char *text, size_t size)
{
    *to++ = '"';
    while (size > 0) {
        size_t length = rune_bytes((const unsigned char *)text, size);
        if (length == 1) {
            to = put_ascii(to, *text);
        } else if (length == 0) {
            to = put_escape(to, 0xfffd);
            length = 1;
        } else if (is_separator(text, length)) {
            to = put_escape(to, 0x2000 | (text[2] & 0x3f));
        } else {
            memcpy(to, text, length);
            to += length;
        }
        text += length;
        size -= length;
    }
    *to++ = '"';
    return to;
}

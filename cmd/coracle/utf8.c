/* SPDX-License-Identifier: MIT */
/* UTF-8 by the table of RFC 3629, section 4. */
#include "utf8.h"

#include <string.h>

/* How many bytes a sequence with this first byte has, 0 if none begins so; the second byte's range comes along. */
static size_t sequence_length(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        *low = first == 0xE0 ? 0xA0 : 0x80;
        *high = first == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        *low = first == 0xF0 ? 0x90 : 0x80;
        *high = first == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* Counts how many of the bytes at `text` agree with the sequence that the first one begins. */
static size_t matching_bytes(const unsigned char *text, size_t size, size_t *length)
{
    unsigned char low, high;
    *length = size == 0 ? 0 : sequence_length(text[0], &low, &high);
    if (*length == 0) {
        return 0;
    }
    size_t count = 1;
    while (count < *length && count < size && text[count] >= low && text[count] <= high) {
        low = 0x80;
        high = 0xBF;
        count++;
    }
    return count;
}

size_t utf8_decode(const void *text, size_t size, uint32_t *rune)
{
    static const unsigned char first_mask[UTF8_MAX + 1] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const unsigned char *bytes = text;
    size_t length;
    size_t count = matching_bytes(bytes, size, &length);
    if (count == 0 || count < length) {
        return 0;
    }
    uint32_t value = bytes[0] & first_mask[length];
    for (size_t i = 1; i < length; i++) {
        value = value << 6 | (bytes[i] & 0x3F);
    }
    *rune = value;
    return length;
}

/* Sixteen bytes that the compiler works on together, on any CPU. */
typedef unsigned char sixteen __attribute__((vector_size(16)));

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

static inline bool sixteen_plain(const unsigned char *text)
{
    sixteen bytes;
    uint64_t halves[2];
    memcpy(&bytes, text, sizeof(bytes));
    sixteen other = (sixteen)((bytes < 0x20) | (bytes >= 0x7F) | (bytes == '"') | (bytes == '\\'));
    memcpy(halves, &other, sizeof(halves));
    return (halves[0] | halves[1]) == 0;
}

size_t utf8_plain(const void *text, size_t size)
{
    const unsigned char *bytes = text;
    size_t count = 0;
    while (size - count >= sizeof(sixteen) && sixteen_plain(bytes + count)) {
        count += sizeof(sixteen);
    }
    while (count < size && is_plain(bytes[count])) {
        count++;
    }
    return count;
}

size_t utf8_unfinished(const void *text, size_t size)
{
    const unsigned char *bytes = text;
    for (size_t back = 1; back < UTF8_MAX && back <= size; back++) {
        const unsigned char *start = bytes + size - back;
        if ((*start & 0xC0) == 0x80) {
            continue;
        }
        size_t length;
        size_t count = matching_bytes(start, back, &length);
        return count == back && count < length ? back : 0;
    }
    return 0;
}

bool utf8_is_space(uint32_t rune)
{
    return (rune >= 0x09 && rune <= 0x0D) || rune == ' ' || rune == 0x85 || rune == 0xA0 || rune == 0x1680 ||
           (rune >= 0x2000 && rune <= 0x200A) || rune == 0x2028 || rune == 0x2029 || rune == 0x202F || rune == 0x205F ||
           rune == 0x3000;
}

/* The length of the white-space character that ends the text, 0 if none does. */
static size_t space_at_end(const char *text, size_t size)
{
    for (size_t back = 1; back <= UTF8_MAX && back <= size; back++) {
        uint32_t rune;
        if (utf8_decode(text + size - back, back, &rune) == back) {
            return utf8_is_space(rune) ? back : 0;
        }
    }
    return 0;
}

void utf8_trim(const char **text, size_t *size)
{
    uint32_t rune;
    size_t length;
    while ((length = utf8_decode(*text, *size, &rune)) > 0 && utf8_is_space(rune)) {
        *text += length;
        *size -= length;
    }
    while ((length = space_at_end(*text, *size)) > 0) {
        *size -= length;
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Escaping. Whatever a peer sends: the output is valid UTF-8 without any control character, the input can be had
 * back from it, and a stream shown in pieces (show.c's carry) reads as if it had come in one. JSON quoting and trimming
 * get the same bytes.
 *
 * Input: a byte with the ESCAPE_KEEP bits, cuts, bytes.
 */
/* sources: cmd/coracle/escape.c cmd/coracle/utf8.c cmd/coracle/serve/show.c */
#include "escape.h"
#include "input.h"
#include "log.h"
#include "serve/show.h"
#include "utf8.h"

#include <coracle/io.h>

/* Decodes by arithmetic, not by the table of utf8.c: the length, or 0 where the bytes are not valid. */
static size_t decode(const unsigned char *bytes, size_t size, uint32_t *rune)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] < 0x80       ? 1
                    : bytes[0] >> 5 == 6  ? 2
                    : bytes[0] >> 4 == 14 ? 3
                    : bytes[0] >> 3 == 30 ? 4
                                          : 0;
    if (length == 0 || length > size) {
        return 0;
    }
    *rune = length == 1 ? bytes[0] : bytes[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] >> 6 != 2) {
            return 0;
        }
        *rune = *rune << 6 | (bytes[i] & 0x3F);
    }
    if (*rune < smallest[length] || *rune > 0x10FFFF || (*rune >= 0xD800 && *rune <= 0xDFFF)) {
        return 0;
    }
    return length;
}

/* What could reorder, hide or move text on a terminal: Unicode's Bidi_Control, zero-width characters, separators. */
static int is_deceptive(uint32_t rune)
{
    return rune == 0x00AD || rune == 0x061C || rune == 0x180E || rune == 0xFEFF || (rune >= 0x200B && rune <= 0x200F) ||
           (rune >= 0x2028 && rune <= 0x202E) || (rune >= 0x2060 && rune <= 0x206F) ||
           (rune >= 0xE0000 && rune <= 0xE007F);
}

static void check_shown(const char *text, size_t size, int keep)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length;
    for (size_t i = 0; i < size; i += length) {
        uint32_t rune, same;
        length = decode(bytes + i, size - i, &rune);
        CHECK(length > 0);
        CHECK(utf8_decode(bytes + i, size - i, &same) == length && same == rune);
        int line = (keep & ESCAPE_KEEP_LINES) && (rune == '\n' || rune == '\t');
        CHECK(line || (rune >= 0x20 && rune != 0x7F && !(rune >= 0x80 && rune < 0xA0)));
        CHECK((keep & ESCAPE_KEEP_FORMAT) || !is_deceptive(rune));
    }
}

static unsigned hex_digit(char c)
{
    CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The original byte behind the backslash at `text`; *taken is the escape's length. */
static char unescape_one(const char *text, size_t size, size_t *taken)
{
    static const char letters[] = "nrt\\", originals[] = "\n\r\t\\";
    CHECK(size >= 2);
    const char *letter = strchr(letters, text[1]);
    if (letter != NULL && *letter != '\0') {
        *taken = 2;
        return originals[letter - letters];
    }
    CHECK(text[1] == 'x' && size >= 4);
    *taken = 4;
    return (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
}

static void check_way_back(const char *text, size_t size, const char *original, size_t original_size)
{
    size_t at = 0, taken;
    for (size_t i = 0; i < size; i += taken) {
        taken = 1;
        char c = text[i] == '\\' ? unescape_one(text + i, size - i, &taken) : text[i];
        CHECK(at < original_size && original[at] == c);
        at++;
    }
    CHECK(at == original_size);
}

/* The escaped form of `size` bytes in memory of exactly its size. */
static char *escape(const char *bytes, size_t size, int keep, size_t *escaped_bytes)
{
    *escaped_bytes = escape_size(bytes, size, keep);
    char *escaped = malloc(*escaped_bytes + 1);
    CHECK(escaped != NULL);
    char *end = escape_copy(escaped, bytes, size, keep);
    CHECK((size_t)(end - escaped) == *escaped_bytes);
    return escaped;
}

/* What show.c has shown: log.c's place is taken by these three. */
static struct {
    char *text;
    size_t size, room;
} shown;

void log_show_parts(const struct line_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(parts[i].foreign || parts[i].size == 0);
        size_t need = escape_size(parts[i].bytes, parts[i].size, 0);
        CHECK(need <= shown.room - shown.size);
        shown.size = (size_t)(escape_copy(shown.text + shown.size, parts[i].bytes, parts[i].size, 0) - shown.text);
    }
}

void log_show(const char *before, const void *bytes, size_t size, const char *after)
{
    const line_part part = {bytes, size, true};
    CHECK(*before == '\0' && *after == '\0');
    log_show_parts(&part, 1);
}

static void check_pieces(const char *bytes, size_t size, cuts at)
{
    size_t whole_size, count;
    char *whole = escape(bytes, size, 0, &whole_size);
    show_carry carry = {0};
    shown.text = malloc(whole_size + 1);
    shown.room = whole_size;
    shown.size = 0;
    CHECK(shown.text != NULL);
    for (size_t i = 0; i < size; i += count) {
        count = cuts_next(&at, size - i);
        char *piece = exact_copy(bytes + i, count, 0);
        show_piece(&carry, "", piece, count, "");
        CHECK(carry.size < UTF8_MAX);
        free(piece);
    }
    show_rest(&carry, "", "");
    CHECK(shown.size == whole_size && memcmp(shown.text, whole, whole_size) == 0);
    free(shown.text);
    free(whole);
}

static void check_quoted(const char *bytes, size_t size)
{
    char *quoted = malloc(COR_JSON_QUOTE_MAX(size));
    CHECK(quoted != NULL);
    size_t length = (size_t)(cor_json_quote(quoted, bytes, size) - quoted);
    CHECK(length >= 2 && length <= COR_JSON_QUOTE_MAX(size) && quoted[0] == '"' && quoted[length - 1] == '"');
    uint32_t rune;
    for (size_t i = 1, step; i < length - 1; i += step) {
        step = decode((const unsigned char *)quoted + i, length - i, &rune);
        CHECK(step > 0 && rune >= 0x20 && rune != '"' && rune != '<' && rune != '>' && rune != '&');
        CHECK(rune != 0x2028 && rune != 0x2029);
        if (rune == '\\') {
            CHECK(strchr("\"\\nrtu", quoted[i + 1]) != NULL && i + 1 < length - 1);
            step = quoted[i + 1] == 'u' ? 6 : 2;
            CHECK(i + step <= length - 1);
        }
    }
    free(quoted);
}

static void check_trimmed(const char *bytes, size_t size)
{
    const char *text = bytes;
    size_t left = size;
    uint32_t rune;
    utf8_trim(&text, &left);
    CHECK(text >= bytes && text + left <= bytes + size);
    CHECK(left == 0 || utf8_decode(text, left, &rune) == 0 || !utf8_is_space(rune));
    const char *again = text;
    size_t again_left = left;
    utf8_trim(&again, &again_left);
    CHECK(again == text && again_left == left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    int keep = (int)(input_byte(&in) & 7);
    cuts at = input_cuts(&in);
    char *bytes = exact_copy(in.next, in.left, 0);
    size_t escaped_bytes;
    char *escaped = escape(bytes, in.left, keep, &escaped_bytes);
    check_shown(escaped, escaped_bytes, keep);
    if (!(keep & (ESCAPE_KEEP_BACKSLASH | ESCAPE_KEEP_LINES))) {
        check_way_back(escaped, escaped_bytes, bytes, in.left);
    }
    free(escaped);
    check_pieces(bytes, in.left, at);
    check_quoted(bytes, in.left);
    check_trimmed(bytes, in.left);
    free(bytes);
    return 0;
}

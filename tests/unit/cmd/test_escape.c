/* SPDX-License-Identifier: MIT */
/* Safe printing: what stays, what is escaped, and that the original can be had back. */
/* sources: cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "utf8.h"

static void check_bytes(const char *text, size_t size, int keep, const char *expected)
{
    size_t length = escape_size(text, size, keep);
    char *escaped = malloc(length + 1);
    assert_ptr_equal(escape_copy(escaped, text, size, keep), escaped + length);
    escaped[length] = '\0';
    assert_string_equal(escaped, expected);
    free(escaped);
}

static void check(const char *text, const char *expected)
{
    check_bytes(text, strlen(text), 0, expected);
}

static void test_plain_text_stays(void **state)
{
    (void)state;
    check("", "");
    check("hello, world! ~", "hello, world! ~");
    check("já olá 已经收到信息：😀", "já olá 已经收到信息：😀");
}

static void test_control_characters(void **state)
{
    (void)state;
    check("a\nb\rc\td", "a\\nb\\rc\\td");
    check("\x1b]0;title\x07", "\\x1b]0;title\\x07");
    check("\x1b[2J\x7f", "\\x1b[2J\\x7f");
    check("\xC2\x9B"
          "31m",
          "\\xc2\\x9b31m"); /* the 8-bit CSI, as UTF-8 */
    check("\x9B"
          "31m",
          "\\x9b31m"); /* and bare */
    check_bytes("ab\0cd", 5, 0, "ab\\x00cd");
}

static void test_format_characters(void **state)
{
    (void)state;
    check("user\xE2\x80\xAEgpj", "user\\xe2\\x80\\xaegpj"); /* right-to-left override */
    check("a\xE2\x80\x8B"
          "b",
          "a\\xe2\\x80\\x8bb"); /* zero-width space */
    check("\xEF\xBB\xBFx", "\\xef\\xbb\\xbfx");
    check("\xE2\x80\xA8", "\\xe2\\x80\\xa8");
    check("\xF3\xA0\x80\x81", "\\xf3\\xa0\\x80\\x81"); /* a tag */
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    check("\xC3(", "\\xc3(");
    check("\xED\xA0\x80", "\\xed\\xa0\\x80");
    check("ab\xE5\xB7", "ab\\xe5\\xb7");
}

static void test_what_is_kept(void **state)
{
    (void)state;
    check("C:\\x1b", "C:\\\\x1b");
    check_bytes("C:\\x", 4, ESCAPE_KEEP_BACKSLASH, "C:\\x");
    check_bytes("a\r\nb\tc\rd", 8, ESCAPE_KEEP_LINES, "a\nb\tc\\rd");
    check_bytes("\xE2\x80\x8D\n", 4, ESCAPE_KEEP_FORMAT, "\xE2\x80\x8D\\n");
    check_bytes("\x1b", 1, ESCAPE_KEEP_LINES | ESCAPE_KEEP_FORMAT | ESCAPE_KEEP_BACKSLASH, "\\x1b");
}

/* Undoes the escapes. */
static size_t unescape(const char *escaped, size_t size, char *to)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (escaped[i] != '\\') {
            to[used++] = escaped[i];
            continue;
        }
        char c = escaped[++i];
        if (c == 'x') {
            char digits[3] = {escaped[i + 1], escaped[i + 2], '\0'};
            to[used++] = (char)strtol(digits, NULL, 16);
            i += 2;
        } else {
            to[used++] = (char)(c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c);
        }
    }
    return used;
}

/* Random bytes, weighted towards those that matter: the escaped form is safe to show, and nothing is lost. */
static void test_round_trip(void **state)
{
    static const char alphabet[] = "a\\xn\n\r\x1b\x80\xBF\xC2\x9B\xE2\x80\xAE\xED\xA0\xF0\x9F\x98\x80 0";
    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char text[24], escaped[4 * sizeof(text)], back[sizeof(escaped)];
        size_t size = (size_t)rand() % sizeof(text);
        for (size_t i = 0; i < size; i++) {
            text[i] = alphabet[(size_t)rand() % sizeof(alphabet)];
        }
        size_t length = escape_size(text, size, 0);
        assert_in_range(length, size, sizeof(escaped));
        escape_copy(escaped, text, size, 0);
        for (size_t i = 0; i < length;) {
            uint32_t rune;
            size_t step = utf8_decode(escaped + i, length - i, &rune);
            assert_true(step > 0 && rune >= 0x20 && (rune < 0x7F || rune >= 0xA0));
            i += step;
        }
        assert_int_equal(unescape(escaped, length, back), size);
        assert_memory_equal(back, text, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_stays),  cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_format_characters), cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_what_is_kept),      cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Texts: trimmed at their ends, quoted as JSON in Go's spelling, and every two-byte start of a character judged. */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coracle/io.h>
#include <coracle/lines.h>
#include <stdio.h>
#include <string.h>

static void check_trim(const char *text, const char *cut, const char *expected)
{
    char copy[64];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    assert_string_equal(cor_trim(copy, cut), expected);
}

/* N353 */
static void test_trim(void **state)
{
    (void)state;
    check_trim("line\r", "\r", "line");
    check_trim("\r\r a\rb \r\r", "\r", " a\rb ");
    check_trim("\r\n\r", "\r\n", "");
    check_trim("", "\r", "");
    check_trim("line", "", "line");
    check_trim(" \t STOP", " \t", "STOP");
}

static void check_quote(const char *text, size_t size, const char *expected)
{
    char quoted[COR_JSON_QUOTE_MAX(64) + 1];
    *cor_json_quote(quoted, text, size) = '\0';
    assert_string_equal(quoted, expected);
}

static void test_json_strings(void **state)
{
    (void)state;
    check_quote("hola", 4, "\"hola\"");
    check_quote("<a&b>", 5, "\"\\u003ca\\u0026b\\u003e\"");
    check_quote("\"\\\n\r\t\b\x1f", 7, "\"\\\"\\\\\\n\\r\\t\\u0008\\u001f\"");
    check_quote("a\0b", 3, "\"a\\u0000b\"");
    check_quote("é已😀\x7f", 10, "\"é已😀\x7f\"");
    check_quote("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA", 9, "\"\\u2028\\u2029\xE2\x80\xAA\"");
    check_quote("a\xFF", 2, "\"a\\ufffd\"");
    check_quote("\xE5\xB7", 2, "\"\\ufffd\\ufffd\"");
    check_quote("\xE5\xB7x", 3, "\"\\ufffd\\ufffdx\"");
    check_quote("\xF0\x9F\x98x", 4, "\"\\ufffd\\ufffd\\ufffdx\"");
    check_quote("", 0, "\"\"");
}

/* The rules of RFC 3629 as arithmetic: with the shortest and the longest that may follow, is it a character? */
static bool is_character(unsigned first, unsigned second, size_t length)
{
    static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned value = first & (0xFFu >> (length + 1));
    unsigned low = value << 6 | (second & 0x3F), high = low;
    for (size_t i = 2; i < length; i++) {
        low <<= 6;
        high = high << 6 | 0x3F;
    }
    return second >> 6 == 2 && low >= smallest[length] && high <= 0x10FFFF && (high < 0xD800 || low > 0xDFFF);
}

static void test_every_start(void **state)
{
    (void)state;
    for (unsigned first = 0x80; first <= 0xFF; first++) {
        size_t length = first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
        for (unsigned second = 0; second <= 0xFF; second++) {
            char text[4] = {(char)first, (char)second, '\x80', '\x80'}, quoted[COR_JSON_QUOTE_MAX(4)];
            size_t size = length == 0 ? 2 : length;
            char *end = cor_json_quote(quoted, text, size);
            bool kept = (size_t)(end - quoted) == size + 2 && memcmp(quoted + 1, text, size) == 0;
            assert_int_equal(kept, length > 0 && is_character(first, second, length));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_every_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

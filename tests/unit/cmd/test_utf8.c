/* SPDX-License-Identifier: MIT */
/* UTF-8: what is valid and what is not, characters cut at the end, Unicode white space. */
/* sources: cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "utf8.h"

static void test_valid_characters(void **state)
{
    static const struct {
        const char *text;
        uint32_t rune;
    } cases[] = {
        {"a", 'a'},
        {"\x7f", 0x7F},
        {"é", 0xE9},
        {"已", 0x5DF2},
        {"\xED\x9F\xBF", 0xD7FF},
        {"\xEF\xBF\xBF", 0xFFFF},
        {"😀", 0x1F600},
        {"\xF4\x8F\xBF\xBF", 0x10FFFF},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t rune = 0;
        assert_int_equal(utf8_decode(cases[i].text, strlen(cases[i].text), &rune), strlen(cases[i].text));
        assert_int_equal(rune, cases[i].rune);
    }
}

/* Every byte at every place of a text longer than what is looked at in one go. */
static void test_plain_text(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool plain = byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
        for (size_t at = 0; at < 43; at++) {
            char text[43];
            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            assert_int_equal(utf8_plain(text, sizeof(text)), plain ? sizeof(text) : at);
            assert_int_equal(utf8_plain(text, at), at);
        }
    }
}

static void test_invalid_sequences(void **state)
{
    static const char *const cases[] = {
        "\x80",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x9F\xBF",
        "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "\xC3",
        "\xC3(",
        "\xE5\xB7",
        "\xE5\xB7(",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t rune;
        assert_int_equal(utf8_decode(cases[i], strlen(cases[i]), &rune), 0);
    }
    uint32_t rune;
    assert_int_equal(utf8_decode("", 0, &rune), 0);
}

static void test_unfinished_end(void **state)
{
    (void)state;
    assert_int_equal(utf8_unfinished("abc", 3), 0);
    assert_int_equal(utf8_unfinished("ab\xC3", 3), 1);
    assert_int_equal(utf8_unfinished("ab\xE5\xB7", 4), 2);
    assert_int_equal(utf8_unfinished("ab\xF0\x9F\x98", 5), 3);
    assert_int_equal(utf8_unfinished("ab\xF0\x9F\x98\x80", 6), 0);
    assert_int_equal(utf8_unfinished("\xE0\x80", 2), 0); /* can no longer become a character */
    assert_int_equal(utf8_unfinished("\x80\x80", 2), 0);
    assert_int_equal(utf8_unfinished("", 0), 0);
}

static void check_trim(const char *text, const char *trimmed)
{
    size_t size = strlen(text);
    utf8_trim(&text, &size);
    assert_int_equal(size, strlen(trimmed));
    assert_memory_equal(text, trimmed, size);
}

static void test_trim(void **state)
{
    (void)state;
    check_trim("STOP", "STOP");
    check_trim(" \t STOP\r\n", "STOP");
    check_trim("\xC2\xA0STOP\xE3\x80\x80", "STOP");
    check_trim("\xC2\x85 \xE2\x80\xA8\xE1\x9A\x80", "");
    check_trim("ST OP", "ST OP");
    check_trim("\xE2\x80\x8BSTOP", "\xE2\x80\x8BSTOP"); /* zero-width space is no white space, as in Go */
    check_trim("", "");
    check_trim("\x80 ", "\x80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_characters),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_invalid_sequences),
        cmocka_unit_test(test_unfinished_end),
        cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

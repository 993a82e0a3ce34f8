/* SPDX-License-Identifier: MIT */
/* Showing a stream in pieces: no character is cut, no byte is lost, wherever the pieces end. */
/* sources: cmd/coracle/serve/show.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "escape.h"
#include "log.h"
#include "serve/show.h"

/* What was shown: stands in for the log. */
static char shown[4096];

void log_show_parts(const line_part *parts, size_t count)
{
    char *to = shown + strlen(shown);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].foreign) {
            to = escape_copy(to, parts[i].bytes, parts[i].size, 0);
        } else {
            to = mempcpy(to, parts[i].bytes, parts[i].size);
        }
    }
    strcpy(to, "\n");
}

void log_show(const char *before, const void *bytes, size_t size, const char *after)
{
    const line_part parts[] = {{before, strlen(before), false}, {bytes, size, true}, {after, strlen(after), false}};
    log_show_parts(parts, 3);
}

static void test_whole_characters(void **state)
{
    show_carry carry = {0};
    (void)state;
    shown[0] = '\0';
    show_piece(&carry, "<", "ab\xC3", 3, ">");
    show_piece(&carry, "<", "\xA9x\xE5", 3, ">");
    show_piece(&carry, "<", "\xB7", 1, ">");
    show_piece(&carry, "<", "\xB2!", 2, ">");
    show_rest(&carry, "<", ">");
    assert_string_equal(shown, "<ab>\n<éx>\n<>\n<已!>\n");
}

static void test_what_never_becomes_a_character(void **state)
{
    show_carry carry = {0};
    (void)state;
    shown[0] = '\0';
    show_piece(&carry, "<", "a\xE5\xB7", 3, ">");
    show_piece(&carry, "<", "b\xF0\x9F", 3, ">");
    show_rest(&carry, "<", ">");
    show_rest(&carry, "<", ">");
    assert_string_equal(shown, "<a>\n<\\xe5\\xb7b>\n<\\xf0\\x9f>\n");
}

/* Every way to cut a text in pieces of one size shows the same bytes. */
static void test_any_cut(void **state)
{
    static const char text[] = "é已😀x\xFF\xF0\x9Fy\xED\xA0z已";
    char expected[256], joined[4096];
    (void)state;
    *escape_copy(expected, text, sizeof(text) - 1, 0) = '\0';
    for (size_t step = 1; step < sizeof(text); step++) {
        show_carry carry = {0};
        shown[0] = '\0';
        for (size_t i = 0; i < sizeof(text) - 1; i += step) {
            size_t left = sizeof(text) - 1 - i;
            show_piece(&carry, "", text + i, left < step ? left : step, "");
        }
        show_rest(&carry, "", "");
        size_t used = 0;
        for (const char *c = shown; *c != '\0'; c++) {
            if (*c != '\n') {
                joined[used++] = *c;
            }
        }
        joined[used] = '\0';
        assert_string_equal(joined, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_characters),
        cmocka_unit_test(test_what_never_becomes_a_character),
        cmocka_unit_test(test_any_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Names of rooms: what is one, in a path and on a bus. */
/* sources: cmd/coracle/serve/room/name.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "serve/room/name.h"

#define LONGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* From a copy of just that size. */
static bool decode(const char *text, char to[ROOM_NAME_SIZE])
{
    size_t size = strlen(text);
    char *copy = malloc(size + 1);
    memcpy(copy, text, size);
    copy = realloc(copy, size > 0 ? size : 1);
    bool good = room_name_decode(copy, size, to);
    free(copy);
    return good;
}

static void test_good_ones(void **state)
{
    static const char *const cases[][2] = {{"a", "a"},
                                           {"A-Z_0.9", "A-Z_0.9"},
                                           {"%61%2e%2E", "a.."},
                                           {"caf%c3%A9", "caf\xc3\xa9"},
                                           {"caf\xc3\xa9", "caf\xc3\xa9"},
                                           {"%E6%88%BF", "\xe6\x88\xbf"},
                                           {LONGEST, LONGEST},
                                           {"-", "-"}};
    char name[ROOM_NAME_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(decode(cases[i][0], name));
        assert_string_equal(name, cases[i][1]);
        assert_true(room_name_is_good(name, strlen(name)));
    }
}

static void test_bad_ones(void **state)
{
    static const char *const cases[] = {
        "",     ".",    "..",   ".a",    "%2ea",  "a b",      "a%20b", "a/b", "a%2fb",     "a%",        "a%4",
        "a%4g", "a%g4", "a%00", "a%0ab", "a%7fb", "a%C2%85b", "%ff",   "%c3", "%c3%a9%80", "%ed%a0%80", "%e2%80%ae",
        "a*",   "a>",   "a\"",  "a%25",  "a+b",   "a?b",      "a=b",   "~a",  "a:b",       LONGEST "0", LONGEST "%30"};
    char name[ROOM_NAME_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(decode(cases[i], name));
    }
}

static void test_subjects(void **state)
{
    static const char *const cases[][2] = {
        {"", "coracle.room"}, {"a", "coracle.room.a"}, {"a.b.", "coracle.room.a%2Eb%2E"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *subject = room_name_subject("coracle.room", cases[i][0]);
        assert_string_equal(subject, cases[i][1]);
        free(subject);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_subjects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The JSON stream scanner: any segmentation gives the same messages; limits and invalid input have their defined end.
 */
/* sources: cmd/coracle/serve/scanner.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "serve/scanner.h"

#if COR_HAVE_JSON
#include <json-c/json.h>

/* Everything found, as text: a message's JSON or "!reason", one per line. */
static char found[8192];

static void note(const char *mark, const char *text)
{
    size_t used = strlen(found);
    snprintf(found + used, sizeof(found) - used, "%s%s\n", mark, text);
}

static bool on_message(void *arg, struct json_object *object)
{
    (void)arg;
    note("", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    return true;
}

static bool on_invalid(void *arg, const char *reason)
{
    (void)arg;
    note("!", reason);
    return true;
}

static bool on_text(void *arg, const char *text, size_t size)
{
    char line[256];
    (void)arg;
    snprintf(line, sizeof(line), "%.*s", (int)size, text);
    note("=", line);
    return true;
}

static const scanner_events events = {.message = on_message, .invalid = on_invalid};
static const scanner_events text_events = {.message = on_message, .invalid = on_invalid, .text = on_text};

/* Feeds `size` bytes `step` at a time and returns the last result. */
static scanner_result feed(struct scanner *scanner, const char *text, size_t size, size_t step)
{
    scanner_result result = SCANNER_MORE;
    for (size_t i = 0; i < size && result == SCANNER_MORE; i += step) {
        size_t count = size - i < step ? size - i : step;
        result = scanner_feed(scanner, text + i, count, &events, NULL);
    }
    return result;
}

static void check(const char *text, const char *expected)
{
    for (size_t step = 1; step <= strlen(text); step++) {
        struct scanner scanner = {.max_size = 4096};
        found[0] = '\0';
        assert_int_equal(feed(&scanner, text, strlen(text), step), SCANNER_MORE);
        assert_string_equal(found, expected);
        scanner_free(&scanner);
    }
}

static void test_any_segmentation(void **state)
{
    (void)state;
    check("{\"message\":\"a\"}{\"message\":\"b\"}\n {\"message\":\"c\"}",
          "{\"message\":\"a\"}\n{\"message\":\"b\"}\n{\"message\":\"c\"}\n");
    check("{\"m\":\"}{\\\"\\\\\"}{\"m\":[{},[1]]}", "{\"m\":\"}{\\\"\\\\\"}\n{\"m\":[{},[1]]}\n");
    check("{\"m\":\"é已😀\"}", "{\"m\":\"é已😀\"}\n");
    check("\r\n\t ", "");
}

/* Objects of plain strings with a "message" are given as text if they come whole; all else goes to json-c. */
static void test_plain_texts(void **state)
{
    static const struct {
        const char *json, *expected;
    } cases[] = {
        {"{\"message\":\"a\"}", "=a\n"},
        {"{\"message\":\"\"}", "=\n"},
        {" {\t\"client_ip\" : \"é\" ,\r\n\"message\":\"b c\" }{\"message\":\"d\"}", "=b c\n=d\n"},
        {"{\"message\":\"a\",\"message\":\"b\"}", "=b\n"},
        {"{\"message\":\"a\",\"n\":\"{}\"}", "=a\n"},
        {"{\"message\":\"\\u0061\"}", "{\"message\":\"a\"}\n"},
        {"{\"\\u006dessage\":\"a\"}", "{\"message\":\"a\"}\n"},
        {"{\"message\":\"a\",\"n\":1}", "{\"message\":\"a\",\"n\":1}\n"},
        {"{\"message\":[\"a\"]}", "{\"message\":[\"a\"]}\n"},
        {"{\"messages\":\"a\"}", "{\"messages\":\"a\"}\n"},
        {"{}", "{}\n"},
        {"{\"message\":\"a\",}\n", "!"},
        {"{\"message\":\"a\" \"n\":\"b\"}\n", "!"},
        {"{\"message\":\"a\"]}\n", "!"},
        {"{\"message\" \"a\"}\n", "!"},
        {"{,\"message\":\"a\"}\n", "!"},
        {"{\"message\":\"\xFF\"}\n", "!"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scanner scanner = {.max_size = 100};
        found[0] = '\0';
        size_t size = strlen(cases[i].json);
        assert_int_equal(scanner_feed(&scanner, cases[i].json, size, &text_events, NULL), SCANNER_MORE);
        found[cases[i].expected[0] == '!' ? 1 : sizeof(found) - 1] = '\0'; /* in json-c's words */
        assert_string_equal(found, cases[i].expected);
        scanner_free(&scanner);
        found[0] = '\0';
        scanner_feed(&scanner, cases[i].json, 2, &text_events, NULL);
        scanner_feed(&scanner, cases[i].json + 2, size - 2, &text_events, NULL);
        assert_int_not_equal(found[0], '='); /* cut: it has not come whole */
        scanner_free(&scanner);
    }
}

static void test_takes_up_behind_the_next_line(void **state)
{
    (void)state;
    check("garbage {\"m\":1}\n{\"m\":2}", "!expected a JSON object\n{\"m\":2}\n");
    check("{\"m\":tru}\n{\"m\":2}", "!boolean expected\n{\"m\":2}\n");
    check("{\"m\":\"a\nb\"}\n{\"m\":2}", "!unexpected character\n!expected a JSON object\n{\"m\":2}\n");
    check("[1]\n5\n\"x\"\n{\"m\":2}",
          "!expected a JSON object\n!expected a JSON object\n!expected a JSON object\n{\"m\":2}\n");
    check("{\"m\":\"\xFF\"}\n{\"m\":2}", "!unexpected character\n{\"m\":2}\n");
    check("{\"m\":\"\xED\xA0\x80\"}\n{\"m\":2}", "!unexpected character\n{\"m\":2}\n");
    check("{'m':1}\n{\"m\":1,}\n{\"m\":2}", "!unexpected character\n!unexpected character\n{\"m\":2}\n");
}

/* What json-c alone would let through. */
static void test_stricter_than_the_tokener(void **state)
{
    static const char *const wrong[] = {
        "NaN",      "Infinity", "-Infinity", "1.",         "1.e5", "-01", "-00",
        "\"a\tb\"", "\"\x1f\"", "[1.]",      "\"\\\x01\"", "01",   "1e",  ".5",
    };
    static const char *const right[] = {"-0",          "-0.5", "1e-01", "1E-00", "10", "1.0e+05", "\"NaN I -01 1.\"",
                                        "\"\\\"\\t\"", "true"};
    char text[128];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (size_t step = 1; step < 12; step += 5) {
            struct scanner scanner = {.max_size = 4096};
            sprintf(text, "{\"m\":%s}\n{\"m\":2}", wrong[i]);
            found[0] = '\0';
            assert_int_equal(feed(&scanner, text, strlen(text), step), SCANNER_MORE);
            assert_int_equal(found[0], '!');
            assert_string_equal(strchr(found, '\n') + 1, "{\"m\":2}\n");
            scanner_free(&scanner);
        }
    }
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct scanner scanner = {.max_size = 4096};
        sprintf(text, "{\"m\":%s}", right[i]);
        found[0] = '\0';
        assert_int_equal(feed(&scanner, text, strlen(text), 1), SCANNER_MORE);
        assert_int_equal(found[0], '{');
        scanner_free(&scanner);
    }
}

static void test_nul_bytes(void **state)
{
    static const char text[] = "{\"m\":\"a\0b\"}\n\0{}\n{\"m\":2}";
    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        struct scanner scanner = {.max_size = 4096};
        found[0] = '\0';
        assert_int_equal(feed(&scanner, text, sizeof(text) - 1, step), SCANNER_MORE);
        assert_non_null(strstr(found, "{\"m\":2}\n"));
        assert_int_equal(found[0], '!');
        scanner_free(&scanner);
    }
}

static void test_depth(void **state)
{
    char text[256];
    (void)state;
    for (int depth = 2; depth < 64; depth++) {
        int used = sprintf(text, "{\"m\":");
        memset(text + used, '[', (size_t)depth - 1);
        memset(text + used + depth - 1, ']', (size_t)depth - 1);
        strcpy(text + used + 2 * (depth - 1), "}\n{}");
        struct scanner scanner = {.max_size = 4096};
        found[0] = '\0';
        assert_int_equal(feed(&scanner, text, strlen(text), 7), SCANNER_MORE);
        if (depth > 32) {
            assert_string_equal(found, "!nesting too deep\n{}\n");
        } else {
            assert_int_equal(found[0], '{');
        }
        scanner_free(&scanner);
    }
}

/* A message of exactly the limit is taken, one byte more is not; nor is endless garbage. */
static void test_too_long(void **state)
{
    char text[256];
    (void)state;
    for (size_t step = 1; step < 120; step += 7) {
        memset(text, 'x', sizeof(text));
        memcpy(text, "{\"m\":\"", 6);
        struct scanner scanner = {.max_size = 100};
        memcpy(text + 98, "\"}{}", 4);
        found[0] = '\0';
        assert_int_equal(feed(&scanner, text, 102, step), SCANNER_MORE);
        assert_non_null(strstr(found, "\n{}\n"));
        scanner_free(&scanner);
        memcpy(text + 98, "x\"}", 3);
        scanner = (struct scanner){.max_size = 100};
        assert_int_equal(feed(&scanner, text, 101, step), SCANNER_TOO_LONG);
        scanner_free(&scanner);
        memcpy(text + 98, "\xF0\x9F\x98\x80\"}", 6); /* a character across the limit */
        scanner = (struct scanner){.max_size = 100};
        assert_int_equal(feed(&scanner, text, 104, step), SCANNER_TOO_LONG);
        scanner_free(&scanner);
        memset(text, 'x', sizeof(text));
        scanner = (struct scanner){.max_size = 100};
        assert_int_equal(feed(&scanner, text, 120, step), SCANNER_TOO_LONG);
        scanner_free(&scanner);
    }
}

static void test_inside(void **state)
{
    struct scanner scanner = {.max_size = 100};
    (void)state;
    assert_int_equal(feed(&scanner, "{\"m\":", 5, 5), SCANNER_MORE);
    assert_true(scanner_is_inside(&scanner));
    assert_int_equal(feed(&scanner, "1} ", 3, 3), SCANNER_MORE);
    assert_false(scanner_is_inside(&scanner));
    assert_null(scanner.tokener);
    scanner_free(&scanner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_segmentation),
        cmocka_unit_test(test_plain_texts),
        cmocka_unit_test(test_takes_up_behind_the_next_line),
        cmocka_unit_test(test_stricter_than_the_tokener),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 77; /* built without json-c: there is no scanner */
}
#endif

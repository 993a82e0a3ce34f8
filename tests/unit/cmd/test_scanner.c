/* SPDX-License-Identifier: MIT */
/*
 * The JSON stream scanner: any segmentation gives the same messages; limits and invalid input have their defined end.
 */
/* sources: cmd/coracle/serve/json_memory.c cmd/coracle/serve/scanner.c cmd/coracle/utf8.c */
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

static bool on_message(void *arg, struct json_object *object, const char *name)
{
    (void)arg;
    note("", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    assert_true(name == NULL || json_object_object_get_ex(object, name, NULL));
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

static bool on_name(void *arg, struct json_object *object, const char *name)
{
    (void)arg;
    note(name == NULL ? "-" : name, name == NULL ? "" : json_object_get_string(json_object_object_get(object, name)));
    return true;
}

/* The name in any case, the last one wins; with json-c and without it. What Go's encoding/json does. */
static void test_names(void **state)
{
    static const struct {
        const char *json, *text, *named;
    } cases[] = {
        {"{\"Message\":\"a\"}", "=a\n", "Messagea\n"},
        {"{\"MESSAGE\":\"a\"}", "=a\n", "MESSAGEa\n"},
        {"{\"mEsSaGe\":\"a\"}", "=a\n", "mEsSaGea\n"},
        {"{\"meſſage\":\"a\"}", "=a\n", "meſſagea\n"},
        {"{\"message\":\"a\",\"Message\":\"b\"}", "=b\n", "Messageb\n"},
        {"{\"Message\":\"a\",\"message\":\"b\"}", "=b\n", "messageb\n"},
        {"{\"message\":\"1\",\"Message\":\"2\",\"message\":\"3\"}", "=3\n", "message3\n"},
        {"{\"Message\":\"1\",\"message\":\"2\",\"Message\":\"3\",\"x\":\"4\"}", "=3\n", "Message3\n"},
        {"{\"\\u006deſſa\\u0047e\":\"a\"}", NULL, "meſſaGea\n"},
        {"{\"\\u006d\\u0065\\u017f\\u017f\\u0061\\u0067\\u0065\":\"a\"}", NULL, "meſſagea\n"},
        {"{\"Message\":1,\"a\":{\"message\":\"b\"},\"c\":[\"message\",{\"message\":2}]}", NULL, "Message1\n"},
        {"{\"a\":\"message\",\"b\":[\"message\"]}", NULL, "-\n"},
        {"{\"messag\":\"a\",\"messages\":\"b\",\"mes\\u0000sage\":\"c\",\"meßage\":\"d\",\"mesage\":\"\"}", NULL,
         "-\n"},
        {"{\"message\\u0000\":\"a\",\"\\u006d\\u0065\\u017f\\u017f\\u0061\\u0067\\u0065\\u0065\":\"b\"}", NULL, "-\n"},
    };
    const scanner_events named = {.message = on_name, .invalid = on_invalid};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = strlen(cases[i].json);
        struct scanner scanner = {.max_size = 1000};
        found[0] = '\0';
        assert_int_equal(scanner_feed(&scanner, cases[i].json, size, &text_events, NULL), SCANNER_MORE);
        if (cases[i].text != NULL) {
            assert_string_equal(found, cases[i].text);
        }
        scanner_free(&scanner);
        for (size_t step = 1; step <= size; step++) {
            scanner = (struct scanner){.max_size = 1000};
            found[0] = '\0';
            for (size_t at = 0; at < size; at += step) {
                size_t count = size - at < step ? size - at : step;
                assert_int_equal(scanner_feed(&scanner, cases[i].json + at, count, &named, NULL), SCANNER_MORE);
            }
            assert_string_equal(found, cases[i].named);
            scanner_free(&scanner);
        }
    }
}

/* A client that sends no line ends is heard again after a bad message, whatever is bad about it. */
static void test_takes_up_without_line_ends(void **state)
{
    static const char *const bad[] = {
        "garbage",
        "{\"message\":tru}",
        "{\"message\":\"a\nb\"}",
        "{\"message\":\"a\"",
        "{\"message\":\"a",
        "{\"message\":",
        "[1,2,3]",
        "}}}",
        "{\"a\":{\"b\":NaN}}",
        "{{{",
        "\"",
        "{\"a\":\"\xFF\"}",
        "{\"a\":\"{\\\"\"",
        "'",
        "{'m':1}",
    };
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* The first message after it may go down with it: it may be what shows that something is wrong. */
        sprintf(text, "%s{\"message\":\"1\"}{\"message\":\"2\"}{\"message\":\"3\"}", bad[i]);
        for (size_t step = 1; step <= strlen(text); step++) {
            struct scanner scanner = {.max_size = 4096};
            found[0] = '\0';
            assert_int_equal(feed(&scanner, text, strlen(text), step), SCANNER_MORE);
            assert_non_null(strstr(found, "{\"message\":\"2\"}\n{\"message\":\"3\"}\n"));
            assert_int_equal(found[0], '!');
            assert_true(strchr(found + 1, '!') == NULL || strchr(text, '\n') != NULL); /* reported once */
            assert_null(scanner.tokener);
            scanner_free(&scanner);
        }
    }
}

/* Half a surrogate pair in a message that goes wrong leaves no trace in the next one. */
static void test_half_a_pair_is_forgotten(void **state)
{
    static const char *const wrong[] = {"{\"\\ud83d\\ude0x", "{\"\\ud83d\\u\001", "{\"\\ud83d\\\xFF",
                                        "{\"\\ud83dx\001"};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "x%s{\"message\":\"\\u0061\"}", wrong[i]);
        check(text, "!expected a JSON object\n{\"message\":\"a\"}\n");
    }
}

/* What is tried in a stretch is not told, unless it is a message. */
static void test_reports_once(void **state)
{
    char text[1024] = "";
    (void)state;
    check("x{}{{\"a\":1}{\"a\":[1,}{\"b\":\"message\"}\n{}", "!expected a JSON object\n{}\n");
    check("x{\"message\":1}x", "!expected a JSON object\n{\"message\":1}\n!expected a JSON object\n");
    for (int i = 0; i < 100; i++) {
        strcat(text, "{\"a\":");
    }
    strcat(text, "1");
    memset(text + strlen(text), '}', 100);
    check(text, "!nesting too deep\n");
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
        /* The same limit for a stretch: its 100th byte may be the LF, not the 101st; also with messages tried in it. */
        for (int tried = 0; tried <= 2; tried++) {
            memset(text, 'x', sizeof(text));
            for (size_t at = 10; tried > 0 && at < 90; at += 20) {
                memcpy(text + at, tried == 1 ? "{" : "{\"n\":[1]}", tried == 1 ? 1 : 9);
            }
            text[99] = '\n';
            memcpy(text + 100, "{}", 2);
            scanner = (struct scanner){.max_size = 100};
            found[0] = '\0';
            assert_int_equal(feed(&scanner, text, 102, step), SCANNER_MORE);
            assert_string_equal(found, "!expected a JSON object\n{}\n");
            scanner_free(&scanner);
            text[99] = 'x';
            scanner = (struct scanner){.max_size = 100};
            assert_int_equal(feed(&scanner, text, 100, step), SCANNER_TOO_LONG);
            scanner_free(&scanner);
        }
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
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_takes_up_without_line_ends),
        cmocka_unit_test(test_half_a_pair_is_forgotten),
        cmocka_unit_test(test_reports_once),
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

/* SPDX-License-Identifier: MIT */
/* The table-driven options: what is stored, where operands begin, and one line of complaint for each mistake. */
/* sources: cmd/coracle/options.c cmd/coracle/parse.c cmd/coracle/suggest.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/option_table.h"

/* Reads `words` (NULL-terminated, without the command's name). */
static int read_words(values *target, const char **words)
{
    char *argv[16] = {"verb"};
    int argc = 1;
    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    argv[argc] = NULL;
    int first = options_read(&table, argc, argv, target);
    for (int i = 1; first > 0 && i < argc; i++) {
        words[i - 1] = argv[i];
    }
    return first;
}

#define READ(target, ...) read_words(target, (const char *[]){__VA_ARGS__, NULL})

static void test_values(void **state)
{
    values got = {.colour = -1};
    (void)state;
    assert_int_equal(READ(&got, "-q", "--text=a b", "-c", "9", "--size", "64k", "--wait=1m30s", "--colour", "green"),
                     10);
    assert_true(got.quiet);
    assert_string_equal(got.text, "a b");
    assert_int_equal(got.count, 9);
    assert_int_equal(got.size, 65536);
    assert_int_equal(got.wait, INT64_C(90000000000));
    assert_int_equal(got.colour, 1);
}

static void test_operands(void **state)
{
    values got = {0};
    const char *words[] = {"one", "-q", "two", "--", "-c", NULL};
    (void)state;
    assert_int_equal(read_words(&got, words), 3);
    assert_true(got.quiet);
    assert_string_equal(words[2], "one");
    assert_string_equal(words[3], "two");
    assert_string_equal(words[4], "-c");
    assert_int_equal(READ(&got, "--qui"), 2); /* an unambiguous beginning is enough */
}

static void test_help(void **state)
{
    values got = {0};
    (void)state;
    assert_int_equal(READ(&got, "-q", "--help"), OPTIONS_HELP);
    assert_int_equal(READ(&got, "-h"), OPTIONS_HELP);
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    options_print(&table, to);
    fclose(to);
    assert_non_null(strstr(text, "  -c, --count N"));
    assert_non_null(strstr(text, "a choice: red or green\n"));
    assert_non_null(strstr(text, "  -h, --help"));
    free(text);
}

/* What is printed on stderr for the words; they must be refused. */
static const char *complaint(const char **words)
{
    static char text[512];
    int ends[2];
    values got = {0}, before = got;
    int saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    int first = read_words(&got, words);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t size = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    text[size > 0 ? size : 0] = '\0';
    assert_int_equal(first, OPTIONS_BAD);
    assert_memory_equal(&got, &before, sizeof(got));
    return text;
}

#define COMPLAINT(...) complaint((const char *[]){__VA_ARGS__, NULL})

static void test_mistakes(void **state)
{
    (void)state;
    assert_string_equal(COMPLAINT("--quite"), "program verb: unknown option '--quite'; did you mean '--quiet'?\n");
    assert_string_equal(COMPLAINT("--coutn=5"), "program verb: unknown option '--coutn'; did you mean '--count'?\n");
    assert_string_equal(COMPLAINT("--zzzzzz"), "program verb: unknown option '--zzzzzz'; see 'program verb --help'\n");
    assert_string_equal(COMPLAINT("-z"), "program verb: unknown option '-z'; see 'program verb --help'\n");
    assert_string_equal(COMPLAINT("--col=red"), "program verb: option '--col' is ambiguous: --colour --colour-depth\n");
    assert_string_equal(COMPLAINT("--quiet=yes"), "program verb: option '--quiet' takes no value\n");
    assert_string_equal(COMPLAINT("--count"), "program verb: option '--count' needs a value: N\n");
    assert_string_equal(COMPLAINT("-c"), "program verb: option '-c' needs a value: N\n");
    assert_string_equal(COMPLAINT("-c0"), "program verb: --count: '0' is not a number from 1 to 900\n");
    assert_string_equal(COMPLAINT("--colour", "blue"), "program verb: --colour: 'blue' is not red or green\n");
    assert_string_equal(COMPLAINT("--wait=5"),
                        "program verb: --wait: '5' is not a duration such as 500ms, 2s or 1m30s\n");
    assert_string_equal(COMPLAINT("--size=1"),
                        "program verb: --size: '1' is not a size such as 4096, 64k or 1MiB (16 to 1048576 bytes)\n");
}

/* What a function writes about the values; freed by the next call. */
static const char *written(void (*write)(const option_table *table, const void *of, FILE *to), const values *of)
{
    static char *text;
    size_t size;
    free(text);
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    write(&table, of, to);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void test_dump(void **state)
{
    static const struct {
        int64_t wait;
        size_t size;
        const char *text, *size_text;
    } forms[] = {{0, 0, "0", "0"},
                 {1500, 17, "1500ns", "17"},
                 {2000, 1024, "2us", "1k"},
                 {3000000, 1 << 20, "3ms", "1M"},
                 {90 * INT64_C(1000000000), (size_t)3 << 30, "90s", "3G"},
                 {120 * INT64_C(1000000000), 1536, "2m", "1536"},
                 {7200 * INT64_C(1000000000), (size_t)2048 << 30, "2h", "2048G"}};
    char expected[256];
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const values of = {.quiet = i == 0,
                           .text = i > 0 ? "a b" : NULL,
                           .count = i,
                           .size = forms[i].size,
                           .wait = forms[i].wait,
                           .colour = i == 0 ? -1 : 1};
        snprintf(expected, sizeof(expected),
                 "quiet=%s\ntext=%s\ncount=%zu\nsize=%s\nwait=%s\ncolour=%s\ncolour-depth=%zu\n", i == 0 ? "yes" : "no",
                 i > 0 ? "a b" : "", i, forms[i].size_text, forms[i].text, i == 0 ? "red" : "green", i);
        assert_string_equal(written(options_dump, &of), expected);
    }
}

static void test_json(void **state)
{
    const values of = {
        .quiet = true, .text = "a \"b\"\n<c>", .count = 7, .size = 65536, .wait = 1500000000, .colour = 1};
    const values bare = {.colour = -1};
    (void)state;
    assert_string_equal(written(options_put_json, &of),
                        "{\"quiet\":true,\"text\":\"a \\\"b\\\"\\n\\u003cc\\u003e\",\"count\":7,\"size\":65536,"
                        "\"wait\":1.5,\"colour\":\"green\",\"colour-depth\":7}");
    assert_string_equal(written(options_put_json, &bare),
                        "{\"quiet\":false,\"text\":null,\"count\":0,\"size\":0,\"wait\":0,"
                        "\"colour\":null,\"colour-depth\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_operands), cmocka_unit_test(test_help),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_dump),     cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

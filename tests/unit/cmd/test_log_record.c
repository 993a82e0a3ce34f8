/* SPDX-License-Identifier: MIT */
/*
 * Events: byte for byte what snprintf and strftime make of them, whatever is in them. The other way to write one is
 * spelled out here; it is slow, and plain enough to be believed.
 */
/* sources: cmd/coracle/line_writer.c cmd/coracle/log_record.c cmd/coracle/log_rate.c cmd/coracle/escape.c */
/* sources: cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coracle/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "line_writer.h"
#include "log_record.h"

enum { LINE_MAX_BYTES = 2040, VALUE_MAX_BYTES = 512 };
#define A_MINUTE_NS INT64_C(60000000000)

static const char *const texts[] = {
    "echo",       "127.0.0.1:53382", "[::1]:7",      "",         " ",   "a b",         "a=b",
    "say \"hi\"", "back\\slash",     "tab\there",    "line\n",   "<&>", "\x1b[31m",    "\x7f",
    "\x01",       "caf\xc3\xa9",     "\xe2\x80\xae", "\xff\xfe", "!~",  "@/unix.sock", "a'b,c;d",
};
static const int64_t numbers[] = {0, 1, 9, 10, 11, 99, 100, 101, 12345, -1, -10, 999999999, INT64_MAX, INT64_MIN};
static const struct timespec times[] = {
    {1795838628, 123456789}, {1795838628, 123999999}, {1795838628, 999999999}, {1795838629, 0},
    {1795838628, 7000000},   {0, 42000000},           {1735689599, 1000000},   {1735689600, 99000000},
};

static size_t expected_value(char *to, const char *text, log_format format)
{
    char escaped[VALUE_MAX_BYTES], *next = to;
    size_t size = strlen(text);
    while (escape_size(text, size, 0) > sizeof(escaped)) {
        size /= 2;
    }
    size_t length = (size_t)(escape_copy(escaped, text, size, 0) - escaped);
    if (format == FORMAT_JSON) {
        return (size_t)(cor_json_quote(to, escaped, length) - to);
    }
    if (length > 0 && memchr(escaped, ' ', length) == NULL && memchr(escaped, '=', length) == NULL &&
        memchr(escaped, '"', length) == NULL) {
        memcpy(to, escaped, length);
        return length;
    }
    *next++ = '"';
    for (size_t i = 0; i < length; i++) {
        if (escaped[i] == '"') {
            *next++ = '\\';
        }
        *next++ = escaped[i];
    }
    *next++ = '"';
    return (size_t)(next - to);
}

/* The text of an event with its LF; returns its size. */
static size_t expected(char *text, log_format format, const struct timespec *time, log_level level, const char *event,
                       const log_field *fields, size_t count)
{
    bool json = format == FORMAT_JSON;
    char stamp[64], piece[8 * VALUE_MAX_BYTES];
    struct tm utc;
    gmtime_r(&time->tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    const char *form =
        json ? "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\"" : "time=%s.%03dZ level=%s event=%s";
    size_t used = (size_t)snprintf(text, LINE_MAX_BYTES, form, stamp, (int)(time->tv_nsec / 1000000),
                                   log_level_names[level], event);
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)snprintf(piece, sizeof(piece), json ? ",\"%s\":" : " %s=", fields[i].key);
        size += fields[i].text != NULL
                    ? expected_value(piece + size, fields[i].text, format)
                    : (size_t)snprintf(piece + size, sizeof(piece) - size, "%lld", (long long)fields[i].number);
        if (size <= LINE_MAX_BYTES - used) { /* else it is left out */
            memcpy(text + used, piece, size);
            used += size;
        }
    }
    memcpy(text + used, "}\n", 2);
    text[used + json] = '\n';
    return used + json + 1;
}

/* Has an event written, and compares. */
static void check(const struct timespec *time, log_level level, const char *event, const log_field *fields,
                  size_t count)
{
    for (int format = 0; format < FORMAT_COUNT; format++) {
        static char wanted[LINE_MAX_BYTES + 2], got[2 * LINE_MAX_BYTES];
        FILE *file = tmpfile();
        line_writer *writer = line_writer_new(fileno(file), 1 << 16, NULL);
        assert_true(record_put_event(writer, (log_format)format, time, level, event, fields, count));
        line_writer_close(writer, A_MINUTE_NS);
        rewind(file);
        size_t size = fread(got, 1, sizeof(got), file);
        fclose(file);
        assert_int_equal(size, expected(wanted, (log_format)format, time, level, event, fields, count));
        assert_memory_equal(got, wanted, size);
    }
}

static void test_texts_and_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const int64_t number = numbers[i % (sizeof(numbers) / sizeof(numbers[0]))];
        const log_field fields[] = {{"service", "echo", 0}, {"peer", texts[i], 0}, {"in", NULL, number}};
        check(&times[0], (log_level)(i % LEVEL_COUNT), "closed", fields, 3);
        check(&times[0], LEVEL_INFO, "none", fields, 0);
    }
}

/* One thread writes them all, as in a server: a second's text is kept for the next event, and no longer. */
static void test_times(void **state)
{
    const log_field none = {0};
    char wanted[8 * 128] = "", got[sizeof(wanted)] = "";
    size_t size = 0;
    (void)state;
    FILE *file = tmpfile();
    line_writer *writer = line_writer_new(fileno(file), 1 << 16, NULL);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        static char line[LINE_MAX_BYTES + 2];
        size_t length = expected(line, FORMAT_LOGFMT, &times[i], LEVEL_WARN, "tick", &none, 0);
        memcpy(wanted + size, line, length);
        size += length;
        assert_true(record_put_event(writer, FORMAT_LOGFMT, &times[i], LEVEL_WARN, "tick", &none, 0));
    }
    line_writer_close(writer, A_MINUTE_NS);
    rewind(file);
    assert_int_equal(fread(got, 1, sizeof(got) - 1, file), size);
    assert_string_equal(got, wanted);
    fclose(file);
}

/* Values that are too long are cut; fields for which a line has no room are left out whole. */
static void test_too_long(void **state)
{
    static char text[4000];
    (void)state;
    for (size_t size = 500; size < sizeof(text); size += size < 530 ? 1 : 433) {
        for (const char *fill = "x\x1b"; *fill != '\0'; fill++) {
            memset(text, *fill, size);
            text[size] = '\0';
            check(&times[0], LEVEL_ERROR, "long", (const log_field[]){{"text", text, 0}, {"after", NULL, 1}}, 2);
        }
    }
    for (size_t size = 1; size <= VALUE_MAX_BYTES; size += 3) {
        memset(text, 'y', size);
        text[size] = '\0';
        const log_field fields[] = {{"a", text, 0}, {"b", text, 0}, {"c", text, 0},    {"d", text, 0},
                                    {"e", text, 0}, {"f", NULL, 7}, {"g", "a b c", 0}, {"h", text, 0}};
        check(&times[0], LEVEL_ERROR, "full", fields, 8);
        memset(text, ' ', size);
        memcpy(text, "\xe2\x82\xac", size < 3 ? size : 3); /* in quotes, and of several bytes */
        check(&times[0], LEVEL_ERROR, "full", fields, 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_and_numbers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Events of the log, with values that clients chose: one line each, of which every character may be shown on a
 * terminal, and from which a reader of logfmt or JSON gets the same keys, in the same order, and each value back, or
 * its beginning where it was too long.
 *
 * Input: a byte with the format, one with the level, one with the number of fields; then for each field a byte, odd for
 * a text (up to a NUL), even for a number of eight bytes.
 */
/* sources: cmd/coracle/log_record.c cmd/coracle/escape.c cmd/coracle/utf8.c */
#include "escape.h"
#include "input.h"
#include "line_writer.h"
#include "log_rate.h"
#include "log_record.h"
#include "utf8.h"

#include <inttypes.h>

enum { RECORD_BYTES = 1 << 21, LINE_MAX_BYTES = 2048, VALUE_MAX_BYTES = 512, FIELDS = 6 };
static const char *const keys[FIELDS] = {"peer", "reason", "error", "in", "out", "name"};

/* What the writer would have written. */
static char line[LINE_MAX_BYTES + 64];
static size_t line_bytes;

bool log_rate_admits(const char *event, time_t second)
{
    (void)event;
    return second != 0;
}

void log_rate_left_out(const char *event, const char *reason, time_t second)
{
    CHECK(strcmp(event, "closed") == 0 && second == 0);
    CHECK(reason == NULL || memchr(reason, 0, RECORD_BYTES) != NULL);
}

/* In place of the queues: the record lies in memory of exactly its size, and so must its text. */
bool line_writer_put(line_writer *writer, line_format *format, const struct iovec *pieces, size_t count)
{
    size_t size = 0;
    (void)writer;
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].iov_len;
    }
    char *record = malloc(size), *text = malloc(LINE_WRITER_TEXT_MAX(size));
    CHECK(record != NULL && text != NULL);
    size = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(record + size, pieces[i].iov_base, pieces[i].iov_len);
        size += pieces[i].iov_len;
    }
    line_bytes = (size_t)(format(text, record, size) - text);
    CHECK(line_bytes < sizeof(line));
    memcpy(line, text, line_bytes);
    line[line_bytes] = '\0';
    free(record);
    free(text);
    return true;
}

/* The line may be shown: printable characters only, and one LF at its end. */
static void check_shown(void)
{
    size_t step;
    CHECK(line_bytes > 0 && line[line_bytes - 1] == '\n' && strlen(line) == line_bytes);
    for (size_t i = 0; i < line_bytes - 1; i += step) {
        uint32_t rune;
        step = utf8_decode(line + i, line_bytes - i, &rune);
        CHECK(step > 0 && rune >= 0x20 && rune != 0x7F && (rune < 0x80 || rune >= 0xA0));
        CHECK(rune < 0x202A || rune > 0x202E);
    }
}

/* The value at `text`, out of its quotes if it has some; *next is after it. Owned by the caller. */
static char *take_quoted(const char *text, const char **next, const char *stops)
{
    bool quoted = *text == '"';
    char *out = malloc(strlen(text) + 1);
    size_t used = 0;
    CHECK(out != NULL);
    for (text += quoted; quoted ? *text != '"' : strchr(stops, *text) == NULL; text++) {
        CHECK(*text != '\0');
        if (quoted && text[0] == '\\' && (text[1] == '"' || text[1] == '\\')) {
            text++;
            if (*text == '\\' && stops[0] != ',') { /* of logfmt: both are the escaped text's */
                out[used++] = *text;
            }
        } else if (quoted && stops[0] == ',' && text[0] == '\\') {
            unsigned code;
            CHECK(sscanf(text, "\\u%4x", &code) == 1 && code < 0x80);
            out[used++] = (char)code;
            text += 5;
            continue;
        }
        out[used++] = *text;
    }
    *next = text + quoted;
    out[used] = '\0';
    return out;
}

/* Whether `shown` is the escaped form of `text`, or of its beginning if it is longer than values may be. */
static bool is_value(const char *shown, const char *text)
{
    size_t size = strlen(text);
    while (escape_size(text, size, 0) > VALUE_MAX_BYTES) {
        size /= 2;
    }
    char *escaped = malloc(escape_size(text, size, 0) + 1);
    CHECK(escaped != NULL);
    *escape_copy(escaped, text, size, 0) = '\0';
    bool same = strcmp(shown, escaped) == 0;
    free(escaped);
    return same;
}

/* `crowded`: those that found no room are left out. */
static void check_fields(const char *at, const log_field *fields, size_t count, bool json, bool crowded)
{
    for (size_t i = 0; i < count; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), json ? ",\"%s\":" : " %s=", fields[i].key);
        if (strncmp(at, name, (size_t)size) != 0) {
            CHECK(crowded);
            continue;
        }
        char *value = take_quoted(at + size, &at, json ? ",}" : " \n");
        if (fields[i].text != NULL) {
            CHECK(is_value(value, fields[i].text));
        } else {
            CHECK(strtoll(value, NULL, 10) == fields[i].number);
        }
        free(value);
    }
    CHECK(strcmp(at, json ? "}\n" : "\n") == 0);
}

static void check_line(const char *bytes, size_t size)
{
    const line_part parts[] = {{"before ", 7, false}, {bytes, size, true}, {" after", 6, false}};
    char *escaped = malloc(escape_size(bytes, size, 0) + 1);
    CHECK(escaped != NULL);
    *escape_copy(escaped, bytes, size, 0) = '\0';
    if (strlen(escaped) < sizeof(line) - 64) {
        CHECK(record_put_line(NULL, parts, 3));
        check_shown();
        CHECK(strncmp(line, "before ", 7) == 0 && strncmp(line + 7, escaped, strlen(escaped)) == 0);
        CHECK(strcmp(line + 7 + strlen(escaped), " after\n") == 0);
    }
    free(escaped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    log_field fields[FIELDS];
    char *texts[FIELDS] = {NULL};
    int format = (int)(input_byte(&in) % (2 * LOG_FOR_JOURNAL));
    log_level level = (log_level)(input_byte(&in) % LEVEL_COUNT);
    size_t count = input_byte(&in) % (FIELDS + 1), total = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t number = 0;
        if ((input_byte(&in) & 1) != 0) {
            texts[i] = input_text(&in);
            total += 6 * escape_size(texts[i], strlen(texts[i]), 0);
        } else {
            for (int j = 0; j < 8; j++) {
                number = (int64_t)((uint64_t)number << 8 | input_byte(&in));
            }
        }
        fields[i] = (log_field){keys[i], texts[i], number};
    }
    const struct timespec none = {0}, now = {1700000000 + (time_t)count, 123456789};
    bool json = (format & 1) == FORMAT_JSON;
    CHECK(record_put_event(NULL, format, &none, level, "closed", fields, count) && line_bytes == 0);
    CHECK(record_put_event(NULL, format, &now, level, "closed", fields, count));
    check_shown();
    const char *head = strstr(line, json ? "\"event\":\"closed\"" : "event=closed");
    CHECK(head != NULL && head - line < 80);
    check_fields(head + (json ? 16 : 12), fields, count, json, total >= LINE_MAX_BYTES - 256);
    check_line((const char *)data, size);
    for (size_t i = 0; i < count; i++) {
        free(texts[i]);
    }
    return 0;
}

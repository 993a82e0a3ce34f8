/* SPDX-License-Identifier: MIT */
/* The two output streams of `coracle serve` and the two formats of diagnostics. */
#include "log.h"

#include "escape.h"
#include "line_writer.h"

#include <coracle/io.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Lines waiting per stream: some seconds of a busy server, and small against its buffers. */
#define QUEUE_BYTES ((size_t)1024 * 1024)
/* How long the start and the end wait for a slow terminal. */
#define FLUSH_NS (INT64_C(500) * 1000000)
/* The longest line without bytes of peers, and the longest value in an event; longer ones are cut. */
#define LINE_MAX_BYTES 2048
#define VALUE_MAX_BYTES 512

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"logfmt", "json", NULL};

static line_writer *out, *err;
static log_options settings;

/* Runs on the writer thread of stdout: clients' lines were lost there. */
static void report_dropped_out(uint64_t count)
{
    LOG(LEVEL_WARN, "dropped", {"stream", "stdout", 0}, {"lines", NULL, (int64_t)count});
}

static void report_dropped_err(uint64_t count)
{
    LOG(LEVEL_WARN, "dropped", {"stream", "stderr", 0}, {"lines", NULL, (int64_t)count});
}

int log_open(const log_options *options)
{
    settings = *options;
    err = line_writer_new(STDERR_FILENO, QUEUE_BYTES, report_dropped_err);
    out = err == NULL ? NULL : line_writer_new(STDOUT_FILENO, QUEUE_BYTES, report_dropped_out);
    return out == NULL ? -EAGAIN : 0;
}

void log_close(void)
{
    /* stdout first: its thread may still report drops to stderr. */
    line_writer_close(out, FLUSH_NS);
    line_writer_close(err, FLUSH_NS);
    out = err = NULL;
}

void log_flush(void)
{
    line_writer_flush(out, FLUSH_NS);
    line_writer_flush(err, FLUSH_NS);
}

static void put_formatted(line_writer *writer, const char *format, va_list values)
{
    char line[LINE_MAX_BYTES];
    int size = vsnprintf(line, sizeof(line), format, values);
    if (size >= 0) {
        size_t used = (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1;
        line_writer_put(writer, &(line_part){.bytes = line, .size = used}, 1);
    }
}

void log_announce(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    put_formatted(out, format, values);
    va_end(values);
}

void log_hint(const char *format, ...)
{
    if (!settings.quiet) {
        va_list values;
        va_start(values, format);
        put_formatted(err, format, values);
        va_end(values);
    }
}

bool log_shows(void)
{
    return !settings.quiet;
}

void log_show_parts(const line_part *parts, size_t count)
{
    if (!settings.quiet) {
        line_writer_put(out, parts, count);
    }
}

void log_show(const char *before, const void *bytes, size_t size, const char *after)
{
    const line_part parts[] = {
        {before, strlen(before), false},
        {bytes, size, true},
        {after, strlen(after), false},
    };
    log_show_parts(parts, 3);
}

void log_say(const char *format, ...)
{
    if (!settings.quiet) {
        va_list values;
        va_start(values, format);
        put_formatted(out, format, values);
        va_end(values);
    }
}

bool log_enabled(log_level level)
{
    return level >= settings.level;
}

/* A line being put together; what does not fit is left out. */
typedef struct line {
    char text[LINE_MAX_BYTES];
    size_t used;
} line;

static void line_put(line *to, const char *text, size_t size)
{
    if (size <= sizeof(to->text) - to->used) {
        memcpy(to->text + to->used, text, size);
        to->used += size;
    }
}

static void line_puts(line *to, const char *text)
{
    line_put(to, text, strlen(text));
}

/* A value of logfmt: bare if nothing in it needs quotes. It is safe already, so backslashes are doubled. */
static void put_logfmt_text(line *to, const char *text, size_t size)
{
    if (size > 0 && memchr(text, ' ', size) == NULL && memchr(text, '=', size) == NULL &&
        memchr(text, '"', size) == NULL) {
        line_put(to, text, size);
        return;
    }
    line_puts(to, "\"");
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            line_puts(to, "\\");
        }
        line_put(to, text + i, 1);
    }
    line_puts(to, "\"");
}

static void put_value(line *to, const char *text)
{
    char escaped[VALUE_MAX_BYTES];
    size_t size = strlen(text);
    while (escape_size(text, size, 0) > sizeof(escaped)) {
        size /= 2;
    }
    size_t escaped_length = (size_t)(escape_copy(escaped, text, size, 0) - escaped);
    if (settings.format == FORMAT_JSON) {
        char quoted[COR_JSON_QUOTE_MAX(VALUE_MAX_BYTES)];
        line_put(to, quoted, (size_t)(cor_json_quote(quoted, escaped, escaped_length) - quoted));
    } else {
        put_logfmt_text(to, escaped, escaped_length);
    }
}

static void put_field(line *to, const log_field *field)
{
    bool json = settings.format == FORMAT_JSON;
    line_puts(to, json ? ",\"" : " ");
    line_puts(to, field->key);
    line_puts(to, json ? "\":" : "=");
    if (field->text != NULL) {
        put_value(to, field->text);
    } else {
        char number[24];
        int size = snprintf(number, sizeof(number), "%lld", (long long)field->number);
        line_put(to, number, (size_t)size);
    }
}

/* Begins an event with the wall-clock time in UTC, to the millisecond. */
static void begin_event(line *to, log_level level, const char *event)
{
    struct timespec now;
    struct tm utc;
    timespec_get(&now, TIME_UTC);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    size_t size = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    char start[160];
    const char *form = settings.format == FORMAT_JSON ? "{\"time\":\"%.*s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\""
                                                      : "time=%.*s.%03dZ level=%s event=%s";
    int length = snprintf(start, sizeof(start), form, (int)size, stamp, (int)(now.tv_nsec / 1000000),
                          log_level_names[level], event);
    to->used = 0;
    line_put(to, start, (size_t)length);
}

void log_event(log_level level, const char *event, const log_field *fields, size_t count)
{
    if (err == NULL || !log_enabled(level)) {
        return;
    }
    line text;
    begin_event(&text, level, event);
    for (size_t i = 0; i < count; i++) {
        put_field(&text, &fields[i]);
    }
    if (settings.format == FORMAT_JSON) {
        line_puts(&text, "}");
    }
    line_writer_put(err, &(line_part){.bytes = text.text, .size = text.used}, 1);
}

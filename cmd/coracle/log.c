/* SPDX-License-Identifier: MIT */
/* The two output streams of `coracle serve` and the two formats of diagnostics. */
#include "log.h"

#include "line_writer.h"
#include "log_rate.h"

#include <coracle/error.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Waiting records of a worker, for each stream: some seconds of a busy server, and small against its buffers. */
#define QUEUE_BYTES ((size_t)1024 * 1024)
/* How long the start and the end wait for a slow terminal. */
#define FLUSH_NS (INT64_C(500) * 1000000)
/* How long an end at once waits for each stream: it is written to within a millisecond, unless it is blocked. */
#define LAST_WORDS_NS (INT64_C(50) * 1000000)
/* How soon it is told that lines of an event were left out, if nothing else is to be said. */
#define SETTLE_NS (INT64_C(1000) * 1000000)
/* The longest line without bytes of peers; longer ones are cut. */
#define LINE_MAX_BYTES 2048

static line_writer *out, *err;
static log_options settings;
static bool for_journal; /* stderr is a stream of systemd's journal */

/* Runs on the writer thread of stdout: clients' lines were lost there. */
static void report_dropped_out(uint64_t count)
{
    LOG(LEVEL_WARN, "dropped", {"stream", "stdout", 0}, {"lines", NULL, (int64_t)count});
}

static void report_dropped_err(uint64_t count)
{
    LOG(LEVEL_WARN, "dropped", {"stream", "stderr", 0}, {"lines", NULL, (int64_t)count});
}

static void report_suppressed(const char *event, const char *reason, uint64_t lines)
{
    if (reason == NULL) {
        LOG(LEVEL_WARN, "suppressed", {"of", event, 0}, {"lines", NULL, (int64_t)lines});
    } else {
        LOG(LEVEL_WARN, "suppressed", {"of", event, 0}, {"reason", reason, 0}, {"lines", NULL, (int64_t)lines});
    }
}

/* Runs on the writer thread of stderr. */
static int64_t settle_rates(bool ending)
{
    struct timespec now;
    bool waiting;
    timespec_get(&now, TIME_UTC);
    bool told = log_rate_settle(now.tv_sec, ending, report_suppressed, &waiting);
    return told ? -1 : waiting ? SETTLE_NS : 0;
}

/* Whether stderr is what systemd has made for the journal: the variable alone is inherited by anybody. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat is;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &is) == 0 &&
           is.st_dev == device && is.st_ino == inode;
}

/* Not waiting for a reader, if it is a pipe. */
static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

void log_reopen(void)
{
    if (settings.file == NULL) {
        return;
    }
    int fd = open_file(settings.file);
    if (fd < 0) {
        LOG(LEVEL_ERROR, "log_reopen_failed", {"file", settings.file, 0}, {"error", cor_strerror(fd), 0});
        return;
    }
    line_writer_change_fd(err, fd);
    line_writer_flush(err, FLUSH_NS); /* the next line goes there */
    LOG(LEVEL_INFO, "log_reopened", {"file", settings.file, 0});
}

int log_open(const log_options *options)
{
    settings = *options;
    int fd = settings.file != NULL ? open_file(settings.file) : -1;
    if (settings.file != NULL && fd < 0) {
        return fd;
    }
    for_journal = fd < 0 && is_journal();
    err = line_writer_new(STDERR_FILENO, QUEUE_BYTES, report_dropped_err);
    out = err == NULL ? NULL : line_writer_new(STDOUT_FILENO, QUEUE_BYTES, report_dropped_out);
    if (err != NULL) {
        line_writer_between(err, settle_rates);
    }
    if (fd >= 0 && err != NULL) {
        line_writer_change_fd(err, fd);
    }
    return out == NULL ? -EAGAIN : 0;
}

void log_close(void)
{
    /* stdout first: its thread may still report drops to stderr, which therefore stays if that thread does. */
    if (line_writer_close(out, FLUSH_NS)) {
        line_writer_close(err, FLUSH_NS);
        err = NULL;
    } else {
        line_writer_flush(err, FLUSH_NS);
    }
    out = NULL;
}

void log_flush(void)
{
    line_writer_flush(out, FLUSH_NS);
    line_writer_flush(err, FLUSH_NS);
}

uint64_t log_dropped(void)
{
    return line_writer_dropped(err);
}

uint64_t log_suppressed(void)
{
    return log_rate_left_out_ever();
}

void log_last_words(void)
{
    line_writer_flush(err, LAST_WORDS_NS);
    line_writer_flush(out, LAST_WORDS_NS);
}

static void put_formatted(line_writer *writer, const char *format, va_list values)
{
    char line[LINE_MAX_BYTES];
    int size = vsnprintf(line, sizeof(line), format, values);
    if (size >= 0) {
        size_t used = (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1;
        record_put_line(writer, &(line_part){.bytes = line, .size = used}, 1);
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
        record_put_line(out, parts, count);
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

void log_event(log_level level, const char *event, const log_field *fields, size_t count)
{
    if (err != NULL && log_enabled(level)) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        record_put_event(err, (int)settings.format + (for_journal ? LOG_FOR_JOURNAL : 0), &now, level, event, fields,
                         count);
    }
}

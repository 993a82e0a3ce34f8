/* SPDX-License-Identifier: MIT */
/*
 * Everything `coracle serve` says. What a service shows of its clients goes to stdout, diagnostics go to stderr, one
 * event per line, both through bounded queues (line_writer.h): no call here ever waits, except log_flush and log_close,
 * and none formats what it is given for an event or a client's line; a thread of each stream does, at most 10 ms later.
 * Bytes of peers are always escaped. Any task or thread may call any of it between log_open and log_close.
 */
#ifndef CORACLE_CMD_LOG_H
#define CORACLE_CMD_LOG_H

#include "log_record.h"

typedef struct log_options {
    log_level level;   /* events below it are not written */
    log_format format; /* of diagnostics */
    bool quiet;        /* nothing of the clients on stdout */
    const char *file;  /* where diagnostics go instead of stderr; kept; NULL: they do not */
} log_options;

/* Starts both queues. Returns 0 or a negative errno; -EAGAIN: memory or threads ran out, else it is the file's. */
int log_open(const log_options *options);

/*
 * Opens the file of that name again, for whoever has moved the one before away, and goes on there; says so in the log.
 * May stop its thread. Without a file it does nothing.
 */
void log_reopen(void);

/* Writes out what is queued, waiting a short time at most, and stops. */
void log_close(void);

/* Waits a short time at most until stdout and stderr have everything: what follows comes after it on a terminal. */
void log_flush(void);

/* How many events were lost so far because nobody took lines from stderr in time. While the log is open; any thread. */
uint64_t log_dropped(void);

/* How many events were left out so far because too many of their kind came in a second. Any thread. */
uint64_t log_suppressed(void);

/* As log_flush, for a process that is told to end at once: waits just long enough for a stream that takes lines. */
void log_last_words(void);

/* Puts a line on stdout whether quiet or not: what the user needs to find the services. */
void log_announce(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts a plain line on stderr for the person at the terminal; not when quiet. */
void log_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells whether clients' lines are shown: whoever has to work for one asks first. */
bool log_shows(void);

/* Shows a line of a client on stdout: `before`, the peer's bytes escaped, `after`. */
void log_show(const char *before, const void *bytes, size_t size, const char *after);

/* Shows a line of a client put together from parts, at most LINE_PARTS_MAX. */
void log_show_parts(const line_part *parts, size_t count);

/* Shows a line on stdout about a client; no byte of it may come from the peer unchecked. */
void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells whether events of this level are written. */
bool log_enabled(log_level level);

/* Writes one event to stderr with the time, the level and the fields. */
void log_event(log_level level, const char *event, const log_field *fields, size_t count);

/* log_event with the fields written out: LOG(LEVEL_WARN, "refused", {"service", "echo", 0}, {"limit", NULL, 10}). */
#define LOG(level, event, ...)                                                                                         \
    log_event(level, event, (const log_field[]){__VA_ARGS__},                                                          \
              sizeof((const log_field[]){__VA_ARGS__}) / sizeof(log_field))

#endif

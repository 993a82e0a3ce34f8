/* SPDX-License-Identifier: MIT */
/*
 * What is said, in two forms: the record that a worker puts into its queue, which is little more than a copy, and the
 * text that the writer's thread makes of it.
 */
#ifndef CORACLE_CMD_LOG_RECORD_H
#define CORACLE_CMD_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR, LEVEL_COUNT } log_level;
typedef enum log_format { FORMAT_LOGFMT, FORMAT_JSON, FORMAT_COUNT } log_format;

extern const char *const log_level_names[LEVEL_COUNT + 1];   /* ends with NULL */
extern const char *const log_format_names[FORMAT_COUNT + 1]; /* ends with NULL */

/* Most parts of a line and most fields of an event; what is beyond is left out. */
enum { LINE_PARTS_MAX = 8, LOG_FIELDS_MAX = 24 };

/* Added to a format: for systemd's journal, "<6>" and the like before the line instead of the time in it. */
#define LOG_FOR_JOURNAL 2

/* A piece of a line. */
typedef struct line_part {
    const void *bytes;
    size_t size;
    bool foreign; /* comes from a peer: is escaped on the way (escape.h) */
} line_part;

/* One key=value of an event. */
typedef struct log_field {
    const char *key;  /* a literal, as the event's name is */
    const char *text; /* NULL: the number counts */
    int64_t number;
} log_field;

struct line_writer;

/* Queues a line put together from parts; those of peers are escaped when it is written. Returns false if dropped. */
bool record_put_line(struct line_writer *writer, const line_part *parts, size_t count);

/*
 * Queues an event; `format` is a log_format. Keeps `event` and the keys, which are literals; copies the other texts.
 * Returns false if dropped.
 */
bool record_put_event(struct line_writer *writer, int format, const struct timespec *time, log_level level,
                      const char *event, const log_field *fields, size_t count);

#endif

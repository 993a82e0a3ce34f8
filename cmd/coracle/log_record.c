/* SPDX-License-Identifier: MIT */
/*
 * Records and their texts.
 *
 * A line is the sizes of its parts, then the parts. An event is its head, then the fields as they were given, then
 * their texts, each with its NUL; a field's pointer tells only that it has one. Names of events and keys are literals,
 * and records point to them.
 *
 * Numbers and times are written by hand, and what needs no escaping is copied: with snprintf and strftime an event took
 * 7,800 instructions.
 */
#include "log_record.h"

#include "escape.h"
#include "line_writer.h"
#include "log_rate.h"

#include <coracle/io.h>
#include <string.h>

/* The longest value of an event, longer ones are cut; and the longest event, but for its end. */
#define LINE_MAX_BYTES 2040
#define VALUE_MAX_BYTES 512

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"logfmt", "json", NULL};

typedef struct line_head {
    uint64_t count;
    struct {
        uint32_t size;
        uint32_t foreign;
    } parts[LINE_PARTS_MAX]; /* count of them are in the record */
} line_head;

typedef struct event_head {
    struct timespec time;
    const char *event;
    uint32_t level;
    uint32_t count;
} event_head;

static size_t line_head_size(size_t count)
{
    return offsetof(line_head, parts) + count * sizeof(((line_head *)NULL)->parts[0]);
}

static char *format_line(char *to, const void *record, size_t size)
{
    const line_head *line = record;
    const char *bytes = (const char *)record + line_head_size(line->count);
    (void)size;
    for (size_t i = 0; i < line->count; i++) {
        size_t part = line->parts[i].size;
        to = line->parts[i].foreign ? escape_copy(to, bytes, part, 0) : mempcpy(to, bytes, part);
        bytes += part;
    }
    *to = '\n';
    return to + 1;
}

bool record_put_line(line_writer *writer, const line_part *parts, size_t count)
{
    line_head line;
    struct iovec pieces[1 + LINE_PARTS_MAX];
    line.count = count < LINE_PARTS_MAX ? count : LINE_PARTS_MAX;
    pieces[0] = (struct iovec){&line, line_head_size(line.count)};
    for (size_t i = 0; i < line.count; i++) {
        /* A size beyond 32 bits does not get here again: such a line finds no room. */
        line.parts[i].size = (uint32_t)parts[i].size;
        line.parts[i].foreign = parts[i].foreign;
        pieces[1 + i] = (struct iovec){(void *)parts[i].bytes, parts[i].size};
    }
    return line_writer_put(writer, format_line, pieces, 1 + line.count);
}

/*
 * An event's text is put together piece by piece, each at `to`, which moves on. After a piece that does not fit `to` is
 * behind `end`, and nothing fits any more.
 */
static inline char *put(char *to, const char *end, const char *bytes, size_t size)
{
    return (ptrdiff_t)size <= end - to ? mempcpy(to, bytes, size) : (char *)end + 1;
}

#define PUT(to, end, literal) put(to, end, literal, sizeof(literal) - 1)

static inline char *put_word(char *to, const char *end, const char *word)
{
    return put(to, end, word, strlen(word));
}

static inline char *put_number(char *to, const char *end, int64_t number)
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    size_t size = number < 0 ? 2 : 1;
    for (uint64_t left = rest; left >= 10; left /= 10) {
        size++;
    }
    if ((ptrdiff_t)size > end - to) {
        return (char *)end + 1;
    }
    to[0] = '-';
    char *digit = to + size;
    do {
        *--digit = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    return to + size;
}

/* A value of logfmt: bare if nothing in it needs quotes. It is safe already, so backslashes are doubled. */
static char *put_logfmt_text(char *to, const char *end, const char *bytes, size_t size)
{
    if (size > 0 && memchr(bytes, ' ', size) == NULL && memchr(bytes, '=', size) == NULL &&
        memchr(bytes, '"', size) == NULL) {
        return put(to, end, bytes, size);
    }
    to = PUT(to, end, "\"");
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '"') {
            to = PUT(to, end, "\\");
        }
        to = put(to, end, bytes + i, 1);
    }
    return PUT(to, end, "\"");
}

static __attribute__((noinline)) char *put_value(char *to, const char *end, const char *bytes, size_t size, bool json)
{
    char escaped[VALUE_MAX_BYTES];
    while (escape_size(bytes, size, 0) > sizeof(escaped)) {
        size /= 2;
    }
    size_t escaped_length = (size_t)(escape_copy(escaped, bytes, size, 0) - escaped);
    if (json) {
        char quoted[COR_JSON_QUOTE_MAX(VALUE_MAX_BYTES)];
        return put(to, end, quoted, (size_t)(cor_json_quote(quoted, escaped, escaped_length) - quoted));
    }
    return put_logfmt_text(to, end, escaped, escaped_length);
}

/* Characters that stand for themselves in both formats, without quotes: '!' to '~', but not " & < = > \. */
static const bool bare[256] = {
    [0x21] = true, [0x23 ... 0x25] = true, [0x27 ... 0x3B] = true, [0x3F ... 0x5B] = true, [0x5D ... 0x7E] = true,
};

/*
 * A value that needs no escaping, as nearly all are, is looked at and copied in one go: there is room for as much as
 * the record has. Sets *size to the bytes of the value, which ends with a NUL.
 */
static inline char *put_text(char *to, const char *end, const char *value, bool json, size_t *size)
{
    char *next = json ? PUT(to, end, "\"") : to;
    const char *from = value;
    while (bare[(unsigned char)*from]) {
        *next++ = *from++;
    }
    *size = (size_t)(from - value);
    if (*from == '\0' && *size > 0 && *size <= VALUE_MAX_BYTES && next < end) {
        return json ? PUT(next, end, "\"") : next;
    }
    *size += strlen(from);
    return put_value(to, end, value, *size, json);
}

/* The wall-clock time in UTC, to the millisecond. Events of one second come together: its text is kept. */
static inline char *put_time(char *to, const char *end, const struct timespec *time)
{
    static _Thread_local struct {
        time_t second;
        char text[sizeof("-2147481748-12-31T23:59:59")];
        size_t size;
    } last;
    if (last.size == 0 || last.second != time->tv_sec) {
        struct tm utc;
        gmtime_r(&time->tv_sec, &utc);
        last.second = time->tv_sec;
        last.size = strftime(last.text, sizeof(last.text), "%Y-%m-%dT%H:%M:%S", &utc);
    }
    unsigned ms = (unsigned)(time->tv_nsec / 1000000);
    to = put(to, end, last.text, last.size);
    to[0] = '.';
    to[1] = (char)('0' + ms / 100);
    to[2] = (char)('0' + ms / 10 % 10);
    to[3] = (char)('0' + ms % 10);
    to[4] = 'Z';
    return to + 5;
}

/* What the journal takes for a line's priority, as in syslog. */
static const char priorities[LEVEL_COUNT] = {
    [LEVEL_DEBUG] = '7', [LEVEL_INFO] = '6', [LEVEL_WARN] = '4', [LEVEL_ERROR] = '3'};

static inline char *put_head(char *to, const char *end, const event_head *event, bool json, bool journal)
{
    if (journal) { /* which has the time itself */
        to = put(to, end, (const char[]){'<', priorities[event->level], '>'}, 3);
        to = json ? PUT(to, end, "{\"level\":\"") : PUT(to, end, "level=");
    } else {
        to = json ? PUT(to, end, "{\"time\":\"") : PUT(to, end, "time=");
        to = put_time(to, end, &event->time);
        to = json ? PUT(to, end, "\",\"level\":\"") : PUT(to, end, " level=");
    }
    to = put_word(to, end, log_level_names[event->level]);
    to = json ? PUT(to, end, "\",\"event\":\"") : PUT(to, end, " event=");
    to = put_word(to, end, event->event);
    return json ? PUT(to, end, "\"") : to;
}

/* The text of the key `reason`, NULL: there is none. */
static const char *reason_of(const event_head *event)
{
    const log_field *fields = (const log_field *)(event + 1);
    const char *value = (const char *)(fields + event->count);
    for (size_t i = 0; i < event->count; i++) {
        if (fields[i].text != NULL && strcmp(fields[i].key, "reason") == 0) {
            return value;
        }
        value += fields[i].text != NULL ? strlen(value) + 1 : 0;
    }
    return NULL;
}

static __attribute__((always_inline)) inline char *format_event(char *to, const event_head *event, bool json,
                                                                bool journal)
{
    if (!log_rate_admits(event->event, event->time.tv_sec)) {
        log_rate_left_out(event->event, reason_of(event), event->time.tv_sec);
        return to;
    }
    const log_field *fields = (const log_field *)(event + 1);
    const char *value = (const char *)(fields + event->count);
    const char *end = to + LINE_MAX_BYTES;
    to = put_head(to, end, event, json, journal);
    for (size_t i = 0; i < event->count; i++) {
        char *before = to;
        to = json ? PUT(to, end, ",\"") : PUT(to, end, " ");
        to = put_word(to, end, fields[i].key);
        to = json ? PUT(to, end, "\":") : PUT(to, end, "=");
        if (fields[i].text == NULL) {
            to = put_number(to, end, fields[i].number);
        } else {
            size_t size;
            to = put_text(to, end, value, json, &size);
            value += size + 1;
        }
        to = to > end ? before : to; /* a field that does not fit is left out */
    }
    if (json) {
        *to++ = '}';
    }
    *to = '\n';
    return to + 1;
}

static char *format_logfmt(char *to, const void *record, size_t size)
{
    (void)size;
    return format_event(to, record, false, false);
}

static char *format_json(char *to, const void *record, size_t size)
{
    (void)size;
    return format_event(to, record, true, false);
}

static char *format_journal_logfmt(char *to, const void *record, size_t size)
{
    (void)size;
    return format_event(to, record, false, true);
}

static char *format_journal_json(char *to, const void *record, size_t size)
{
    (void)size;
    return format_event(to, record, true, true);
}

bool record_put_event(line_writer *writer, int format, const struct timespec *time, log_level level, const char *event,
                      const log_field *fields, size_t count)
{
    count = count < LOG_FIELDS_MAX ? count : LOG_FIELDS_MAX;
    const event_head head = {.time = *time, .event = event, .level = level, .count = (uint32_t)count};
    struct iovec pieces[2 + LOG_FIELDS_MAX];
    size_t used = 0;
    pieces[used++] = (struct iovec){(void *)&head, sizeof(head)};
    pieces[used++] = (struct iovec){(void *)fields, count * sizeof(*fields)};
    for (size_t i = 0; i < count; i++) {
        if (fields[i].text != NULL) {
            pieces[used++] = (struct iovec){(void *)fields[i].text, strlen(fields[i].text) + 1};
        }
    }
    static line_format *const formats[] = {
        [FORMAT_LOGFMT] = format_logfmt,
        [FORMAT_JSON] = format_json,
        [LOG_FOR_JOURNAL + FORMAT_LOGFMT] = format_journal_logfmt,
        [LOG_FOR_JOURNAL + FORMAT_JSON] = format_journal_json,
    };
    return line_writer_put(writer, formats[format], pieces, used);
}

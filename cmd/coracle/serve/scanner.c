/* SPDX-License-Identifier: MIT */
/*
 * The scanner's step takes bytes in one of three states: between messages (white space is dropped, "{" begins one),
 * inside one (the tokener takes them), skipping (dropped up to LF). Off when built without json-c.
 *
 * json-c's strict mode still lets through control characters in strings, encoded surrogates, single quotes, NaN, "1."
 * and "-01". So the bytes are looked at before, which also finds where the message ends; the tokener is given none
 * beyond.
 */
#include "serve/scanner.h"

#if COR_HAVE_JSON

#include "utf8.h"

#include <json-c/json.h>
#include <string.h>

#define MAX_DEPTH 32
#define FLAGS (JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS)

/* One call of scanner_feed. */
typedef struct feeding {
    const char *next;
    size_t left;
    const scanner_events *events;
    void *arg;
    scanner_result result;
} feeding;

static void advance(feeding *feed, size_t count)
{
    feed->next += count;
    feed->left -= count;
}

static void leave_message(struct scanner *scanner)
{
    scanner_free(scanner);
    scanner->inside = false;
    scanner->size = 0;
}

static void report_invalid(struct scanner *scanner, feeding *feed, const char *reason)
{
    if (scanner->inside) {
        leave_message(scanner);
    }
    scanner->size = 0;
    scanner->skipping = true;
    if (!feed->events->invalid(feed->arg, reason)) {
        feed->result = SCANNER_STOPPED;
    }
}

static void skip_line(struct scanner *scanner, feeding *feed)
{
    const char *end = memchr(feed->next, '\n', feed->left);
    size_t count = end == NULL ? feed->left : (size_t)(end - feed->next) + 1;
    scanner->size += count;
    advance(feed, count);
    if (scanner->size > scanner->max_size) {
        feed->result = SCANNER_TOO_LONG;
    } else if (end != NULL) {
        scanner->skipping = false;
        scanner->size = 0;
    }
}

static void begin_message(struct scanner *scanner, feeding *feed)
{
    char first = *feed->next;
    if (first == ' ' || first == '\t' || first == '\r' || first == '\n') {
        advance(feed, 1);
    } else if (first != '{') {
        report_invalid(scanner, feed, "expected a JSON object");
    } else {
        scanner->inside = true;
        scanner->place = (scanner_place){0};
    }
}

/* Whether `c` may follow inside a string; tells the place where the string ends. */
static bool step_in_string(scanner_place *place, unsigned char c)
{
    if (c < 0x20) {
        return false;
    }
    if (place->escaped) {
        place->escaped = false;
    } else if (c == '\\') {
        place->escaped = true;
    } else if (c == '"') {
        place->in_string = false;
    }
    return true;
}

/* Where in a number the bytes so far are, by the grammar of RFC 8259. */
enum number {
    NO_NUMBER,
    AFTER_MINUS,
    AFTER_ZERO,
    IN_WHOLE,
    AFTER_POINT,
    IN_FRACTION,
    AFTER_E,
    AFTER_E_SIGN,
    IN_EXPONENT
};

/* The state after a byte that is no digit; -1 if it may not stand there. */
static int step_number_sign(enum number state, char c)
{
    switch (state) {
    case NO_NUMBER:
        return c == '-' ? AFTER_MINUS : NO_NUMBER;
    case AFTER_MINUS:
    case AFTER_POINT:
    case AFTER_E_SIGN:
        return -1;
    case AFTER_E:
        return c == '+' || c == '-' ? AFTER_E_SIGN : -1;
    default:
        break;
    }
    if ((c == 'e' || c == 'E') && state != IN_EXPONENT) {
        return AFTER_E;
    }
    if (c == '.' && (state == AFTER_ZERO || state == IN_WHOLE)) {
        return AFTER_POINT;
    }
    return c != '\0' && strchr(",]} \t\r\n", c) != NULL ? NO_NUMBER : -1;
}

/* The state after a digit; -1 if none may stand there. */
static int step_number_digit(enum number state, char c)
{
    static const int next[] = {IN_WHOLE,    IN_WHOLE,    -1,          IN_WHOLE,   IN_FRACTION,
                               IN_FRACTION, IN_EXPONENT, IN_EXPONENT, IN_EXPONENT};
    bool first = state == NO_NUMBER || state == AFTER_MINUS;
    return first && c == '0' ? AFTER_ZERO : next[state];
}

/* Whether `c` may follow outside strings, as far as the tokener would not notice. */
static bool step_outside(scanner_place *place, char c)
{
    bool digit = c >= '0' && c <= '9';
    int number = digit ? step_number_digit(place->number, c) : step_number_sign(place->number, c);
    if (c == 'N' || c == 'I' || c == '\'' || number < 0) {
        return false;
    }
    place->number = (unsigned char)number;
    place->in_string = c == '"';
    place->depth += c == '{' || c == '[';
    place->depth -= c == '}' || c == ']';
    return true;
}

/* The length of the character at `text` if it may stand there, else 0. */
static size_t step(scanner_place *place, const char *text, size_t size)
{
    uint32_t rune;
    if (!place->in_string) {
        return step_outside(place, *text);
    }
    return step_in_string(place, (unsigned char)*text) ? utf8_decode(text, size, &rune) : 0;
}

/*
 * Counts the bytes up to the end of the message, to the first that cannot be right (*wrong says so), or to `limit`; in
 * the last case a character may reach beyond it.
 */
static size_t look_ahead(scanner_place *place, const char *text, size_t size, size_t limit, bool *wrong)
{
    size_t end = size < limit ? size : limit, i = 0;
    *wrong = false;
    while (i < end && !*wrong && (i == 0 || place->depth > 0)) {
        size_t length = place->in_string && !place->escaped ? utf8_plain(text + i, end - i) : 0;
        if (length == 0) {
            length = step(place, text + i, size - i);
            *wrong = length == 0;
        }
        i += length;
    }
    return i;
}

/* The message under way goes on after `given` bytes that the tokener has taken. */
static void more_of_message(struct scanner *scanner, feeding *feed, size_t given, bool wrong)
{
    scanner->size += given;
    advance(feed, given);
    if (wrong) {
        report_invalid(scanner, feed, "unexpected character");
    } else if (scanner->size >= scanner->max_size) {
        feed->result = SCANNER_TOO_LONG;
    }
}

/* Skips white space; returns whether `c` comes then, and skips it too. */
static bool skip_to(const char **next, const char *end, char c)
{
    while (*next < end && (**next == ' ' || **next == '\t' || **next == '\r' || **next == '\n')) {
        ++*next;
    }
    return *next < end && *(*next)++ == c;
}

/* Takes a string without escapes; NULL if none is there. */
static const char *take_string(const char **next, const char *end, size_t *size)
{
    const char *start = skip_to(next, end, '"') ? *next : NULL;
    const char *quote = start != NULL ? memchr(start, '"', (size_t)(end - start)) : NULL;
    if (quote == NULL) {
        return NULL;
    }
    *size = (size_t)(quote - start);
    *next = quote + 1;
    return start;
}

/*
 * Finds the "message" of an object of strings without escapes, which nearly all are: json-c takes two microseconds for
 * it. What look_ahead has passed need not be looked at again. NULL: not such an object.
 */
static const char *find_text(const char *json, size_t json_size, size_t *size)
{
    const char *next = json + 1, *end = json + json_size, *found = NULL;
    bool more = memchr(json, '\\', json_size) == NULL;
    while (more) {
        size_t key_size, value_size;
        const char *key = take_string(&next, end, &key_size);
        const char *value = key != NULL && skip_to(&next, end, ':') ? take_string(&next, end, &value_size) : NULL;
        if (value == NULL) {
            return NULL;
        }
        if (key_size == strlen("message") && memcmp(key, "message", key_size) == 0) {
            found = value;
            *size = value_size;
        }
        more = skip_to(&next, end, ',');
    }
    return next == end && end[-1] == '}' ? found : NULL;
}

/* Passes on a message that is all there and an object of plain strings. False: it is not. */
static bool pass_text(struct scanner *scanner, feeding *feed, size_t given)
{
    size_t size = 0;
    bool whole = scanner->size == 0 && given > 0 && scanner->place.depth == 0;
    const char *text = whole && feed->events->text != NULL ? find_text(feed->next, given, &size) : NULL;
    if (text == NULL) {
        return false;
    }
    advance(feed, given);
    leave_message(scanner);
    if (!feed->events->text(feed->arg, text, size)) {
        feed->result = SCANNER_STOPPED;
    }
    return true;
}

static bool have_tokener(struct scanner *scanner)
{
    if (scanner->tokener == NULL && (scanner->tokener = json_tokener_new_ex(MAX_DEPTH)) != NULL) {
        json_tokener_set_flags(scanner->tokener, FLAGS);
    }
    return scanner->tokener != NULL;
}

/* Gives json-c the bytes of a message that are there. */
static void parse(struct scanner *scanner, feeding *feed, size_t given, bool wrong)
{
    struct json_object *object = NULL;
    enum json_tokener_error error = json_tokener_continue;
    if (given > 0) {
        object = json_tokener_parse_ex(scanner->tokener, feed->next, (int)given);
        error = json_tokener_get_error(scanner->tokener);
    }
    if (error == json_tokener_continue) {
        more_of_message(scanner, feed, given, wrong);
        return;
    }
    advance(feed, json_tokener_get_parse_end(scanner->tokener));
    if (error != json_tokener_success) {
        report_invalid(scanner, feed, json_tokener_error_desc(error));
        return;
    }
    leave_message(scanner);
    if (!feed->events->message(feed->arg, object)) {
        feed->result = SCANNER_STOPPED;
    }
    json_object_put(object);
}

static void continue_message(struct scanner *scanner, feeding *feed)
{
    size_t room = scanner->max_size - scanner->size;
    bool wrong;
    size_t given = look_ahead(&scanner->place, feed->next, feed->left, room, &wrong);
    if (pass_text(scanner, feed, given)) {
        return;
    }
    if (have_tokener(scanner)) {
        parse(scanner, feed, given, wrong);
    } else {
        feed->result = SCANNER_NO_MEMORY;
    }
}

static void scan(struct scanner *scanner, feeding *feed)
{
    while (feed->left > 0 && feed->result == SCANNER_MORE) {
        if (scanner->skipping) {
            skip_line(scanner, feed);
        } else if (!scanner->inside) {
            begin_message(scanner, feed);
        } else {
            continue_message(scanner, feed);
        }
    }
}

/* Moves bytes into the held character until it is whole or can no longer become one. False: it goes on waiting. */
static bool complete_held(struct scanner *scanner, const char **next, size_t *size)
{
    uint32_t rune;
    while (*size > 0) {
        scanner->held[scanner->held_size] = (unsigned char)**next;
        if (utf8_unfinished(scanner->held, scanner->held_size + 1) <= scanner->held_size &&
            utf8_decode(scanner->held, scanner->held_size + 1, &rune) == 0) {
            return true; /* this byte is none of its bytes: it may begin a character of its own */
        }
        scanner->held_size++;
        ++*next;
        --*size;
        if (utf8_unfinished(scanner->held, scanner->held_size) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Characters are looked at whole: half a one at the end of a read waits in `held` for its rest.
 */
scanner_result scanner_feed(struct scanner *scanner, const void *bytes, size_t size, const scanner_events *events,
                            void *arg)
{
    const char *next = bytes;
    feeding feed = {.events = events, .arg = arg, .result = SCANNER_MORE};
    if (scanner->held_size > 0 && complete_held(scanner, &next, &size)) {
        feed.next = (const char *)scanner->held;
        feed.left = scanner->held_size;
        scanner->held_size = 0;
        scan(scanner, &feed);
    }
    size_t tail = utf8_unfinished(next, size);
    feed.next = next;
    feed.left = size - tail;
    scan(scanner, &feed);
    if (feed.result == SCANNER_MORE && tail > 0) {
        memcpy(scanner->held, next + size - tail, tail);
        scanner->held_size = tail;
    }
    return feed.result;
}

bool scanner_is_inside(const struct scanner *scanner)
{
    return scanner->inside;
}

void scanner_free(struct scanner *scanner)
{
    if (scanner->tokener != NULL) {
        json_tokener_free(scanner->tokener);
        scanner->tokener = NULL;
    }
}

#endif

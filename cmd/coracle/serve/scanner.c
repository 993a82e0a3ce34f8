/* SPDX-License-Identifier: MIT */
/*
 * The scanner's step takes bytes in one of three states: between messages (white space is dropped, "{" begins one),
 * inside one (the tokener takes them), skipping (dropped up to LF or "{"). Off when built without json-c.
 *
 * json-c's strict mode still lets through control characters in strings, encoded surrogates, single quotes, NaN, "1."
 * and "-01". So the bytes are looked at before, which also finds where the message ends; the tokener is given none
 * beyond.
 */
#include "serve/scanner.h"

#if COR_HAVE_JSON

#include "serve/json_memory.h"
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

/* Ends the message under way. Of one that was only tried the tokener is kept, for the next one. */
static void leave_message(struct scanner *scanner)
{
    if (scanner->skipping && scanner->tokener != NULL) {
        json_tokener_reset(scanner->tokener);
    } else {
        scanner_free(scanner);
    }
    scanner->inside = false;
    scanner->size = 0;
}

static void end_stretch(struct scanner *scanner)
{
    scanner->skipping = false;
    scanner->skipped = 0;
    scanner_free(scanner);
}

/* Counts bytes of the stretch. */
static void count_skipped(struct scanner *scanner, feeding *feed, size_t count)
{
    scanner->skipped += count;
    if (scanner->skipped >= scanner->max_size) {
        feed->result = SCANNER_TOO_LONG;
    }
}

/* Begins a stretch, or goes on with it after what was tried. */
static void report_invalid(struct scanner *scanner, feeding *feed, const char *reason)
{
    bool reported = scanner->skipping;
    size_t tried = reported ? scanner->size : 0;
    leave_message(scanner);
    scanner->skipping = true;
    if (reported) {
        count_skipped(scanner, feed, tried);
    } else if (!feed->events->invalid(feed->arg, reason)) {
        feed->result = SCANNER_STOPPED;
    }
}

static void enter_message(struct scanner *scanner)
{
    scanner->inside = true;
    scanner->place = (scanner_place){0};
    scanner->keys = (scanner_keys){0};
}

static void skip(struct scanner *scanner, feeding *feed)
{
    const char *lf = memchr(feed->next, '\n', feed->left);
    size_t line = lf == NULL ? feed->left : (size_t)(lf - feed->next) + 1;
    const char *brace = memchr(feed->next, '{', line);
    size_t count = brace == NULL ? line : (size_t)(brace - feed->next);
    advance(feed, count);
    if (brace == NULL && lf != NULL && scanner->skipped + count <= scanner->max_size) {
        end_stretch(scanner);
        return;
    }
    count_skipped(scanner, feed, count);
    if (brace != NULL) {
        enter_message(scanner);
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
        enter_message(scanner);
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

/* Skips white space; returns whether `c` comes then, and skips it too. */
static bool skip_to(const char **next, const char *end, char c)
{
    while (*next < end && (**next == ' ' || **next == '\t' || **next == '\r' || **next == '\n')) {
        ++*next;
    }
    return *next < end && *(*next)++ == c;
}

/*
 * Whether a key means "message", as Go's encoding/json sees it: letters in either case, and for "s" its one relative
 * outside ASCII, the long s.
 */
static bool is_message(const char *key, size_t size)
{
    static const char wanted[] = "message";
    size_t i = 0;
    for (size_t at = 0; at < strlen(wanted); at++, i++) {
        if (i + 1 < size && wanted[at] == 's' && memcmp(key + i, "\u017f", 2) == 0) {
            i++;
        } else if (i == size || (key[i] | 0x20) != wanted[at]) {
            return false;
        }
    }
    return i == size;
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
        if (is_message(key, key_size)) {
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
    end_stretch(scanner);
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

/* Notes how a key is spelled if it is a "message". */
static void take_key(scanner_keys *keys)
{
    if (keys->size > SCANNER_KEY_MAX) {
        return;
    }
    char quoted[SCANNER_KEY_MAX + 3] = "\"";
    *(char *)mempcpy(mempcpy(quoted + 1, keys->text, keys->size), "\"", 1) = '\0';
    struct json_object *text = json_tokener_parse(quoted); /* takes the escapes away */
    size_t size = text != NULL ? (size_t)json_object_get_string_len(text) : 0;
    if (size < SCANNER_NAME_MAX && is_message(json_object_get_string(text), size)) {
        *(char *)mempcpy(keys->name, json_object_get_string(text), size) = '\0';
    }
    json_object_put(text);
}

static void follow_string(scanner_keys *keys, char c)
{
    if (c == '"' && !keys->escaped) {
        keys->in_string = false;
        if (keys->in_key) {
            take_key(keys);
        }
        keys->in_key = false;
    } else if (keys->in_key && keys->size++ < SCANNER_KEY_MAX) {
        keys->text[keys->size - 1] = c;
    } else if (keys->in_key) {
        keys->size = SCANNER_KEY_MAX + 1;
    }
    keys->escaped = c == '\\' && !keys->escaped;
}

/* Follows bytes of a message that the tokener has found nothing wrong with. */
static void follow_keys(scanner_keys *keys, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (keys->in_string) {
            follow_string(keys, c);
            continue;
        }
        keys->depth += c == '{' || c == '[';
        keys->depth -= c == '}' || c == ']';
        if (c == '"') {
            keys->in_string = true;
            keys->in_key = keys->key_next;
            keys->key_next = false;
            keys->size = 0;
        } else if (c == '{' || c == ',') {
            keys->key_next = keys->depth == 1;
        }
    }
}

/* Passes an object on. In a stretch one without a "message" is nothing. */
static void pass_object(struct scanner *scanner, feeding *feed, struct json_object *object)
{
    char name[SCANNER_NAME_MAX];
    size_t size = scanner->size;
    memcpy(name, scanner->keys.name, sizeof(name));
    leave_message(scanner);
    if (scanner->skipping && name[0] == '\0') {
        count_skipped(scanner, feed, size);
        return;
    }
    end_stretch(scanner);
    if (!feed->events->message(feed->arg, object, name[0] != '\0' ? name : NULL)) {
        feed->result = SCANNER_STOPPED;
    }
}

/*
 * What the tokener was given is no message. A tokener that stopped inside a string is not used again: its reset keeps
 * the first half of a surrogate pair, which would come up in the next string.
 */
static void give_up(struct scanner *scanner, feeding *feed, bool in_string, const char *reason)
{
    if (in_string) {
        scanner_free(scanner);
    }
    report_invalid(scanner, feed, reason);
}

/* Gives json-c the bytes of a message that are there. */
static void parse(struct scanner *scanner, feeding *feed, size_t given, bool wrong)
{
    struct json_object *object = NULL;
    enum json_tokener_error error = json_tokener_continue;
    (void)json_memory_failed(); /* what failed elsewhere on this thread */
    if (given > 0) {
        object = json_tokener_parse_ex(scanner->tokener, feed->next, (int)given);
        error = json_tokener_get_error(scanner->tokener);
    }
    size_t taken = error == json_tokener_continue ? given : json_tokener_get_parse_end(scanner->tokener);
    if (error == json_tokener_continue || error == json_tokener_success) {
        follow_keys(&scanner->keys, feed->next, taken);
    }
    scanner->size += taken;
    advance(feed, taken);
    if (json_memory_failed() || (error == json_tokener_success && object == NULL)) {
        json_object_put(object);
        feed->result = SCANNER_NO_MEMORY;
    } else if (error == json_tokener_success) {
        pass_object(scanner, feed, object);
        json_object_put(object);
    } else if (error != json_tokener_continue) {
        give_up(scanner, feed, error == json_tokener_error_parse_string, json_tokener_error_desc(error));
    } else if (wrong) {
        give_up(scanner, feed, scanner->place.in_string, "unexpected character");
    } else if (scanner->size >= scanner->max_size) {
        feed->result = SCANNER_TOO_LONG;
    }
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
        if (scanner->inside) {
            continue_message(scanner, feed);
        } else if (scanner->skipping) {
            skip(scanner, feed);
        } else {
            begin_message(scanner, feed);
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
    return scanner->inside && !scanner->skipping;
}

size_t scanner_held(const struct scanner *scanner)
{
    return scanner->tokener != NULL ? scanner->size : 0;
}

void scanner_free(struct scanner *scanner)
{
    if (scanner->tokener != NULL) {
        json_tokener_free(scanner->tokener);
        scanner->tokener = NULL;
    }
}

#endif

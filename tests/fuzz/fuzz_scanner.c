/* SPDX-License-Identifier: MIT */
/*
 * The JSON stream scanner. What it finds does not depend on where the stream is cut; without a size limit it is what a
 * plain recursive reader of RFC 8259 finds, which gets the whole stream at once and shares no grammar with the scanner.
 * Messages that are found without json-c are those that json-c would have found.
 *
 * Input: a byte with the limit (0: none), a byte with the number of events after which to stop (0: never), cuts,
 * stream.
 */
/* sources: cmd/coracle/serve/json_memory.c cmd/coracle/serve/scanner.c cmd/coracle/utf8.c */
/* test: needs-json */
#include "input.h"
#include "serve/scanner.h"
#include "utf8.h"

#include <ctype.h>
#include <json-c/json.h>

enum { NO_LIMIT = 1 << 20, LEVELS = 32, UTF8_CARRY = 4 };

/* What a run of the scanner has found: one line per event, and how it ended. */
typedef struct findings {
    char *text;
    size_t size;
    bool values; /* noted are the values of "message", however they are found */
    unsigned events, stop_after;
    scanner_result result;
    bool inside;
} findings;

static void note(findings *found, const char *mark, const char *text)
{
    size_t mark_size = strlen(mark), size = strlen(text);
    found->text = realloc(found->text, found->size + mark_size + size + 2);
    CHECK(found->text != NULL);
    char *end = mempcpy(mempcpy(found->text + found->size, mark, mark_size), text, size);
    *end++ = '\n';
    *end = '\0';
    found->size = (size_t)(end - found->text);
}

static bool on_message(void *arg, struct json_object *object, const char *name)
{
    findings *found = arg;
    CHECK(object != NULL && json_object_is_type(object, json_type_object));
    CHECK(name == NULL || json_object_object_get_ex(object, name, NULL));
    if (found->values) {
        struct json_object *value = name != NULL ? json_object_object_get(object, name) : NULL;
        object = json_object_is_type(value, json_type_string) ? value : object;
    }
    note(found, "", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    return ++found->events != found->stop_after;
}

static bool on_text(void *arg, const char *text, size_t size)
{
    findings *found = arg;
    struct json_object *value = json_object_new_string_len(text, (int)size);
    CHECK(value != NULL);
    note(found, "", json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
    json_object_put(value);
    return ++found->events != found->stop_after;
}

static bool on_invalid(void *arg, const char *reason)
{
    findings *found = arg;
    CHECK(*reason != '\0');
    note(found, "!", "");
    return ++found->events != found->stop_after;
}

static findings scan_cut(const uint8_t *bytes, size_t size, size_t max_size, unsigned stop_after, cuts at, bool values,
                         bool texts)
{
    const scanner_events events = {on_message, on_invalid, texts ? on_text : NULL};
    struct scanner scanner = {.max_size = max_size};
    findings found = {.values = values, .stop_after = stop_after, .result = SCANNER_MORE};
    size_t count;
    note(&found, "", "");
    for (size_t i = 0; i < size && found.result == SCANNER_MORE; i += count) {
        count = cuts_next(&at, size - i);
        char *piece = exact_copy(bytes + i, count, 0);
        unsigned before = found.events;
        found.result = scanner_feed(&scanner, piece, count, &events, &found);
        CHECK(found.events - before <= count + UTF8_CARRY);
        CHECK(scanner.size <= max_size + count + UTF8_CARRY);
        CHECK(scanner.skipped <= 2 * max_size + count + UTF8_CARRY);
        free(piece);
    }
    CHECK(scanner.inside || scanner.skipping || scanner.tokener == NULL);
    CHECK((found.result == SCANNER_STOPPED) == (stop_after != 0 && found.events == stop_after));
    found.inside = scanner_is_inside(&scanner);
    scanner_free(&scanner);
    CHECK(scanner.tokener == NULL);
    return found;
}

/* The plain reader: a position in the stream, and whether the end was met (MORE), or a byte that cannot be (BAD). */
typedef struct reader {
    const uint8_t *text;
    size_t size, at;
} reader;

typedef enum verdict { OK, BAD, MORE } verdict;

static verdict read_value(reader *in, unsigned level);

/* The byte here, or -1 at the end. */
static int peek(const reader *in)
{
    return in->at < in->size ? in->text[in->at] : -1;
}

static int peek_after_space(reader *in)
{
    while (peek(in) == ' ' || peek(in) == '\t' || peek(in) == '\r' || peek(in) == '\n') {
        in->at++;
    }
    return peek(in);
}

/* BAD here, or MORE at the end. */
static verdict stuck(const reader *in)
{
    return in->at < in->size ? BAD : MORE;
}

static verdict read_word(reader *in, const char *word)
{
    for (; *word != '\0'; word++, in->at++) {
        if (peek(in) != *word) {
            return stuck(in);
        }
    }
    return OK;
}

/* One or more digits. */
static verdict read_digits(reader *in)
{
    if (peek(in) < '0' || peek(in) > '9') {
        return stuck(in);
    }
    while (peek(in) >= '0' && peek(in) <= '9') {
        in->at++;
    }
    return OK;
}

static verdict read_number(reader *in)
{
    in->at += peek(in) == '-';
    bool zero = peek(in) == '0';
    in->at += zero;
    verdict now = zero ? OK : read_digits(in);
    if (now == OK && peek(in) == '.') {
        in->at++;
        now = read_digits(in);
    }
    if (now == OK && (peek(in) == 'e' || peek(in) == 'E')) {
        in->at++;
        in->at += peek(in) == '+' || peek(in) == '-';
        now = read_digits(in);
    }
    return now;
}

static verdict read_escape(reader *in)
{
    int c = peek(in);
    if (c != 'u') {
        bool known = c > 0 && strchr("\"\\/bfnrt", c) != NULL;
        in->at += known;
        return known ? OK : stuck(in);
    }
    in->at++;
    for (int i = 0; i < 4; i++, in->at++) {
        c = peek(in);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return stuck(in);
        }
    }
    return OK;
}

/* One character of more than one byte. A wrong one is BAD at its first byte. */
static verdict read_rune(reader *in)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = in->text[in->at];
    size_t length = first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    uint32_t rune = length > 0 ? first & (0xFFu >> (length + 1)) : 0;
    for (size_t i = 1; i < length; i++) {
        if (in->at + i == in->size || in->text[in->at + i] >> 6 != 2) { /* what could be completed is not shown us */
            return BAD;
        }
        rune = rune << 6 | (in->text[in->at + i] & 0x3F);
    }
    if (length == 0 || rune < smallest[length] || rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF)) {
        return BAD;
    }
    in->at += length;
    return OK;
}

static verdict read_string(reader *in)
{
    verdict now = read_word(in, "\"");
    while (now == OK && peek(in) != '"') {
        int c = peek(in);
        if (c < 0x20) {
            return stuck(in);
        }
        if (c >= 0x80) {
            now = read_rune(in);
        } else {
            in->at++;
            now = c == '\\' ? read_escape(in) : OK;
        }
    }
    in->at += now == OK;
    return now;
}

static verdict read_member(reader *in, unsigned level)
{
    verdict now = read_string(in);
    if (now == OK) {
        (void)peek_after_space(in);
        now = read_word(in, ":");
    }
    if (now == OK) {
        (void)peek_after_space(in);
        now = read_value(in, level + 1);
    }
    return now;
}

/* An array or object, at its bracket. */
static verdict read_list(reader *in, unsigned level, int close)
{
    in->at++;
    if (peek_after_space(in) == close) {
        in->at++;
        return OK;
    }
    for (;;) {
        verdict now = close == '}' ? read_member(in, level) : read_value(in, level + 1);
        if (now != OK) {
            return now;
        }
        int c = peek_after_space(in);
        if (c != close && c != ',') {
            return stuck(in);
        }
        in->at++;
        if (c == close) {
            return OK;
        }
        (void)peek_after_space(in);
    }
}

static verdict read_value(reader *in, unsigned level)
{
    int c = peek(in);
    if (c < 0 || level >= LEVELS) {
        return stuck(in);
    }
    switch (c) {
    case '{':
        return read_list(in, level, '}');
    case '[':
        return read_list(in, level, ']');
    case '"':
        return read_string(in);
    case 't':
        return read_word(in, "true");
    case 'f':
        return read_word(in, "false");
    case 'n':
        return read_word(in, "null");
    default:
        return read_number(in);
    }
}

/* Whether the object has a member that means "message". */
static bool has_message(struct json_object *object)
{
    bool found = false;
    json_object_object_foreach(object, name, value)
    {
        (void)value;
        const char *rest = name;
        for (const char *want = "message"; rest != NULL && *want != '\0'; want++) {
            bool long_s = *want == 's' && strncmp(rest, "\xC5\xBF", 2) == 0;
            rest = long_s ? rest + 2 : tolower((unsigned char)*rest) == *want ? rest + 1 : NULL;
        }
        found |= rest != NULL && *rest == '\0';
    }
    return found;
}

/*
 * The text that the scanner should give for an object that json-c gets all at once. False: it is in a stretch, where
 * one without a message is nothing.
 */
static bool note_message(findings *found, const uint8_t *text, size_t size, bool skipping)
{
    struct json_tokener *tokener = json_tokener_new_ex(LEVELS);
    CHECK(tokener != NULL);
    struct json_object *object = json_tokener_parse_ex(tokener, (const char *)text, (int)size);
    CHECK(object != NULL);
    bool taken = !skipping || has_message(object);
    if (taken) {
        note(found, "", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    }
    json_object_put(object);
    json_tokener_free(tokener);
    return taken;
}

/* Goes on to what may be an object: in a stretch to the next "{", if no LF ends it before. False: there is none. */
static bool skip_to_object(reader *in, bool *skipping)
{
    while (*skipping && peek(in) >= 0 && peek(in) != '{') {
        *skipping = in->text[in->at++] != '\n';
    }
    return *skipping ? peek(in) >= 0 : peek_after_space(in) >= 0;
}

/* What there is to find. `inside` tells whether the stream ends in a message. */
static findings read_plainly(const uint8_t *bytes, size_t size)
{
    reader in = {bytes, size, 0};
    findings found = {.result = SCANNER_MORE};
    note(&found, "", "");
    bool skipping = false;
    while (skip_to_object(&in, &skipping)) {
        size_t start = in.at;
        verdict now = peek(&in) == '{' ? read_value(&in, 0) : BAD;
        if (now == MORE) {
            found.inside = !skipping;
            break;
        }
        if (now == OK) {
            skipping = !note_message(&found, bytes + start, in.at - start, skipping);
        } else {
            if (!skipping) {
                note(&found, "!", "");
            }
            skipping = true;
        }
    }
    return found;
}

static void check_same(const findings *a, const findings *b)
{
    if (a->result != b->result || a->size != b->size || memcmp(a->text, b->text, a->size) != 0) {
        fprintf(stderr, "result %d, found:%s\nresult %d, found:%s\n", a->result, a->text, b->result, b->text);
        CHECK(!"both find the same");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    size_t limit = input_byte(&in);
    unsigned stop_after = input_byte(&in);
    cuts at = input_cuts(&in);
    size_t max_size = limit > 0 ? limit : NO_LIMIT;
    findings cut = scan_cut(in.next, in.left, max_size, stop_after, at, false, false);
    findings whole = scan_cut(in.next, in.left, max_size, stop_after, (cuts){0}, false, false);
    findings values = scan_cut(in.next, in.left, max_size, stop_after, at, true, false);
    findings texts = scan_cut(in.next, in.left, max_size, stop_after, at, true, true);
    check_same(&cut, &whole);
    check_same(&values, &texts);
    if (limit == 0 && stop_after == 0) {
        /* The start of a character at the end of the stream has not come yet. */
        findings plain = read_plainly(in.next, in.left - utf8_unfinished(in.next, in.left));
        check_same(&whole, &plain);
        CHECK(whole.inside == plain.inside);
        free(plain.text);
    }
    free(cut.text);
    free(whole.text);
    free(values.text);
    free(texts.text);
    return 0;
}

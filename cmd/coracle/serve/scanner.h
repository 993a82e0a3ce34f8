/* SPDX-License-Identifier: MIT */
/*
 * Finds JSON objects in a stream, whatever the segmentation: split over any number of reads, glued, with or without
 * white space between them. Reading is json-c's incremental tokener, strict, 32 levels deep at most. Between messages a
 * scanner holds no memory.
 *
 * After something invalid comes a stretch that is skipped. It is reported once and ends after the next LF, or with the
 * next object that has a "message": many clients never send an LF, and one bad message must not silence them for good.
 * So each "{" in it is tried as the beginning of an object. Counting brackets instead would not do: the bad message may
 * lack one, or a quote, and then nothing that follows is ever balanced. That an object inside a bad one may be taken
 * for a message is the price.
 *
 * A "message" is the member of that name in any mix of upper and lower case, and if there are several the last one:
 * what Go's encoding/json does.
 *
 * A message may have `max_size` bytes, and so may a stretch: more is too long and ends the scanning.
 */
#ifndef CORACLE_CMD_SERVE_SCANNER_H
#define CORACLE_CMD_SERVE_SCANNER_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct json_tokener;

/* What was found. All return false to stop scanning for good. What they are given is theirs until they return. */
typedef struct scanner_events {
    /* An object, and how it spells the name of its "message"; NULL: it has none. */
    bool (*message)(void *arg, struct json_object *object, const char *name);
    bool (*invalid)(void *arg, const char *reason);
    /* An object of plain strings, by the value of its "message". NULL: they go to `message` too, which takes longer. */
    bool (*text)(void *arg, const char *text, size_t size);
} scanner_events;

enum {
    SCANNER_KEY_MAX = 42, /* "message" with each letter as \uXXXX */
    SCANNER_NAME_MAX = 10 /* two letters of "message" have a relative outside ASCII, of two bytes; and a NUL */
};

/* Which members the object under way has, for json-c does not tell their order. */
typedef struct scanner_keys {
    unsigned depth; /* brackets open */
    bool in_string;
    bool escaped;                /* the byte before was a backslash that counts */
    bool key_next;               /* the next string is a key of the object itself */
    bool in_key;                 /* the string is one */
    unsigned char size;          /* of the key so far; more than SCANNER_KEY_MAX: it is too long to be of interest */
    char text[SCANNER_KEY_MAX];  /* the key so far, as it came */
    char name[SCANNER_NAME_MAX]; /* the last key that was a "message"; empty: none yet */
} scanner_keys;

/* Where in the text of a message the scanner is. */
typedef struct scanner_place {
    unsigned depth; /* brackets open */
    bool in_string;
    bool escaped;         /* the byte before was a backslash that counts */
    unsigned char number; /* outside strings: where in a number */
} scanner_place;

struct scanner {
    struct json_tokener *tokener; /* NULL: the message has not needed it yet */
    bool inside;                  /* a message has begun */
    size_t max_size;              /* bytes of a message, and of a stretch that is skipped */
    size_t size;                  /* bytes of the message so far */
    scanner_place place;          /* in the message */
    scanner_keys keys;            /* of the message, once it has needed the tokener */
    bool skipping;                /* in a stretch; `inside` it a message is tried */
    size_t skipped;               /* bytes of the stretch so far, less those of the message being tried */
    unsigned char held[4];        /* a character that a read cut */
    size_t held_size;
};

/* Why scanning ended. */
typedef enum scanner_result { SCANNER_MORE, SCANNER_STOPPED, SCANNER_TOO_LONG, SCANNER_NO_MEMORY } scanner_result;

/* Takes the next bytes of the stream. Only after SCANNER_MORE may it be called again. */
scanner_result scanner_feed(struct scanner *scanner, const void *bytes, size_t size, const scanner_events *events,
                            void *arg);

/* Tells whether the stream has stopped in the middle of a message, one that is not just tried in a stretch. */
bool scanner_is_inside(const struct scanner *scanner);

/* How many bytes of an unfinished message are kept; json-c takes a little more for them. */
size_t scanner_held(const struct scanner *scanner);

/* Frees what an unfinished message holds. */
void scanner_free(struct scanner *scanner);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Finds JSON objects in a stream, whatever the segmentation: split over any number of reads, glued, with or without
 * white space between them. Reading is json-c's incremental tokener, strict, 32 levels deep at most. After something
 * invalid the stream is taken up again behind the next LF. Between messages a scanner holds no memory.
 */
#ifndef CORACLE_CMD_SERVE_SCANNER_H
#define CORACLE_CMD_SERVE_SCANNER_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct json_tokener;

/* What was found. All return false to stop scanning for good. What they are given is theirs until they return. */
typedef struct scanner_events {
    bool (*message)(void *arg, struct json_object *object);
    bool (*invalid)(void *arg, const char *reason);
    /* An object of plain strings, by the value of its "message". NULL: they go to `message` too, which takes longer. */
    bool (*text)(void *arg, const char *text, size_t size);
} scanner_events;

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
    size_t max_size;              /* bytes of a message, and of what is skipped */
    size_t size;                  /* bytes of the message, or skipped, so far */
    scanner_place place;          /* in the message */
    bool skipping;                /* up to the next LF */
    unsigned char held[4];        /* a character that a read cut */
    size_t held_size;
};

/* Why scanning ended. */
typedef enum scanner_result { SCANNER_MORE, SCANNER_STOPPED, SCANNER_TOO_LONG, SCANNER_NO_MEMORY } scanner_result;

/* Takes the next bytes of the stream. Only after SCANNER_MORE may it be called again. */
scanner_result scanner_feed(struct scanner *scanner, const void *bytes, size_t size, const scanner_events *events,
                            void *arg);

/* Tells whether the stream has stopped in the middle of a message. */
bool scanner_is_inside(const struct scanner *scanner);

/* Frees what an unfinished message holds. */
void scanner_free(struct scanner *scanner);

#endif

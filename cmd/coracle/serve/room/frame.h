/* SPDX-License-Identifier: MIT */
/*
 * What nodes send each other. A frame is one line, "coracle1 NODE FIRST COUNT MEMBERS" LF, and after it COUNT lines as
 * members hear them. NODE is the sender, 16 hexadecimal digits that it has chosen at its start; FIRST is how many lines
 * it has sent before; MEMBERS is how many are connected to it. COUNT is 0 in a sign of life.
 *
 * By the numbers a node hears nothing twice and knows what it has missed, whatever the bus does.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_FRAME_H
#define CORACLE_CMD_SERVE_ROOM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    uint64_t node, first;
    uint32_t count, members;
    const char *text; /* the lines */
    size_t size;
};

enum { FRAME_HEAD_MAX = 80 };

/* Writes the first line to `to`, FRAME_HEAD_MAX bytes, and no NUL. Returns its size. */
size_t frame_head(const struct frame *of, char *to);

/*
 * Reads a frame; its text points into the bytes. False: it is none, or its lines could do harm to whoever hears them
 * (control characters, bytes that are not UTF-8).
 */
bool frame_read(const char *bytes, size_t size, struct frame *out);

/* Counts the lines of a text. */
uint32_t frame_lines(const char *text, size_t size);

/* The size of its first `count` lines. */
size_t frame_skip(const char *text, size_t size, uint32_t count);

#endif

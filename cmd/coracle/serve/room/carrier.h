/* SPDX-License-Identifier: MIT */
/*
 * What carries messages between a client and the room: lines, as they are (broadcast.c), or frames. A carrier finds the
 * texts in what a client sends, puts lines into the form in which they go out, and takes leave. What it finds, limits
 * and counts are the talker's business, the same for all (talker.h).
 *
 * Two tasks use it: the client's own reads, and takes leave when the other one has ended; the writing task writes. Only
 * that one writes while the client is a member: a carrier with words of its own to say has itself called (room_call).
 */
#ifndef CORACLE_CMD_SERVE_ROOM_CARRIER_H
#define CORACLE_CMD_SERVE_ROOM_CARRIER_H

#include "serve/room/msglog.h"
#include "serve/scanner.h"

struct session;
struct talker;

struct carrier {
    /* Takes what has come, and gives the talker the texts in it. Other than SCANNER_MORE ends the reading. */
    scanner_result (*take)(struct talker *talker, const void *bytes, size_t size);
    /* Whether what has come so far ends in the middle of a message. */
    bool (*is_inside)(const struct talker *talker);
    /* Takes leave: nobody writes any more, and why the client leaves is decided. */
    void (*leave)(struct talker *talker);
    bool has_last_word; /* `leave` writes one also to a client that is kicked */
    /* Writes a line, LF included, in the form in which it goes out. NULL: lines go out as they are. */
    msg_put put;
    /* Writing task: says what it has been called for. Returns 0 or an error code. NULL: it never has itself called. */
    int (*speak)(struct talker *talker, struct session *session);
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How messages are framed on a client's connection: as lines (broadcast.c) or as WebSocket frames (ws/ws.c). A framing
 * decodes what a client sends into texts, encodes the room's lines, and closes the conversation. What the texts mean,
 * limits and counts are the participant's business, the same for all framings (participant.h).
 *
 * Two tasks use it: the client's own task decodes, and closes when the writing task has ended; the writing task encodes
 * and writes. While the client is a member nobody else writes: a framing with frames of its own to send asks for its
 * turn (room_call).
 */
#ifndef CORACLE_CMD_SERVE_ROOM_FRAMING_H
#define CORACLE_CMD_SERVE_ROOM_FRAMING_H

#include "serve/room/msglog.h"
#include "serve/scanner.h"

struct session;
struct participant;

struct framing {
    /* Decodes what has come, and feeds the texts to the participant. Other than SCANNER_MORE ends the reading. */
    scanner_result (*decode)(struct participant *participant, const void *bytes, size_t size);
    /* Whether what has come so far ends in the middle of a message. */
    bool (*is_inside)(const struct participant *participant);
    /* Closes the conversation: nobody else writes any more, and why the client leaves is decided. */
    void (*close)(struct participant *participant);
    bool has_close_frame; /* `close` sends one, also to a client that is kicked */
    /* Encodes a line, LF included. NULL: lines go out as they are. */
    msg_put encode;
    /* Writing task: sends what room_call was called for. Returns 0 or an error code. NULL: it never is. */
    int (*send_own)(struct participant *participant, struct session *session);
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * WebSocket frames (RFC 6455), the server's side, independent of what carries them. libwslay finds the frames in what
 * has come and takes off their masks. What may follow what, sizes, UTF-8 and the codes of closing are judged here: its
 * event interface answers some violations without a code, and holds 8 KiB for each connection.
 *
 * Memory. Between messages there is none: all that is needed to read a frame is made when bytes come, and goes when
 * they end with a message. A client in the middle of one keeps some 4.5 KiB, however long the message is: its text is
 * passed on as it comes.
 */
#ifndef CORACLE_CMD_SERVE_WS_FRAMES_H
#define CORACLE_CMD_SERVE_WS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAMES_HEAD_MAX = 10,     /* bytes before a frame's payload */
    FRAMES_CONTROL_MAX = 125, /* payload of a control frame */
};

enum {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL = 1002,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_NO_CODE = 1005, /* of a close frame that has none; is not sent */
    CLOSE_BAD_TEXT = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_INTERNAL = 1011,
    CLOSE_TRY_LATER = 1013
};

enum { FRAME_TEXT = 0x1, FRAME_BINARY = 0x2, FRAME_CLOSE = 0x8, FRAME_PING = 0x9, FRAME_PONG = 0xa };

/* What is found. Texts are valid UTF-8, but for a character that a piece may cut. */
typedef struct frames_events {
    bool (*text)(void *arg, const void *bytes, size_t size); /* a piece of a message; false: stop for good */
    void (*text_end)(void *arg);                             /* the message is over */
    void (*ping)(void *arg, const void *payload, size_t size);
} frames_events;

typedef enum frames_result {
    FRAMES_MORE,
    FRAMES_STOPPED, /* by `text` */
    FRAMES_CLOSED,  /* the client has said so; the code is its own */
    FRAMES_BROKEN,  /* it is in the wrong; the code says why */
    FRAMES_NO_MEMORY
} frames_result;

/* Where in a client's frames somebody is. All-zero but for max_size is the beginning. */
struct frames {
    struct frames_intake *intake; /* NULL: between messages */
    size_t max_size;              /* bytes of a message */
    unsigned code;                /* with FRAMES_CLOSED and FRAMES_BROKEN */
};

/* Takes what has come. Only after FRAMES_MORE may it be called again. */
frames_result frames_take(struct frames *frames, const void *bytes, size_t size, const frames_events *events,
                          void *arg);

/* Whether what has come so far ends in the middle of a frame or a message. */
bool frames_inside(const struct frames *frames);

/* Frees what an unfinished message holds. */
void frames_free(struct frames *frames);

/* Writes the head of a whole frame, from a server to a client. Returns the end. */
char *frames_put_head(char *to, unsigned opcode, size_t size);

#endif

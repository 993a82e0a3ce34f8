/* SPDX-License-Identifier: MIT */
/*
 * A client of the room and the dialogue with it, the same for every framing: it sends JSON objects {"message":"..."};
 * each is acknowledged to it and passed on to all others. The sender's address is the socket's; a "client_ip" in the
 * object is ignored, and "message" may be written in any mix of upper and lower case. Every answer is one line that
 * ends in LF, so that answers cannot run together; control characters in a message are escaped, so that a message
 * cannot pass for another line.
 */
#ifndef CORACLE_CMD_SERVE_PARTICIPANT_H
#define CORACLE_CMD_SERVE_PARTICIPANT_H

#include "serve/scanner.h"
#include "serve/session.h"

struct framing;

/* It lies on the stack of the client's task. The first three are given, and so may `early` be. */
struct participant {
    struct session *session;
    const struct framing *framing;
    struct room *room;
    const void *early; /* what has come already, borrowed until participant_run returns */
    size_t early_size;
    struct member *member; /* in the room; NULL: not now */
    bool torn;             /* it has left in the middle of a write */
    struct scanner scanner;
};

/* Has the client join the room, talk and leave. Why it left is decided then. */
void participant_run(struct participant *participant);

/* For framings: the next piece of the text that the client sends. */
scanner_result participant_feed(struct participant *participant, const void *bytes, size_t size);

/* For framings whose messages have an end: here it is. */
void participant_end_message(struct participant *participant);

#endif

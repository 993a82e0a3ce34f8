/* SPDX-License-Identifier: MIT */
/*
 * A client of the room and the dialogue with it, the same whatever carries it: it sends JSON objects {"message":"..."},
 * and each is acknowledged to it and told to all others. Who sent it is known from the socket; a "client_ip" in the
 * object is not believed, and "message" may be written in any mix of upper and lower case. Every answer is one line
 * ending in LF, so that answers cannot run together; control characters in a message are escaped on the way, so that a
 * message cannot pass for another line.
 */
#ifndef CORACLE_CMD_SERVE_TALKER_H
#define CORACLE_CMD_SERVE_TALKER_H

#include "serve/scanner.h"
#include "serve/session.h"

struct carrier;

/* It lies on the stack of the client's task. The first three are given, and so may `early` be. */
struct talker {
    struct session *session;
    const struct carrier *carrier;
    struct room *room;
    const void *early; /* what has come already, borrowed until the talk is over */
    size_t early_size;
    struct member *member; /* in the room; NULL: not now */
    bool torn;             /* it has left, and what was being written to it has been cut */
    struct scanner scanner;
};

/* Has the client join the room, talk and leave. Why it left is decided then. */
void talker_talk(struct talker *talker);

/* For carriers: a piece of the text that the client sends. */
scanner_result talker_hear(struct talker *talker, const void *bytes, size_t size);

/* For carriers whose messages have ends: this one is over. */
void talker_hear_end(struct talker *talker);

#endif

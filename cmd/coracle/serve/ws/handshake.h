/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket entry answers to a request: the upgrade (RFC 6455, section 4.2), the page, or why not. Both are at
 * `/`, for the room of the entry, and at `/room/NAME`; whether there is such a room is not judged here. Pages of other
 * sites are refused: a browser names the site in Origin, and it must be the host that the request is for, or
 * on the list of --origin. Other programs send no Origin and may come.
 *
 * That a page comes from the host that it asks says little if the host's name is its own and it has made that name lead
 * here (DNS rebinding). So without a list the host must be one that nobody else can name: as guard.h says. The page
 * itself is not given away under another name either, or it would be one that cannot connect, without a word why.
 */
#ifndef CORACLE_CMD_SERVE_WS_HANDSHAKE_H
#define CORACLE_CMD_SERVE_WS_HANDSHAKE_H

#include "serve/reason.h"
#include "serve/room/name.h"
#include "serve/ws/head.h"

/* Room for any answer's head. */
enum { HANDSHAKE_MAX = 1024 };

typedef enum handshake_result {
    HANDSHAKE_UPGRADE, /* from now on it is frames */
    HANDSHAKE_PAGE,    /* what was asked for is the page */
    HANDSHAKE_OTHER    /* an answer with a status, and the end */
} handshake_result;

/* An answer: its status, the fields that go with it, and why the connection then ends. */
typedef struct handshake_answer {
    handshake_result result;
    const char *status; /* as in "403 Forbidden" */
    const char *fields; /* whole lines; "" for none */
    close_reason reason;
    const char *hint;          /* a line for people; NULL: the status says it all */
    char room[ROOM_NAME_SIZE]; /* of an upgrade and of the page: what the path names; "": nothing */
} handshake_answer;

/* Whose pages may connect. */
typedef struct handshake_rules {
    const char *origins; /* those of --origin; NULL: pages of this host only */
    const char *own;     /* the host of the entry's address; NULL: none */
} handshake_rules;

/* Decides on a complete head. */
handshake_answer handshake_decide(const struct http_head *head, const char *bytes, const handshake_rules *rules);

/* The answer to a request for a room that the client does not get. */
handshake_answer handshake_turn_away(close_reason reason);

/* The answer to what is no head, by the result of head_read. */
handshake_answer handshake_refuse(head_result result);

/* Writes the answer that upgrades. Returns its size. */
size_t handshake_write_upgrade(const struct http_head *head, const char *bytes, char to[HANDSHAKE_MAX]);

/* Writes an answer that ends the connection, up to its body, of that type and size. Returns its size. */
size_t handshake_write_end(const handshake_answer *answer, const char *type, size_t body_size, char to[HANDSHAKE_MAX]);

/* Writes the whole answer to a client that is refused before it is heard; `words` are short. Returns its size. */
size_t handshake_write_refusal(close_reason reason, const char *words, char to[HANDSHAKE_MAX]);

#endif

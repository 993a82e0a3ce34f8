/* SPDX-License-Identifier: MIT */
/*
 * What a WebSocket entry answers to a request: the upgrade (RFC 6455, section 4.2), the page at `/`, or why not. Pages
 * of other sites are refused: a browser names the site in Origin, and it must be the host that the request is for, or
 * on the list of --origin. Other programs send no Origin and may come.
 */
#ifndef CORACLE_CMD_SERVE_WS_HANDSHAKE_H
#define CORACLE_CMD_SERVE_WS_HANDSHAKE_H

#include "serve/reason.h"
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
} handshake_answer;

/* Decides on a complete head. `origins`: those of --origin; NULL: the same host only. */
handshake_answer handshake_decide(const struct http_head *head, const char *bytes, const char *origins);

/* The answer to what is no head, by the result of head_read. */
handshake_answer handshake_refuse(head_result result);

/* Writes the answer that upgrades. Returns its size. */
size_t handshake_write_upgrade(const struct http_head *head, const char *bytes, char to[HANDSHAKE_MAX]);

/* Writes an answer that ends the connection, up to its body, of that type and size. Returns its size. */
size_t handshake_write_end(const handshake_answer *answer, const char *type, size_t body_size, char to[HANDSHAKE_MAX]);

/* Writes the whole answer to a client that is refused before it is heard; `words` are short. Returns its size. */
size_t handshake_write_refusal(close_reason reason, const char *words, char to[HANDSHAKE_MAX]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * One client of a service: the limits it is held to, what it has sent and got, and why it ended. All services read and
 * write through here, so that limits and counts cannot be forgotten. One `closed` event per accepted connection is
 * written, always. A session lives on its task's stack and is used by that task only.
 */
#ifndef CORACLE_CMD_SERVE_SESSION_H
#define CORACLE_CMD_SERVE_SESSION_H

#include "serve/service.h"

struct session {
    cor_conn *conn;
    struct service *service;
    const char *reason;    /* why it ended: a word; NULL: not decided yet */
    uint64_t bytes_in;     /* received and looked at */
    uint64_t bytes_out;    /* given to the kernel */
    uint64_t dropped;      /* messages it was too slow for */
    int64_t started;       /* cor_now() */
    int64_t read_deadline; /* armed now, 0: none */
    bool heard;            /* something complete has arrived: from now on the idle limit counts */
};

/* The handler for cor_serve: runs a whole session of the service `arg` and closes the connection. */
void session_main(cor_conn *conn, void *arg);

/* The options of this run. */
const serve_options *session_options(const struct session *session);

/* Arms the read limit that counts now. For services that wait for more than single bytes: once per line or message. */
void session_arm_read(struct session *session);

/* Reads as cor_read and cor_read_buffer do, within the limits, and counts. */
ssize_t session_read(struct session *session, void *buf, size_t size);
ssize_t session_read_buffer(struct session *session, cor_buffer *out);

/* Writes all within the limits, and counts. Returns 0 or an error code. */
int session_write(struct session *session, const void *buf, size_t size);

/* Notes why the session ends, from the result of a call of kind `op` ("read", "write"); 0 is end of stream. */
void session_ended(struct session *session, const char *op, int code);

/* The text that Go prints for that result; COR_ERROR_TEXT bytes suffice. Returns `text`. */
char *session_error_text(struct session *session, const char *op, int code, char *text, size_t size);

/*
 * Ends the conversation from this side without hurting what was sent: half-close, then drop what still arrives for a
 * short time, because closing over unread input resets the connection and could destroy a reply under way.
 */
void session_hang_up(struct session *session, const char *reason);

#endif

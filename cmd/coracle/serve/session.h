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
    int64_t write_limit;   /* ns in which the peer must take something; 0: none */
    bool heard;            /* something complete has arrived: from now on the idle limit counts */
    bool limits_reads;     /* there is an idle or a first-byte limit */
};

/* The handler for cor_serve: runs a whole session of the service `arg` and closes the connection. */
void session_main(cor_conn *conn, void *arg);

/* The options of this run. */
const serve_options *session_options(const struct session *session);

/* Arms the read limit that counts now. For services that wait for more than single bytes: once per line or message. */
void session_arm_read(struct session *session);

/* Counts what a read gave. */
static inline void session_note_read(struct session *session, ssize_t count)
{
    if (count > 0) {
        session->bytes_in += (uint64_t)count;
        session->heard = true;
    }
}

/* Reads as cor_read does, within the limits, and counts. */
ssize_t session_read(struct session *session, void *buf, size_t size);

/*
 * Reads as cor_read_buffer does, within the limits, and counts. Inline, as session_write: each function that is left
 * after a system call costs the CPU a misprediction.
 */
static inline ssize_t session_read_buffer(struct session *session, cor_buffer *out)
{
    if (session->limits_reads) {
        session_arm_read(session);
    }
    ssize_t count = cor_read_buffer(session->conn, out);
    session_note_read(session, count);
    return count;
}

/* Sets for how long the peer may take nothing of what is written to it, ns; 0: for ever. */
void session_limit_writes(struct session *session, int64_t limit_ns);

/* What session_write does when an eighth of the write limit has run out. */
int session_write_rest(struct session *session, const char *bytes, size_t size, size_t done);

/* Writes all within the limits, and counts. Returns 0 or an error code. */
static inline int session_write(struct session *session, const void *buf, size_t size)
{
    size_t written;
    int code = cor_write_counted(session->conn, buf, size, &written);
    if (code == COR_ETIMEOUT) {
        code = session_write_rest(session, buf, size, written);
    }
    if (code < 0) {
        return code;
    }
    session->bytes_out += (uint64_t)size;
    return 0;
}

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

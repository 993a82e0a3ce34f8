/* SPDX-License-Identifier: MIT */
/*
 * One client of a service: the limits it is held to, what it has sent and got, and why it ended. All services read and
 * write through here, so that limits and counts cannot be forgotten. One `closed` event per accepted connection is
 * written, always. A session lives on its task's stack and is used by that task only; what others may see of it, and
 * the one reason for its end, are in the `struct connection` beside it (conns.h).
 *
 * When the server stops, idle sessions end at once and busy ones within the grace period. A session is idle while it
 * waits for the first byte of a line or message; where every byte is a message, in every read. Services with longer
 * messages say where they are through session_await and session_inside_message. To end an idle session its read
 * deadline is moved into the past. Its reads then wait for one more short while: what the client has sent is on its way
 * still, and closing over it would reset the connection and destroy answers. If something comes it is answered, and
 * there is another short while, but not beyond half of the grace period; if nothing comes, the service reads the end
 * of the stream as though the client had left, and the client reads it after its last answer.
 *
 * No session is missed. session_end_all_idle finds `stopping` set, goes through the list and passes over those that are
 * busy; a session becomes idle or arms a limit, then looks at `stopping` (both sequentially consistent): one of them
 * sees the other. A session that enters the list later finds `stopping` set: the list's lock was taken in between.
 *
 * No kick is missed either. Who kicks a client decides the reason, then moves its read deadline into the past; the
 * session moves its deadline, then looks at the reason.
 */
#ifndef CORACLE_CMD_SERVE_SESSION_H
#define CORACLE_CMD_SERVE_SESSION_H

#include "serve/service.h"

struct session {
    cor_conn *conn;
    struct service *service;
    struct connection *seen; /* what others see of it */
    uint64_t dropped;        /* messages it was too slow for */
    int error;               /* the code behind the reasons reset, oom and internal */
    bool torn;               /* a write has failed in the middle: what is written next would be taken for its rest */
    int64_t first_byte;      /* ns in which something must come at first; 0: none */
    int64_t read_deadline;   /* armed now, 0: none */
    int64_t write_limit;     /* ns in which the peer must take something; 0: none */
    bool heard;              /* something complete has arrived: from now on the idle limit counts */
    bool limits_reads;       /* there is an idle or a first-byte limit */
    bool may_listen;         /* it may be silent but inside a message: session_limit_message */
    bool whole;              /* then: a message has ended since it was armed */
    bool looking;            /* this is the last look for something to read: the server stops, or stood still */
    bool refused;            /* by the service itself: told so as others are */
    log_field note;          /* what its `closed` event says besides; no key: nothing */
    bool cut;                /* ended by the server while the client was still sending */
    atomic_bool busy;        /* inside a line or message; its own task changes it */
};

/* The handler for cor_serve: runs a whole session of the service `arg` and closes the connection. */
void session_main(cor_conn *conn, void *arg);

/* For cor_listener_on_loss: counts a connection of the service `arg` that gets no session, and says that it closed. */
void session_lost(int code, cor_addr peer, void *arg);

/* The options of this run. */
const serve_options *session_options(const struct session *session);

/* Arms the read limit that counts now. For services that wait for more than single bytes: once per line or message. */
void session_arm_read(struct session *session);

/* Ends the idle sessions of a server that has begun to stop, and has the others end when they have become idle. */
void session_end_all_idle(struct serve *serve);

/*
 * For services whose clients may just listen, after each read: if a message has begun it must end within the first-byte
 * limit. Does nothing where an idle limit was given, since that counts at all times.
 */
void session_limit_message(struct session *session, bool inside);

/* Says that the session has a part of a message, or that it has none: it is idle from then on. */
void session_inside_message(struct session *session, bool inside);

/*
 * Waits within the limits, idle, for the first byte of a message, without a buffer. Returns 1 when something is there
 * to read, be it the end of the stream; 0 when the session is to end; or an error code.
 */
int session_await(struct session *session);

/*
 * What becomes of a read that timed out: 1: read again; 0: the session is to end; COR_ETIMEOUT: its limit is reached.
 */
int session_timed_out(struct session *session);

/* Counts what a read gave. */
static inline void session_note_read(struct session *session, ssize_t count)
{
    if (count > 0) {
        connection_add(&session->seen->bytes_in, (uint64_t)count);
        session->heard = true;
        session->looking = false;
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
    ssize_t count;
    do {
        if (session->limits_reads) {
            session_arm_read(session);
        }
        count = cor_read_buffer(session->conn, out);
    } while (count == COR_ETIMEOUT && (count = session_timed_out(session)) > 0);
    session_note_read(session, count);
    return count;
}

/*
 * The same, of a message that may have many pieces: the limits are the caller's to arm, and it counts as nothing heard.
 */
ssize_t session_read_piece(struct session *session, cor_buffer *out);

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
    } else if (code < 0) {
        session->torn = written > 0;
    }
    if (code < 0) {
        return code;
    }
    connection_add(&session->seen->bytes_out, (uint64_t)size);
    return 0;
}

/* Says that much waits for this peer, unless that was said since it last had little to take. Any task. */
void session_tell_slow(struct connection *of, const char *peer, uint64_t queued);

/* Why a session ends, from the result of a call of kind `op` ("read", "write"); 0 is end of stream. */
close_reason session_reason(const struct session *session, const char *op, int code);

/* Notes why the session ends, from the result of a call of kind `op` ("read", "write"); 0 is end of stream. */
void session_ended(struct session *session, const char *op, int code);

/* The text that Go prints for that result; COR_ERROR_TEXT bytes suffice. Returns `text`. */
char *session_error_text(struct session *session, const char *op, int code, char *text, size_t size);

/*
 * Ends the conversation from this side without hurting what was sent: half-close, then drop what still arrives for a
 * short time, because closing over unread input resets the connection and could destroy a reply under way.
 */
void session_hang_up(struct session *session, close_reason reason);

#endif

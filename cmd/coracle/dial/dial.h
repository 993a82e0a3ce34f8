/* SPDX-License-Identifier: MIT */
/*
 * What the kinds of client share. A client has one task that reads the terminal and one that reads the connection, so
 * that each is noticed while the other is silent: the server's end wakes the reader of the terminal by closing it, the
 * terminal's end half-closes the connection and lets the answers under way arrive.
 */
#ifndef CORACLE_CMD_DIAL_DIAL_H
#define CORACLE_CMD_DIAL_DIAL_H

#include "address.h"

#include <coracle.h>
#include <stdatomic.h>

/* The command line of dial. */
typedef struct dial_options {
    int kind;
    int64_t timeout; /* of connecting, ns; 0: none */
    bool send_only;
    bool recv_only;
    bool no_shutdown;
    bool crlf;
} dial_options;

/* One client. */
struct dial {
    dial_options options;
    address address;
    cor_conn *conn;       /* the server */
    cor_conn *in;         /* standard input; NULL if there is none */
    cor_conn *out;        /* standard output; NULL if there is none */
    cor_group tasks;      /* what runs beside the main task */
    atomic_bool leaving;  /* the end of the connection is expected from now on */
    atomic_int exit_code; /* */
    void *state;          /* of the kind */
};

/* A kind of client. */
typedef struct dial_kind {
    const char *name;
    const char *address; /* default; NULL: must be given */
    const char *failure; /* what stands before the error when the server cannot be reached */
    void (*run)(struct dial *dial);
} dial_kind;

extern const dial_kind raw_kind, echo_kind, name_kind, broadcast_kind, get_kind;

/* Notes that the client failed, and says why on stderr: `before` and the error of a call `op` on the connection. */
void dial_failed(struct dial *dial, const char *before, const char *op, int code);

/* Writes to standard output. Returns false, and notes the failure, when nobody takes it. */
bool dial_put(struct dial *dial, const void *bytes, size_t size);

/* Writes `before`, the peer's bytes made safe (safe.h, with `keep`), `after`. Returns as dial_put. */
bool dial_show(struct dial *dial, const char *before, const void *bytes, size_t size, const char *after, int keep);

/* Writes a line of our own. Returns as dial_put. */
bool dial_say(struct dial *dial, const char *line);

/* A reader of lines from standard input. */
cor_lines dial_lines(struct dial *dial);

/*
 * Gives the next line from standard input without CR and LF at both ends. Returns false at its end, or when the
 * connection has ended.
 */
bool dial_next_line(struct dial *dial, cor_lines *lines, char **line, size_t *size);

/* Writes to the server. Returns false, and notes the failure, if that is not possible. */
bool dial_send(struct dial *dial, const void *bytes, size_t size);

/* Notes, and says, that standard input could not be read, if `code` is such an error. */
void dial_input_ended(struct dial *dial, int code);

/* Wakes the reader of standard input for good: there is nobody to send to any more. */
void dial_stop_input(struct dial *dial);

/* Starts a task beside the main one. Returns false, and notes the failure, if there is no memory for it. */
bool dial_start(struct dial *dial, void (*task)(void *dial));

/* Says to the server that no more will come and waits, for a short time at most, until the tasks beside are done. */
void dial_leave(struct dial *dial);

#endif

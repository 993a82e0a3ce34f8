/* SPDX-License-Identifier: MIT */
/*
 * What the kinds of client share. A client has one task that reads the terminal and one that reads the connection, so
 * that each is noticed while the other waits: the server's end wakes the reader of the terminal by closing it, or from
 * a write that the server does not take; the terminal's end half-closes the connection and lets the answers under way
 * arrive.
 */
#ifndef CORACLE_CMD_DIAL_DIALOG_H
#define CORACLE_CMD_DIAL_DIALOG_H

#include "address.h"

#include <coracle.h>
#include <stdatomic.h>

/* The command line of dial. */
typedef struct dialog_options {
    int kind;
    int64_t timeout; /* of connecting, ns; 0: none */
    bool send_only;
    bool recv_only;
    bool no_shutdown;
    bool crlf;
} dialog_options;

/* One client. */
struct dialog {
    dialog_options options;
    address address;
    cor_conn *conn;       /* the server */
    cor_conn *in;         /* standard input; NULL if there is none */
    cor_conn *out;        /* standard output; NULL if there is none */
    cor_group tasks;      /* what runs beside the main task */
    atomic_bool leaving;  /* the end of the connection is expected from now on */
    atomic_int exit_code; /* EXIT_OK until something has failed and been told */
    void *state;          /* of the kind */
};

/* A kind of client. */
typedef struct dialog_kind {
    const char *name;
    const char *address; /* default; NULL: must be given */
    const char *failure; /* what stands before the error when the server cannot be reached */
    void (*run)(struct dialog *dialog);
} dialog_kind;

extern const dialog_kind raw_kind, echo_kind, name_kind, broadcast_kind, get_kind;

/* The client of kind raw for networks of datagrams. */
void dialog_packets(struct dialog *dialog);

/* Notes that the client failed, and says why on stderr: `before` and the error of a call `op` on the connection. */
void dialog_failed(struct dialog *dialog, const char *before, const char *op, int code);

/*
 * As dialog_failed, for a read that gave `count`, the last one. While the client leaves, an end is expected, and so is
 * a server that does not end in time; any other error may have cost what was under way.
 */
void dialog_ended(struct dialog *dialog, const char *before, ssize_t count);

/* Notes and says that there is no memory. */
void dialog_no_memory(struct dialog *dialog);

/* Memory as malloc gives it; NULL is noted and said. */
void *dialog_alloc(struct dialog *dialog, size_t size);

/* Writes to standard output. Returns false, and notes the failure, when nobody takes it. */
bool dialog_put(struct dialog *dialog, const void *bytes, size_t size);

/* Writes `before`, the peer's bytes escaped (escape.h, with `keep`), `after`. Returns as dialog_put, or no memory. */
bool dialog_show(struct dialog *dialog, const char *before, const void *bytes, size_t size, const char *after,
                 int keep);

/* Writes a line of our own. Returns as dialog_put. */
bool dialog_say(struct dialog *dialog, const char *line);

/* A reader of lines from standard input. */
cor_lines dialog_lines(struct dialog *dialog);

/*
 * Gives the next line from standard input without CR and LF at both ends. Returns false at its end, or when the
 * connection has ended.
 */
bool dialog_next_line(struct dialog *dialog, cor_lines *lines, char **line, size_t *size);

/* Writes to the server. Returns false, and notes the failure, if that is not possible. */
bool dialog_send(struct dialog *dialog, const void *bytes, size_t size);

/* Notes, and says, that standard input could not be read, if `code` is such an error. */
void dialog_input_ended(struct dialog *dialog, int code);

/* Wakes the reader of standard input for good, or from its write: there is nobody to send to any more. */
void dialog_stop_input(struct dialog *dialog);

/* Starts a task beside the main one. Returns false, and notes the failure, if there is no memory for it. */
bool dialog_start(struct dialog *dialog, void (*task)(void *dialog));

/* Says to the server that no more will come and waits, for a short time at most, until the tasks beside are done. */
void dialog_leave(struct dialog *dialog);

#endif

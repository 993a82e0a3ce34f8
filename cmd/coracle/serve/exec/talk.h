/* SPDX-License-Identifier: MIT */
/*
 * The conversation between a client and its process, as the tasks of one connection see it.
 *
 * Pipes, not the socket itself and not a socketpair. With the socket as its 0 and 1, as tcpserver does it, a process
 * talks past the server: no idle limit, no write limit, no count of bytes, and nothing to say of why it ended. A
 * socketpair has no half-close from its side as long as 0 and 1 are the same socket, and nobody can open /dev/stdin
 * when that is one. With two pipes each direction ends for itself, both ways:
 *
 *      the client ends its stream          its standard input ends
 *      it closes 1, or ends                the client reads the end of the stream
 *      it closes 0                         what the client still sends is read and dropped
 *      it does not read, or not write      the client waits: 64 KiB of pipe and 16 KiB here are all that is between
 *
 * Each direction is a task that copies through session_read_buffer and session_write, so that limits and counts are
 * those of every service. A third one reads standard error, a fourth waits for the process. They report to the
 * session's own task, once each at most, through a channel that has room for it: that task decides everything else, and
 * they never wait for it. So does whoever ends the connection: a copy that waits for the process does not notice.
 *
 * Idle is a connection on which nothing has moved in either direction: a client that waits for a long answer is not,
 * and one that waits for a process that has nothing to say is. The read deadline is moved on if the process has
 * written meanwhile, so it may come up to twice as late.
 */
#ifndef CORACLE_CMD_SERVE_EXEC_TALK_H
#define CORACLE_CMD_SERVE_EXEC_TALK_H

#include "serve/exec/child.h"
#include "serve/session.h"

/* Who reports. PART_OTHERS is whoever ends the connection: the operator, or who looks after memory. */
typedef enum talk_part { PART_IN, PART_OUT, PART_PROCESS, PART_OTHERS, PART_COUNT } talk_part;

typedef struct talk_event {
    talk_part part;
    int code; /* 0: the end of the stream, or of the process; or an error */
} talk_event;

struct talk {
    struct session *session;
    struct child child;
    ssize_t place;            /* in the table of children */
    cor_conn *in, *out, *err; /* our ends of the pipes, each one its task's until that has ended */
    cor_chan *events;         /* of talk_event; room for all */
    cor_group parts;          /* the four tasks */
    _Atomic int64_t moved_at; /* when the process has written something last; 0: never */
    int64_t quiet_since;      /* then: when that was, or output was seen to wait for it; the session's task */
    bool client_ended;        /* its stream has ended; likewise */
    bool process_ended;       /* likewise */
    bool out_ended;
    bool ending; /* it has been told to end */
};

/* Reports that somebody has ended the connection; connection.told. */
void talk_told(void *arg);

/* The four tasks; `arg` is the struct talk. */
void talk_in(void *arg);
void talk_out(void *arg);
void talk_err(void *arg);
void talk_watch(void *arg);

#endif

/* SPDX-License-Identifier: MIT */
/* Why connections end: the closed list. The same word stands in the log, in the counters and in the status. */
#ifndef CORACLE_CMD_SERVE_REASON_H
#define CORACLE_CMD_SERVE_REASON_H

typedef enum close_reason {
    REASON_NONE,          /* it is open */
    REASON_EOF,           /* the conversation was over: the client closed its side, or has all that it asked for */
    REASON_RESET,         /* the client broke off, or has vanished */
    REASON_IDLE,          /* it sent nothing whole for too long */
    REASON_FIRST_BYTE,    /* it sent nothing at first */
    REASON_WRITE_TIMEOUT, /* it took nothing of what was sent to it */
    REASON_SLOW_CONSUMER, /* a member of the room that was too far behind */
    REASON_TOO_LONG,      /* a line or message beyond the limit */
    REASON_PROTOCOL,      /* not what HTTP and WebSocket allow */
    REASON_RATE,          /* refused: its address opened too many in a short time */
    REASON_DENIED,        /* refused: --allow and --deny */
    REASON_MAX_CONNS,     /* refused: there were too many connections */
    REASON_PER_IP,        /* refused: its address had too many open */
    REASON_MAX_ROOMS,     /* refused: it wanted another room, and there were too many */
    REASON_DRAIN,         /* the server was ending */
    REASON_KICKED,        /* the operator ended it */
    REASON_EXEC_EXIT,     /* the process that served it ended; the event says how */
    REASON_OOM,           /* memory ran out */
    REASON_INTERNAL,      /* anything else that failed; the event has the error */
    REASON_COUNT
} close_reason;

extern const char *const reason_names[REASON_COUNT];

#endif

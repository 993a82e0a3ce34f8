/* SPDX-License-Identifier: MIT */
/*
 * Two ends of a stream, every order: what may happen to a connection, at every moment relative to a call on it.
 *
 * A case is a call (read, write), two events and for each its place: before the call, while it waits, after it has
 * returned. ends_play (two_ends_play.c) plays a case and notes its outcome. It knows the near end, whose calls are
 * looked at, through `ends_side` only, and there are two sides: tasks of this library (test_two_ends.c), and threads on
 * plain sockets with poll(2) (two_ends_kernel.c). The far end is a plain socket, the same for both. An outcome of the
 * library is right if the threads can have it too.
 *
 * How the threads come to all they can have. Two events while the call waits are both there when the caller looks
 * (ENDS_HELD), or it has answered the first one already (ENDS_SETTLED), or is so slow to begin that it looks once all
 * has happened (ENDS_LATE; a task is parked, and waits as far as others can see, before its poller has looked), or it
 * just happens. The first two are played beforehand, all of them, many times, where the outcome is not among those yet.
 *
 * Sockets cannot say close, deadline, cancel to a waiting thread: the threads keep flags for these, asked
 * before each try in the order close, group, deadline, as documented for cor_read.
 *
 * Who ends the call: by `ends_call_must_end`, a table of what ends a read and a write, or else the script itself, by
 * its deadline. So no call may last: whatever does not come to pass in time is a hang, on either side.
 *
 * Two outcomes of the kernel need a word.
 *  - A reset is told once (ECONNRESET), to the direction that looks first; the other one learns EPIPE or the end of
 *    stream. The io_uring poller has its receive looking all the time, so the reader may get the word where a thread
 *    that did not read would have left it to the writer. `ends_same` takes both for TCP over io_uring, as long as
 *    somebody is told exactly as often.
 *  - After shutdown(SHUT_RD) Linux still gives bytes of TCP that arrive later. The documented promise is "reads return
 *    0 from now on", and a receive that was under way then keeps it (io_uring). Both are right, and then what is left
 *    unread at close, and with it the end that the peer sees, differs too.
 */
#ifndef TEST_STRESS_TWO_ENDS_H
#define TEST_STRESS_TWO_ENDS_H

#include <coracle.h>
#include <stdbool.h>
#include <stdint.h>

enum { ENDS_MAIN, ENDS_OTHER, ENDS_CALLERS };

/* What the caller does. READ and WRITE are the calls looked at; the others come after. */
typedef enum ends_call { ENDS_READ, ENDS_WRITE, ENDS_READ_REST, ENDS_WRITE_LITTLE, ENDS_CALLS } ends_call;

typedef enum ends_event {
    ENDS_BYTES,          /* the far end sends; while a write waits: it takes all that was written */
    ENDS_FIN,            /* the far end shuts its writing */
    ENDS_FAR_CLOSE,      /* the far end closes */
    ENDS_RST,            /* the far end closes so that this end is reset */
    ENDS_CLOSE,          /* this end is closed by another task */
    ENDS_HALF,           /* this end's writing is shut by another task */
    ENDS_HALF_READ,      /* this end's reading is shut by another task */
    ENDS_OPPOSITE,       /* another task calls in the other direction */
    ENDS_DEADLINE,       /* the deadline moves into the past */
    ENDS_LATER,          /* the deadline moves far away */
    ENDS_CANCEL,         /* the caller's group is cancelled */
    ENDS_GROUP_DEADLINE, /* the deadline of the caller's group passes */
    ENDS_GROUP_END,      /* the group above the caller's is cancelled and waited for */
    ENDS_EVENTS
} ends_event;

typedef enum ends_place { ENDS_BEFORE, ENDS_WHILE, ENDS_AFTER } ends_place;

typedef struct ends_case {
    bool unix_stream;
    ends_call call;
    ends_event event[2];
    ends_place place[2]; /* not falling */
    bool leaves;         /* at last this end is closed with something unread, which the peer must learn as a reset */
} ends_case;

/* Results: a code, 0 for the end of stream, ENDS_DONE for bytes, ENDS_NONE for what did not happen. */
enum { ENDS_DONE = 1, ENDS_NONE = 2 };

typedef struct ends_outcome {
    int first;       /* of the call */
    int second;      /* of the same caller's next call */
    int opposite;    /* of ENDS_OPPOSITE */
    int tail_read;   /* then, by the script: reading to the end ... */
    int tail_write;  /* ... and writing a little */
    int far_end;     /* what the far end reads at last */
    uint32_t missed; /* a read's case: bytes of the far end that no call got */
} ends_outcome;

typedef struct ends_stage ends_stage;

/* The near end. All are called by the script's thread or task, but read and write also by the callers. */
typedef struct ends_side {
    bool (*open)(ends_stage *stage); /* connects near and far: stage->far, stage->near_fd */
    void (*begin)(ends_stage *stage, int who, ends_call call);
    bool (*parked)(ends_stage *stage, int who);
    void (*act)(ends_stage *stage, ends_event event); /* those of the near end */
    void (*end_call)(ends_stage *stage, int64_t deadline);
    void (*close_far)(ends_stage *stage, bool reset);
    void (*hold)(ends_stage *stage, bool on); /* nobody looks until it is off */
    void (*pause)(unsigned round);
    int64_t (*read)(ends_stage *stage, int who, void *buf, size_t size); /* who < 0: the script */
    int64_t (*write)(ends_stage *stage, int who, const void *buf, size_t size);
    void (*finish)(ends_stage *stage); /* ends the callers, closes what is open */
} ends_side;

struct ends_stage {
    const ends_side *side;
    const ends_case *script;
    ends_outcome outcome;
    int far;       /* descriptor, -1 after its close */
    int near_fd;   /* only to look at, -1 after its close */
    bool holds;    /* events while the call waits come all at once */
    bool settles;  /* or each is answered first */
    bool late[2];  /* callers do not look at all until the events before and while, the events after have happened */
    uint32_t luck; /* of this run; sides take their choices from it */
    bool hung;
    bool near_closed, far_shut, far_finished;
    uint32_t far_took;    /* bytes */
    bool drained;         /* nothing is left of the far end's bytes: its last one was read; atomic */
    uint32_t sent, taken; /* bytes of the far end's; `taken` atomic */
    ends_call command[ENDS_CALLERS];
    int result[ENDS_CALLERS];
    bool running[ENDS_CALLERS]; /* atomic: set by begin, cleared by the caller after result */
    const char *phase;          /* for a report of a hang */
    void *own;                  /* the side's */
};

/* How many cases there are for one kind of stream; fills the one with this number. */
int ends_case_count(void);
ends_case ends_case_at(int number, bool unix_stream);
/* Writes "read: BYTES before, RST while", and an outcome; both give `text`. */
char *ends_case_text(const ends_case *script, char *text, size_t size);
char *ends_outcome_text(const ends_outcome *outcome, char *text, size_t size);
bool ends_has(const ends_case *script, ends_event event);
/* True if the events up to the call's waiting end the call for certain. */
bool ends_call_must_end(const ends_case *script);
/* True if a reference has the outcome; `reads_ahead`: see the head comment. */
bool ends_same(const ends_case *script, bool reads_ahead, const ends_outcome *a, const ends_outcome *b);

/* Plays stage->script on the opened side; false, with stage->hung, if something did not come to pass. */
bool ends_play(ends_stage *stage);
/* What a caller does for a command; by the sides' callers. */
void ends_call_now(ends_stage *stage, int who);

/* The ways in which the threads can be made to look; bits. */
enum {
    ENDS_HELD = 1,
    ENDS_SETTLED = 2,
    ENDS_LATE = 4,
    ENDS_LATE_AFTER = 8,
    ENDS_MAIN_FIRST = 16, /* after a hold; neither: who comes first */
    ENDS_OTHER_FIRST = 32,
    ENDS_WAYS = 64
};

/* The threads: plays `script` once, in a way. False if it hung, which is a fault of the script. */
typedef struct ends_kernel ends_kernel;
ends_kernel *ends_kernel_new(bool unix_stream);
bool ends_kernel_play(ends_kernel *kernel, const ends_case *script, unsigned way, ends_outcome *out);
void ends_kernel_free(ends_kernel *kernel);

/* A listening socket of the kind and a connected pair on it; buffers are small, so that writes soon wait. */
typedef struct ends_listener {
    int fd;
    bool unix_stream;
    char address[64]; /* as cor_dial takes it */
} ends_listener;
bool ends_listen(ends_listener *listener, bool unix_stream);
/* Connects to an address of ends_listen or of cor_listener_addr; -1 if that fails. */
int ends_connect(const char *address, bool unix_stream);
void ends_small_buffers(int fd);

#endif

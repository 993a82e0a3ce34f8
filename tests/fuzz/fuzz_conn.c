/* SPDX-License-Identifier: MIT */
/*
 * Connections: tasks that read, write, close, half-close and move deadlines on both ends of one connection, in any
 * order and all at once. Each write repeats one byte that no other write of its end uses, so the reader can tell that
 * writes stay whole and in order and that nothing is lost or doubled. Each result must be one that what has happened so
 * far allows; in the end every task has returned and every handle is gone.
 *
 * Input: a byte with the transport, then actions of the conductor (see `conduct`).
 */
#include "input.h"
#include "runtime.h"

#include <coracle/error.h>
#include <coracle/group.h>
#include <coracle/io.h>
#include <coracle/time.h>
#include <errno.h>
#include <sys/socket.h>

enum { ENDS = 2, ACTORS = 24, OPS = 4, MESSAGES = ACTORS * OPS + 1 };
enum transport { PIPE, SOCKETPAIR, UNIX_SOCKET, TRANSPORTS };
enum kind { READ, WRITE, CLOSE, CLOSE_WRITE, CLOSE_READ, READ_DEADLINE, WRITE_DEADLINE, WAIT, BUFFER, EMPTY, KINDS };

/* What one end has written, message by message (number 0 is not used), and how much of it the other end has read. */
typedef struct message {
    size_t size, written, received;
    bool ended; /* the write has returned */
} message;

/* One end of the connection, and what has been done to it. */
typedef struct end {
    cor_conn *conn;
    bool closing, closed; /* cor_close was called, has returned */
    bool write_shut, read_shut;
    bool deadlines;             /* one was ever set */
    int64_t deadline[2];        /* read, write */
    unsigned moves[2];          /* how often they were set */
    unsigned inside[2];         /* tasks in a call that may wait to read, to write */
    message messages[MESSAGES]; /* from here */
    unsigned count, reading;    /* messages begun; the one that the other end is in */
    bool complete;              /* the other end has seen the end of the stream, and nothing broke it */
    bool broken;                /* the stream from here was reset */
} end;

typedef struct action {
    enum kind kind;
    end *on;
    size_t size;
    int64_t deadline;
} action;

typedef struct actor {
    action actions[OPS];
    unsigned count;
    struct actor *next;
} actor;

static end ends[ENDS];
static enum transport transport;
static cor_group group;
static bool cancelled;
static actor *actors;
static cor_listener *listener;

static end *other(const end *of)
{
    return &ends[of == &ends[0]];
}

/* Bytes that `at` has read: runs of the message numbers of the other end, in order. */
static void receive(const end *at, const unsigned char *bytes, size_t size)
{
    end *from = other(at);
    for (size_t i = 0; i < size; i++) {
        CHECK(bytes[i] >= from->reading && bytes[i] <= from->count);
        from->reading = bytes[i];
        message *of = &from->messages[bytes[i]];
        CHECK(++of->received <= of->size);
    }
}

/* Checks a negative result of a call that began when the end was `was_closed`. */
static void check_error(const end *at, int rc, bool was_closed)
{
    const end *peer = other(at);
    bool gone = peer->closing || peer->read_shut || at->write_shut;
    switch (rc) {
    case COR_ECLOSED:
        CHECK(at->closing);
        break;
    case COR_ETIMEOUT:
        CHECK(at->deadlines && !was_closed);
        break;
    case COR_ECANCELED:
        CHECK(cancelled && !was_closed);
        break;
    case COR_EPIPE_CLOSED:
        CHECK(transport == PIPE && peer->closing && !was_closed);
        break;
    case -EPIPE:
    case -ECONNRESET:
        CHECK(transport != PIPE && gone && !was_closed);
        break;
    default:
        fprintf(stderr, "result %d\n", rc);
        CHECK(!"an error that may be");
    }
}

static void check_end_of_stream(end *at)
{
    end *from = other(at);
    CHECK(from->closing || from->write_shut || at->read_shut);
    from->complete |= !at->read_shut;
}

static void check_read(end *at, ssize_t rc, bool was_closed)
{
    if (rc < 0) {
        check_error(at, (int)rc, was_closed);
        other(at)->broken |= rc == -ECONNRESET;
    } else if (rc == 0) {
        check_end_of_stream(at);
    }
}

/* A deadline that had passed before the call and stayed wins over data. */
static bool must_time_out(const end *at, int direction, unsigned moves)
{
    return at->deadline[direction] == 1 && at->moves[direction] == moves;
}

static void do_read(const action *this)
{
    end *at = this->on;
    bool was_closed = at->closed;
    unsigned moves = at->moves[0];
    bool late = at->deadline[0] == 1;
    char *buf = malloc(this->size > 0 ? this->size : 1);
    CHECK(buf != NULL);
    at->inside[0]++;
    ssize_t rc = cor_read(at->conn, buf, this->size);
    at->inside[0]--;
    CHECK(rc <= (ssize_t)this->size);
    CHECK(rc < 0 || !was_closed);
    if (rc < 0 || this->size > 0) {
        bool pipe_ended = transport == PIPE && rc == 0; /* comes before the deadline, as in Go's net.Pipe */
        CHECK(rc < 0 || !late || pipe_ended || !must_time_out(at, 0, moves));
        check_read(at, rc, was_closed);
        receive(at, (const unsigned char *)buf, rc > 0 ? (size_t)rc : 0);
    }
    free(buf);
}

static void do_buffer(const action *this)
{
    end *at = this->on;
    bool was_closed = at->closed;
    cor_buffer buffer = {0};
    at->inside[0]++;
    ssize_t rc = cor_read_buffer(at->conn, &buffer);
    at->inside[0]--;
    check_read(at, rc, was_closed);
    if (rc > 0) {
        CHECK((size_t)rc == buffer.size && !was_closed);
        receive(at, buffer.data, buffer.size);
        cor_buffer_free(&buffer);
        CHECK(buffer.data == NULL);
    }
}

/* The writes of one end take turns: the next one's bytes begin where the one before ended. */
static void do_write(const action *this)
{
    end *at = this->on;
    bool was_closed = at->closed, peer_was_closed = other(at)->closed;
    unsigned moves = at->moves[1];
    bool late = at->deadline[1] == 1;
    unsigned number = ++at->count;
    CHECK(number < MESSAGES);
    message *of = &at->messages[number];
    of->size = this->size;
    char *buf = malloc(of->size > 0 ? of->size : 1);
    CHECK(buf != NULL);
    memset(buf, (int)number, of->size);
    at->inside[1]++;
    int rc = cor_write_counted(at->conn, buf, of->size, &of->written);
    at->inside[1]--;
    of->ended = true;
    CHECK(of->written <= of->size && (rc == 0 || of->size == 0 || of->written < of->size));
    if (rc < 0) {
        check_error(at, rc, was_closed);
    } else {
        CHECK(rc == 0 && of->written == of->size && !was_closed);
        CHECK(of->size == 0 || !(peer_was_closed || (late && must_time_out(at, 1, moves))));
    }
    free(buf);
}

static void do_close(const action *this)
{
    end *at = this->on;
    bool before = at->closing;
    at->closing = true;
    CHECK(cor_close(at->conn) == (before ? COR_ECLOSED : 0));
    at->closed |= !before;
}

static void do_shut(const action *this)
{
    end *at = this->on;
    bool was_closed = at->closed;
    bool *shut = this->kind == CLOSE_WRITE ? &at->write_shut : &at->read_shut;
    *shut |= transport != PIPE && !was_closed;
    int rc = this->kind == CLOSE_WRITE ? cor_close_write(at->conn) : cor_close_read(at->conn);
    CHECK(rc == 0 || (rc == COR_ECLOSED && at->closing) || (rc == -ENOTCONN && other(at)->closing) ||
          (rc == -EOPNOTSUPP && transport == PIPE));
    CHECK(rc < 0 || !was_closed);
}

static void do_deadline(const action *this)
{
    end *at = this->on;
    int direction = this->kind == WRITE_DEADLINE;
    bool was_closed = at->closed;
    at->deadlines |= this->deadline != 0;
    at->deadline[direction] = this->deadline;
    at->moves[direction]++;
    int rc =
        direction ? cor_set_write_deadline(at->conn, this->deadline) : cor_set_read_deadline(at->conn, this->deadline);
    CHECK(rc == 0 || (rc == COR_ECLOSED && at->closing));
    CHECK(rc < 0 || !was_closed);
}

static void do_wait(const action *this)
{
    bool was_closed = this->on->closed;
    this->on->inside[0]++;
    int rc = cor_wait_readable(this->on->conn);
    this->on->inside[0]--;
    CHECK(rc <= 0);
    if (rc < 0) {
        check_error(this->on, rc, was_closed);
    } else {
        CHECK(!was_closed);
    }
}

static void perform(const action *this)
{
    switch (this->kind) {
    case WRITE:
        do_write(this);
        break;
    case CLOSE:
        do_close(this);
        break;
    case CLOSE_WRITE:
    case CLOSE_READ:
        do_shut(this);
        break;
    case READ_DEADLINE:
    case WRITE_DEADLINE:
        do_deadline(this);
        break;
    case WAIT:
        do_wait(this);
        break;
    case BUFFER:
        do_buffer(this);
        break;
    case EMPTY:
        do_read(&(action){.kind = READ, .on = this->on});
        break;
    default:
        do_read(this);
    }
}

static void act(void *arg)
{
    const actor *self = arg;
    for (unsigned i = 0; i < self->count; i++) {
        perform(&self->actions[i]);
    }
}

/* Takes one action out of the input: the kind and the end, then a size or a deadline. */
static void read_action(input *in, action *to)
{
    unsigned what = input_byte(in), size = input_byte(in);
    to->kind = (what >> 1) % KINDS;
    to->on = &ends[what & 1];
    to->size = size < 128 ? size : (size - 127) * (size - 127) * 8; /* up to 128 KiB: more than a socket takes */
    to->deadline = size % 3 == 0 ? 0 : size % 3 == 1 ? 1 : cor_now() + 20 * COR_MICROSECOND;
}

static void start_actor(input *in, unsigned count)
{
    actor *made = calloc(1, sizeof(*made));
    CHECK(made != NULL);
    made->count = count;
    made->next = actors;
    actors = made;
    for (unsigned i = 0; i < count; i++) {
        read_action(in, &made->actions[i]);
    }
    CHECK(cor_group_go(&group, act, made) == 0);
}

static void cancel(void)
{
    cancelled = true;
    cor_group_cancel(&group);
}

/* One action of the conductor: starts a task, lets the others run, waits a little, or (rarely) cancels all. */
static void conduct(input *in, unsigned *started)
{
    unsigned what = input_byte(in);
    switch (what & 3) {
    case 0:
        cor_yield();
        break;
    case 1:
        (void)cor_group_wait(&group, cor_now() + 30 * COR_MICROSECOND);
        if (what == 0xF9) {
            cancel();
        }
        break;
    default:
        if (*started < ACTORS) {
            ++*started;
            start_actor(in, (what >> 2) % OPS + 1);
        }
        break;
    }
}

static void dial_unix(void)
{
    char address[COR_ADDR_TEXT];
    if (listener == NULL) {
        CHECK(cor_listen(&listener, "unix", "@", NULL) == 0);
    }
    cor_listener_addr(listener, address, sizeof(address));
    CHECK(cor_dial(&ends[0].conn, "unix", address, NULL) == 0 && cor_accept(listener, &ends[1].conn) == 0);
}

static void set_up(input *in)
{
    int fds[2];
    memset(ends, 0, sizeof(ends));
    memset(&group, 0, sizeof(group));
    cancelled = false;
    transport = input_byte(in) % TRANSPORTS;
    switch (transport) {
    case PIPE:
        CHECK(cor_pipe(&ends[0].conn, &ends[1].conn) == 0);
        break;
    case SOCKETPAIR:
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        CHECK(cor_open_fd(&ends[0].conn, fds[0]) == 0 && cor_open_fd(&ends[1].conn, fds[1]) == 0);
        break;
    default:
        dial_unix();
    }
}

/* Bytes that finished writes have left for the other end. */
static size_t unread(const end *from)
{
    size_t total = 0;
    for (unsigned i = 1; i <= from->count; i++) {
        const message *of = &from->messages[i];
        total += of->ended ? of->written - of->received : 0;
    }
    return total;
}

/* Whether a call in this direction waits although what it waits for is there. */
static bool oversleeps(const end *at, int direction)
{
    const end *peer = other(at);
    if (at->inside[direction] == 0) {
        return false;
    }
    bool late = at->deadline[direction] != 0 && at->deadline[direction] < cor_now();
    if (late || at->closing || peer->closed) {
        return true;
    }
    return direction == 0 ? at->read_shut || peer->write_shut || unread(peer) > 0
                          : transport == PIPE && peer->inside[0] > 0;
}

/* Gives the tasks time until none of them waits for what is there; that comes soon. */
static void settle(void)
{
    int64_t limit = cor_now() + 4 * COR_SECOND;
    for (int i = 0; i < 2 * ENDS; i++) {
        while (oversleeps(&ends[i / 2], i % 2)) {
            CHECK(cor_now() < limit);
            (void)cor_group_wait(&group, cor_now() + 50 * COR_MICROSECOND);
        }
    }
}

/* Whatever was written before a clean end of the stream has arrived. */
static void check_complete(const end *from)
{
    for (unsigned i = 1; i <= from->count; i++) {
        const message *of = &from->messages[i];
        CHECK(of->ended && of->received <= of->written);
        CHECK(!from->complete || from->broken || other(from)->read_shut || of->received == of->written);
    }
}

/* Closing, or cancelling and then closing, must get every task back. */
static void tear_down(bool cancel_first)
{
    if (cancel_first) {
        cancel();
        CHECK(cor_group_wait(&group, cor_now() + 8 * COR_SECOND) == 0);
    }
    for (int i = 0; i < ENDS; i++) {
        do_close(&(action){.kind = CLOSE, .on = &ends[i]});
    }
    CHECK(cor_group_wait(&group, cor_now() + 8 * COR_SECOND) == 0);
    for (int i = 0; i < ENDS; i++) {
        CHECK(ends[i].closed);
        check_complete(&ends[i]);
    }
    cor_runtime_stats stats;
    CHECK(cor_stats(&stats) == 0 && stats.connections == (listener != NULL));
    while (actors != NULL) {
        actor *next = actors->next;
        free(actors);
        actors = next;
    }
}

static void run(void *arg)
{
    input *in = arg;
    unsigned started = 0;
    bool cancel_first = in->left % 2 == 1;
    set_up(in);
    while (in->left > 0) {
        conduct(in, &started);
    }
    settle();
    tear_down(cancel_first);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    runtime_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size < 300 ? size : 300};
    runtime_run(run, &in);
    return 0;
}

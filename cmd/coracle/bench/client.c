/* SPDX-License-Identifier: MIT */
/*
 * The client of the modes echo, line, connect and idle: one task per connection that begins the messages which are due,
 * sends them, waits, and checks what comes. All the modes are this one loop with other limits: idle is a schedule whose
 * first message is due late, connect is a limit of one message per connection.
 *
 * One task suffices because at most BENCH_WINDOW_BYTES are on their way: they fit into the sockets' buffers, so a write
 * does not wait for a server that waits for us to read.
 *
 * The read deadline is the task's alarm clock. In a closed loop it stands at the answer's time limit and is moved only
 * when it has rung, so a message costs no call for it.
 */
#include "bench/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A wait for a message to be due that takes longer by this was held up by the generator itself. */
#define LATE_NS COR_MILLISECOND
/* Pause of a connection that could not be made. */
#define RETRY_NS (10 * COR_MILLISECOND)
/* Streams of different connections begin at different places, so that one answering for another is noticed. */
enum { STREAM_STEP = 7 };

/* What ends an exchange, beside the errors of cor_read_buffer and cor_write. */
enum { DONE = 1, WRONG = 2, TIMEOUT = 3, ENDED_BY_PEER = 4 };

typedef struct client {
    struct run *run;
    tally *tally;
    cor_conn *conn;
    uint64_t number;
    uint64_t first;    /* place in the plan's bytes where this connection's stream begins */
    uint64_t sent;     /* bytes */
    uint64_t answered; /* bytes: of those sent, how many have had their answer */
    uint64_t before;   /* messages of earlier connections of this client */
    uint64_t begun;    /* messages of this connection */
    uint64_t done;     /* messages that were answered */
    uint64_t fed;      /* answers while measuring */
    size_t line_size;  /* mode line: bytes of the answer that is coming */
    bool line_differs; /* mode line: from the answer that is expected */
    int64_t now;       /* when the task last looked at the clock */
    int64_t progress;  /* when an answer came last, or the first of the messages under way was begun */
    int64_t alarm;     /* the read deadline; 0: not set */
    const char *op;    /* the call that failed, for the error's text */
    int64_t *stamps;   /* when message m was begun, at m & stamp_mask: latency counts from there */
    uint64_t stamp_mask;
} client;

static bool may_begin(const client *c)
{
    const struct plan *plan = c->run->plan;
    return c->begun - c->done < plan->options.depth && c->begun < plan->limit && c->now < c->run->end_ns;
}

static int64_t next_due(const client *c)
{
    uint64_t before = c->before + c->begun;
    return schedule_due(&c->run->schedule, c->number + before * c->run->plan->options.connections);
}

/* Begins all messages that are due and have room. */
static void begin_messages(client *c)
{
    while (may_begin(c)) {
        int64_t due = next_due(c);
        if (due > c->now) {
            return;
        }
        c->stamps[c->begun & c->stamp_mask] = c->run->schedule.open ? due : c->now;
        c->progress = c->begun == c->done ? c->now : c->progress;
        c->begun++;
    }
}

/* Sends what was begun, as far as the window allows. */
static int send_messages(client *c)
{
    const struct plan *plan = c->run->plan;
    uint64_t end = c->begun * plan->size;
    end = end < c->answered + BENCH_WINDOW_BYTES ? end : c->answered + BENCH_WINDOW_BYTES;
    if (end <= c->sent) {
        return 0;
    }
    ssize_t count = cor_write(c->conn, plan->bytes + (c->first + c->sent) % plan->period, (size_t)(end - c->sent));
    c->sent = end;
    return count < 0 ? (int)count : 0;
}

/* Notes that all messages before number `end` have been answered now. */
static void complete(client *c, uint64_t end)
{
    struct run *run = c->run;
    uint64_t count = end - c->done;
    c->progress = c->now;
    if (c->now < run->measure_ns) {
        c->done = end;
        return;
    }
    for (; c->done < end; c->done++) {
        hist_add(&c->tally->latency, c->now - c->stamps[c->done & c->stamp_mask]);
    }
    if (c->now < run->end_ns) {
        tally_count(c->tally, count);
        c->fed += count;
    } else if (run->schedule.open) {
        c->fed += count; /* it may have been due at the very end */
    }
}

static bool take_echo(client *c, const unsigned char *data, size_t size)
{
    const struct plan *plan = c->run->plan;
    const unsigned char *expected = plan->bytes + (c->first + c->answered) % plan->period;
    if (c->answered + size > c->sent || memcmp(data, expected, size) != 0) {
        return false;
    }
    c->answered += size;
    complete(c, c->answered / plan->size);
    return true;
}

/* Looks at a piece of an answer; an answer is any line, or the one that is expected. */
static void take_piece(client *c, const unsigned char *data, size_t size)
{
    const char *expect = c->run->plan->options.expect;
    if (expect != NULL && !c->line_differs) {
        size_t rest = strlen(expect) - c->line_size;
        c->line_differs = size > rest || memcmp(data, expect + c->line_size, size) != 0;
    }
    c->line_size += size;
}

static bool take_lines(client *c, const unsigned char *data, size_t size)
{
    const char *expect = c->run->plan->options.expect;
    for (const unsigned char *end; (end = memchr(data, '\n', size)) != NULL;) {
        size_t piece = (size_t)(end - data);
        take_piece(c, data, piece);
        if ((c->done + 1) * c->run->plan->size > c->sent) {
            return false; /* nobody asked for it yet */
        }
        if (c->line_differs || (expect != NULL && c->line_size < strlen(expect))) {
            c->tally->wrong++;
        }
        c->line_size = 0;
        c->line_differs = false;
        complete(c, c->done + 1);
        data += piece + 1;
        size -= piece + 1;
    }
    take_piece(c, data, size);
    c->answered = c->done * c->run->plan->size;
    return c->line_size <= BENCH_WINDOW_BYTES;
}

/* Sets the alarm for what comes first: the next message, the end, an answer's time limit. */
static void set_alarm(client *c)
{
    int64_t wanted = INT64_MAX;
    if (c->done < c->begun) {
        wanted = c->progress + c->run->plan->options.timeout;
    }
    if (may_begin(c)) {
        int64_t due = next_due(c) < c->run->end_ns ? next_due(c) : c->run->end_ns;
        wanted = due < wanted ? due : wanted;
    }
    if (c->alarm == 0 || c->alarm > wanted) {
        c->alarm = wanted;
        cor_set_read_deadline(c->conn, wanted);
    }
}

/* The alarm rang: is it an answer that has not come? */
static int alarm_rang(client *c)
{
    c->now = cor_now();
    c->tally->alarms++;
    c->tally->late += c->now - c->alarm > LATE_NS;
    c->alarm = 0;
    bool expired = c->done < c->begun && c->now >= c->progress + c->run->plan->options.timeout;
    return expired ? TIMEOUT : 0;
}

static int receive(client *c)
{
    cor_buffer data;
    set_alarm(c);
    ssize_t count = cor_read_buffer(c->conn, &data);
    if (count <= 0) {
        return count == COR_ETIMEOUT ? alarm_rang(c) : count == 0 ? ENDED_BY_PEER : (int)count;
    }
    c->now = cor_now();
    bool right = c->run->plan->options.mode == MODE_LINE ? take_lines(c, data.data, data.size)
                                                         : take_echo(c, data.data, data.size);
    cor_buffer_free(&data);
    return right ? 0 : WRONG;
}

/* Exchanges messages until there are no more. Returns what ended it. */
static int exchange(client *c)
{
    for (;;) {
        begin_messages(c);
        if (c->begun == c->done && (c->begun == c->run->plan->limit || c->now >= c->run->end_ns)) {
            return DONE;
        }
        c->op = "write";
        int code = send_messages(c);
        if (code == 0) {
            c->op = "read";
            code = receive(c);
        }
        if (code != 0) {
            return code;
        }
    }
}

/* Counts what ended an exchange, and closes. */
__attribute__((noinline)) static void conclude(client *c, int why)
{
    bool interrupted = atomic_load(&c->run->interrupted) != 0;
    if (why == WRONG) {
        c->tally->wrong++;
    } else if (why == TIMEOUT || (why == COR_ECANCELED && c->done < c->begun && !interrupted)) {
        c->tally->timeouts++;
        run_explain(c->run, COR_ETIMEOUT, "no answer in time");
    } else if (why != DONE && why != COR_ECANCELED) {
        run_lost(c->run, c->conn, c->op, why == ENDED_BY_PEER ? 0 : why);
    }
    if (c->run->plan->options.rst) {
        cor_set_linger(c->conn, 0);
    }
    cor_close(c->conn);
    c->conn = NULL;
}

/* Mode connect: waits until the next connection is due. Returns false when no more is to be made. */
static bool await_turn(client *c)
{
    c->now = cor_now();
    int64_t due = next_due(c);
    if (due > c->now && due < c->run->end_ns) {
        if (cor_sleep(due - c->now) < 0) {
            return false;
        }
        c->now = cor_now();
        c->tally->alarms++;
        c->tally->late += c->now - due > LATE_NS;
    }
    return due < c->run->end_ns && c->now < c->run->end_ns && cor_cancelled() == 0;
}

/* Mode connect: connects, exchanges one message and closes, again and again. The latency is that of all of it. */
static void connect_again(client *c)
{
    while (await_turn(c)) {
        c->sent = c->answered = c->begun = c->done = 0;
        c->alarm = 0;
        c->conn = run_dial(c->run, c->number + c->before);
        if (c->conn != NULL) {
            conclude(c, exchange(c));
            c->before++;
        } else if (cor_sleep(RETRY_NS) < 0) {
            return;
        }
    }
}

static void client_task(void *arg)
{
    client *c = arg;
    struct run *run = c->run;
    c->tally = run_tally(run);
    c->conn = run_dial(run, c->number);
    if (run->plan->options.mode == MODE_CONNECT && c->conn != NULL) {
        cor_close(c->conn);
    }
    cor_waitgroup_done(&run->setup);
    bool go = cor_waitgroup_wait(&run->gate, 0) == 0;
    if (go && run->plan->options.mode == MODE_CONNECT) {
        connect_again(c);
    } else if (c->conn != NULL) {
        c->now = cor_now();
        conclude(c, go ? exchange(c) : COR_ECANCELED);
    }
}

/* The clients, followed by their stamps. */
static int client_start(struct run *run)
{
    const bench_options *options = &run->plan->options;
    uint64_t stamps = 1;
    while (stamps < options->depth) {
        stamps *= 2;
    }
    client *clients = calloc(options->connections, sizeof(*clients) + stamps * sizeof(int64_t));
    run->state = clients;
    if (clients == NULL) {
        return -ENOMEM;
    }
    int64_t *stamp = (int64_t *)(clients + options->connections);
    cor_waitgroup_add(&run->setup, (int64_t)options->connections);
    for (uint64_t i = 0; i < options->connections; i++) {
        clients[i] = (client){.run = run, .number = i, .stamps = stamp + i * stamps, .stamp_mask = stamps - 1};
        clients[i].first = options->mode == MODE_LINE ? 0 : i * STREAM_STEP;
        int code = cor_group_go(&run->tasks, client_task, &clients[i]);
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

/* A client is starved if it asked for something and got nothing while the others were measured. */
static bool is_starved(const client *c)
{
    if (c->fed > 0 || c->tally == NULL) {
        return false;
    }
    return c->done < c->begun || (c->begun > 0 && c->stamps[(c->begun - 1) & c->stamp_mask] >= c->run->measure_ns);
}

static void client_finish(struct run *run)
{
    client *clients = run->state;
    for (uint64_t i = 0; clients != NULL && i < run->plan->options.connections; i++) {
        run->tallies[0].starved += is_starved(&clients[i]);
    }
    free(clients);
}

const bench_kind client_kind = {.start = client_start, .finish = client_finish};

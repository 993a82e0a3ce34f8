/* SPDX-License-Identifier: MIT */
/*
 * Mode fanout, against the room of `coracle serve broadcast`: one publisher, and receivers that are told all it says.
 *
 * What every receiver has to get is one stream. The publisher keeps the end of it in a ring of `slots` lines; a
 * receiver compares what it reads with the ring at its own offset, so a delivery costs a part of one memcmp.
 *
 * At most `window` messages are under way, to the slowest receiver that reads. Receivers report at every multiple of
 * `step` messages: the last one to get there moves `passed`. The publisher writes slot m only when m < passed + window,
 * that is when all have gone past the message that was in it; `published` (release, acquire) shows them the new one.
 *
 * Before that, the publisher says hello until every receiver has heard it: only then they are known to be in the room,
 * and only the server knows by which address it calls the publisher. A lost receiver ends the run: nobody could say
 * what the others would have got without it.
 */
#include "bench/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED ": 已经收到信息\n"
#define SAYS " 地址发送了请求消息："
#define HELLO "hello\n"
/* With an LF, so that a server that is something else answers as well. */
#define HELLO_MESSAGE "{\"message\":\"hello\"}\n"
#define MESSAGE_START "{\"message\":\""
#define MESSAGE_END "\"}"
/* Between one hello and the next, while some have not heard it. */
#define HELLO_NS (20 * COR_MILLISECOND)
/* Between two looks whether all is delivered, at the end. */
#define LOOK_NS COR_MILLISECOND
#define LATE_NS COR_MILLISECOND

/* The window is reported in about as many steps; more cannot be under way at a time, even where they are rounded. */
enum { STEPS = 8, STEPS_RING = 16 };

typedef struct receiver {
    struct fanout *fanout;
    tally *tally;
    uint64_t number;
    uint64_t offset;          /* bytes of the stream that have come; before it begins, of the hello that is coming */
    bool heard;               /* a hello */
    bool streaming;           /* the stream has begun */
    uint64_t fed;             /* messages while measuring */
    atomic_uint_fast64_t got; /* messages */
} receiver;

struct fanout {
    struct run *run;
    receiver *receivers;
    uint64_t readers; /* how many of them read: the first ones */
    uint64_t window, step, slots;
    unsigned char *ring; /* of lines as receivers get them */
    size_t line_size;
    unsigned char *messages; /* the same slots as they are sent */
    size_t message_size;
    int64_t *stamps;                 /* by slot: latency counts from there */
    atomic_uint_fast64_t published;  /* messages that are in the ring, or have been */
    atomic_uint_fast64_t passed;     /* messages that all readers have got, counted in steps */
    atomic_uint crossed[STEPS_RING]; /* readers that have got to the end of step s, at s % STEPS_RING */
    cor_chan *moved;                 /* holds a token when `passed` has moved */
    cor_waitgroup named;             /* the publisher's address is known */
    cor_waitgroup hearing;           /* receivers that have not heard a hello */
    cor_conn *conn;                  /* the publisher's */
    char prefix[COR_ADDR_TEXT + sizeof(SAYS)];
    size_t prefix_size;
    char hello[COR_ADDR_TEXT + sizeof(SAYS) + sizeof(HELLO)];
    size_t hello_size;
    char acknowledgement[COR_ADDR_TEXT + sizeof(ACKNOWLEDGED)];
    size_t acknowledgement_size;
};

/* Ends the run: of what is left nothing could be measured. */
static void give_up(struct fanout *f, int code, const char *text)
{
    run_explain(f->run, code, text);
    atomic_store(&f->run->fatal, true);
    cor_group_cancel(&f->run->tasks);
}

/* Notes what ended reading, and ends the run. Not when the run itself has ended it. */
static void end_reading(struct fanout *f, cor_conn *conn, ssize_t code)
{
    if (code != COR_ECANCELED) {
        run_lost(f->run, conn, "read", (int)code);
        give_up(f, (int)code, "");
    }
}

static void end_wrong(struct fanout *f)
{
    run_tally(f->run)->wrong++;
    give_up(f, 0, "the server does not answer as 'coracle serve broadcast' does");
}

/* Takes hellos off the front of *data, up to the first byte of the stream. Returns false if it is neither. */
static bool take_hellos(receiver *to, const unsigned char **data, size_t *size)
{
    const struct fanout *f = to->fanout;
    for (; *size > 0 && !to->streaming; (*data)++, (*size)--) {
        if (**data == (unsigned char)f->hello[to->offset]) {
            to->offset++;
        } else {
            /* A message begins as a hello does, and goes on with a digit. */
            to->streaming = to->heard && to->offset == f->prefix_size;
            return to->streaming;
        }
        if (to->offset == f->hello_size) {
            to->offset = 0;
            if (!to->heard) {
                to->heard = true;
                cor_waitgroup_done(&to->fanout->hearing);
            }
        }
    }
    return true;
}

/* Reports that this reader has got all messages of step `s`. */
static void cross(struct fanout *f, uint64_t s)
{
    atomic_uint *count = &f->crossed[s % STEPS_RING];
    if (atomic_fetch_add(count, 1) + 1 == f->readers) {
        atomic_store(count, 0);
        atomic_store(&f->passed, (s + 1) * f->step);
        int rc = cor_chan_try_send(f->moved, NULL);
        (void)rc; /* when it is full, a token is waiting already */
    }
}

/* Notes that all messages before number `end` have come. */
static void complete(receiver *to, uint64_t end)
{
    struct fanout *f = to->fanout;
    uint64_t got = atomic_load_explicit(&to->got, memory_order_relaxed);
    int64_t now = cor_now();
    if (now >= f->run->measure_ns) {
        for (uint64_t m = got; m < end; m++) {
            hist_add(&to->tally->latency, now - f->stamps[m & (f->slots - 1)]);
        }
        if (now < f->run->end_ns) {
            tally_count(to->tally, end - got);
            to->fed += end - got;
        }
    }
    atomic_store_explicit(&to->got, end, memory_order_relaxed);
    for (uint64_t s = got / f->step; s < end / f->step; s++) {
        cross(f, s);
    }
}

/* Compares a piece of the stream with what was published. */
static bool take_stream(receiver *to, const unsigned char *data, size_t size)
{
    struct fanout *f = to->fanout;
    uint64_t ring_size = f->slots * f->line_size, end = to->offset + size;
    if (end > atomic_load_explicit(&f->published, memory_order_acquire) * f->line_size) {
        return false;
    }
    while (size > 0) {
        uint64_t at = to->offset % ring_size;
        size_t piece = size < ring_size - at ? size : (size_t)(ring_size - at);
        if (memcmp(data, f->ring + at, piece) != 0) {
            return false;
        }
        data += piece;
        size -= piece;
        to->offset += piece;
    }
    complete(to, end / f->line_size);
    return true;
}

/* Reads until the run is over, or for the stalled ones until a hello has been heard. */
static void read_told(receiver *to, cor_conn *conn)
{
    struct fanout *f = to->fanout;
    bool stalls = to->number >= f->readers;
    while (!(stalls && to->heard)) {
        cor_buffer buffer;
        ssize_t count = cor_read_buffer(conn, &buffer);
        if (count <= 0) {
            end_reading(f, conn, count);
            return;
        }
        const unsigned char *data = buffer.data;
        size_t size = buffer.size;
        bool right = to->streaming || take_hellos(to, &data, &size);
        right = right && (size == 0 || take_stream(to, data, size));
        cor_buffer_free(&buffer);
        if (!right) {
            end_wrong(f);
            return;
        }
    }
    while (cor_sleep(COR_MINUTE) == 0) {}
}

static void receiver_task(void *arg)
{
    receiver *to = arg;
    struct fanout *f = to->fanout;
    to->tally = run_tally(f->run);
    cor_conn *conn = run_dial(f->run, to->number);
    cor_waitgroup_done(&f->run->setup);
    if (conn == NULL) {
        give_up(f, 0, "");
        return;
    }
    if (cor_waitgroup_wait(&f->named, 0) == 0) {
        read_told(to, conn);
    }
    cor_close(conn);
}

/* Checks what the publisher gets: an acknowledgement for each message, and nothing else. */
static void acknowledgement_task(void *arg)
{
    struct fanout *f = arg;
    cor_buffer data;
    size_t at = 0;
    ssize_t count;
    while ((count = cor_read_buffer(f->conn, &data)) > 0) {
        bool right = true;
        for (size_t i = 0; i < data.size && right;) {
            size_t piece = f->acknowledgement_size - at < data.size - i ? f->acknowledgement_size - at : data.size - i;
            right = memcmp(data.data + i, f->acknowledgement + at, piece) == 0;
            at = (at + piece) % f->acknowledgement_size;
            i += piece;
        }
        cor_buffer_free(&data);
        if (!right) {
            end_wrong(f);
            return;
        }
    }
    end_reading(f, f->conn, count);
}

/* Says hello for the first time and learns from the answer by which address the room calls the publisher. */
static bool learn_name(struct fanout *f)
{
    char *line;
    size_t size, rest = strlen(ACKNOWLEDGED) - 1;
    cor_lines lines = cor_lines_of(f->conn, sizeof(f->acknowledgement) - 1);
    cor_set_read_deadline(f->conn, cor_after(f->run->plan->options.timeout));
    ssize_t code = cor_write(f->conn, HELLO_MESSAGE, strlen(HELLO_MESSAGE));
    code = code < 0 ? code : cor_lines_next(&lines, &line, &size);
    bool known =
        code == 1 && size > rest && size - rest < COR_ADDR_TEXT && memcmp(line + size - rest, ACKNOWLEDGED, rest) == 0;
    if (known) {
        int name_size = (int)(size - rest);
        f->acknowledgement_size =
            (size_t)snprintf(f->acknowledgement, sizeof(f->acknowledgement), "%.*s" ACKNOWLEDGED, name_size, line);
        f->prefix_size = (size_t)snprintf(f->prefix, sizeof(f->prefix), "%.*s" SAYS, name_size, line);
        f->hello_size = (size_t)snprintf(f->hello, sizeof(f->hello), "%s" HELLO, f->prefix);
    } else if (code == 1 || code == COR_ETOO_LONG) {
        end_wrong(f);
    } else {
        end_reading(f, f->conn, code);
    }
    cor_lines_free(&lines);
    cor_set_read_deadline(f->conn, 0);
    return known;
}

/* Fills all slots but for their numbers. */
static bool make_ring(struct fanout *f)
{
    size_t size = f->run->plan->size;
    f->line_size = f->prefix_size + size + 1;
    f->message_size = strlen(MESSAGE_START) + size + strlen(MESSAGE_END);
    f->ring = malloc(f->slots * f->line_size);
    f->messages = malloc(f->slots * f->message_size);
    f->stamps = calloc(f->slots, sizeof(*f->stamps));
    if (f->ring == NULL || f->messages == NULL || f->stamps == NULL) {
        give_up(f, -ENOMEM, cor_strerror(-ENOMEM));
        return false;
    }
    for (uint64_t slot = 0; slot < f->slots; slot++) {
        unsigned char *line = mempcpy(f->ring + slot * f->line_size, f->prefix, f->prefix_size);
        unsigned char *message = f->messages + slot * f->message_size;
        message = mempcpy(message, MESSAGE_START, strlen(MESSAGE_START));
        for (size_t i = 0; i < size; i++) {
            line[i] = message[i] = (unsigned char)('a' + i % 26);
        }
        line[size] = '\n';
        memcpy(message + size, MESSAGE_END, strlen(MESSAGE_END));
    }
    return true;
}

/* Goes on saying hello until all have heard it. */
static bool greet_all(struct fanout *f)
{
    int64_t deadline = cor_after(f->run->plan->options.timeout);
    for (;;) {
        int code = cor_waitgroup_wait(&f->hearing, cor_after(HELLO_NS));
        if (code != COR_ETIMEOUT) {
            return code == 0;
        }
        if (cor_now() > deadline) {
            give_up(f, COR_ETIMEOUT, "some receivers are told nothing");
            return false;
        }
        ssize_t count = cor_write(f->conn, HELLO_MESSAGE, strlen(HELLO_MESSAGE));
        if (count < 0) {
            end_reading(f, f->conn, count);
            return false;
        }
    }
}

static void write_number(unsigned char *to, uint64_t number)
{
    for (int i = FANOUT_DIGITS - 1; i >= 0; i--) {
        to[i] = (unsigned char)('0' + number % 10);
        number /= 10;
    }
}

/* Publishes messages first .. first+count-1, which fit into the window. */
static ssize_t publish(struct fanout *f, uint64_t first, uint64_t count, int64_t now)
{
    const struct schedule *schedule = &f->run->schedule;
    for (uint64_t m = first; m < first + count; m++) {
        uint64_t slot = m & (f->slots - 1);
        write_number(f->ring + slot * f->line_size + f->prefix_size, m);
        write_number(f->messages + slot * f->message_size + strlen(MESSAGE_START), m);
        f->stamps[slot] = schedule->open ? schedule_due(schedule, m) : now;
    }
    atomic_store_explicit(&f->published, first + count, memory_order_release);
    while (count > 0) {
        uint64_t slot = first & (f->slots - 1);
        uint64_t piece = count < f->slots - slot ? count : f->slots - slot;
        ssize_t written = cor_write(f->conn, f->messages + slot * f->message_size, (size_t)piece * f->message_size);
        if (written < 0) {
            return written;
        }
        first += piece;
        count -= piece;
    }
    return 0;
}

/* How many messages may be published from number `next` on. */
static uint64_t allowed(const struct fanout *f, uint64_t next, int64_t now)
{
    uint64_t end = atomic_load_explicit(&f->passed, memory_order_acquire) + f->window, count = 0;
    while (next + count < end && schedule_due(&f->run->schedule, next + count) <= now) {
        count++;
    }
    return count;
}

/* Waits until message `next` is due or the window has moved. Returns false when that takes too long. */
static bool await_turn(struct fanout *f, uint64_t next, int64_t now)
{
    struct run *run = f->run;
    int64_t due = schedule_due(&run->schedule, next);
    if (due > now) {
        tally *own = run_tally(run);
        int64_t until = due < run->end_ns ? due : run->end_ns;
        (void)cor_sleep(until - now);
        own->alarms++;
        own->late += cor_now() - until > LATE_NS;
        return true;
    }
    int64_t limit = now + run->plan->options.timeout;
    return cor_chan_recv(f->moved, NULL, limit) != COR_ETIMEOUT;
}

static bool all_have(const struct fanout *f, uint64_t count)
{
    for (uint64_t i = 0; i < f->readers; i++) {
        if (atomic_load_explicit(&f->receivers[i].got, memory_order_relaxed) < count) {
            return false;
        }
    }
    return true;
}

/* Publishes until the end. Returns how many messages, if all went well. */
static bool publish_all(struct fanout *f, uint64_t *count)
{
    int64_t now;
    uint64_t next = 0;
    while ((now = cor_now()) < f->run->end_ns && cor_cancelled() == 0) {
        uint64_t ready = allowed(f, next, now);
        ssize_t code = ready > 0 ? publish(f, next, ready, now) : 0;
        next += ready;
        if (code < 0) {
            end_reading(f, f->conn, code);
            return false;
        }
        if (ready == 0 && !await_turn(f, next, now)) {
            return false;
        }
    }
    *count = next;
    return cor_cancelled() == 0;
}

/* From the gate to the last delivery. */
static void publish_and_drain(struct fanout *f)
{
    uint64_t count;
    bool delivered = publish_all(f, &count);
    if (cor_cancelled() != 0) {
        return;
    }
    for (int64_t limit = cor_after(f->run->plan->options.timeout); delivered && !all_have(f, count);) {
        delivered = cor_now() < limit && cor_sleep(LOOK_NS) == 0;
    }
    if (!delivered && cor_cancelled() == 0) {
        run_tally(f->run)->timeouts++;
        run_explain(f->run, COR_ETIMEOUT, "not all was delivered in time");
    }
    cor_group_cancel(&f->run->tasks);
}

static void publisher_task(void *arg)
{
    struct fanout *f = arg;
    struct run *run = f->run;
    bool ready = false;
    f->conn = run_dial(run, 0);
    if (f->conn == NULL) {
        give_up(f, 0, "");
    } else if (learn_name(f) && make_ring(f)) {
        if (cor_group_go(&run->tasks, acknowledgement_task, f) == 0) {
            cor_waitgroup_done(&f->named);
            ready = greet_all(f);
        } else {
            give_up(f, -ENOMEM, cor_strerror(-ENOMEM));
        }
    }
    cor_waitgroup_done(&run->setup);
    if (ready && cor_waitgroup_wait(&run->gate, 0) == 0) {
        publish_and_drain(f);
    }
}

static int fanout_start(struct run *run)
{
    const bench_options *options = &run->plan->options;
    struct fanout *f = calloc(1, sizeof(*f));
    run->state = f;
    if (f == NULL) {
        return -ENOMEM;
    }
    f->run = run;
    f->receivers = calloc(options->connections, sizeof(*f->receivers));
    f->moved = cor_chan_new(0, 1);
    if (f->receivers == NULL || f->moved == NULL) {
        return -ENOMEM;
    }
    f->readers = options->connections - options->stalled;
    f->window = options->depth;
    f->step = (f->window + STEPS - 1) / STEPS;
    for (f->slots = 1; f->slots < f->window; f->slots *= 2) {}
    cor_waitgroup_add(&f->named, 1);
    cor_waitgroup_add(&f->hearing, (int64_t)options->connections);
    cor_waitgroup_add(&run->setup, (int64_t)options->connections + 1);
    int code = cor_group_go(&run->tasks, publisher_task, f);
    for (uint64_t i = 0; i < options->connections && code == 0; i++) {
        f->receivers[i].fanout = f;
        f->receivers[i].number = i;
        code = cor_group_go(&run->tasks, receiver_task, &f->receivers[i]);
    }
    return code;
}

static void fanout_finish(struct run *run)
{
    struct fanout *f = run->state;
    if (f == NULL) {
        return;
    }
    for (uint64_t i = 0; f->receivers != NULL && i < f->readers && run->measure_ns != 0; i++) {
        run->tallies[0].starved += f->receivers[i].fed == 0;
    }
    if (f->conn != NULL) {
        cor_close(f->conn);
    }
    cor_chan_free(f->moved);
    free(f->receivers);
    free(f->ring);
    free(f->messages);
    free(f->stamps);
    free(f);
}

const bench_kind fanout_kind = {.start = fanout_start, .finish = fanout_finish};

/* SPDX-License-Identifier: MIT */
/*
 * Mode packet: one task per socket that sends the datagrams which are due, waits, and looks at what comes. Each
 * datagram has its number in it, so that three things can be told apart that streams do not have: one that never comes
 * back (lost, after the time limit), one that comes back after a later one (reordered), and one that comes back twice.
 *
 * What is known of the last datagrams of a socket is in a ring by their number: since when it waits, or what became of
 * it. A number that has left the ring is too old to be judged; such an answer counts as nothing, as does one that comes
 * after its datagram was counted as lost.
 *
 * A socket is connected when a first datagram has come back. Nothing else tells whether there is an echo at all.
 */
#include "bench/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, RING_MIN = 64, STREAM_STEP = 7 };
/* A wait for a datagram to be due that takes longer by this was held up by the generator itself. */
#define LATE_NS COR_MILLISECOND
/* How long the first datagram may take before another is sent. */
#define HELLO_NS (100 * COR_MILLISECOND)
/* The number of the first datagrams of all; and in the ring, of those that wait no more. */
#define HELLO UINT64_MAX
enum { ANSWERED = 0, LOST = -1 };

/* What a datagram begins with; the rest are the plan's bytes, from a place that depends on both. */
typedef struct head {
    uint64_t number;
    uint32_t socket;
} head;
_Static_assert(offsetof(head, socket) + sizeof(uint32_t) == PACKET_HEAD, "the head is PACKET_HEAD bytes");

typedef struct client {
    struct run *run;
    tally *tally;
    cor_conn *conn;
    uint32_t number;
    uint64_t begun;   /* datagrams sent */
    uint64_t waiting; /* of them: not answered and not lost */
    uint64_t oldest;  /* none before this one waits */
    uint64_t highest; /* the highest number that was answered, plus one */
    uint64_t fed;     /* answers while measuring */
    int64_t now;      /* when the task last looked at the clock */
    int64_t alarm;    /* the read deadline; 0: not set */
    const char *op;   /* the call that failed, for the error's text */
    int64_t *ring;    /* by number: since when it waits, ANSWERED or LOST */
    uint64_t mask;
    cor_packet *out, *in; /* `batch` of each, with their bytes */
    int batch;
} client;

static bool may_begin(const client *c)
{
    const bench_options *options = &c->run->plan->options;
    return c->waiting < options->depth && c->begun - c->oldest <= c->mask && c->now < c->run->end_ns;
}

static int64_t next_due(const client *c)
{
    return schedule_due(&c->run->schedule, c->number + c->begun * c->run->plan->options.connections);
}

/* The plan's bytes for a datagram, after its head. */
static const unsigned char *bytes_of(const client *c, uint64_t number)
{
    const struct plan *plan = c->run->plan;
    return plan->bytes + (number % plan->period + c->number * STREAM_STEP) % plan->period;
}

static void put_packet(const client *c, cor_packet *packet, uint64_t number)
{
    unsigned char *data = packet->data;
    packet->size_bytes = c->run->plan->size;
    memcpy(data, &number, sizeof(number));
    memcpy(data + sizeof(number), &c->number, sizeof(c->number));
    memcpy(data + PACKET_HEAD, bytes_of(c, number), packet->size_bytes - PACKET_HEAD);
}

/* Sends so many of c->out. One that the system has no room for is as good as lost. */
static int send_batch(client *c, int count)
{
    for (int sent = 0; sent < count;) {
        int code = cor_write_packets(c->conn, c->out + sent, count - sent);
        if (code < 0 && code != -ENOBUFS) {
            c->op = "write";
            return code;
        }
        sent += code > 0 ? code : 1;
    }
    return 0;
}

/* Sends all datagrams that are due and have room. */
static int send_due(client *c)
{
    int count, code = 0;
    do {
        for (count = 0; count < c->batch && may_begin(c) && next_due(c) <= c->now; count++) {
            c->ring[c->begun & c->mask] = c->run->schedule.open ? next_due(c) : c->now;
            put_packet(c, &c->out[count], c->begun++);
            c->waiting++;
        }
        code = send_batch(c, count);
    } while (code == 0 && count == c->batch);
    return code;
}

static bool measures(const client *c)
{
    return c->now >= c->run->measure_ns;
}

/* Moves `oldest` on past those that wait no more, and past those that have waited too long: they are lost. */
static void give_up(client *c, int64_t before)
{
    for (; c->oldest < c->begun; c->oldest++) {
        int64_t *since = &c->ring[c->oldest & c->mask];
        if (*since > before) {
            return;
        }
        if (*since > 0) {
            *since = LOST;
            c->waiting--;
            c->tally->lost_packets += measures(c);
        }
    }
}

/* Notes the answer to a datagram that has waited since then. */
static void complete(client *c, uint64_t number, int64_t since)
{
    struct run *run = c->run;
    c->ring[number & c->mask] = ANSWERED;
    c->waiting--;
    c->tally->reordered += number < c->highest && measures(c);
    c->highest = number < c->highest ? c->highest : number + 1;
    if (measures(c)) {
        hist_add(&c->tally->latency, c->now - since);
        c->fed += c->now < run->end_ns || run->schedule.open;
        tally_count(c->tally, c->now < run->end_ns);
    }
}

/* Looks at a datagram that has come. */
static void take(client *c, const cor_packet *packet)
{
    const struct plan *plan = c->run->plan;
    const unsigned char *data = packet->data;
    uint64_t number = 0;
    uint32_t socket = 0;
    if (packet->size_bytes == plan->size) {
        memcpy(&number, data, sizeof(number));
        memcpy(&socket, data + sizeof(number), sizeof(socket));
    }
    bool right = packet->size_bytes == plan->size && socket == c->number &&
                 memcmp(data + PACKET_HEAD, bytes_of(c, number), plan->size - PACKET_HEAD) == 0;
    if (right && number == HELLO) {
        return;
    }
    if (!right || number >= c->begun) {
        c->tally->wrong++;
        return;
    }
    if (c->begun - number > c->mask + 1) {
        return;
    }
    int64_t since = c->ring[number & c->mask];
    if (since > 0) {
        complete(c, number, since);
    } else {
        c->tally->duplicates += since == ANSWERED && measures(c);
    }
}

/* Sets the alarm for what comes first: the time limit of the oldest datagram, the next one, the end. */
static void set_alarm(client *c)
{
    int64_t wanted = INT64_MAX;
    if (c->waiting > 0) {
        wanted = c->ring[c->oldest & c->mask] + c->run->plan->options.timeout;
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

static int receive(client *c)
{
    set_alarm(c);
    int count = cor_read_packets(c->conn, c->in, c->batch);
    c->now = cor_now();
    if (count == COR_ETIMEOUT) {
        c->tally->alarms++;
        c->tally->late += c->now - c->alarm > LATE_NS;
        c->alarm = 0;
        give_up(c, c->now - c->run->plan->options.timeout);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        take(c, &c->in[i]);
    }
    give_up(c, ANSWERED);
    c->op = "read";
    return count < 0 ? count : 0;
}

/* Exchanges datagrams until the end, and until none waits any more. Returns what ended it early, or 0. */
static int exchange(client *c)
{
    int code = 0;
    c->now = cor_now();
    while (code == 0 && (c->now < c->run->end_ns || c->waiting > 0)) {
        code = send_due(c);
        code = code == 0 ? receive(c) : code;
    }
    return code;
}

/* Sends a datagram until one comes back. */
static int greet(client *c)
{
    int64_t limit = cor_after(c->run->plan->options.timeout);
    int code = COR_ETIMEOUT;
    while (code == COR_ETIMEOUT && cor_now() < limit) {
        c->op = "write";
        put_packet(c, &c->out[0], HELLO);
        code = send_batch(c, 1);
        if (code == 0) {
            c->op = "read";
            cor_set_read_deadline(c->conn, cor_after(HELLO_NS));
            code = cor_read_packets(c->conn, c->in, 1);
        }
    }
    cor_set_read_deadline(c->conn, 0);
    return code < 0 ? code : 0;
}

__attribute__((noinline)) static void explain(client *c, int code)
{
    char text[COR_ERROR_TEXT];
    cor_error error;
    cor_conn_error(c->conn, c->op, code, &error);
    run_explain(c->run, code, cor_error_text(&error, text, sizeof(text)));
}

/* Opens the socket and finds out whether something echoes there. Returns false after noting why not. */
__attribute__((noinline)) static bool open_socket(client *c)
{
    const struct plan *plan = c->run->plan;
    const address *to = &plan->addresses[c->number % plan->address_count];
    cor_error error;
    int code = cor_dial_until(&c->conn, to->network, to->text, cor_after(plan->options.timeout), &error);
    if (code < 0 && code != COR_ECANCELED) {
        char text[COR_ERROR_TEXT];
        run_explain(c->run, code, cor_error_text(&error, text, sizeof(text)));
    } else if (code == 0) {
        code = greet(c);
        if (code < 0 && code != COR_ECANCELED) {
            explain(c, code);
        }
    }
    if (code == 0) {
        atomic_fetch_add(&c->run->connected, 1);
    } else if (code != COR_ECANCELED) {
        c->tally->failed++;
    }
    return code == 0;
}

/* The memory of a client: the ring, and what is sent and received; answers have room for a byte too many. */
static void *make_memory(client *c)
{
    const struct plan *plan = c->run->plan;
    uint64_t ring = RING_MIN;
    while (ring < 2 * plan->options.depth) {
        ring *= 2;
    }
    c->mask = ring - 1;
    c->batch = plan->options.depth < BATCH ? (int)plan->options.depth : BATCH;
    size_t batch = (size_t)c->batch, each = 2 * sizeof(cor_packet) + 2 * plan->size + 1;
    void *memory = calloc(1, ring * sizeof(int64_t) + batch * each);
    if (memory == NULL) {
        return NULL;
    }
    c->ring = memory;
    c->out = (cor_packet *)(c->ring + ring);
    c->in = c->out + batch;
    unsigned char *bytes = (unsigned char *)(c->in + batch);
    for (size_t i = 0; i < batch; i++) {
        c->out[i].data = bytes + i * (2 * plan->size + 1);
        c->in[i].data = bytes + i * (2 * plan->size + 1) + plan->size;
        c->in[i].room_bytes = plan->size + 1;
    }
    return memory;
}

/* Exchanges until the end, and says what ended it early. */
static void run_exchange(client *c)
{
    struct run *run = c->run;
    cor_set_write_deadline(c->conn, run->end_ns + run->plan->options.timeout);
    int code = exchange(c);
    if (code < 0 && code != COR_ECANCELED) {
        run_lost(run, c->conn, c->op, code);
    }
}

static void client_task(void *arg)
{
    client *c = arg;
    struct run *run = c->run;
    c->tally = run_tally(run);
    void *memory = make_memory(c);
    bool ready = memory != NULL && open_socket(c);
    if (memory == NULL) {
        c->tally->failed++;
        run_explain(run, -ENOMEM, cor_strerror(-ENOMEM));
    }
    cor_waitgroup_done(&run->setup);
    if (cor_waitgroup_wait(&run->gate, 0) == 0 && ready) {
        run_exchange(c);
    }
    if (c->conn != NULL) {
        cor_close(c->conn);
    }
    free(memory);
}

static int packet_start(struct run *run)
{
    uint64_t count = run->plan->options.connections;
    client *clients = calloc(count, sizeof(*clients));
    run->state = clients;
    if (clients == NULL) {
        return -ENOMEM;
    }
    cor_waitgroup_add(&run->setup, (int64_t)count);
    for (uint64_t i = 0; i < count; i++) {
        clients[i] = (client){.run = run, .number = (uint32_t)i};
        int code = cor_group_go(&run->tasks, client_task, &clients[i]);
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

static void packet_finish(struct run *run)
{
    client *clients = run->state;
    for (uint64_t i = 0; clients != NULL && i < run->plan->options.connections; i++) {
        run->tallies[0].starved += clients[i].begun > 0 && clients[i].fed == 0;
    }
    free(clients);
}

const bench_kind packet_kind = {.start = packet_start, .finish = packet_finish};

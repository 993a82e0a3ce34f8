/* SPDX-License-Identifier: MIT */
/*
 * The task of a service over datagrams. All its memory is one block from its start to its end: PACKETS_AT_ONCE times
 * the room of the largest datagram, of which the system gives the pages that datagrams have reached.
 *
 * The task never waits long for an answer to leave. The kernel has no room for one while those to addresses at which
 * nobody is wait to be given up, and the others must not pay for that: the write deadline ends the wait and the answers
 * of that batch are dropped. It is armed when it has run out, not for each batch: that costs a look at the clock.
 *
 * Over unixgram it is one message at a time, because those alone have names. There a sender that does not read what it
 * is sent stops its own answers: its queue is full, of 10 datagrams as a rule, and stays so. They are dropped after a
 * wait that is short enough not to hold up the others, and is begun twice, because a deadline may pass before the
 * kernel has been asked at all.
 */
#include "serve/packets.h"

#include <coracle/message.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PACKETS_AT_ONCE = 32, PACKET_BYTES = 64 * 1024, LOWEST_PORT = 1024 };
/* How long a full socket may hold up the task. */
#define ROOM_NS (10 * COR_MILLISECOND)
/* The same for a sender over unixgram that does not read, and how often it is begun. */
#define NAME_ROOM_NS COR_MILLISECOND
enum { NAME_TRIES = 2 };
/* How often lost answers are told. */
#define TELL_NS (10 * COR_SECOND)
/* How long a service that ends still answers: what was sent before the signal may be under way. */
#define LOOK_NS (50 * COR_MILLISECOND)
/* The pause after a read that failed for want of memory, doubled each time. */
#define PAUSE_NS (5 * COR_MILLISECOND)
#define PAUSE_MAX_NS COR_SECOND

/* One service's socket. */
typedef struct packets {
    struct service *service;
    cor_conn *conn;
    cor_packet *batch; /* PACKETS_AT_ONCE of them, each with its room */
    uint16_t port;     /* the service's own */
    int64_t started;   /* cor_now() */
    int64_t told;      /* when lost answers were told last; 0: never */
    uint64_t received; /* datagrams */
    uint64_t answered; /* datagrams */
    uint64_t refused;  /* by their sender's port or name */
    uint64_t dropped;  /* answers that could not be sent */
    uint64_t bytes_in, bytes_out;
} packets;

static bool may_answer(const packets *of, const cor_packet *packet)
{
    uint16_t port = packet->addr.port;
    return port >= LOWEST_PORT && port != of->port;
}

/* Makes the answers, and moves the datagrams that have one to the front. Returns how many. */
static int make_answers(packets *of, int count)
{
    int made = 0;
    for (int i = 0; i < count; i++) {
        cor_packet *packet = &of->batch[i];
        of->bytes_in += packet->size_bytes;
        if (!may_answer(of, packet)) {
            of->refused++;
        } else if (of->service->def->answer(packet, NULL)) {
            if (made != i) {
                cor_packet other = of->batch[made];
                of->batch[made] = *packet;
                *packet = other;
            }
            made++;
        }
    }
    of->received += (uint64_t)count;
    return made;
}

__attribute__((noinline)) static void drop_answers(packets *of, int count, int code)
{
    int64_t now = cor_now();
    of->dropped += (uint64_t)count;
    if (of->told == 0 || now - of->told >= TELL_NS) {
        of->told = now;
        LOG(LEVEL_WARN, "answers_dropped", {"service", of->service->def->name, 0}, {"error", cor_strerror(code), 0},
            {"so_far", NULL, (int64_t)of->dropped});
    }
}

/* Sends `count` answers. Returns 0, or a code if the socket is at its end. */
static int send_answers(packets *of, int count)
{
    int sent = 0;
    bool armed = false;
    while (sent < count) {
        int code = cor_write_packets(of->conn, of->batch + sent, count - sent);
        if (code == COR_ETIMEOUT && !armed) {
            armed = true; /* the deadline may be an old one */
            cor_set_write_deadline(of->conn, cor_after(ROOM_NS));
        } else if (code == COR_ETIMEOUT) {
            drop_answers(of, count - sent, code);
            return 0;
        } else if (code == COR_ECLOSED || code == COR_ECANCELED) {
            return code;
        } else if (code < 0) {
            drop_answers(of, 1, code);
            sent++;
        } else {
            for (int i = sent; i < sent + code; i++) {
                of->bytes_out += of->batch[i].size_bytes;
            }
            of->answered += (uint64_t)code;
            sent += code;
        }
    }
    return 0;
}

/* What becomes of a read that failed: 0: read again. The kernel may be short of memory for a while. */
static int read_failed(packets *of, int code, int64_t *pause)
{
    if (code == COR_ETIMEOUT) {
        return atomic_load(&of->service->serve->stopping) ? COR_ETIMEOUT : 0;
    }
    if (code != -ENOMEM && code != -ENOBUFS && code != -ENOSPC) {
        return code;
    }
    LOG(LEVEL_WARN, "read_paused", {"service", of->service->def->name, 0}, {"error", cor_strerror(code), 0},
        {"ms", NULL, *pause / COR_MILLISECOND});
    code = cor_sleep(*pause);
    *pause = *pause < PAUSE_MAX_NS / 2 ? 2 * *pause : PAUSE_MAX_NS;
    return code;
}

/* Takes datagrams and answers them. Returns 0, or the code with which reading failed or the socket was at its end. */
static int answer_batch(packets *of, bool *read)
{
    int count = cor_read_packets(of->conn, of->batch, PACKETS_AT_ONCE);
    *read = count > 0;
    return count > 0 ? send_answers(of, make_answers(of, count)) : count;
}

/* Sends an answer to a name. Returns as send_answers. */
static int send_to_name(packets *of, const cor_message *message)
{
    ssize_t count = cor_write_message(of->conn, message);
    for (int i = 0; i < NAME_TRIES && count == COR_ETIMEOUT; i++) { /* the deadline may be an old one */
        cor_set_write_deadline(of->conn, cor_after(NAME_ROOM_NS));
        count = cor_write_message(of->conn, message);
    }
    if (count == COR_ECLOSED || count == COR_ECANCELED) {
        return (int)count;
    }
    if (count < 0) {
        drop_answers(of, 1, (int)count);
    } else {
        of->bytes_out += message->size_bytes;
        of->answered++;
    }
    return 0;
}

/* As answer_batch, over unixgram. */
static int answer_name(packets *of, bool *read)
{
    cor_message message = {.data = of->batch[0].data, .room_bytes = (size_t)PACKETS_AT_ONCE * PACKET_BYTES};
    ssize_t count = cor_read_message(of->conn, &message);
    *read = count >= 0;
    if (count < 0) {
        return (int)count;
    }
    cor_packet packet = {.data = message.data, .room_bytes = message.room_bytes, .size_bytes = message.size_bytes};
    of->received++;
    of->bytes_in += message.size_bytes;
    if (message.path[0] == '\0' || strcmp(message.path, of->service->bound) == 0 || message.cut) {
        of->refused++;
    } else if (of->service->def->answer(&packet, message.path)) {
        message.size_bytes = packet.size_bytes;
        return send_to_name(of, &message);
    }
    return 0;
}

/* Reads and answers until the socket is at its end. Returns the code that told. */
static int answer_all(packets *of)
{
    bool named = strcmp(of->service->address.network, "unixgram") == 0;
    int64_t pause = PAUSE_NS;
    for (;;) {
        bool read;
        int code = named ? answer_name(of, &read) : answer_batch(of, &read);
        pause = read ? PAUSE_NS : pause;
        code = read ? code : read_failed(of, code, &pause);
        if (code != 0) {
            return code;
        }
    }
}

__attribute__((noinline)) static void log_end(const packets *of)
{
    LOG(LEVEL_INFO, "packets", {"service", of->service->def->name, 0}, {"local", of->service->bound, 0},
        {"received", NULL, (int64_t)of->received}, {"answered", NULL, (int64_t)of->answered},
        {"refused", NULL, (int64_t)of->refused}, {"dropped", NULL, (int64_t)of->dropped},
        {"in", NULL, (int64_t)of->bytes_in}, {"out", NULL, (int64_t)of->bytes_out},
        {"ms", NULL, (cor_now() - of->started) / COR_MILLISECOND});
}

int packets_serve(struct service *service)
{
    packets of = {.service = service, .conn = service->packets, .started = cor_now()};
    char *room = malloc((size_t)PACKETS_AT_ONCE * (sizeof(cor_packet) + PACKET_BYTES));
    if (room == NULL) {
        return -ENOMEM;
    }
    of.port = cor_local_endpoint(of.conn).port;
    of.batch = (cor_packet *)room;
    for (int i = 0; i < PACKETS_AT_ONCE; i++) {
        of.batch[i] = (cor_packet){
            .data = room + PACKETS_AT_ONCE * sizeof(cor_packet) + (size_t)i * PACKET_BYTES,
            .room_bytes = PACKET_BYTES,
        };
    }
    cor_set_write_deadline(of.conn, cor_after(ROOM_NS)); /* without one the first answer might wait for ever */
    int code = answer_all(&of);
    log_end(&of);
    free(room);
    return code == COR_ETIMEOUT ? 0 : code;
}

void packets_end_all(struct serve *serve)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        if (serve->services[i].packets != NULL) {
            cor_set_read_deadline(serve->services[i].packets, cor_after(LOOK_NS));
        }
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The service random: answers each line with a number from 1 to 100, both included and equally likely, until a line
 * reads STOP. Lines are trimmed of Unicode white space before the comparison; a last line without LF counts. Each
 * session has a generator of its own, seeded by the kernel: what one client sees says nothing about another.
 *
 * A datagram is a line, and its answer a number, taken from the kernel itself for the same reason. A datagram of fewer
 * bytes than the longest answer is not answered, whatever the number would be: no sender can have more sent to another
 * than he sends himself, and the numbers of short lines are not other ones than those of long lines.
 */
#include "serve/memory.h"
#include "serve/session.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define LOWEST 1
#define HIGHEST 100
#define LONGEST_ANSWER 4 /* bytes of HIGHEST and the LF */

static const char too_long[] = "line too long\n";

/* One step of the splitmix64 generator. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Values of the kernel's, gotten many at a time; of one worker, whose tasks take turns. */
typedef struct pool {
    uint64_t values[32];
    size_t left;
} pool;

/* The next value of the kernel's. */
static uint64_t next_of_kernel(void)
{
    static _Thread_local pool own;
    if (own.left == 0) {
        if (getrandom(own.values, sizeof(own.values), 0) != (ssize_t)sizeof(own.values)) {
            return (uint64_t)cor_now();
        }
        own.left = sizeof(own.values) / sizeof(own.values[0]);
    }
    return own.values[--own.left];
}

/*
 * A number within LOWEST..HIGHEST, from `state` or, if that is NULL, of the kernel's. Values of the incomplete last
 * round are refused, or low numbers were likelier.
 */
static unsigned pick_number(uint64_t *state)
{
    const uint64_t count = HIGHEST - LOWEST + 1;
    uint64_t value;
    do {
        value = state != NULL ? next_random(state) : next_of_kernel();
    } while (value >= UINT64_MAX - UINT64_MAX % count);
    return (unsigned)(LOWEST + value % count);
}

static bool is_stop(const char *line, size_t size)
{
    utf8_trim(&line, &size);
    return size == 4 && memcmp(line, "STOP", 4) == 0;
}

static int answer(struct session *session, uint64_t *state)
{
    char text[16];
    int size = snprintf(text, sizeof(text), "%u\n", pick_number(state));
    return session_write(session, text, (size_t)size);
}

/* A line with its LF, which the last one may lack. */
typedef struct line {
    char *text;
    size_t size;
} line;

/* Waits until more than `have` bytes are buffered. Returns how many are, `have` at end of stream, or an error code. */
static ssize_t hear_more(struct session *session, cor_reader *reader, size_t have, char **text)
{
    ssize_t count;
    do {
        count = cor_reader_peek(reader, have + 1, text);
    } while (count == COR_ETIMEOUT && (count = session_timed_out(session)) > 0);
    return count;
}

/*
 * Waits, within the limits, for a line, which stays valid until it is skipped. What there is of one that has not ended
 * is held for the connection. Returns 1, 0 at end of stream, COR_ETOO_LONG or another error code.
 */
static int next_line(struct session *session, cor_reader *reader, line *out)
{
    size_t have = 0, most = session_options(session)->max_line;
    int code = 1;
    if (cor_reader_buffered(reader) == 0) {
        code = session_await(session);
    } else {
        session_arm_read(session);
    }
    while (code > 0) {
        ssize_t count = hear_more(session, reader, have, &out->text);
        if (count <= (ssize_t)have) {
            out->size = have;
            return count < 0 ? (int)count : have > 0;
        }
        const char *end = memchr(out->text + have, '\n', (size_t)count - have);
        have = (size_t)count;
        if (end != NULL) {
            out->size = (size_t)(end - out->text) + 1;
            break;
        }
        if (have > most) {
            return COR_ETOO_LONG;
        }
        memory_hold(session->seen, have);
    }
    return code;
}

/* Answers lines until the session is over; says in *op which call ended it. Returns that call's code, 1 for STOP. */
static int talk(struct session *session, cor_reader *reader, const char **op)
{
    uint64_t state;
    if (getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state)) {
        state = (uint64_t)cor_now() ^ cor_task_id();
    }
    for (;;) {
        line heard;
        int code = next_line(session, reader, &heard);
        *op = "read";
        if (code <= 0) {
            return code;
        }
        session->heard = true;
        session->looking = false;
        connection_add(&session->seen->bytes_in, heard.size);
        connection_add(&session->seen->messages_in, 1);
        if (is_stop(heard.text, heard.size)) {
            return 1;
        }
        cor_reader_skip(reader, heard.size);
        memory_hold(session->seen, 0);
        code = answer(session, &state);
        *op = "write";
        if (code < 0) {
            return code;
        }
        connection_add(&session->seen->messages_out, 1);
    }
}

__attribute__((noinline)) static void random_open(struct session *session)
{
    char peer[COR_ADDR_TEXT];
    log_say("Serving %s", connection_peer(session->seen, peer, sizeof(peer)));
}

__attribute__((noinline)) static void random_error(struct session *session, const char *op, int code)
{
    char text[COR_ERROR_TEXT];
    log_say("%s", session_error_text(session, op, code, text, sizeof(text)));
}

static void random_handle(struct session *session)
{
    if (log_shows()) {
        random_open(session);
    }
    cor_reader reader = cor_reader_of(session->conn, session_options(session)->max_line + 1);
    const char *op;
    int code = talk(session, &reader, &op);
    cor_reader_free(&reader);
    if (code > 0) {
        session_hang_up(session, REASON_EOF);
        return;
    }
    session_ended(session, op, code);
    if (log_shows()) {
        random_error(session, op, code);
    }
    if (code == COR_ETOO_LONG && session_write(session, too_long, strlen(too_long)) == 0) {
        session_hang_up(session, REASON_TOO_LONG);
    }
}

__attribute__((noinline)) static void random_show_packet(const cor_packet *packet, const char *name)
{
    char peer[COR_ADDR_TEXT];
    name = name != NULL ? name : cor_addr_text(packet->addr, peer, sizeof(peer));
    log_show("Serving ", name, strlen(name), "");
}

static bool random_answer(cor_packet *packet, const char *name)
{
    char text[16];
    if (log_shows()) {
        random_show_packet(packet, name);
    }
    if (packet->size_bytes < LONGEST_ANSWER || is_stop(packet->data, packet->size_bytes)) {
        return false;
    }
    packet->size_bytes = (size_t)snprintf(text, sizeof(text), "%u\n", pick_number(NULL));
    memcpy(packet->data, text, packet->size_bytes);
    return true;
}

const service_def random_service = {
    .name = "random",
    .address = "tcp4://:8001",
    .summary = "a random number from 1 to 100 per line until STOP",
    .dial = "",
    .handle = random_handle,
    .answer = random_answer,
    .tells_refusal = true,
};

/* SPDX-License-Identifier: MIT */
/* The plan of a run: what the command line asks for. It is fixed before the first task starts. */
#ifndef CORACLE_CMD_BENCH_PLAN_H
#define CORACLE_CMD_BENCH_PLAN_H

#include "address.h"
#include "bench/asserts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum bench_mode { MODE_ECHO, MODE_LINE, MODE_CONNECT, MODE_FANOUT, MODE_IDLE, MODE_PACKET } bench_mode;
typedef enum bench_format { REPORT_TEXT, REPORT_JSON, REPORT_CSV, REPORT_HDR } bench_format;

extern const char *const bench_mode_names[]; /* ends with NULL */

/* The most bytes of one connection that are sent and not answered: both ends' buffers hold them, so no write parks. */
enum { BENCH_WINDOW_BYTES = 64 * 1024 };

/* Mode fanout: the least size of a message (its number), and how many are under way unless told otherwise. */
enum { FANOUT_DIGITS = 12, FANOUT_WINDOW = 64 };

/* Mode packet: the head of a datagram, which is its least size, and the most that one can have. */
enum { PACKET_HEAD = 12, PACKET_BYTES_MAX = 65507 };

/* The command line. */
typedef struct bench_options {
    int mode;
    int format;
    uint64_t connections;
    uint64_t depth;
    uint64_t workers;
    uint64_t stalled;
    uint64_t pid; /* of the server; 0: not known */
    int64_t duration;
    int64_t warmup;
    int64_t timeout;
    size_t size;
    const char *rate;
    const char *line;
    const char *expect;
    const char *output;
    const char *assert;
    bool rst;
    bool quiet;
} bench_options;

struct plan {
    bench_options options;
    address *addresses; /* connections are spread over them in turn */
    size_t address_count;
    struct conditions conditions;
    double rate;          /* messages per second; 0: closed loop */
    unsigned char *bytes; /* what is sent: `period` bytes over and over, so much that BENCH_WINDOW_BYTES follow each */
    size_t period;
    size_t size;    /* bytes of one message */
    uint64_t limit; /* messages of one connection */
};

/* Turns the command line into a plan. Returns EXIT_OK, or another exit code after saying why. */
int plan_make(struct plan *plan, char **addresses, size_t address_count);

void plan_free(struct plan *plan);

#endif

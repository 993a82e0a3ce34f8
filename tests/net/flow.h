/* SPDX-License-Identifier: MIT */
/* Streams whose every byte is checked, for tests that move much. */
#ifndef TEST_NET_FLOW_H
#define TEST_NET_FLOW_H

#include "net/netcase.h"

#include <coracle/bulk.h>
#include <stdlib.h>

enum { BULK_BYTES = 8 << 20, PIECE = 65536 };

/* The byte at a place of a stream: no two pieces near each other are the same. */
static inline unsigned char byte_at(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 13 ^ at >> 20);
}

static inline void make_bytes(unsigned char *to, size_t at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = byte_at(at + i);
    }
}

/* A stream of this many bytes, written in pieces and checked at its other end. */
typedef struct flow {
    cor_conn *conn;
    size_t size;
    bool half_closes; /* at its end; else the connection stays as it is */
} flow;

static inline void send_stream(void *arg)
{
    const flow *of = arg;
    unsigned char *piece = malloc(PIECE);
    for (size_t at = 0; at < of->size; at += PIECE) {
        size_t size = of->size - at < PIECE ? of->size - at : PIECE;
        make_bytes(piece, at, size);
        write_all(of->conn, piece, size);
    }
    free(piece);
    if (of->half_closes) {
        T_CODE(cor_close_write(of->conn), 0);
    }
}

/* Reads `size` bytes and, if the sender half-closes, its end. */
static inline void check_stream(void *arg)
{
    const flow *of = arg;
    unsigned char *got = malloc(PIECE), *expected = malloc(PIECE);
    for (size_t at = 0; at < of->size;) {
        ssize_t count = cor_read(of->conn, got, of->size - at < PIECE ? of->size - at : PIECE);
        T_REQUIRE(count > 0, "read gave %zd at %zu", count, at);
        make_bytes(expected, at, (size_t)count);
        T_MEM(got, expected, (size_t)count);
        at += (size_t)count;
    }
    if (of->half_closes) {
        T_EQ(cor_read(of->conn, got, 1), 0);
    }
    free(got);
    free(expected);
}

static inline size_t bulk_bytes(void)
{
    return taskcase_is_slow() ? BULK_BYTES / 8 : BULK_BYTES;
}

static inline void read_stream_of(cor_conn *conn, size_t size)
{
    check_stream(&(flow){.conn = conn, .size = size});
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Connections with both ends in one worker: in-memory pipes (no system call) and loopback TCP (both sides' kernel
 * work). One operation is a message there and back; the last cases move 16 KiB one way.
 */
#include "ends.h"

enum { SMALL = 64, BIG = 16384 };

static ends ends_pipe(void)
{
    ends new;
    bench_must(cor_pipe(&new.a, &new.b), "cor_pipe");
    return new;
}

static void read_full(cor_conn *conn, char *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t count = cor_read(conn, data + have, size - have);
        bench_must(count > 0 ? 0 : -EPROTO, "cor_read");
        have += (size_t)count;
    }
}

static void round_trips(ends of, uint64_t ops)
{
    char data[SMALL] = {0};
    bench_go(ends_echo, of.b);
    for (uint64_t i = 0; i < ops; i++) {
        memcpy(data, &i, sizeof(i));
        bench_must(cor_write(of.a, data, sizeof(data)), "cor_write");
        read_full(of.a, data, sizeof(data));
        bench_must(memcmp(data, &i, sizeof(i)) == 0 ? 0 : -EPROTO, "the same bytes back");
    }
    (void)cor_close(of.a);
    cor_yield();
}

static void pipe_echo(uint64_t ops)
{
    round_trips(ends_pipe(), ops);
}

static void tcp_echo(uint64_t ops)
{
    round_trips(ends_tcp(), ops);
}

static void discard(void *arg)
{
    bench_must(cor_drain(arg, INT64_MAX, 0), "cor_drain");
    (void)cor_close(arg);
}

static void one_way(ends of, uint64_t ops)
{
    static const char data[BIG];
    bench_go(discard, of.b);
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_write(of.a, data, sizeof(data)), "cor_write");
    }
    (void)cor_close(of.a);
    cor_yield();
}

static void pipe_stream(uint64_t ops)
{
    one_way(ends_pipe(), ops);
}

static void tcp_stream(uint64_t ops)
{
    one_way(ends_tcp(), ops);
}

static void dial_accept_close(uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        ends of = ends_tcp();
        (void)cor_set_linger(of.a, 0); /* reset: else the ports run out waiting */
        (void)cor_close(of.a);
        (void)cor_close(of.b);
    }
}

static const bench_case cases[] = {
    {"pipe_echo_64", pipe_echo, 0},
    {"tcp_echo_64", tcp_echo, 0},
    {"pipe_stream_16k", pipe_stream, 0},
    {"tcp_stream_16k", tcp_stream, 0},
    {"tcp_listen_dial_close", dial_accept_close, 0},
};

BENCH_MAIN(cases)

/* SPDX-License-Identifier: MIT */
/* For benchmarks of connections: both ends of one, over loopback TCP. */
#ifndef CORACLE_BENCH_ENDS_H
#define CORACLE_BENCH_ENDS_H

#include "bench.h"

typedef struct ends {
    cor_conn *a, *b;
} ends;

static inline ends ends_tcp(void)
{
    cor_listener *listener;
    char address[COR_ADDR_TEXT];
    ends new;
    bench_must(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), "cor_listen");
    cor_listener_addr(listener, address, sizeof(address));
    bench_must(cor_dial(&new.a, "tcp", address, NULL), "cor_dial");
    bench_must(cor_accept(listener, &new.b), "cor_accept");
    bench_must(cor_listener_close(listener), "cor_listener_close");
    return new;
}

/* Sends back what comes until end of stream. */
static inline void ends_echo(void *arg)
{
    char data[16384];
    cor_conn *conn = arg;
    ssize_t count;
    while ((count = cor_read(conn, data, sizeof(data))) > 0) {
        bench_must(cor_write(conn, data, (size_t)count), "cor_write");
    }
    bench_must(count, "cor_read");
    (void)cor_close(conn);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Setting deadlines of a TCP connection: one word, no system call, no allocation. When a task is parked in a read each
 * change wakes it to look.
 */
#include "ends.h"

static void close_both(ends *of)
{
    (void)cor_close(of->a);
    (void)cor_close(of->b);
}

static void idle(uint64_t ops)
{
    ends of = ends_tcp();
    int64_t deadline = cor_after(COR_MINUTE);
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_set_read_deadline(of.a, deadline + (int64_t)i), "cor_set_read_deadline");
    }
    close_both(&of);
}

static void from_now(uint64_t ops)
{
    ends of = ends_tcp();
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_set_deadline(of.a, cor_after(COR_MINUTE)), "cor_set_deadline");
    }
    close_both(&of);
}

typedef struct reader {
    cor_conn *conn;
    cor_waitgroup running;
} reader;

static void read_one(void *arg)
{
    reader *of = arg;
    char byte;
    bench_must(cor_read(of->conn, &byte, 1), "cor_read");
    cor_waitgroup_done(&of->running);
}

static void parked(uint64_t ops)
{
    ends both = ends_tcp();
    reader of = {.conn = both.a};
    int64_t deadline = cor_after(COR_MINUTE);
    cor_waitgroup_add(&of.running, 1);
    bench_go(read_one, &of);
    cor_yield();
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_set_read_deadline(both.a, deadline + (int64_t)i), "cor_set_read_deadline");
        cor_yield();
    }
    (void)cor_close_write(both.b);
    (void)cor_waitgroup_wait(&of.running, 0);
    close_both(&both);
}

static const bench_case cases[] = {
    {"deadline_set_read", idle, 0},
    {"deadline_set_both_from_now", from_now, 0},
    {"deadline_set_while_parked", parked, 0},
};

BENCH_MAIN(cases)

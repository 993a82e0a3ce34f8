/* SPDX-License-Identifier: MIT */
/* Time: reading the clock, waits that end before their deadline, and sleeps that expire, alone and among 10,000. */
#include "bench.h"

static void read_clock(uint64_t ops)
{
    int64_t latest = 0;
    for (uint64_t i = 0; i < ops; i++) {
        int64_t now = cor_now();
        bench_must(now >= latest ? 0 : -ETIME, "a clock that goes forward");
        latest = now;
    }
}

typedef struct source {
    cor_chan *chan;
    uint64_t values;
} source;

static void send_all(void *arg)
{
    source of = *(source *)arg; /* a copy: the receiver may be done first */
    for (uint64_t i = 0; i < of.values; i++) {
        bench_must(cor_chan_send(of.chan, &i, 0), "cor_chan_send");
    }
}

/* The hand-off of chan_unbuffered where every receive has a deadline, each later than the one before. */
static void with_deadline(uint64_t ops)
{
    source of = {cor_chan_new(sizeof(uint64_t), 0), ops};
    uint64_t value = 0;
    int64_t deadline = cor_after(COR_MINUTE);
    bench_must(of.chan != NULL ? 0 : -ENOMEM, "cor_chan_new");
    bench_go(send_all, &of);
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_chan_recv(of.chan, &value, deadline + (int64_t)i), "cor_chan_recv");
    }
    cor_chan_free(of.chan);
}

typedef struct sleepers {
    uint64_t times;
    cor_waitgroup running;
} sleepers;

static void sleep_briefly(void *arg)
{
    sleepers *of = arg;
    for (uint64_t i = 0; i < of->times; i++) {
        bench_must(cor_sleep(1), "cor_sleep");
    }
    cor_waitgroup_done(&of->running);
}

static void sleep_tasks(uint64_t ops, uint64_t tasks)
{
    sleepers of = {.times = ops / tasks + 1};
    cor_waitgroup_add(&of.running, (int64_t)tasks);
    for (uint64_t i = 0; i < tasks; i++) {
        bench_go(sleep_briefly, &of);
    }
    (void)cor_waitgroup_wait(&of.running, 0);
}

static void sleep_one(uint64_t ops)
{
    sleep_tasks(ops, 1);
}

static void sleep_many(uint64_t ops)
{
    sleep_tasks(ops, ops < 100000 ? ops / 10 + 1 : 10000);
}

static const bench_case cases[] = {
    {"clock_now", read_clock, 0},
    {"recv_with_deadline", with_deadline, 0},
    {"sleep_1ns_1_task", sleep_one, 0},
    {"sleep_1ns_10000_tasks", sleep_many, 0},
};

BENCH_MAIN(cases)

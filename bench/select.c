/* SPDX-License-Identifier: MIT */
/* Select over two and eight channels: with a case that is ready, with none, and waiting for a partner. */
#include "bench.h"

enum { CASES_MAX = 8 };

static void make(cor_chan **chans, int count, size_t capacity)
{
    for (int i = 0; i < count; i++) {
        chans[i] = cor_chan_new(sizeof(uint64_t), capacity);
        bench_must(chans[i] != NULL ? 0 : -ENOMEM, "cor_chan_new");
    }
}

static void drop(cor_chan **chans, int count)
{
    for (int i = 0; i < count; i++) {
        cor_chan_free(chans[i]);
    }
}

/* Sends to itself through the one channel of `count` that has room for it, and takes the value with a select. */
static void ready(uint64_t ops, int count)
{
    cor_chan *chans[CASES_MAX];
    uint64_t value = 0;
    cor_case cases[CASES_MAX];
    make(chans, count, 1);
    for (int i = 0; i < count; i++) {
        cases[i] = (cor_case){COR_RECV, chans[i], &value, 0};
    }
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_chan_try_send(chans[i % (uint64_t)count], &i), "cor_chan_try_send");
        bench_must(cor_select(cases, (size_t)count, 0), "cor_select");
    }
    drop(chans, count);
}

static void ready_2(uint64_t ops)
{
    ready(ops, 2);
}

static void ready_8(uint64_t ops)
{
    ready(ops, 8);
}

static void none_ready(uint64_t ops)
{
    cor_chan *chans[2];
    uint64_t value = 0;
    make(chans, 2, 1);
    cor_case cases[2] = {{COR_RECV, chans[0], &value, 0}, {COR_RECV, chans[1], &value, 0}};
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_select_try(cases, 2) == -EAGAIN ? 0 : -EPROTO, "cor_select_try");
    }
    drop(chans, 2);
}

typedef struct source {
    cor_chan *chans[2];
    uint64_t values;
} source;

static void alternate(void *arg)
{
    source of = *(source *)arg; /* a copy: the receiver may be done first */
    for (uint64_t i = 0; i < of.values; i++) {
        bench_must(cor_chan_send(of.chans[i % 2], &i, 0), "cor_chan_send");
    }
    (void)cor_chan_close(of.chans[0]);
}

/* Both sides wait for each other: the hand-off of chan_unbuffered, with a select on one side. */
static void hand_off(uint64_t ops)
{
    source of = {.values = ops};
    uint64_t value = 0;
    make(of.chans, 2, 0);
    cor_case cases[2] = {{COR_RECV, of.chans[0], &value, 0}, {COR_RECV, of.chans[1], &value, 0}};
    bench_go(alternate, &of);
    for (;;) {
        int chosen = cor_select(cases, 2, 0);
        bench_must(chosen, "cor_select");
        if (cases[chosen].result == 0) {
            break;
        }
    }
    drop(of.chans, 2);
}

static const bench_case cases[] = {
    {"select_2_ready", ready_2, 0},
    {"select_8_ready", ready_8, 0},
    {"select_2_try_none_ready", none_ready, 0},
    {"select_2_hand_off", hand_off, 0},
};

BENCH_MAIN(cases)

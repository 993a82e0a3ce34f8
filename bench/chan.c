/* SPDX-License-Identifier: MIT */
/*
 * Channels of words. One operation is one value sent and received (a round trip: two). `across` has the two tasks on
 * different workers, so each value wakes a thread or meets one that is awake.
 */
#include "bench.h"

typedef struct link {
    cor_chan *there;
    cor_chan *back;
    uint64_t values;
    cor_chan *placed; /* the partner's worker; NULL: it need not say */
} link;

static link link_new(size_t capacity, uint64_t values)
{
    link new = {cor_chan_new(sizeof(uint64_t), capacity), cor_chan_new(sizeof(uint64_t), capacity), values, NULL};
    bench_must(new.there != NULL &&new.back != NULL ? 0 : -ENOMEM, "cor_chan_new");
    return new;
}

static void link_free(link *of)
{
    cor_chan_free(of->there);
    cor_chan_free(of->back);
}

static void receive_all(const link *of)
{
    uint64_t sum = 0, value = 0;
    for (uint64_t i = 0; i < of->values; i++) {
        bench_must(cor_chan_recv(of->there, &value, 0), "cor_chan_recv");
        sum += value;
    }
    bench_must(sum == of->values * (of->values - 1) / 2 ? 0 : -EPROTO, "sum of the values");
}

static void sender(void *arg)
{
    link of = *(link *)arg; /* a copy: the receiver may be done first */
    for (uint64_t i = 0; i < of.values; i++) {
        bench_must(cor_chan_send(of.there, &i, 0), "cor_chan_send");
    }
}

static void one_way(uint64_t ops, size_t capacity)
{
    link of = link_new(capacity, ops);
    bench_go(sender, &of);
    receive_all(&of);
    link_free(&of);
}

static void unbuffered(uint64_t ops)
{
    one_way(ops, 0);
}

static void buffered(uint64_t ops)
{
    one_way(ops, 128);
}

static void answer(void *arg)
{
    link of = *(link *)arg;
    uint64_t value = 0;
    while (cor_chan_recv(of.there, &value, 0) == 1) {
        bench_must(cor_chan_send(of.back, &value, 0), "cor_chan_send");
    }
    (void)cor_chan_close(of.back);
}

static void ask(link *of)
{
    uint64_t value = 0;
    for (uint64_t i = 0; i < of->values; i++) {
        bench_must(cor_chan_send(of->there, &i, 0), "cor_chan_send");
        bench_must(cor_chan_recv(of->back, &value, 0), "cor_chan_recv");
    }
    (void)cor_chan_close(of->there);
    while (cor_chan_recv(of->back, &value, 0) != 0) {}
}

static void round_trip(uint64_t ops)
{
    link of = link_new(0, ops);
    bench_go(answer, &of);
    ask(&of);
    link_free(&of);
}

static void without_waiting(uint64_t ops)
{
    link of = link_new(1, ops);
    uint64_t value = 0;
    for (uint64_t i = 0; i < ops; i++) {
        bench_must(cor_chan_try_send(of.there, &i), "cor_chan_try_send");
        bench_must(cor_chan_try_recv(of.there, &value), "cor_chan_try_recv");
    }
    link_free(&of);
}

static void answer_from_there(void *arg)
{
    link *of = arg;
    int worker = cor_worker_id();
    bench_must(cor_chan_send(of->placed, &worker, 0), "cor_chan_send");
    answer(of);
}

/* Starts partners until balance has put one on another worker; those on this one only make it look busier. */
static void across(uint64_t ops)
{
    enum { TRIES = 64 };
    link links[TRIES];
    cor_chan *placed = cor_chan_new(sizeof(int), 0);
    int count = 0, worker = -1;
    bench_must(placed != NULL ? 0 : -ENOMEM, "cor_chan_new");
    do {
        links[count] = link_new(0, 0);
        links[count].placed = placed;
        bench_go(answer_from_there, &links[count]);
        bench_must(cor_chan_recv(placed, &worker, 0), "cor_chan_recv");
        count++;
    } while (worker == cor_worker_id() && count < TRIES);
    bench_must(worker != cor_worker_id() ? 0 : -ENODEV, "a partner on another worker");
    links[count - 1].values = ops;
    for (int i = 0; i < count; i++) {
        ask(&links[i]);
        link_free(&links[i]);
    }
    cor_chan_free(placed);
}

static const bench_case cases[] = {
    {"chan_unbuffered", unbuffered, 0},    {"chan_round_trip", round_trip, 0},
    {"chan_buffered_128", buffered, 0},    {"chan_try_send_try_recv", without_waiting, 0},
    {"chan_round_trip_across", across, 2},
};

BENCH_MAIN(cases)

/* SPDX-License-Identifier: MIT */
/*
 * What tasks on two workers have to do with each other; go/cores.go is the same in Go, line by line. An operation is
 * one hand-off, item, lock, spawn, woken receiver or sleeper, or a millisecond of computing by one of eight tasks.
 */
#include "bench.h"

enum { TASKS = 8, PAIRS = 4, BUFFERED = 128 };

typedef struct many {
    cor_chan *chan;
    cor_mutex mutex;
    cor_waitgroup running;
    uint64_t turns; /* of each task */
    uint64_t counter;
    int64_t wake_at;
    cor_chan *placed;
} many;

static many many_new(uint64_t turns, size_t capacity)
{
    many new = {.chan = cor_chan_new(sizeof(uint64_t), capacity), .turns = turns};
    bench_must(new.chan != NULL ? 0 : -ENOMEM, "cor_chan_new");
    return new;
}

static void start(many *of, void (*task)(void *arg), uint64_t count)
{
    cor_waitgroup_add(&of->running, (int)count);
    for (uint64_t i = 0; i < count; i++) {
        bench_go(task, of);
    }
}

/* Waits for the tasks and takes the time. */
static void finish(many *of)
{
    bench_must(cor_waitgroup_wait(&of->running, 0), "cor_waitgroup_wait");
    bench_end();
    cor_chan_free(of->chan);
}

static void answer(void *arg)
{
    many *of = arg;
    uint64_t value = 0;
    while (cor_chan_recv(of->chan, &value, 0) == 1) {
        bench_must(cor_chan_send(of->placed, &value, 0), "cor_chan_send");
    }
    cor_waitgroup_done(&of->running);
}

static void ping_pong(many *of, uint64_t ops)
{
    for (uint64_t i = 0; i < ops / 2 + 1; i++) {
        uint64_t value = i;
        bench_must(cor_chan_send(of->chan, &value, 0), "cor_chan_send");
        bench_must(cor_chan_recv(of->placed, &value, 0), "cor_chan_recv");
    }
    bench_must(cor_chan_close(of->chan), "cor_chan_close");
}

static void hand_off(uint64_t ops)
{
    many of = many_new(0, 0);
    of.placed = cor_chan_new(sizeof(uint64_t), 0);
    start(&of, answer, 1);
    ping_pong(&of, ops);
    finish(&of);
    cor_chan_free(of.placed);
}

static void answer_from_there(void *arg)
{
    many *of = arg;
    uint64_t worker = (uint64_t)cor_worker_id();
    bench_must(cor_chan_send(of->placed, &worker, 0), "cor_chan_send");
    answer(of);
}

/* Starts partners until balance has put one on the other worker; those on this one only make it look busier. */
static void hand_off_apart(uint64_t ops)
{
    enum { TRIES = 64 };
    many tried[TRIES];
    uint64_t worker = 0;
    int count = 0;
    do {
        tried[count] = many_new(0, 0);
        tried[count].placed = cor_chan_new(sizeof(uint64_t), 0);
        start(&tried[count], answer_from_there, 1);
        bench_must(cor_chan_recv(tried[count].placed, &worker, 0), "cor_chan_recv");
        count++;
    } while (worker == (uint64_t)cor_worker_id() && count < TRIES);
    bench_must(worker != (uint64_t)cor_worker_id() ? 0 : -ENODEV, "a partner on another worker");
    bench_begin();
    ping_pong(&tried[count - 1], ops);
    finish(&tried[count - 1]);
    for (int i = 0; i < count - 1; i++) {
        bench_must(cor_chan_close(tried[i].chan), "cor_chan_close");
        bench_must(cor_waitgroup_wait(&tried[i].running, 0), "cor_waitgroup_wait");
        cor_chan_free(tried[i].chan);
    }
    for (int i = 0; i < count; i++) {
        cor_chan_free(tried[i].placed);
    }
}

static void produce(void *arg)
{
    many *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        bench_must(cor_chan_send(of->chan, &i, 0), "cor_chan_send");
    }
    cor_waitgroup_done(&of->running);
}

static void consume(void *arg)
{
    many *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        uint64_t value;
        bench_must(cor_chan_recv(of->chan, &value, 0), "cor_chan_recv");
    }
    cor_waitgroup_done(&of->running);
}

static void through_one_channel(uint64_t ops, uint64_t pairs)
{
    many of = many_new(ops / pairs + 1, BUFFERED);
    start(&of, produce, pairs);
    start(&of, consume, pairs);
    finish(&of);
}

static void items_1_to_1(uint64_t ops)
{
    through_one_channel(ops, 1);
}

static void items_4_to_4(uint64_t ops)
{
    through_one_channel(ops, PAIRS);
}

static void count_locked(void *arg)
{
    many *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        cor_mutex_lock(&of->mutex);
        of->counter++;
        cor_mutex_unlock(&of->mutex);
    }
    cor_waitgroup_done(&of->running);
}

static void mutex(uint64_t ops)
{
    many of = many_new(ops / TASKS + 1, 0);
    start(&of, count_locked, TASKS);
    finish(&of);
}

static void nothing(void *arg)
{
    cor_waitgroup_done(&((many *)arg)->running);
}

static void spawn(uint64_t ops)
{
    many of = many_new(0, 0);
    start(&of, nothing, ops);
    finish(&of);
}

static void receive(void *arg)
{
    many *of = arg;
    uint64_t value;
    bench_must(cor_chan_recv(of->chan, &value, 0), "cor_chan_recv");
    cor_waitgroup_done(&of->running);
}

static void close_wakes(uint64_t ops)
{
    many of = many_new(0, 0);
    start(&of, receive, ops);
    bench_must(cor_sleep(100 * COR_MILLISECOND), "cor_sleep"); /* by then they wait */
    bench_begin();
    bench_must(cor_chan_close(of.chan), "cor_chan_close");
    finish(&of);
}

static void sleep_long(void *arg)
{
    many *of = arg;
    bench_must(cor_sleep(of->wake_at - cor_now()), "cor_sleep");
    cor_waitgroup_done(&of->running);
}

/* What counts is how late the last one is. */
static void sleepers(uint64_t ops)
{
    many of = many_new(0, 0);
    of.wake_at = cor_after(200 * COR_MILLISECOND + (int64_t)ops * 3000);
    start(&of, sleep_long, ops);
    bench_must(cor_waitgroup_wait(&of.running, 0), "cor_waitgroup_wait");
    bench_end();
    bench_span.start = of.wake_at;
    cor_chan_free(of.chan);
}

static void compute(void *arg)
{
    many *of = arg;
    for (uint64_t i = 0; i < of->turns; i++) {
        int64_t until = cor_now() + COR_MILLISECOND;
        while (cor_now() < until) {}
        cor_yield();
    }
    cor_waitgroup_done(&of->running);
}

static void computing(uint64_t ops)
{
    many of = many_new(ops / TASKS + 1, 0);
    start(&of, compute, TASKS);
    finish(&of);
}

/* Says where it is; computes when the gate opens, if that was on the starter's worker. */
static void compute_there(void *arg)
{
    many *of = arg;
    uint64_t worker = (uint64_t)cor_worker_id(), none;
    bench_must(cor_chan_send(of->placed, &worker, 0), "cor_chan_send");
    bench_must(cor_chan_recv(of->chan, &none, 0), "cor_chan_recv");
    if (worker == of->counter) {
        compute(of);
    } else {
        cor_waitgroup_done(&of->running);
    }
}

/* All tasks that compute have begun on this worker; as many on the other do nothing, but count as its load. */
static void computing_on_one(uint64_t ops, bool floats)
{
    const cor_task_options options = {.floats = floats};
    many of = many_new(ops / TASKS + 1, 0);
    of.placed = cor_chan_new(sizeof(uint64_t), 0);
    of.counter = (uint64_t)cor_worker_id();
    for (int here = 0; here < TASKS;) {
        uint64_t worker;
        cor_waitgroup_add(&of.running, 1);
        bench_must(cor_go_with(&options, compute_there, &of), "cor_go_with");
        bench_must(cor_chan_recv(of.placed, &worker, 0), "cor_chan_recv");
        here += worker == of.counter;
    }
    bench_begin();
    bench_must(cor_chan_close(of.chan), "cor_chan_close");
    finish(&of);
    cor_chan_free(of.placed);
}

static void computing_stuck(uint64_t ops)
{
    computing_on_one(ops, false);
}

static void computing_floating(uint64_t ops)
{
    computing_on_one(ops, true);
}

static const bench_case cases[] = {
    {"hand_off", hand_off, 2},
    {"hand_off_apart", hand_off_apart, 2},
    {"items_1_to_1", items_1_to_1, 2},
    {"items_4_to_4", items_4_to_4, 2},
    {"mutex_8_tasks", mutex, 2},
    {"spawn_many", spawn, 2},
    {"close_wakes", close_wakes, 2},
    {"sleepers", sleepers, 2},
    {"computing_8_tasks", computing, 2},
    {"computing_8_stuck", computing_stuck, 2},
    {"computing_8_floating", computing_floating, 2},
};

BENCH_MAIN(cases)

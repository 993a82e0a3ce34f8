/* SPDX-License-Identifier: MIT */
/* Channels under load: every value arrives exactly once, whoever sends, gives up, closes or frees meanwhile. */
#include "sched/park.h"
#include "sched/spawn.h"
#include "support/taskcase.h"

#include <errno.h>
#include <stdlib.h>

enum { PRODUCERS = 8, CONSUMERS = 8, ITEMS = 3000, ALL = PRODUCERS * ITEMS };

static cor_chan *chan;
static cor_waitgroup producers, consumers;
static uint8_t arrived[ALL]; /* atomic */
static long sent, received;  /* atomic */

static long add(long *number, long delta)
{
    return __atomic_add_fetch(number, delta, __ATOMIC_ACQ_REL);
}

/* A deadline that has passed, is near, or does not exist. */
static int64_t some_deadline(void)
{
    uint32_t roll = cori_rand_below(&cori_self()->worker->rand, 8);
    return roll == 0 ? 0 : cor_after((int64_t)(roll - 1) * 10 * COR_MICROSECOND);
}

/* How producers and consumers of one run behave. */
typedef struct manner {
    size_t capacity;
    bool tries;     /* use the calls that do not wait */
    bool deadlines; /* give up and begin again */
} manner;

static manner how;

static int send_somehow(int value)
{
    int rc = 0;
    do {
        if (how.tries) {
            rc = cor_chan_try_send(chan, &value);
        } else {
            rc = cor_chan_send(chan, &value, how.deadlines ? some_deadline() : 0);
        }
        if (rc == -EAGAIN) {
            cor_yield();
        }
    } while (rc == -EAGAIN || rc == COR_ETIMEOUT);
    return rc;
}

static int recv_somehow(int *value)
{
    int rc = 0;
    do {
        if (how.tries) {
            rc = cor_chan_try_recv(chan, value);
        } else {
            rc = cor_chan_recv(chan, value, how.deadlines ? some_deadline() : 0);
        }
        if (rc == -EAGAIN) {
            cor_yield();
        }
    } while (rc == -EAGAIN || rc == COR_ETIMEOUT);
    return rc;
}

static void produce(void *arg)
{
    int first = (int)(intptr_t)arg * ITEMS;
    for (int i = 0; i < ITEMS; i++) {
        T_EQ(send_somehow(first + i), 0);
    }
    cor_waitgroup_done(&producers);
}

static void consume(void *arg)
{
    (void)arg;
    int last[PRODUCERS];
    memset(last, -1, sizeof(last));
    int value = 0;
    for (int rc = recv_somehow(&value); rc != 0; rc = recv_somehow(&value)) {
        T_EQ(rc, 1);
        T_ASSERT(value >= 0 && value < ALL);
        T_EQ(__atomic_fetch_add(&arrived[value], 1, __ATOMIC_RELAXED), 0);
        T_ASSERT(value > last[value / ITEMS]); /* each producer's values come in order */
        last[value / ITEMS] = value;
        add(&received, 1);
    }
    cor_waitgroup_done(&consumers);
}

static void run_many_to_many(manner manner_of_run)
{
    how = manner_of_run;
    memset(arrived, 0, sizeof(arrived));
    received = 0;
    chan = cor_chan_new(sizeof(int), how.capacity);
    cor_waitgroup_add(&producers, PRODUCERS);
    cor_waitgroup_add(&consumers, CONSUMERS);
    for (intptr_t i = 0; i < PRODUCERS; i++) {
        T_OK(cor_go(produce, (void *)i));
    }
    for (int i = 0; i < CONSUMERS; i++) {
        T_OK(cor_go(consume, NULL));
    }
    T_OK(cor_waitgroup_wait(&producers, 0));
    T_EQ(cor_chan_close(chan), 0);
    T_OK(cor_waitgroup_wait(&consumers, 0));
    T_EQ(received, ALL);
    cor_chan_free(chan);
}

/* N334, N331 */
TASK_TEST(each_value_arrives_once)
{
    const size_t capacities[] = {0, 1, 10, 1000};
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        run_many_to_many((manner){.capacity = capacities[i]});
    }
}

TASK_TEST(each_value_arrives_once_with_deadlines)
{
    run_many_to_many((manner){.capacity = 0, .deadlines = true});
    run_many_to_many((manner){.capacity = 3, .deadlines = true});
}

TASK_TEST(each_value_arrives_once_without_waiting)
{
    run_many_to_many((manner){.capacity = 2, .tries = true});
}

static void pong(void *a, void *b)
{
    cor_chan *in = a, *out = b;
    int value = 0;
    while (cor_chan_recv(in, &value, 0) == 1) {
        value++;
        T_EQ(cor_chan_send(out, &value, 0), 0);
    }
    T_EQ(cor_chan_close(out), 0);
}

/* A busy machine may take very long for a hand-over, and all the rounds are more than it needs to go wrong. */
enum { ROUNDS_LEAST = 200 };
#define ENOUGH_NS (5 * COR_SECOND)

static void play(int worker, int rounds)
{
    cor_chan *there = cor_chan_new(sizeof(int), 0), *back = cor_chan_new(sizeof(int), 0);
    cori_spawn spawn = {.entry = pong, .arg_a = there, .arg_b = back, .name = "pong", .worker = worker};
    T_OK(cori_spawn_task(&spawn, NULL));
    int64_t until = cor_after(ENOUGH_NS);
    for (int i = 0; i < rounds && (i < ROUNDS_LEAST || cor_now() < until); i += 2) {
        int value = i;
        T_EQ(cor_chan_send(there, &value, 0), 0);
        T_EQ(cor_chan_recv(back, &value, 0), 1);
        T_EQ(value, i + 1);
    }
    T_EQ(cor_chan_close(there), 0);
    T_EQ(cor_chan_recv(back, NULL, 0), 0);
    cor_chan_free(there);
    cor_chan_free(back);
}

/* A lost wake-up between two threads would end this in the test's alarm. */
TASK_TEST(ping_pong_between_workers)
{
    int rounds = taskcase_is_slow() ? 20000 : 100000;
    play(cori_rt.worker_count - 1, rounds);
    play(0, rounds);
}

static void send_last(void *arg)
{
    int value = 5;
    T_EQ(cor_chan_send(arg, &value, 0), 0);
    cor_waitgroup_done(&producers);
}

static void close_last(void *arg)
{
    T_OK(cor_chan_close(arg));
    cor_waitgroup_done(&producers);
}

/* Whoever has received may free the channel, though the sender or closer is still on its way out of the call. */
TASK_TEST(receiver_may_free)
{
    cor_waitgroup_add(&producers, 6000);
    for (int i = 0; i < 3000; i++) {
        int value = 0;
        cor_chan *one_shot = cor_chan_new(sizeof(int), (size_t)i % 2), *ended = cor_chan_new(0, 0);
        cor_case cases[] = {{COR_RECV, ended, NULL, 0}, {COR_RECV, NULL, NULL, 0}};
        T_OK(cor_go(send_last, one_shot));
        T_OK(cor_go(close_last, ended));
        T_EQ(cor_chan_recv(one_shot, &value, 0), 1);
        T_EQ(value, 5);
        T_EQ(i % 3 == 0 ? cor_select(cases, 2, 0) : cor_chan_recv(ended, NULL, 0), 0);
        cor_chan_free(one_shot);
        cor_chan_free(ended);
    }
    T_OK(cor_waitgroup_wait(&producers, 0));
}

static void send_until_ended(void *arg)
{
    (void)arg;
    int value = 0;
    int rc = 0;
    while ((rc = cor_chan_send(chan, &value, 0)) == 0) {
        add(&sent, 1);
    }
    T_ASSERT(rc == COR_ECANCELED || rc == COR_ECHAN_CLOSED);
}

static void recv_until_ended(void *arg)
{
    (void)arg;
    int value = 0;
    int rc = 0;
    while ((rc = cor_chan_recv(chan, &value, 0)) == 1) {
        add(&received, 1);
    }
    T_ASSERT(rc == COR_ECANCELED || rc == 0);
}

/* Cancellation and close at any moment lose no value and deliver none twice. */
TASK_TEST(ends_at_any_moment)
{
    for (int round = 0; round < 200; round++) {
        cor_group group = {0};
        sent = received = 0;
        chan = cor_chan_new(sizeof(int), (size_t)round % 3);
        for (int i = 0; i < 3; i++) {
            T_OK(cor_group_go(&group, send_until_ended, NULL));
            T_OK(cor_group_go(&group, recv_until_ended, NULL));
        }
        T_EVENTUALLY(__atomic_load_n(&received, __ATOMIC_RELAXED) > round % 50, 20 * COR_SECOND);
        if (round % 2 == 0) {
            cor_group_cancel(&group);
        } else {
            T_EQ(cor_chan_close(chan), 0);
        }
        T_OK(cor_group_wait(&group, 0));
        T_EQ(sent, received + (long)cor_chan_len(chan));
        cor_chan_free(chan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_arrives_once),
        cmocka_unit_test(each_value_arrives_once_with_deadlines),
        cmocka_unit_test(each_value_arrives_once_without_waiting),
        cmocka_unit_test(ping_pong_between_workers),
        cmocka_unit_test(receiver_may_free),
        cmocka_unit_test(ends_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

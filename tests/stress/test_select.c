/* SPDX-License-Identifier: MIT */
/*
 * Selects under load: with many peers racing for them each still does exactly one case, and never misses a ready one.
 */
/* test: simulated */
#include "sched/park.h"
#include "support/taskcase.h"

#include <errno.h>

enum { CHANS = 4, TIMES = 4000 };

static cor_chan *chans[CHANS];
static cor_waitgroup tasks;
static long sums[CHANS][2]; /* atomic: of values sent, of values received */

static void count(int which, cor_dir dir, int value)
{
    __atomic_fetch_add(&sums[which][dir == COR_RECV], value, __ATOMIC_RELAXED);
}

/* A number that differs from value to value, so that one delivered twice or lost shows in the sums. */
static int new_value(void)
{
    static int last;
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

static void send_plainly(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (int i = 0; i < TIMES; i++) {
        int value = new_value();
        T_EQ(cor_chan_send(chans[which], &value, 0), 0);
        count(which, COR_SEND, value);
    }
    cor_waitgroup_done(&tasks);
}

static void recv_plainly(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (int i = 0; i < TIMES; i++) {
        int value = 0;
        T_EQ(cor_chan_recv(chans[which], &value, 0), 1);
        count(which, COR_RECV, value);
    }
    cor_waitgroup_done(&tasks);
}

static int64_t near_deadline(void)
{
    return cor_after((int64_t)cori_rand_below(&cori_self()->worker->rand, 50) * COR_MICROSECOND);
}

/* TIMES operations on each channel, whichever is possible; a case is off when its channel has had its share. */
static void select_all(cor_dir dir, bool deadlines)
{
    int left[CHANS] = {TIMES, TIMES, TIMES, TIMES};
    for (int done = 0; done < CHANS * TIMES;) {
        int values[CHANS];
        cor_case cases[CHANS];
        for (int i = 0; i < CHANS; i++) {
            values[i] = dir == COR_SEND ? new_value() : 0;
            cases[i] = (cor_case){dir, left[i] > 0 ? chans[i] : NULL, &values[i], -1};
        }
        int which = cor_select(cases, CHANS, deadlines ? near_deadline() : 0);
        if (which == COR_ETIMEOUT) {
            continue;
        }
        T_OK(which);
        T_EQ(cases[which].result, dir == COR_RECV);
        count(which, dir, values[which]);
        left[which]--;
        done++;
    }
    cor_waitgroup_done(&tasks);
}

static void select_sends(void *arg)
{
    select_all(COR_SEND, arg != NULL);
}

static void select_recvs(void *arg)
{
    select_all(COR_RECV, arg != NULL);
}

static void run_all(void *deadlines)
{
    const size_t capacities[CHANS] = {0, 0, 2, 3};
    memset(sums, 0, sizeof(sums));
    cor_waitgroup_add(&tasks, 2 * CHANS + 4);
    for (intptr_t i = 0; i < CHANS; i++) {
        chans[i] = cor_chan_new(sizeof(int), capacities[i]);
    }
    for (intptr_t i = 0; i < CHANS; i++) {
        T_OK(cor_go(send_plainly, (void *)i));
        T_OK(cor_go(recv_plainly, (void *)i));
    }
    for (int i = 0; i < 2; i++) {
        T_OK(cor_go(select_sends, deadlines));
        T_OK(cor_go(select_recvs, deadlines));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    for (int i = 0; i < CHANS; i++) {
        T_EQ(sums[i][0], sums[i][1]);
        T_EQ(cor_chan_len(chans[i]), 0);
        T_CODE(cor_chan_try_recv(chans[i], NULL), -EAGAIN);
        T_CODE(cor_chan_try_send(chans[i], &(int){0}), capacities[i] == 0 ? -EAGAIN : 0);
        cor_chan_free(chans[i]);
    }
}

/* N331: selects against plain calls and against each other. */
TASK_TEST(exactly_one_case)
{
    run_all(NULL);
}

/* N331: also while they give up and begin again. */
TASK_TEST(exactly_one_case_with_deadlines)
{
    run_all(&tasks);
}

static void close_it(void *arg)
{
    T_EQ(cor_chan_close(arg), 0);
    cor_waitgroup_done(&tasks);
}

static void take_one(void *arg)
{
    T_EQ(cor_chan_recv(arg, NULL, 0), 1);
    cor_waitgroup_done(&tasks);
}

/* N329: what is ready all the time is never missed while it changes from "has a value" to "is closed". */
TASK_TEST(a_closing_channel_is_always_ready)
{
    for (int i = 0, rounds = taskcase_is_slow() ? 600 : 3000; i < rounds; i++) {
        cor_chan *one = cor_chan_new(sizeof(int), 1);
        T_EQ(cor_chan_send(one, &i, 0), 0);
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(close_it, one));
        T_EQ(cor_chan_try_recv(one, NULL), 1);
        T_OK(cor_waitgroup_wait(&tasks, 0));
        T_EQ(cor_chan_try_recv(one, NULL), 0);
        cor_chan_free(one);
    }
}

/* N329: of two ready channels one may be emptied by another task at any moment: then the other one is taken. */
TASK_TEST(two_ready_channels_never_count_as_none)
{
    for (int i = 0, rounds = taskcase_is_slow() ? 600 : 3000; i < rounds; i++) {
        cor_chan *a = cor_chan_new(sizeof(int), 1), *b = cor_chan_new(sizeof(int), 1);
        T_EQ(cor_chan_send(a, &i, 0), 0);
        T_EQ(cor_chan_send(b, &i, 0), 0);
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(take_one, i % 2 == 0 ? a : b));
        cor_yield();
        cor_case cases[2] = {{COR_RECV, a, NULL, -1}, {COR_RECV, b, NULL, -1}};
        int which = cor_select_try(cases, 2);
        T_OK(which);
        T_EQ(cor_chan_send(which == 0 ? a : b, &i, 0), 0); /* for the other task, if it has not had its own */
        T_OK(cor_waitgroup_wait(&tasks, 0));
        cor_chan_free(a);
        cor_chan_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_one_case),
        cmocka_unit_test(exactly_one_case_with_deadlines),
        cmocka_unit_test(a_closing_channel_is_always_ready),
        cmocka_unit_test(two_ready_channels_never_count_as_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

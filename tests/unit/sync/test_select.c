/* SPDX-License-Identifier: MIT */
/* Select: which case is done, that it is exactly one, and that nothing is left in the queues. */
/* test: simulated */
#include "base/limits.h"
#include "unit/sync/waiting.h"

#include <errno.h>

static cor_chan *chans[CORI_SELECT_MAX + 1];
static int values[CORI_SELECT_MAX + 1];
static cor_waitgroup tasks;

static void make(int count, size_t capacity)
{
    for (int i = 0; i < count; i++) {
        chans[i] = cor_chan_new(sizeof(int), capacity);
        T_ASSERT(chans[i] != NULL);
    }
}

static void end_all(int count)
{
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    for (int i = 0; i < count; i++) {
        T_EQ(waiting(&chans[i]->senders), 0);
        T_EQ(waiting(&chans[i]->receivers), 0);
        cor_chan_free(chans[i]);
    }
}

static cor_case recv_case(int i)
{
    return (cor_case){COR_RECV, chans[i], &values[i], -1};
}

static cor_case send_case(int i)
{
    return (cor_case){COR_SEND, chans[i], &values[i], -1};
}

/* A select in a task of its own. */
typedef struct operation {
    cor_case *cases;
    size_t count;
    int64_t deadline;
    int result;
    int ended;
} operation;

static void do_select(void *arg)
{
    operation *one = arg;
    one->result = cor_select(one->cases, one->count, one->deadline);
    __atomic_store_n(&one->ended, 1, __ATOMIC_RELEASE);
    cor_waitgroup_done(&tasks);
}

static void start(operation *one)
{
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(do_select, one));
}

/* N327, N326: only a ready case is done, nil channels never; without one, "default". */
TASK_TEST(does_a_ready_case)
{
    make(3, 1);
    values[1] = 11;
    cor_case cases[4] = {recv_case(0), send_case(1), {COR_SEND, NULL, &values[3], -1}, recv_case(2)};
    T_EQ(cor_select(cases, 4, 0), 1);
    T_EQ(cases[1].result, 0);
    T_EQ(cor_chan_len(chans[1]), 1);
    T_CODE(cor_select_try(cases, 4), -EAGAIN);
    T_EQ(cor_chan_send(chans[2], &(int){22}, 0), 0);
    T_EQ(cor_select_try(cases, 4), 3);
    T_EQ(cases[3].result, 1);
    T_EQ(values[2], 22);
    T_EQ(cases[0].result, -1);
    T_EQ(cases[2].result, -1);
    cases[0].elem = NULL; /* dropped */
    T_EQ(cor_chan_send(chans[0], &(int){33}, 0), 0);
    T_EQ(cor_select(cases, 4, cor_after(-1)), 0); /* ready at once: the passed deadline does not matter */
    end_all(3);
}

/* N328, with Go's bound. */
TASK_TEST(chooses_fairly_between_two)
{
    enum { TRIALS = 10000 };
    make(2, TRIALS);
    for (int i = 0; i < TRIALS; i++) {
        T_EQ(cor_chan_send(chans[0], &i, 0), 0);
        T_EQ(cor_chan_send(chans[1], &i, 0), 0);
    }
    int chosen[2] = {0};
    for (int i = 0; i < TRIALS; i++) {
        cor_case cases[2] = {recv_case(0), recv_case(1)};
        int which = cor_select(cases, 2, 0);
        T_ASSERT(which == 0 || which == 1);
        chosen[which]++;
    }
    double off = (double)chosen[0] / TRIALS - 0.5, bound = 4.9 * 4.9 / 4 / TRIALS;
    T_REQUIRE(off * off < bound, "%d of %d", chosen[0], TRIALS);
    end_all(2);
}

/* N327: uniform among the ready ones, wherever they stand. */
TASK_TEST(chooses_uniformly_among_the_ready)
{
    enum { TRIALS = 20000 };
    make(7, 1);
    int chosen[7] = {0};
    for (int i = 0; i < TRIALS; i++) {
        cor_case cases[7];
        for (int c = 0; c < 7; c++) {
            cases[c] = recv_case(c);
            if (c % 2 == 0 && cor_chan_len(chans[c]) == 0) {
                T_EQ(cor_chan_send(chans[c], &i, 0), 0);
            }
        }
        int which = cor_select(cases, 7, 0);
        T_ASSERT(which >= 0 && which < 7);
        chosen[which]++;
    }
    for (int c = 0; c < 7; c++) {
        double off = chosen[c] - (c % 2 == 0 ? TRIALS / 4.0 : 0);
        double variance = c % 2 == 0 ? TRIALS * 0.25 * 0.75 : 0;
        T_REQUIRE(off * off <= 25 * variance, "case %d: %d times", c, chosen[c]);
    }
    end_all(7);
}

static void serve_one(void *arg)
{
    int which = (int)(intptr_t)arg;
    T_EQ(cor_chan_send(chans[which], &(int){which}, 0), 0);
    cor_waitgroup_done(&tasks);
}

/* N331: the case that a partner meets is done, the others leave no trace in their queues. */
TASK_TEST(waits_and_leaves_nothing_behind)
{
    make(5, 0);
    for (int which = 0; which < 5; which++) {
        cor_case cases[5] = {recv_case(0), recv_case(1), recv_case(2), recv_case(3), recv_case(4)};
        operation one = {.cases = cases, .count = 5};
        start(&one);
        T_WAITING(&chans[4]->receivers, 1);
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(serve_one, (void *)(intptr_t)which));
        T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
        T_EQ(one.result, which);
        T_EQ(cases[which].result, 1);
        T_EQ(values[which], which);
        for (int i = 0; i < 5; i++) {
            T_EQ(waiting(&chans[i]->receivers), 0);
            T_EQ(cases[i].result, i == which ? 1 : -1);
        }
    }
    end_all(5);
}

/* A waiting send case gives its value to the receiver it meets, and to no other. */
TASK_TEST(waiting_sends)
{
    make(2, 0);
    values[0] = 100;
    values[1] = 101;
    cor_case cases[2] = {send_case(0), send_case(1)};
    operation one = {.cases = cases, .count = 2};
    start(&one);
    T_WAITING(&chans[0]->senders, 1);
    T_WAITING(&chans[1]->senders, 1);
    int got = 0;
    T_EQ(cor_chan_recv(chans[1], &got, 0), 1);
    T_EQ(got, 101);
    T_CODE(cor_chan_try_recv(chans[0], &got), -EAGAIN);
    end_all(2);
    T_EQ(one.result, 1);
    T_EQ(cases[1].result, 0);
}

/* Two selects meet each other. */
TASK_TEST(selects_meet)
{
    make(2, 0);
    values[1] = 9;
    int got = 0;
    cor_case sends[2] = {{COR_RECV, chans[0], NULL, -1}, send_case(1)};
    cor_case recvs[2] = {{COR_RECV, chans[1], &got, -1}, {COR_RECV, chans[0], NULL, -1}};
    operation one = {.cases = sends, .count = 2};
    start(&one);
    T_EQ(cor_select(recvs, 2, cor_after(SOON)), 0);
    T_EQ(recvs[0].result, 1);
    T_EQ(got, 9);
    end_all(2);
    T_EQ(one.result, 1);
}

/* N330 */
TASK_TEST(never_meets_itself)
{
    make(1, 0);
    cor_case cases[3] = {send_case(0), recv_case(0), send_case(0)};
    T_CODE(cor_select_try(cases, 3), -EAGAIN);
    T_CODE(cor_select(cases, 3, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(waiting(&chans[0]->senders), 0);
    T_EQ(waiting(&chans[0]->receivers), 0);
    end_all(1);
}

static void swap_with_the_other(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < 1000; i++) {
        int got = -1;
        cor_case send = {COR_SEND, chans[0], &me, -1}, recv = {COR_RECV, chans[0], &got, -1};
        bool send_first = me == 0 || i % 2 == 0;
        cor_case cases[2] = {send_first ? send : recv, send_first ? recv : send};
        int which = cor_select(cases, 2, cor_after(SOON));
        T_OK(which);
        if (cases[which].dir == COR_RECV) {
            T_EQ(got, !me);
        }
    }
    cor_waitgroup_done(&tasks);
}

/* N330: two tasks, each ready to send and to receive, always meet the other. */
TASK_TEST(two_that_send_and_receive_meet_each_other)
{
    make(1, 0);
    cor_waitgroup_add(&tasks, 2);
    T_OK(cor_go(swap_with_the_other, (void *)0));
    T_OK(cor_go(swap_with_the_other, (void *)1));
    end_all(1);
}

/* N330 */
TASK_TEST(a_channel_may_stand_in_several_cases)
{
    make(2, 0);
    cor_case cases[4] = {recv_case(0), recv_case(1), recv_case(0), recv_case(0)};
    operation one = {.cases = cases, .count = 4};
    start(&one);
    T_WAITING(&chans[0]->receivers, 3);
    T_WAITING(&chans[1]->receivers, 1);
    T_EQ(cor_chan_send(chans[0], &(int){4}, 0), 0);
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    T_EQ(one.result, 0); /* its first node was the first in the queue */
    T_EQ(values[0], 4);
    T_CODE(cor_chan_try_send(chans[0], &(int){5}), -EAGAIN);
    end_all(2);
}

/* Whoever met a select may free the channel, though the select has not run yet: nothing of it is left there. */
TASK_TEST(a_partner_finds_no_other_case)
{
    for (int i = 0; i < 4; i++) {
        make(1, 0);
        cor_case cases[5] = {recv_case(0), send_case(0), recv_case(0), send_case(0), recv_case(0)};
        operation one = {.cases = cases, .count = 5};
        start(&one);
        T_WAITING(&chans[0]->receivers, 3);
        T_WAITING(&chans[0]->senders, 2);
        T_OK(i % 2 == 0 ? cor_chan_recv(chans[0], &(int){0}, 0) : cor_chan_send(chans[0], &(int){4}, 0));
        T_EQ(waiting(&chans[0]->receivers), 0);
        T_EQ(waiting(&chans[0]->senders), 0);
        memset(chans[0], 0xa5, sizeof(*chans[0]));
        cor_chan_free(chans[0]);
        T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
        T_EQ(one.result, i % 2 == 0 ? 1 : 0);
    }
}

/* N332 */
TASK_TEST(no_cases_block_for_ever)
{
    T_CODE(cor_select_try(NULL, 0), -EAGAIN);
    T_CODE(cor_select(NULL, 0, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_case off[2] = {{COR_SEND, NULL, NULL, -1}, {COR_RECV, NULL, NULL, -1}};
    T_CODE(cor_select_try(off, 2), -EAGAIN);
    T_CODE(cor_select(off, 2, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(off[0].result, -1);
    cor_group group = {0};
    operation one = {.count = 0};
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_group_go(&group, do_select, &one));
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(one.result, COR_ECANCELED);
}

/* N325, N324: a send case on a closed channel is ready with its error, a receive case with 0. */
TASK_TEST(closed_channels_are_ready)
{
    make(2, 0);
    T_EQ(cor_chan_close(chans[0]), 0);
    cor_case send[2] = {send_case(0), recv_case(1)};
    T_EQ(cor_select(send, 2, 0), 0);
    T_CODE(send[0].result, COR_ECHAN_CLOSED);
    send[0].result = -1;
    T_EQ(cor_select_try(send, 2), 0);
    T_CODE(send[0].result, COR_ECHAN_CLOSED);
    values[0] = 5;
    cor_case recv[2] = {recv_case(0), recv_case(1)};
    T_EQ(cor_select(recv, 2, 0), 0);
    T_EQ(recv[0].result, 0);
    T_EQ(values[0], 0);
    end_all(2);
}

/* N325, N324: closing wakes a waiting select; one that names the channel twice still does one case only. */
TASK_TEST(close_wakes_a_waiting_select)
{
    make(3, 0);
    values[0] = values[1] = values[2] = 5;
    cor_case sends[3] = {send_case(0), send_case(0), recv_case(1)};
    cor_case recvs[3] = {recv_case(2), recv_case(2), send_case(1)};
    recvs[2].chan = NULL;
    operation sender = {.cases = sends, .count = 3}, receiver = {.cases = recvs, .count = 3};
    start(&sender);
    start(&receiver);
    T_WAITING(&chans[0]->senders, 2);
    T_WAITING(&chans[2]->receivers, 2);
    T_EQ(cor_chan_close(chans[0]), 0);
    T_EQ(cor_chan_close(chans[2]), 0);
    end_all(3);
    T_EQ(sender.result, 0);
    T_CODE(sends[0].result, COR_ECHAN_CLOSED);
    T_EQ(sends[1].result, -1);
    T_EQ(receiver.result, 0);
    T_EQ(recvs[0].result, 0);
    T_EQ(recvs[1].result, -1);
    T_EQ(values[2], 0);
}

/* N336 */
TASK_TEST(deadlines_and_cancellation)
{
    make(2, 0);
    cor_case cases[2] = {recv_case(0), send_case(1)};
    int64_t deadline = cor_after(BRIEFLY);
    T_CODE(cor_select(cases, 2, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    for (int by_deadline = 0; by_deadline < 2; by_deadline++) {
        cor_group group = {0};
        operation one = {.cases = cases, .count = 2};
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_group_go(&group, do_select, &one));
        T_WAITING(&chans[1]->senders, 1);
        if (by_deadline) {
            cor_group_set_deadline(&group, cor_after(BRIEFLY));
        } else {
            cor_group_cancel(&group);
        }
        T_OK(cor_group_wait(&group, 0));
        T_CODE(one.result, by_deadline ? COR_ETIMEOUT : COR_ECANCELED);
        T_EQ(waiting(&chans[0]->receivers), 0);
        T_EQ(waiting(&chans[1]->senders), 0);
    }
    T_EQ(cases[0].result, -1);
    T_EQ(cases[1].result, -1);
    end_all(2);
}

TASK_TEST(up_to_64_cases)
{
    make(CORI_SELECT_MAX + 1, 0);
    cor_case cases[CORI_SELECT_MAX + 1];
    for (int i = 0; i <= CORI_SELECT_MAX; i++) {
        cases[i] = recv_case(CORI_SELECT_MAX - i);
    }
    T_CODE(cor_select(cases, CORI_SELECT_MAX + 1, 0), -EINVAL);
    T_CODE(cor_select_try(cases, CORI_SELECT_MAX + 1), -EINVAL);
    T_CODE(cor_select_try(cases, CORI_SELECT_MAX), -EAGAIN);
    for (int which = 0; which < CORI_SELECT_MAX; which += 21) {
        operation one = {.cases = cases, .count = CORI_SELECT_MAX};
        start(&one);
        T_WAITING(&cases[which].chan->receivers, 1);
        T_EQ(cor_chan_send(cases[which].chan, &which, 0), 0);
        T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
        T_EQ(one.result, which);
        T_EQ(*(int *)cases[which].elem, which);
    }
    end_all(CORI_SELECT_MAX + 1);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_select(NULL, 0, 0), COR_ENOT_TASK);
    assert_int_equal(cor_select_try(NULL, 0), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_a_ready_case),
        cmocka_unit_test(chooses_fairly_between_two),
        cmocka_unit_test(chooses_uniformly_among_the_ready),
        cmocka_unit_test(waits_and_leaves_nothing_behind),
        cmocka_unit_test(waiting_sends),
        cmocka_unit_test(selects_meet),
        cmocka_unit_test(never_meets_itself),
        cmocka_unit_test(two_that_send_and_receive_meet_each_other),
        cmocka_unit_test(a_channel_may_stand_in_several_cases),
        cmocka_unit_test(a_partner_finds_no_other_case),
        cmocka_unit_test(no_cases_block_for_ever),
        cmocka_unit_test(closed_channels_are_ready),
        cmocka_unit_test(close_wakes_a_waiting_select),
        cmocka_unit_test(deadlines_and_cancellation),
        cmocka_unit_test(up_to_64_cases),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Channels: the properties of Go's, one operation at a time. */
/* test: simulated */
#include "base/limits.h"
#include "unit/sync/waiting.h"

#include <errno.h>
#include <stdlib.h>

static cor_chan *chan;
static cor_waitgroup tasks;

static void make(size_t capacity)
{
    chan = cor_chan_new(sizeof(int), capacity);
    T_ASSERT(chan != NULL);
}

static int receive(void)
{
    int value = -1;
    T_EQ(cor_chan_recv(chan, &value, cor_after(SOON)), 1);
    return value;
}

/* One waiting operation in a task of its own. */
typedef struct operation {
    int value;
    int result;
    int64_t deadline;
    int ended;
} operation;

static void do_send(void *arg)
{
    operation *one = arg;
    one->result = cor_chan_send(chan, &one->value, one->deadline);
    __atomic_store_n(&one->ended, 1, __ATOMIC_RELEASE);
    cor_waitgroup_done(&tasks);
}

static void do_recv(void *arg)
{
    operation *one = arg;
    one->result = cor_chan_recv(chan, &one->value, one->deadline);
    __atomic_store_n(&one->ended, 1, __ATOMIC_RELEASE);
    cor_waitgroup_done(&tasks);
}

/* Starts the operation and waits until it is the `number`th in its queue. */
static void start_waiting(void (*fn)(void *arg), operation *one, int number)
{
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(fn, one));
    T_WAITING(fn == do_send ? &chan->senders : &chan->receivers, number);
}

static void end_all(void)
{
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    T_EQ(waiting(&chan->senders), 0);
    T_EQ(waiting(&chan->receivers), 0);
    cor_chan_free(chan);
}

static int before_send, before_recv;

static void meet(void *arg)
{
    (void)arg;
    before_send = 1;
    T_EQ(cor_chan_send(chan, &(int){5}, 0), 0);
    T_EQ(before_recv, 1);
    cor_waitgroup_done(&tasks);
}

/* N321, N349: both sides see what the other did before; without a partner nothing is sent. */
TASK_TEST(unbuffered_is_a_rendezvous)
{
    make(0);
    T_EQ(cor_chan_cap(chan), 0);
    T_CODE(cor_chan_try_send(chan, &(int){1}), -EAGAIN);
    T_CODE(cor_chan_send(chan, &(int){1}, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(meet, NULL));
    before_recv = 1;
    T_EQ(receive(), 5);
    T_EQ(before_send, 1);
    end_all();
}

/* N322 */
TASK_TEST(buffered_is_a_bounded_fifo)
{
    make(3);
    T_EQ(cor_chan_cap(chan), 3);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            T_EQ(cor_chan_len(chan), i);
            T_EQ(cor_chan_send(chan, &(int){10 * round + i}, 0), 0);
        }
        T_CODE(cor_chan_try_send(chan, &(int){99}), -EAGAIN);
        operation fourth = {.value = 10 * round + 3};
        start_waiting(do_send, &fourth, 1);
        T_EQ(cor_chan_len(chan), 3);
        T_EQ(get(&fourth.ended), 0);
        for (int i = 0; i < 4; i++) {
            T_EQ(receive(), 10 * round + i);
        }
        T_CODE(cor_chan_try_recv(chan, &(int){0}), -EAGAIN);
        T_EVENTUALLY(get(&fourth.ended), SOON);
        T_EQ(fourth.result, 0);
    }
    end_all();
}

/* N323 */
TASK_TEST(receivers_are_served_in_order_of_arrival)
{
    make(0);
    operation receivers[5] = {0};
    for (int i = 0; i < 5; i++) {
        start_waiting(do_recv, &receivers[i], i + 1);
    }
    for (int i = 0; i < 5; i++) {
        T_EQ(cor_chan_try_send(chan, &(int){100 + i}), 0); /* straight to a waiting receiver */
        T_EVENTUALLY(get(&receivers[i].ended), SOON);
        T_EQ(receivers[i].result, 1);
        T_EQ(receivers[i].value, 100 + i);
    }
    end_all();
}

/* N323 */
TASK_TEST(senders_are_served_in_order_of_arrival)
{
    make(0);
    operation senders[5] = {0};
    for (int i = 0; i < 5; i++) {
        senders[i].value = i;
        start_waiting(do_send, &senders[i], i + 1);
    }
    for (int i = 0; i < 5; i++) {
        int value = -1;
        T_EQ(cor_chan_try_recv(chan, &value), 1);
        T_EQ(value, i);
        T_EVENTUALLY(get(&senders[i].ended), SOON);
    }
    end_all();
}

/* N323 */
TASK_TEST(a_freed_slot_takes_the_first_waiting_value)
{
    make(1);
    T_EQ(cor_chan_send(chan, &(int){0}, 0), 0);
    operation senders[2] = {{.value = 1}, {.value = 2}};
    start_waiting(do_send, &senders[0], 1);
    start_waiting(do_send, &senders[1], 2);
    for (int i = 0; i < 3; i++) {
        T_EQ(receive(), i);
        T_EQ(cor_chan_len(chan), i < 2);
        if (i < 2) {
            T_EVENTUALLY(get(&senders[i].ended), SOON);
        }
    }
    end_all();
}

/* N324, N325 */
TASK_TEST(close_delivers_what_is_left_then_zero)
{
    make(2);
    T_EQ(cor_chan_send(chan, &(int){7}, 0), 0);
    T_EQ(cor_chan_send(chan, &(int){8}, 0), 0);
    T_EQ(cor_chan_close(chan), 0);
    T_CODE(cor_chan_close(chan), COR_ECHAN_CLOSED);
    T_CODE(cor_chan_send(chan, &(int){9}, 0), COR_ECHAN_CLOSED);
    T_CODE(cor_chan_try_send(chan, &(int){9}), COR_ECHAN_CLOSED);
    T_EQ(receive(), 7);
    T_EQ(receive(), 8);
    for (int i = 0; i < 3; i++) {
        int value = -1;
        T_EQ(cor_chan_recv(chan, &value, 0), 0);
        T_EQ(value, 0);
        value = -1;
        T_EQ(cor_chan_try_recv(chan, &value), 0);
        T_EQ(value, 0);
    }
    T_CODE(cor_chan_close(NULL), -EINVAL);
    end_all();
}

/* N324 */
TASK_TEST(close_wakes_all_receivers)
{
    make(0);
    operation receivers[4] = {{.value = -1}, {.value = -1}, {.value = -1}, {.value = -1}};
    for (int i = 0; i < 4; i++) {
        start_waiting(do_recv, &receivers[i], i + 1);
    }
    T_EQ(cor_chan_close(chan), 0);
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    for (int i = 0; i < 4; i++) {
        T_EQ(receivers[i].result, 0);
        T_EQ(receivers[i].value, 0);
    }
    end_all();
}

/* N325: their values are not delivered. */
TASK_TEST(close_wakes_all_senders)
{
    make(1);
    T_EQ(cor_chan_send(chan, &(int){1}, 0), 0);
    operation senders[3] = {{.value = 2}, {.value = 3}, {.value = 4}};
    for (int i = 0; i < 3; i++) {
        start_waiting(do_send, &senders[i], i + 1);
    }
    T_EQ(cor_chan_close(chan), 0);
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    for (int i = 0; i < 3; i++) {
        T_CODE(senders[i].result, COR_ECHAN_CLOSED);
    }
    T_EQ(receive(), 1);
    T_EQ(cor_chan_try_recv(chan, NULL), 0);
    end_all();
}

static void use_nil(void *arg)
{
    int *codes = arg;
    int value = 0;
    codes[0] = cor_chan_send(NULL, &value, 0);
    codes[1] = cor_chan_recv(NULL, &value, 0);
}

/* N326 */
TASK_TEST(a_nil_channel_blocks_for_ever)
{
    int value = 0;
    T_CODE(cor_chan_try_send(NULL, &value), -EAGAIN);
    T_CODE(cor_chan_try_recv(NULL, &value), -EAGAIN);
    T_CODE(cor_chan_send(NULL, &value, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_CODE(cor_chan_recv(NULL, &value, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(cor_chan_len(NULL), 0);
    T_EQ(cor_chan_cap(NULL), 0);
    cor_chan_free(NULL);
    cor_group group = {0};
    int codes[2] = {1, 1};
    T_OK(cor_group_go(&group, use_nil, codes));
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(codes[0], COR_ECANCELED);
    T_CODE(codes[1], COR_ECANCELED);
}

/* N336: a deadline ends the wait, not before its time, and leaves nothing behind. */
TASK_TEST(deadlines)
{
    make(1);
    int value = 3;
    int64_t deadline = cor_after(BRIEFLY);
    T_CODE(cor_chan_recv(chan, &value, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_EQ(value, 3);
    T_EQ(cor_chan_send(chan, &value, cor_after(-1)), 0); /* possible at once: the deadline does not matter */
    deadline = cor_after(BRIEFLY);
    T_CODE(cor_chan_send(chan, &value, deadline), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= deadline);
    T_EQ(cor_chan_recv(chan, &value, cor_after(-1)), 1);
    T_CODE(cor_chan_recv(chan, &value, cor_after(-1)), COR_ETIMEOUT);
    T_EQ(cor_chan_len(chan), 0);
    end_all();
}

/* N336: so does a group's cancellation, and its deadline. */
TASK_TEST(cancellation)
{
    make(0);
    for (int by_deadline = 0; by_deadline < 2; by_deadline++) {
        for (int sending = 0; sending < 2; sending++) {
            cor_group group = {0};
            operation one = {.value = 3};
            cor_waitgroup_add(&tasks, 1);
            T_OK(cor_group_go(&group, sending ? do_send : do_recv, &one));
            T_WAITING(sending ? &chan->senders : &chan->receivers, 1);
            if (by_deadline) {
                cor_group_set_deadline(&group, cor_after(BRIEFLY));
            } else {
                cor_group_cancel(&group);
            }
            T_OK(cor_group_wait(&group, 0));
            T_CODE(one.result, by_deadline ? COR_ETIMEOUT : COR_ECANCELED);
            T_EQ(one.value, 3);
            T_EQ(waiting(sending ? &chan->senders : &chan->receivers), 0);
        }
    }
    end_all();
}

static void exchange(size_t elem_size_bytes, size_t capacity)
{
    chan = cor_chan_new(elem_size_bytes, capacity);
    T_ASSERT(chan != NULL);
    unsigned char *sent = malloc(elem_size_bytes + 1);
    unsigned char *got = malloc(elem_size_bytes + 1);
    for (size_t round = 0; round < 2 * capacity; round++) {
        memset(sent, (int)round + 1, elem_size_bytes);
        sent[elem_size_bytes] = got[elem_size_bytes] = 0x5a;
        T_EQ(cor_chan_send(chan, sent, 0), 0);
        T_EQ(cor_chan_recv(chan, got, 0), 1);
        T_MEM(sent, got, elem_size_bytes + 1);
    }
    T_EQ(cor_chan_send(chan, sent, 0), 0);
    T_EQ(cor_chan_recv(chan, NULL, 0), 1); /* NULL drops the value */
    T_EQ(cor_chan_len(chan), 0);
    cor_chan_free(chan);
    free(sent);
    free(got);
}

/* N335 */
TASK_TEST(values_of_all_sizes)
{
    const size_t sizes[] = {1, 2, 3, 7, 8, 9, 16, 24, 63, 4096, CORI_CHAN_ELEM_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        exchange(sizes[i], 1);
        exchange(sizes[i], 3);
    }
    T_ASSERT(cor_chan_new(CORI_CHAN_ELEM_MAX + 1, 0) == NULL);
    T_ASSERT(cor_chan_new(1, SIZE_MAX) == NULL);
    T_ASSERT(cor_chan_new(0, SIZE_MAX) == NULL);
    T_ASSERT(cor_chan_new(8, SIZE_MAX / 8) == NULL);
    T_ASSERT(cor_chan_new(8, SIZE_MAX / 8 + 2) == NULL);
}

/* N335: empty values are counted like others, and nobody reads or writes through the pointer. */
TASK_TEST(values_without_size)
{
    chan = cor_chan_new(0, 2);
    T_EQ(cor_chan_send(chan, NULL, 0), 0);
    T_EQ(cor_chan_send(chan, NULL, 0), 0);
    T_CODE(cor_chan_try_send(chan, NULL), -EAGAIN);
    T_EQ(cor_chan_len(chan), 2);
    operation sender = {0};
    start_waiting(do_send, &sender, 1);
    for (int i = 0; i < 3; i++) {
        T_EQ(cor_chan_recv(chan, NULL, 0), 1);
    }
    T_EQ(cor_chan_close(chan), 0);
    int value = 5;
    T_EQ(cor_chan_recv(chan, &value, 0), 0);
    T_EQ(value, 5);
    end_all();
}

static int turns;

static void count_turns(void *arg)
{
    (void)arg;
    turns++;
    cor_waitgroup_done(&tasks);
}

/* A task for which every operation succeeds at once still lets others run. */
TASK_TEST_WITH(busy_tasks_give_way, &(cor_options){.workers = 1})
{
    make(1);
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(count_turns, NULL));
    for (int i = 0; turns == 0; i++) {
        T_ASSERT(i < 10 * CORI_OPS_BUDGET);
        T_EQ(cor_chan_send(chan, &i, 0), 0);
        T_EQ(cor_chan_recv(chan, NULL, 0), 1);
    }
    end_all();
}

static void outside_a_task(void **state)
{
    (void)state;
    int value = 0;
    cor_chan *one = cor_chan_new(sizeof(value), 1);
    assert_int_equal(cor_chan_send(one, &value, 0), COR_ENOT_TASK);
    assert_int_equal(cor_chan_recv(one, &value, 0), COR_ENOT_TASK);
    assert_int_equal(cor_chan_try_send(one, &value), COR_ENOT_TASK);
    assert_int_equal(cor_chan_try_recv(one, &value), COR_ENOT_TASK);
    assert_int_equal(cor_chan_close(one), COR_ENOT_TASK);
    assert_int_equal(cor_chan_len(one), 0);
    assert_int_equal(cor_chan_cap(one), 1);
    cor_chan_free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unbuffered_is_a_rendezvous),
        cmocka_unit_test(buffered_is_a_bounded_fifo),
        cmocka_unit_test(receivers_are_served_in_order_of_arrival),
        cmocka_unit_test(senders_are_served_in_order_of_arrival),
        cmocka_unit_test(a_freed_slot_takes_the_first_waiting_value),
        cmocka_unit_test(close_delivers_what_is_left_then_zero),
        cmocka_unit_test(close_wakes_all_receivers),
        cmocka_unit_test(close_wakes_all_senders),
        cmocka_unit_test(a_nil_channel_blocks_for_ever),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(cancellation),
        cmocka_unit_test(values_of_all_sizes),
        cmocka_unit_test(values_without_size),
        cmocka_unit_test(busy_tasks_give_way),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

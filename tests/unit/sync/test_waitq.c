/* SPDX-License-Identifier: MIT */
/*
 * The wait queue: its order, and the moment between "taken out by a waker" and "told so", which nothing else can hold.
 */
#include "unit/sync/waiting.h"

#include <errno.h>

static cor_waitq queue;
static uint32_t spin;

static bool holds(const cori_waiter *node)
{
    return cori_waitq_holds(&queue, node);
}

TASK_TEST(is_a_fifo_that_gives_up_any_node)
{
    cori_waiter nodes[5] = {0};
    for (int i = 0; i < 5; i++) {
        cori_waitq_push(&queue, &nodes[i]);
    }
    cori_waitq_remove(&queue, &nodes[2]);
    cori_waitq_remove(&queue, &nodes[4]);
    T_EQ(queue.count, 3);
    T_ASSERT(!holds(&nodes[2]) && !holds(&nodes[4]) && holds(&nodes[3]));
    T_ASSERT(cori_waitq_pop(&queue) == &nodes[0]);
    T_ASSERT(cori_waitq_take_all(&queue) == &nodes[1]);
    T_ASSERT(nodes[1].next == &nodes[3] && nodes[3].next == NULL);
    T_ASSERT(!holds(&nodes[1]) && !holds(&nodes[3]));
    T_ASSERT(cori_waitq_pop(&queue) == NULL);
    T_EQ(queue.count, 0);
    cori_waitq_push(&queue, &nodes[4]);
    T_ASSERT(queue.head == &nodes[4] && queue.tail == &nodes[4]);
    T_ASSERT(holds(&nodes[4]) && !holds(&nodes[3]));
}

static void wait_in_queue(void *arg)
{
    cori_waiter node = {.task = cori_self()};
    cori_spin_lock(&spin);
    cori_waitq_push(&queue, &node);
    cori_spin_unlock(&spin);
    *(int *)arg = cori_waiter_await_until(&node, &queue, &spin, 0, "test");
}

/* What a waker has taken out is served, even if its task is cancelled before it is told. */
TASK_TEST(a_node_taken_out_is_served)
{
    cor_group group = {0};
    int result = 1;
    T_OK(cor_group_go(&group, wait_in_queue, &result));
    T_WAITING(&queue, 1);
    cori_spin_lock(&spin);
    cori_waiter *node = cori_waitq_pop(&queue);
    cori_spin_unlock(&spin);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(get(&result), 1); /* it may not return: the waker still has its node */
    cori_waiter_serve(node);
    T_OK(cor_group_wait(&group, 0));
    T_EQ(result, 0);
}

/* The same if all were taken: none withdraws, though nobody has visited them; one that came later does. */
TASK_TEST(nodes_taken_together_are_served)
{
    cor_group group = {0};
    int results[4] = {1, 1, 1, 1};
    for (unsigned i = 0; i < 3; i++) {
        T_OK(cor_group_go(&group, wait_in_queue, &results[i]));
        T_WAITING(&queue, i + 1);
    }
    cori_spin_lock(&spin);
    cori_waiter *first = cori_waitq_take_all(&queue);
    cori_spin_unlock(&spin);
    T_OK(cor_group_go(&group, wait_in_queue, &results[3]));
    T_WAITING(&queue, 1);
    cor_group_cancel(&group);
    T_WAITING(&queue, 0);
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    for (int i = 0; i < 3; i++) {
        T_EQ(get(&results[i]), 1);
    }
    cori_waiter_serve_list(first);
    T_OK(cor_group_wait(&group, 0));
    for (int i = 0; i < 3; i++) {
        T_EQ(results[i], 0);
    }
    T_CODE(results[3], COR_ECANCELED);
    T_ASSERT(queue.head == NULL && queue.tail == NULL);
}

/* One that is still in the queue when it is cancelled leaves it. */
TASK_TEST(a_node_in_the_queue_is_withdrawn)
{
    cor_group group = {0};
    int result = 1;
    T_OK(cor_group_go(&group, wait_in_queue, &result));
    T_WAITING(&queue, 1);
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(result, COR_ECANCELED);
    T_ASSERT(queue.head == NULL && queue.tail == NULL && queue.count == 0);
}

static void select_in_task(void *arg)
{
    cor_case *cases = arg;
    cases[0].result = cor_select(cases, 2, 0);
}

/* The same for a select: once a partner has claimed it, its cancellation comes too late. */
TASK_TEST(a_claimed_select_is_served)
{
    cor_group group = {0};
    cor_chan *a = cor_chan_new(0, 0), *b = cor_chan_new(0, 0);
    cor_case cases[2] = {{COR_RECV, a, NULL, -1}, {COR_RECV, b, NULL, -1}};
    T_OK(cor_group_go(&group, select_in_task, cases));
    T_WAITING(&a->receivers, 1);
    cori_spin_lock(&b->spin);
    cori_outcome outcome = cori_chan_send_locked(b, NULL);
    cori_spin_unlock(&b->spin);
    T_EQ(outcome.rc, 0);
    T_ASSERT(outcome.partner != NULL);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(cor_chan_try_send(a, NULL), -EAGAIN); /* the other case is off, though its node is still queued */
    cori_waiter_serve(outcome.partner);
    T_OK(cor_group_wait(&group, 0));
    T_EQ(cases[0].result, 1); /* the number of the case */
    T_EQ(cases[1].result, 1);
    cor_chan_free(a);
    cor_chan_free(b);
}

/*
 * A close has taken the queue with a select's node in it, and another case is done before the close has come to that
 * node: the select must not return while the close has it. The queue is another's by then.
 */
TASK_TEST(a_select_waits_for_a_close)
{
    cor_group group = {0};
    cor_chan *a = cor_chan_new(0, 0), *b = cor_chan_new(0, 0);
    cor_case cases[2] = {{COR_RECV, a, NULL, -1}, {COR_RECV, b, NULL, -1}};
    T_OK(cor_group_go(&group, select_in_task, cases));
    T_WAITING(&a->receivers, 1);
    cori_spin_lock(&a->spin);
    cori_waiter *taken = cori_waitq_take_all(&a->receivers);
    cori_spin_unlock(&a->spin);
    T_EVENTUALLY(cor_chan_try_send(b, NULL) == 0, SOON);
    if (!cori_solo()) { /* with one worker a close is over before others run */
        T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
        T_EQ(cases[0].result, -1);
    }
    T_ASSERT(a->receivers.head == NULL && a->receivers.tail == NULL);
    cori_waiter_serve(taken);
    T_OK(cor_group_wait(&group, 0));
    T_EQ(cases[0].result, 1);
    T_EQ(cases[1].result, 1);
    T_ASSERT(a->receivers.head == NULL && a->receivers.tail == NULL);
    T_EQ(waiting(&a->receivers), 0);
    cor_chan_free(a);
    cor_chan_free(b);
}

/* And the close tells it, although it has lost: here both happen before the select runs, if it is on this worker. */
TASK_TEST(a_close_is_done_with_lost_cases)
{
    for (int i = 0; i < 50; i++) {
        cor_group group = {0};
        cor_chan *a = cor_chan_new(0, 0), *b = cor_chan_new(0, 0);
        cor_case cases[2] = {{COR_RECV, a, NULL, -1}, {COR_RECV, b, NULL, -1}};
        T_OK(cor_group_go(&group, select_in_task, cases));
        T_WAITING(&b->receivers, 1);
        T_EVENTUALLY(cor_chan_try_send(b, NULL) == 0, SOON);
        T_OK(cor_chan_close(a));
        T_OK(cor_group_wait(&group, cor_after(SOON)));
        T_EQ(cases[0].result, 1);
        T_EQ(cases[1].result, 1);
        cor_chan_free(a);
        cor_chan_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_a_fifo_that_gives_up_any_node), cmocka_unit_test(a_node_taken_out_is_served),
        cmocka_unit_test(nodes_taken_together_are_served),  cmocka_unit_test(a_node_in_the_queue_is_withdrawn),
        cmocka_unit_test(a_claimed_select_is_served),       cmocka_unit_test(a_select_waits_for_a_close),
        cmocka_unit_test(a_close_is_done_with_lost_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Channel operations of threads that are no tasks: cor_blocking's pool and threads of the program's own. */
#include "unit/sync/waiting.h"

#include <errno.h>
#include <pthread.h>

static const cor_options with_threads = {.foreign_wakeups = true};

static cor_chan *chan;
static int results[4];

/* A thread of the program's own, and what it gave. */
static void run_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
    T_EQ(pthread_create(thread, NULL, fn, arg), 0);
}

static int join(void *arg)
{
    return -pthread_join(*(pthread_t *)arg, NULL);
}

static void end_thread(pthread_t *thread)
{
    T_OK(cor_blocking(join, thread)); /* the worker goes on, on which the thread may rely */
}

/* In the pool: an answer for each question, until the channel of questions is closed. */
static int answer(void *arg)
{
    cor_chan *answers = arg;
    uint64_t question = 0;
    int rc;
    while ((rc = cor_chan_recv_foreign(chan, &question, 0)) == 1) {
        question *= 2;
        rc = cor_chan_send_foreign(answers, &question, 0);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

static void answer_in_pool(void *arg)
{
    __atomic_store_n(&results[0], cor_blocking(answer, arg) + 1, __ATOMIC_RELEASE);
}

TASK_TEST(the_pool_sends_and_receives)
{
    chan = cor_chan_new(sizeof(uint64_t), 0);
    cor_chan *answers = cor_chan_new(sizeof(uint64_t), 0);
    T_OK(cor_go(answer_in_pool, answers));
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t got = 0;
        T_OK(cor_chan_send(chan, &i, cor_after(SOON)));
        T_EQ(cor_chan_recv(answers, &got, cor_after(SOON)), 1);
        T_EQ(got, 2 * i);
    }
    T_OK(cor_chan_close(chan));
    T_EVENTUALLY(__atomic_load_n(&results[0], __ATOMIC_ACQUIRE) == 1, SOON);
    cor_chan_free(chan);
    cor_chan_free(answers);
}

static void *operate(void *arg)
{
    int value = 7;
    results[0] = cor_chan_recv_foreign(chan, &value, cor_after(BRIEFLY));
    results[1] = cor_chan_send_foreign(chan, &value, 1); /* room for one: long past, it is an attempt */
    results[2] = cor_chan_send_foreign(chan, &value, 1);
    value = 0;
    results[3] = cor_chan_recv_foreign(chan, &value, 1) == 1 ? value : -1;
    (void)arg;
    return NULL;
}

TASK_TEST_WITH(a_thread_has_deadlines_and_attempts, &with_threads)
{
    pthread_t thread;
    chan = cor_chan_new(sizeof(int), 1);
    run_thread(&thread, operate, NULL);
    end_thread(&thread);
    T_CODE(results[0], COR_ETIMEOUT);
    T_EQ(results[1], 0);
    T_CODE(results[2], COR_ETIMEOUT);
    T_EQ(results[3], 7);
    cor_chan_free(chan);
}

static void *wait_for_close(void *arg)
{
    uint64_t value = 5;
    *(int *)arg =
        cor_chan_recv_foreign(chan, &value, 0) == 0 && value == 0 ? cor_chan_send_foreign(chan, &value, 0) : 1;
    return NULL;
}

TASK_TEST_WITH(close_reaches_threads, &with_threads)
{
    pthread_t threads[2];
    chan = cor_chan_new(sizeof(uint64_t), 0);
    for (int i = 0; i < 2; i++) {
        run_thread(&threads[i], wait_for_close, &results[i]);
    }
    T_WAITING(&chan->receivers, 2);
    T_OK(cor_chan_close(chan));
    for (int i = 0; i < 2; i++) {
        end_thread(&threads[i]);
        T_CODE(results[i], COR_ECHAN_CLOSED);
    }
    cor_chan_free(chan);
}

/* In a task they are the plain operations. */
TASK_TEST(in_a_task_they_are_plain)
{
    int value = 3;
    cor_runtime_stats before, after;
    chan = cor_chan_new(sizeof(int), 1);
    T_OK(cor_stats(&before));
    T_OK(cor_chan_send_foreign(chan, &value, 0));
    T_EQ(cor_chan_recv_foreign(chan, &value, 0), 1);
    T_OK(cor_stats(&after));
    T_EQ(after.spawned, before.spawned);
    cor_chan_free(chan);
}

static void *wait_for_the_end(void *arg)
{
    *(int *)arg = cor_chan_recv_foreign(chan, NULL, 0);
    return NULL;
}

static int leave_it_waiting(void *arg)
{
    T_EQ(pthread_create(arg, NULL, wait_for_the_end, &results[0]), 0);
    T_WAITING(&chan->receivers, 1);
    return 0;
}

/* The end of the run ends what threads wait for; without a run there is nobody to wait for. */
static void no_thread_waits_longer_than_the_run(void **state)
{
    (void)state;
    pthread_t thread;
    chan = cor_chan_new(0, 0);
    assert_int_equal(cor_chan_send_foreign(chan, NULL, 0), COR_ENOT_TASK);
    for (int i = 0; i < 3; i++) {
        cor_waitq empty = {0};
        assert_int_equal(cor_run(leave_it_waiting, &thread, &with_threads), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(results[0], COR_ECANCELED);
        chan->receivers = empty; /* the node of a task that is gone */
    }
    assert_int_equal(cor_chan_recv_foreign(chan, NULL, 0), COR_ENOT_TASK);
    cor_chan_free(chan);
}

static int recv_in_pool(void *arg)
{
    (void)arg;
    return cor_chan_recv_foreign(chan, NULL, 0);
}

static void wait_in_pool(void *arg)
{
    (void)cor_blocking(recv_in_pool, arg);
}

static int leave_the_pool_waiting(void *arg)
{
    T_OK(cor_go(wait_in_pool, arg));
    T_WAITING(&chan->receivers, 1);
    return 0;
}

/* A call of the pool ends with the run, too: cor_run does not have to give it up after a grace. */
static void the_pool_does_not_hold_up_the_end(void **state)
{
    (void)state;
    static const cor_options patient = {.blocking_grace_ns = 100 * COR_SECOND};
    chan = cor_chan_new(0, 0);
    int64_t start = cor_now();
    assert_int_equal(cor_run(leave_the_pool_waiting, NULL, &patient), 0);
    assert_true(cor_now() - start < 50 * COR_SECOND);
    cor_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_sends_and_receives),
        cmocka_unit_test(a_thread_has_deadlines_and_attempts),
        cmocka_unit_test(close_reaches_threads),
        cmocka_unit_test(in_a_task_they_are_plain),
        cmocka_unit_test(no_thread_waits_longer_than_the_run),
        cmocka_unit_test(the_pool_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

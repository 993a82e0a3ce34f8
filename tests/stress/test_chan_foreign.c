/* SPDX-License-Identifier: MIT */
/* Threads and tasks at both ends of channels: each value arrives exactly once. N334 for threads that are no tasks. */
#include "support/taskcase.h"

#include <pthread.h>

enum { THREADS = 4, VALUES = 200 };

static cor_chan *chan;
static cor_waitgroup tasks;
static long sent, received; /* atomic: sums */

static void send_values(int (*send)(cor_chan *to, const void *elem, int64_t deadline))
{
    static long last;
    for (int i = 0; i < VALUES; i++) {
        long value = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
        T_OK(send(chan, &value, 0));
        __atomic_add_fetch(&sent, value, __ATOMIC_RELAXED);
    }
}

static void recv_values(int (*recv)(cor_chan *from, void *elem, int64_t deadline))
{
    for (int i = 0; i < VALUES;) {
        long value = 0;
        int rc = recv(chan, &value, cor_after(100 * COR_MICROSECOND));
        T_ASSERT(rc == 1 || rc == COR_ETIMEOUT);
        __atomic_add_fetch(&received, value, __ATOMIC_RELAXED);
        i += rc == 1;
    }
}

static void *thread_main(void *arg)
{
    if ((intptr_t)arg % 2 == 0) {
        send_values(cor_chan_send_foreign);
    } else {
        recv_values(cor_chan_recv_foreign);
    }
    return NULL;
}

static void task_main(void *arg)
{
    if (arg == NULL) {
        send_values(cor_chan_send);
    } else {
        recv_values(cor_chan_recv);
    }
    cor_waitgroup_done(&tasks);
}

static int join_all(void *arg)
{
    pthread_t *threads = arg;
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return 0;
}

static const cor_options with_threads = {.foreign_wakeups = true};

TASK_TEST_WITH(each_value_arrives_once, &with_threads)
{
    pthread_t threads[THREADS];
    for (size_t capacity = 0; capacity < 4; capacity += 3) {
        chan = cor_chan_new(sizeof(long), capacity);
        cor_waitgroup_add(&tasks, 2);
        for (int i = 0; i < THREADS; i++) {
            T_EQ(pthread_create(&threads[i], NULL, thread_main, (void *)(intptr_t)i), 0);
        }
        T_OK(cor_go(task_main, NULL));
        T_OK(cor_go(task_main, chan));
        T_OK(cor_waitgroup_wait(&tasks, 0));
        T_OK(cor_blocking(join_all, threads));
        T_EQ(sent, received);
        cor_chan_free(chan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_value_arrives_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

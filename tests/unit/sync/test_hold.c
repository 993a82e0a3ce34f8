/* SPDX-License-Identifier: MIT */
/*
 * How much a waker does under a spin lock. Whoever wakes all must not visit them while it holds the lock: others would
 * spin for as long as that takes. The sources are compiled into this file with a look at all nodes that wait whenever a
 * lock is taken, and another when it is given back: in between only so many may have changed, however many there are.
 */
/* test: workers=1 */
#include "unit/sync/waiting.h"

static void taken(void);
static void given_back(void);
/* A macro does not name itself again: what follows the comma is the function. */
#define cori_spin_lock(word) (cori_spin_lock(word), taken())
#define cori_spin_unlock(word) (given_back(), cori_spin_unlock(word))
#define cori_chan_lock(chan) (cori_chan_lock(chan), taken())
#define cori_chan_unlock(chan) (given_back(), cori_chan_unlock(chan))
#include "sync/chan.c"
#include "sync/cond.c"
#include "sync/rwmutex.c"
#include "sync/waitgroup.c"

/* The node that leaves, and its two neighbours. */
enum { WAITERS = 1000, CHANGED_MAX = 3 };

static cori_waiter *nodes[WAITERS], before[WAITERS];
static unsigned node_count, most_changed;

static void taken(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        before[i] = *nodes[i];
    }
}

static void given_back(void)
{
    unsigned changed = 0;
    for (unsigned i = 0; i < node_count; i++) {
        changed += before[i].next != nodes[i]->next || before[i].prev != nodes[i]->prev ||
                   before[i].linked != nodes[i]->linked || before[i].done != nodes[i]->done;
    }
    most_changed = changed > most_changed ? changed : most_changed;
}

static cor_waitgroup ended, counted;
static cor_cond cond;
static cor_mutex mutex;
static cor_rwmutex rwmutex;
static cor_chan *chan, *other;

/* Starts the tasks and waits until they are all in `queue`; from now on their nodes are looked at. */
static void start(void (*fn)(void *arg), const cor_waitq *queue)
{
    node_count = most_changed = 0;
    cor_waitgroup_add(&ended, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        T_OK(cor_go(fn, NULL));
    }
    T_WAITING(queue, WAITERS);
    for (cori_waiter *node = queue->head; node != NULL; node = node->next) {
        nodes[node_count++] = node;
    }
    T_EQ(node_count, WAITERS);
}

/* No node of a task that runs on may be looked at. */
static void finish_waits(void)
{
    T_ASSERT(most_changed <= CHANGED_MAX);
    node_count = 0;
    T_OK(cor_waitgroup_wait(&ended, cor_after(SOON)));
}

static void wait_for_cond(void *arg)
{
    (void)arg;
    cor_mutex_lock(&mutex);
    T_OK(cor_cond_wait(&cond, &mutex, 0));
    cor_mutex_unlock(&mutex);
    cor_waitgroup_done(&ended);
}

TASK_TEST(a_broadcast)
{
    start(wait_for_cond, &cond.waiters);
    cor_cond_broadcast(&cond);
    finish_waits();
}

static void wait_for_group(void *arg)
{
    (void)arg;
    T_OK(cor_waitgroup_wait(&counted, 0));
    cor_waitgroup_done(&ended);
}

TASK_TEST(the_end_of_a_wait_group)
{
    cor_waitgroup_add(&counted, 1);
    start(wait_for_group, &counted.waiters);
    cor_waitgroup_done(&counted);
    finish_waits();
}

static void read_lock(void *arg)
{
    (void)arg;
    cor_rwmutex_rlock(&rwmutex);
    cor_rwmutex_runlock(&rwmutex);
    cor_waitgroup_done(&ended);
}

TASK_TEST(a_writer_that_leaves)
{
    cor_rwmutex_lock(&rwmutex);
    start(read_lock, &rwmutex.waiting_readers);
    cor_rwmutex_unlock(&rwmutex);
    finish_waits();
}

static void receive_one(void *arg)
{
    (void)arg;
    T_EQ(cor_chan_recv(chan, NULL, 0), 0);
    cor_waitgroup_done(&ended);
}

static void send_one(void *arg)
{
    (void)arg;
    T_CODE(cor_chan_send(chan, NULL, 0), COR_ECHAN_CLOSED);
    cor_waitgroup_done(&ended);
}

static void select_two(void *arg)
{
    (void)arg;
    cor_case cases[] = {{COR_RECV, other, NULL, -1}, {COR_RECV, chan, NULL, -1}};
    T_EQ(cor_select(cases, 2, 0), 1);
    T_EQ(cases[1].result, 0);
    cor_waitgroup_done(&ended);
}

static void close_under(void (*fn)(void *arg), bool senders)
{
    chan = cor_chan_new(0, 0);
    other = cor_chan_new(0, 0);
    start(fn, senders ? &chan->senders : &chan->receivers);
    T_OK(cor_chan_close(chan));
    finish_waits();
    cor_chan_free(chan);
    cor_chan_free(other);
}

TASK_TEST(a_close_under_receivers)
{
    close_under(receive_one, false);
}

TASK_TEST(a_close_under_senders)
{
    close_under(send_one, true);
}

TASK_TEST(a_close_under_selects)
{
    close_under(select_two, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broadcast),           cmocka_unit_test(the_end_of_a_wait_group),
        cmocka_unit_test(a_writer_that_leaves),  cmocka_unit_test(a_close_under_receivers),
        cmocka_unit_test(a_close_under_senders), cmocka_unit_test(a_close_under_selects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Timers that some set and stop while others wait for them, with channels beside them in the same selects: no wait is
 * forgotten, no value comes early or after a stop. N343, N344.
 */
#include "sched/park.h"
#include "support/taskcase.h"

#include <errno.h>

enum { TIMERS = 3, WAITERS = 8, ROUNDS = 400 };

static cor_timer *timers[TIMERS];
static cor_chan *chan;
static cor_waitgroup tasks;
static int waits_left = WAITERS * ROUNDS; /* atomic */

static int64_t some(int64_t most)
{
    return (int64_t)cori_rand_below(&cori_self()->worker->rand, (uint32_t)most);
}

/* Each wait ends by a timer, by the channel, or by its own near deadline. */
static void wait_often(void *arg)
{
    bool patient = arg != NULL;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t value = 0;
        cor_case cases[TIMERS + 1];
        for (int k = 0; k < TIMERS; k++) {
            cases[k] = (cor_case){COR_RECV, cor_timer_chan(timers[k]), &value, -1};
        }
        cases[TIMERS] = (cor_case){COR_RECV, chan, NULL, -1};
        int which = cor_select(cases, TIMERS + 1, patient ? 0 : cor_after(some(200 * COR_MICROSECOND)));
        T_ASSERT(which >= 0 || (!patient && which == COR_ETIMEOUT));
        T_ASSERT(which < 0 || which == TIMERS || (value > 0 && value <= cor_now()));
        __atomic_fetch_sub(&waits_left, 1, __ATOMIC_RELAXED);
    }
    cor_waitgroup_done(&tasks);
}

static void set_often(void *arg)
{
    while (__atomic_load_n(&waits_left, __ATOMIC_RELAXED) > 0) {
        cor_timer *timer = timers[some(TIMERS)];
        if (some(4) == 0) {
            (void)cor_timer_stop(timer);
        }
        T_OK(cor_timer_reset(timer, 1 + some(100 * COR_MICROSECOND)));
        int sent = cor_chan_try_send(chan, NULL);
        T_ASSERT(sent == 0 || sent == -EAGAIN);
        T_OK(cor_sleep(some(50 * COR_MICROSECOND)));
    }
    (void)arg;
    cor_waitgroup_done(&tasks);
}

/* A patient waiter has no deadline: one forgotten wake-up, and it would wait for ever. */
TASK_TEST(no_wait_is_forgotten)
{
    chan = cor_chan_new(0, 0);
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = i == 0 ? cor_ticker_new(300 * COR_MICROSECOND) : cor_timer_new(0);
    }
    cor_waitgroup_add(&tasks, WAITERS + 2);
    for (int i = 0; i < WAITERS; i++) {
        T_OK(cor_go(wait_often, i % 2 != 0 ? chan : NULL));
    }
    for (int i = 0; i < 2; i++) {
        T_OK(cor_go(set_often, NULL));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    for (int i = 0; i < TIMERS; i++) {
        cor_timer_free(timers[i]);
    }
    cor_chan_free(chan);
}

static void wait_for_last(void *arg)
{
    T_EQ(cor_chan_recv(cor_timer_chan(timers[0]), NULL, 0), 1);
    (void)arg;
    cor_waitgroup_done(&tasks);
}

/*
 * One timer, set once per round, and no other event: whoever of the waiters is not told to watch when another leaves
 * waits for ever. A leaver's deadline falls near the moment of the others' values.
 */
TASK_TEST(the_watch_is_handed_on)
{
    timers[0] = cor_ticker_new(100 * COR_MICROSECOND);
    for (int i = 0; i < 300; i++) {
        cor_waitgroup_add(&tasks, 3);
        for (int k = 0; k < 3; k++) {
            T_OK(cor_go(wait_for_last, NULL));
        }
        int rc = cor_chan_recv(cor_timer_chan(timers[0]), NULL, cor_after(some(200 * COR_MICROSECOND)));
        T_ASSERT(rc == 1 || rc == COR_ETIMEOUT);
        T_OK(cor_waitgroup_wait(&tasks, 0));
    }
    cor_timer_free(timers[0]);
}

static int called;

static void call(void *arg)
{
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);
}

/* Each call in the future is either stopped in time or made, never both and never neither. */
TASK_TEST(a_call_is_stopped_or_made)
{
    int stopped = 0, made = 0;
    for (int i = 0; i < 500; i++) {
        cor_timer *timer = NULL;
        T_OK(cor_after_func(&timer, some(40 * COR_MICROSECOND), call, &called));
        T_OK(cor_sleep(some(60 * COR_MICROSECOND)));
        if (some(3) == 0) {
            stopped += cor_timer_reset(timer, some(10 * COR_MICROSECOND)) == 0 ? -1 : 0;
        }
        stopped += cor_timer_stop(timer);
        cor_timer_free(timer);
        made++;
    }
    T_EVENTUALLY(__atomic_load_n(&called, __ATOMIC_ACQUIRE) + stopped == made, 20 * COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wait_is_forgotten),
        cmocka_unit_test(the_watch_is_handed_on),
        cmocka_unit_test(a_call_is_stopped_or_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

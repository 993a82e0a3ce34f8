/* SPDX-License-Identifier: MIT */
/*
 * Timers and tickers as channels, and calls in the future. N336, N343 .. N346: what Go's time tests TestAfter,
 * TestAfterFunc, TestAfterStop, TestReset, TestTimerModifiedEarlier, TestTicker and TestNewTickerLtZeroDuration prove.
 */
#include "unit/sync/waiting.h"

#include <errno.h>

static cor_waitgroup tasks;

static cor_waitq *receivers(cor_timer *timer)
{
    return &cor_timer_chan(timer)->receivers;
}

static void pass(int64_t duration_ns)
{
    T_OK(cor_sleep(duration_ns));
}

/* Receives, and gives the value. */
static int64_t fired(cor_timer *timer)
{
    int64_t value = 0;
    T_EQ(cor_chan_recv(cor_timer_chan(timer), &value, cor_after(SOON)), 1);
    return value;
}

/* N343, N346: one value, at the time asked for, never early. */
TASK_TEST(a_timer_fires_once_in_time)
{
    int64_t start = cor_now();
    cor_timer *timer = cor_timer_new(3 * COR_MILLISECOND);
    int64_t value = fired(timer);
    T_ASSERT(value >= start + 3 * COR_MILLISECOND && value <= cor_now());
    T_CODE(cor_chan_recv(cor_timer_chan(timer), NULL, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(waiting(receivers(timer)), 0);
    cor_timer_free(timer);
    timer = cor_timer_new(-1);
    T_EQ(cor_chan_try_recv(cor_timer_chan(timer), NULL), 1);
    cor_timer_free(timer);
    timer = cor_timer_new(INT64_MAX);
    T_CODE(cor_chan_recv(cor_timer_chan(timer), NULL, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_timer_free(timer);
    cor_timer_free(NULL);
}

/* N343: Stop tells whether it kept the timer from firing, and does so once. */
TASK_TEST(stopping_tells_whether_it_prevented)
{
    cor_timer *timer = cor_timer_new(COR_SECOND);
    T_ASSERT(cor_timer_stop(timer));
    T_ASSERT(!cor_timer_stop(timer));
    T_EQ(cor_timer_reset(timer, 0), 0);
    T_EQ(cor_timer_reset(timer, 0), 1);
    (void)fired(timer);
    T_ASSERT(!cor_timer_stop(timer));
    T_EQ(cor_timer_reset(timer, 0), 0);
    cor_timer_free(timer);
}

/* N344: what was due before Stop or Reset is never received after it. */
TASK_TEST(no_stale_value_after_stop_or_reset)
{
    cor_timer *timer = cor_timer_new(0);
    T_ASSERT(cor_timer_stop(timer)); /* not received: it has not fired */
    T_CODE(cor_chan_try_recv(cor_timer_chan(timer), NULL), -EAGAIN);
    T_EQ(cor_timer_reset(timer, 0), 0);
    T_EQ(cor_timer_reset(timer, COR_MINUTE), 1);
    T_CODE(cor_chan_try_recv(cor_timer_chan(timer), NULL), -EAGAIN);
    cor_case one = {COR_RECV, cor_timer_chan(timer), NULL, 0};
    T_CODE(cor_select_try(&one, 1), -EAGAIN);
    T_EQ(cor_chan_len(cor_timer_chan(timer)), 0);
    T_EQ(cor_chan_cap(cor_timer_chan(timer)), 0);
    cor_timer_free(timer);
    cor_timer *ticker = cor_ticker_new(COR_MILLISECOND);
    pass(2 * COR_MILLISECOND);
    T_EQ(cor_timer_reset(ticker, COR_MINUTE), 1);
    T_CODE(cor_chan_try_recv(cor_timer_chan(ticker), NULL), -EAGAIN);
    cor_timer_free(ticker);
}

static int64_t taken_at;

static void take(void *arg)
{
    int64_t value = 0;
    T_EQ(cor_chan_recv(cor_timer_chan(arg), &value, cor_after(SOON)), 1);
    taken_at = value;
    cor_waitgroup_done(&tasks);
}

/* N343: a timer that somebody waits for can be set to an earlier time, to a later one, or anew after a stop. */
TASK_TEST(reset_while_somebody_waits)
{
    const int64_t first[] = {COR_MINUTE, COR_MILLISECOND, COR_MINUTE};
    for (int i = 0; i < 3; i++) {
        cor_timer *timer = cor_timer_new(first[i]);
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(take, timer));
        if (i != 1) {
            T_WAITING(receivers(timer), 1);
        }
        int64_t now = cor_now();
        if (i == 2) {
            T_ASSERT(cor_timer_stop(timer));
        }
        int was_set = cor_timer_reset(timer, 5 * COR_MILLISECOND);
        T_OK(was_set);
        T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
        T_ASSERT(was_set == 0 || taken_at >= now + 5 * COR_MILLISECOND);
        cor_timer_free(timer);
    }
}

/* N345: a ticker keeps to its times; a receiver that is late gets one value for all the ticks it has missed. */
TASK_TEST(a_ticker_keeps_its_period_and_drops_ticks)
{
    enum { PERIOD = 4 * COR_MILLISECOND };
    int64_t start = cor_now();
    cor_timer *ticker = cor_ticker_new(PERIOD);
    int64_t first = fired(ticker);
    T_ASSERT(first >= start + PERIOD);
    for (int i = 0; i < 5; i++) {
        int64_t value = fired(ticker);
        T_ASSERT(value > first && (value - first) % PERIOD == 0);
    }
    pass(5 * PERIOD);
    T_EQ(cor_chan_try_recv(cor_timer_chan(ticker), NULL), 1);
    int64_t before = cor_now();
    int64_t value = fired(ticker);
    T_ASSERT(value >= before - PERIOD && (value - first) % PERIOD == 0);
    T_ASSERT(cor_timer_stop(ticker));
    T_CODE(cor_chan_recv(cor_timer_chan(ticker), NULL, cor_after(2 * PERIOD)), COR_ETIMEOUT);
    T_EQ(cor_timer_reset(ticker, COR_MILLISECOND), 0);
    int64_t again = fired(ticker);
    T_ASSERT((fired(ticker) - again) % COR_MILLISECOND == 0);
    cor_timer_free(ticker);
}

/* N345: what Go panics for is an error; a timer's channel can be neither sent to nor closed. */
TASK_TEST(misuse_is_an_error)
{
    int64_t value = 1;
    T_ASSERT(cor_ticker_new(0) == NULL && cor_ticker_new(-1) == NULL);
    cor_timer *ticker = cor_ticker_new(COR_MINUTE);
    T_CODE(cor_timer_reset(ticker, 0), -EINVAL);
    T_CODE(cor_chan_close(cor_timer_chan(ticker)), -EINVAL);
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(take, ticker));
    T_WAITING(receivers(ticker), 1); /* a receiver does not make a send possible */
    T_CODE(cor_chan_send(cor_timer_chan(ticker), &value, 0), -EINVAL);
    T_CODE(cor_chan_try_send(cor_timer_chan(ticker), &value), -EINVAL);
    cor_case one = {COR_SEND, cor_timer_chan(ticker), &value, 0};
    T_EQ(cor_select(&one, 1, 0), 0);
    T_CODE(one.result, -EINVAL);
    T_EQ(cor_timer_reset(ticker, COR_MILLISECOND), 1);
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    cor_timer_free(ticker);
}

/* N336: the idiom of a time-out, and that a select that has ended leaves nothing in a timer's queue. */
TASK_TEST(a_select_waits_for_timers_and_channels)
{
    int64_t start = cor_now(), value = 0;
    cor_chan *chan = cor_chan_new(sizeof(int), 1);
    cor_timer *late = cor_timer_new(COR_MINUTE), *soon = cor_timer_new(3 * COR_MILLISECOND);
    cor_case cases[] = {{COR_RECV, chan, NULL, -1},
                        {COR_RECV, cor_timer_chan(late), NULL, -1},
                        {COR_RECV, cor_timer_chan(soon), &value, -1}};
    T_EQ(cor_select(cases, 3, 0), 2);
    T_EQ(cases[2].result, 1);
    T_ASSERT(value >= start + 3 * COR_MILLISECOND);
    T_CODE(cor_select(cases, 3, cor_after(BRIEFLY)), COR_ETIMEOUT);
    int sent = 1;
    T_OK(cor_chan_send(chan, &sent, 0));
    T_EQ(cor_select(cases, 3, 0), 0);
    T_EQ(waiting(receivers(late)) + waiting(receivers(soon)) + waiting(&chan->receivers), 0);
    cor_timer_free(late);
    cor_timer_free(soon);
    cor_chan_free(chan);
}

enum { COUNT = 6 };

static cor_timer *timers[COUNT];

static void select_all(void *arg)
{
    cor_case cases[COUNT];
    for (int i = 0; i < COUNT; i++) {
        cases[i] = (cor_case){COR_RECV, cor_timer_chan(timers[i]), NULL, -1};
    }
    *(int *)arg = cor_select(cases, COUNT, cor_after(SOON));
    cor_waitgroup_done(&tasks);
}

/* N343: of several timers that have become due, the one that was due first gives its value. */
TASK_TEST(timers_fire_in_order)
{
    int which = -1;
    for (int i = 0; i < COUNT; i++) {
        timers[i] = cor_timer_new(COR_MINUTE);
    }
    cor_waitgroup_add(&tasks, 1);
    T_OK(cor_go(select_all, &which));
    T_WAITING(receivers(timers[COUNT - 1]), 1);
    for (int i = 0; i < COUNT; i++) {
        T_EQ(cor_timer_reset(timers[(i + 3) % COUNT], 0), 1); /* with one worker nobody looks in between */
    }
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    T_EQ(which, 3);
    for (int i = 0; i < COUNT; i++) {
        cor_timer_free(timers[i]);
    }
}

typedef struct waiter {
    cor_chan *timer, *chan;
    int which;
} waiter;

static void select_both(void *arg)
{
    waiter *mine = arg;
    cor_case cases[] = {{COR_RECV, mine->timer, NULL, 0}, {COR_RECV, mine->chan, NULL, 0}};
    mine->which = cor_select(cases, 2, cor_after(SOON));
    cor_waitgroup_done(&tasks);
}

/*
 * Only the first of many watches the clock. When it leaves, because another case was done, the next one has to, though
 * nobody touches the timer any more.
 */
TASK_TEST(the_next_one_watches_when_the_first_leaves)
{
    cor_chan *chan = cor_chan_new(0, 0);
    cor_timer *timer = cor_timer_new(COR_SECOND); /* long enough to get both to wait on a busy machine */
    waiter waiters[2] = {{cor_timer_chan(timer), chan, -1}, {cor_timer_chan(timer), NULL, -1}};
    for (unsigned i = 0; i < 2; i++) {
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(select_both, &waiters[i]));
        T_WAITING(receivers(timer), i + 1);
    }
    T_OK(cor_chan_send(chan, NULL, cor_after(SOON)));
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    T_EQ(waiters[0].which, 1);
    T_EQ(waiters[1].which, 0);
    cor_timer_free(timer);
    cor_chan_free(chan);
}

static void send_and_free(void *arg)
{
    T_OK(cor_chan_send(arg, NULL, 0));
    cor_chan_free(arg);
}

/* Whoever has sent to the only receiver may free the channel: a select with a timer does not look at it again. */
TASK_TEST(a_channel_beside_a_timer_may_be_freed_at_once)
{
    cor_timer *timer = cor_timer_new(COR_MINUTE);
    for (int i = 0; i < 200; i++) {
        cor_chan *chan = cor_chan_new(0, 0);
        T_OK(cor_go(send_and_free, chan));
        cor_case cases[] = {{COR_RECV, chan, NULL, 0}, {COR_RECV, cor_timer_chan(timer), NULL, 0}};
        T_EQ(cor_select(cases, 2, 0), 0);
    }
    cor_timer_free(timer);
}

static int ticks[4];
static cor_timer *shared;

static void take_ticks(void *arg)
{
    int *mine = arg;
    while (cor_chan_recv(cor_timer_chan(shared), NULL, 0) == 1 && add(mine, 1) < 3) {}
    cor_waitgroup_done(&tasks);
}

/* Each tick goes to one of those that wait, in the order in which they came: so each gets its share. */
TASK_TEST(many_wait_for_one_ticker)
{
    shared = cor_ticker_new(COR_MILLISECOND / 4);
    for (int i = 0; i < 4; i++) {
        cor_waitgroup_add(&tasks, 1);
        T_OK(cor_go(take_ticks, &ticks[i]));
    }
    T_OK(cor_waitgroup_wait(&tasks, cor_after(SOON)));
    T_EQ(waiting(receivers(shared)), 0);
    cor_timer_free(shared);
}

static int called;

static void count_call(void *arg)
{
    add(arg, 1);
}

static cor_timer *again;

static void call_again(void *arg)
{
    if (add(arg, 1) < 3) {
        T_EQ(cor_timer_reset(again, 0), 0);
    }
}

/* N343: AfterFunc calls in a task of its own; Stop and Reset tell what they met; a call can be repeated. */
TASK_TEST(a_function_is_called_in_time)
{
    cor_timer *timer = NULL;
    int64_t start = cor_now();
    T_OK(cor_after_func(&timer, 3 * COR_MILLISECOND, count_call, &called));
    T_ASSERT(cor_timer_chan(timer) == NULL);
    T_EVENTUALLY(get(&called) == 1, SOON);
    T_ASSERT(cor_now() >= start + 3 * COR_MILLISECOND);
    T_ASSERT(!cor_timer_stop(timer));
    T_EQ(cor_timer_reset(timer, COR_MINUTE), 0);
    T_EQ(cor_timer_reset(timer, 0), 1);
    T_EVENTUALLY(get(&called) == 2, SOON);
    T_EQ(cor_timer_reset(timer, COR_MINUTE), 0);
    T_ASSERT(cor_timer_stop(timer));
    T_ASSERT(!cor_timer_stop(timer));
    cor_timer_free(timer);
    T_OK(cor_after_func(&again, COR_MINUTE, call_again, &called));
    add(&called, -2);
    T_EQ(cor_timer_reset(again, COR_MILLISECOND), 1);
    T_EVENTUALLY(get(&called) == 3, SOON);
    cor_timer_free(again);
}

/* N320: a timer that is stopped or freed leaves no task, long before its time. */
TASK_TEST(a_stopped_call_leaves_no_task)
{
    cor_timer *stopped[3];
    for (int i = 0; i < 3; i++) {
        T_OK(cor_after_func(&stopped[i], COR_MINUTE, count_call, &called));
    }
    cor_yield();
    T_ASSERT(cor_timer_stop(stopped[0]));
    cor_timer_free(stopped[1]);
    T_ASSERT(cor_timer_stop(stopped[2]));
    T_EQ(cor_timer_reset(stopped[2], 0), 0); /* perhaps before its task has gone */
    T_EVENTUALLY(get(&called) == 1, SOON);
    cor_timer_free(stopped[0]);
    cor_timer_free(stopped[2]);
    cor_runtime_stats stats;
    T_EVENTUALLY(cor_stats(&stats) == 0 && stats.tasks == 1, SOON);
    T_EQ(get(&called), 1);
}

static int wait_for_nothing(void *arg)
{
    cor_timer *timer = arg;
    T_EQ(cor_chan_recv(cor_timer_chan(timer), NULL, 0), 1);
    T_EQ(cor_timer_reset(timer, COR_MINUTE), 0);
    T_ASSERT(cor_timer_stop(timer));
    return cor_chan_recv(cor_timer_chan(timer), NULL, 0);
}

static int run_to_deadlock(void *arg)
{
    cor_timer *timer = cor_timer_new(COR_MILLISECOND);
    (void)arg;
    int rc = cor_run(wait_for_nothing, timer, NULL);
    cor_timer_free(timer);
    return rc == COR_EDEADLOCK ? 0 : 1;
}

/* A stopped timer is nothing that could still happen; an armed one is. */
static void a_stopped_timer_is_a_deadlock(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_to_deadlock, NULL, &result));
    assert_int_equal(result.exit_status, 0);
    assert_non_null(strstr(result.output, "all tasks are asleep - deadlock!"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_in_time),
        cmocka_unit_test(stopping_tells_whether_it_prevented),
        cmocka_unit_test(no_stale_value_after_stop_or_reset),
        cmocka_unit_test(reset_while_somebody_waits),
        cmocka_unit_test(a_ticker_keeps_its_period_and_drops_ticks),
        cmocka_unit_test(misuse_is_an_error),
        cmocka_unit_test(a_select_waits_for_timers_and_channels),
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(the_next_one_watches_when_the_first_leaves),
        cmocka_unit_test(a_channel_beside_a_timer_may_be_freed_at_once),
        cmocka_unit_test(many_wait_for_one_ticker),
        cmocka_unit_test(a_function_is_called_in_time),
        cmocka_unit_test(a_stopped_call_leaves_no_task),
        cmocka_unit_test(a_stopped_timer_is_a_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

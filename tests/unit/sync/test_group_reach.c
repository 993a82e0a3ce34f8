/* SPDX-License-Identifier: MIT */
/*
 * What a cancel and a deadline end: each call of task.h, time.h, chan.h, sync.h, group.h and blocking.h that may park,
 * made where it could go on at once, by a task of a group that has ended. The calls of net.h, io.h and lines.h:
 * tests/net/test_group_reach.c.
 */
#include "support/taskcase.h"

#include <signal.h>

static cor_chan *room; /* has room for a value, and one value */
static cor_chan *shut; /* closed */
static cor_mutex mutex;
static cor_cond cond;
static cor_waitgroup zero;
static cor_group full; /* at its limit until the table is through */
static cor_once once;
static uint32_t release; /* atomic */
static int64_t value;

static void hold(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&release, __ATOMIC_ACQUIRE) == 0) {
        cor_yield();
    }
}

static void nothing(void *arg)
{
    (void)arg;
}

static int nothing_to_say(void *arg)
{
    (void)arg;
    return 7;
}

static int sleep_zero(void)
{
    return cor_sleep(0);
}

static int sleep_negative(void)
{
    return cor_sleep(-5);
}

static int sleep_long(void)
{
    return cor_sleep(COR_MINUTE);
}

static int send_with_room(void)
{
    return cor_chan_send(room, &value, 0);
}

static int send_to_closed(void)
{
    return cor_chan_send(shut, &value, 0);
}

static int send_to_nil(void)
{
    return cor_chan_send(NULL, &value, 0);
}

/* With a deadline of their own that has passed: the group still comes first. */
static int send_to_nil_late(void)
{
    return cor_chan_send(NULL, &value, 1);
}

static int recv_from_nil_late(void)
{
    return cor_chan_recv(NULL, &value, 1);
}

static int select_none_late(void)
{
    return cor_select(NULL, 0, 1);
}

static int signal_late(void)
{
    return cor_signal_wait(1);
}

static int recv_with_value(void)
{
    return cor_chan_recv(room, &value, 0);
}

static int recv_from_closed(void)
{
    return cor_chan_recv(shut, &value, 0);
}

static int select_ready(void)
{
    cor_case cases[] = {{.dir = COR_SEND, .chan = room, .elem = &value}, {.chan = room, .elem = &value}};
    return cor_select(cases, 2, 0);
}

static int select_none(void)
{
    return cor_select(NULL, 0, 0);
}

static int cond_wait(void)
{
    cor_mutex_lock(&mutex);
    int rc = cor_cond_wait(&cond, &mutex, 0);
    cor_mutex_unlock(&mutex); /* fatal if it were not locked */
    return rc;
}

static int waitgroup_at_zero(void)
{
    return cor_waitgroup_wait(&zero, 0);
}

static int signal_arrived(void)
{
    return cor_signal_wait(0);
}

static int go_at_limit(void)
{
    return cor_group_go(&full, nothing, NULL);
}

static int go_err_at_limit(void)
{
    return cor_group_go_err(&full, nothing_to_say, NULL);
}

/* Exceptions: these go on. */
static int lock_all(void)
{
    cor_rwmutex both = {0};
    cor_mutex_lock(&mutex);
    cor_mutex_unlock(&mutex);
    cor_rwmutex_rlock(&both);
    cor_rwmutex_runlock(&both);
    cor_rwmutex_lock(&both);
    cor_rwmutex_unlock(&both);
    cor_once_do(&once, nothing, NULL);
    cor_yield();
    return 0;
}

static int start_and_wait(void)
{
    cor_group group = {0};
    int rc = cor_group_go(&group, nothing, NULL);
    return rc < 0 ? rc : cor_group_wait(&group, 0);
}

static int run_blocking(void)
{
    return cor_blocking(nothing_to_say, NULL) == 7 ? 0 : -1;
}

static int close_chan(void)
{
    return cor_chan_close(shut) == COR_ECHAN_CLOSED ? 0 : -1;
}

static int try_calls(void)
{
    cor_case cases[] = {{.chan = room, .elem = &value}};
    return cor_chan_try_send(room, &value) == 0 && cor_chan_try_recv(room, &value) == 1 &&
                   cor_select_try(cases, 1) == 0 && cor_chan_try_send(room, &value) == 0
               ? 0
               : -1;
}

static const struct call {
    const char *name;
    int (*call)(void);
    bool goes_on;
} calls[] = {
    {"cor_sleep(0)", sleep_zero, false},
    {"cor_sleep(-5)", sleep_negative, false},
    {"cor_sleep(minute)", sleep_long, false},
    {"cor_chan_send with room", send_with_room, false},
    {"cor_chan_send to closed", send_to_closed, false},
    {"cor_chan_send to nil", send_to_nil, false},
    {"cor_chan_send to nil, late", send_to_nil_late, false},
    {"cor_chan_recv from nil, late", recv_from_nil_late, false},
    {"cor_select of nothing, late", select_none_late, false},
    {"cor_signal_wait, late", signal_late, false},
    {"cor_chan_recv with a value", recv_with_value, false},
    {"cor_chan_recv from closed", recv_from_closed, false},
    {"cor_select with ready cases", select_ready, false},
    {"cor_select of nothing", select_none, false},
    {"cor_cond_wait", cond_wait, false},
    {"cor_waitgroup_wait at zero", waitgroup_at_zero, false},
    {"cor_signal_wait, signal there", signal_arrived, false},
    {"cor_group_go at the limit", go_at_limit, false},
    {"cor_group_go_err at the limit", go_err_at_limit, false},
    {"locks, once, yield", lock_all, true},
    {"cor_group_go, cor_group_wait", start_and_wait, true},
    {"cor_blocking", run_blocking, true},
    {"cor_chan_close", close_chan, true},
    {"the calls that never park", try_calls, true},
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void check_all(void *expected)
{
    int end = (int)(intptr_t)expected;
    T_CODE(cor_cancelled(), end);
    for (size_t i = 0; i < CALLS; i++) {
        int rc = calls[i].call();
        int wanted = calls[i].goes_on ? 0 : end;
        T_REQUIRE(rc == wanted, "%s: %d (%s), not %d", calls[i].name, rc, cor_strerror(rc), wanted);
    }
    T_EQ(cor_chan_len(room), 1);
}

/* One more group between the task and the group that ends. */
static void check_below(void *end)
{
    cor_group below = {0};
    T_CODE(cor_group_go(&below, check_all, end), 0);
    T_CODE(cor_group_wait(&below, 0), 0);
}

/* The table with a task of `group`, and then one of a group below; `end` is what every call must say. */
static void run_table(cor_group *group, int end)
{
    room = cor_chan_new(sizeof(value), 2);
    shut = cor_chan_new(sizeof(value), 1);
    T_ASSERT(room != NULL && shut != NULL);
    T_CODE(cor_chan_send(room, &value, 0), 0);
    T_CODE(cor_chan_close(shut), 0);
    T_CODE(cor_signal_catch(SIGUSR1), 0);
    T_EQ(raise(SIGUSR1), 0);
    cor_group_set_limit(&full, 1);
    T_CODE(cor_group_go(&full, hold, NULL), 0);
    T_CODE(cor_group_go(group, check_all, (void *)(intptr_t)end), 0);
    T_CODE(cor_group_wait(group, 0), 0);
    T_CODE(cor_group_go(group, check_below, (void *)(intptr_t)end), 0);
    T_CODE(cor_group_wait(group, 0), 0);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_CODE(cor_group_wait(&full, 0), 0);
    T_EQ(cor_signal_wait(0), SIGUSR1); /* was not taken */
    cor_chan_free(room);
    cor_chan_free(shut);
}

TASK_TEST(cancel_reaches)
{
    cor_group group = {0};
    cor_group_cancel(&group);
    run_table(&group, COR_ECANCELED);
}

TASK_TEST(deadline_reaches)
{
    cor_group group = {0};
    cor_group_set_deadline(&group, 1);
    run_table(&group, COR_ETIMEOUT);
}

/* A deadline of the call's own is another matter: what is ready is done. */
TASK_TEST(own_deadline_does_not)
{
    cor_chan *chan = cor_chan_new(sizeof(value), 1);
    cor_case send = {.dir = COR_SEND, .chan = chan, .elem = &value};
    cor_case recv = {.chan = chan, .elem = &value};
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_select(&recv, 1, 1), COR_ETIMEOUT);
        T_EQ(cor_select(&send, 1, 1), 0);
        T_CODE(cor_select(&send, 1, 1), COR_ETIMEOUT);
        T_EQ(cor_select(&recv, 1, 1), 0);
        T_CODE(cor_chan_send(chan, &value, 1), 0);
        T_CODE(cor_chan_recv(chan, &value, 1), 1);
    }
    cor_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_reaches),
        cmocka_unit_test(deadline_reaches),
        cmocka_unit_test(own_deadline_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

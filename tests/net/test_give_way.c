/* SPDX-License-Identifier: MIT */
/*
 * Calls that may park and return at once, again and again: whatever they return, others have their turn, of which one
 * may be what the loop is waiting for. One worker, where nobody else would do it.
 */
/* test: workers=1 */
#include "base/limits.h"
#include "net/netcase.h"

#include <coracle/chan.h>
#include <coracle/io.h>
#include <coracle/timer.h>
#include <signal.h>
#include <unistd.h>

static cor_conn *ended, *late; /* at their end; with a deadline that has passed */
static cor_listener *listener;
static cor_chan *chan, *timed;
static cor_group busy;
static int pipe_fds[2];
static char bytes[8];

static int wait_for_end(void)
{
    return cor_wait_readable(ended);
}

static int wait_late(void)
{
    return cor_wait_readable(late);
}

static int read_late(void)
{
    return (int)cor_read(late, bytes, sizeof(bytes));
}

static int write_late(void)
{
    return (int)cor_write(late, bytes, sizeof(bytes));
}

static int accept_late(void)
{
    cor_conn *conn;
    return cor_accept(listener, &conn);
}

static int send_late(void)
{
    return cor_chan_send(chan, bytes, LONG_AGO);
}

static int receive_late(void)
{
    return cor_chan_recv(chan, bytes, LONG_AGO);
}

static int receive_timer_late(void)
{
    return cor_chan_recv(timed, bytes, LONG_AGO);
}

static int select_late(void)
{
    cor_case cases[] = {{COR_RECV, chan, bytes, 0}, {COR_RECV, NULL, NULL, 0}};
    return cor_select(cases, 2, LONG_AGO);
}

static int sleep_for_nothing(void)
{
    return cor_sleep(0);
}

static int wait_for_group_late(void)
{
    return cor_group_wait(&busy, LONG_AGO);
}

static int wait_for_signal_late(void)
{
    return cor_signal_wait(LONG_AGO);
}

static int wait_for_fd_late(void)
{
    return cor_wait_fd(pipe_fds[0], COR_READABLE, LONG_AGO);
}

static const struct {
    int (*call)(void);
    int result;
} calls[] = {
    {wait_for_end, 0},
    {wait_late, COR_ETIMEOUT},
    {read_late, COR_ETIMEOUT},
    {write_late, COR_ETIMEOUT},
    {accept_late, COR_ETIMEOUT},
    {send_late, COR_ETIMEOUT},
    {receive_late, COR_ETIMEOUT},
    {receive_timer_late, COR_ETIMEOUT},
    {select_late, COR_ETIMEOUT},
    {sleep_for_nothing, 0},
    {wait_for_group_late, COR_ETIMEOUT},
    {wait_for_signal_late, COR_ETIMEOUT},
    {wait_for_fd_late, COR_ETIMEOUT},
};

static void had_turn(void *arg)
{
    *(bool *)arg = true;
}

static void call_all(void *arg)
{
    bool cancelled = *(bool *)arg;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        bool others_ran = false;
        T_OK(cor_go(had_turn, &others_ran));
        for (int times = 0; !others_ran; times++) {
            int rc = calls[i].call();
            T_ASSERT(rc == calls[i].result || (cancelled && rc == COR_ECANCELED));
            T_REQUIRE(times < 10 * CORI_OPS_BUDGET, "call %zu keeps its worker", i);
        }
    }
}

static void stay(void *arg)
{
    (void)arg;
    (void)cor_sleep(COR_MINUTE);
}

static void try_kind(conn_kind kind)
{
    cor_conn *peer, *late_peer;
    cor_group group = {0};
    bool cancelled = false;
    make_pair(kind, &ended, &peer);
    make_pair(kind, &late, &late_peer);
    T_CODE(cor_close(peer), 0);
    T_CODE(cor_set_deadline(late, LONG_AGO), 0);
    call_all(&cancelled);
    cancelled = true;
    T_OK(cor_group_go(&group, call_all, &cancelled));
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(cor_close(ended), 0);
    close_pair(late, late_peer);
}

TASK_TEST_WITH(calls_that_return_at_once_give_way, &(cor_options){.workers = 1})
{
    cor_timer *timer = cor_timer_new(COR_MINUTE);
    timed = cor_timer_chan(timer);
    chan = cor_chan_new(sizeof(bytes), 0);
    T_OK(pipe(pipe_fds));
    T_OK(cor_signal_catch(SIGUSR1));
    T_OK(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL));
    T_CODE(cor_listener_set_deadline(listener, LONG_AGO), 0);
    T_OK(cor_group_go(&busy, stay, NULL));
    try_kind(KIND_TCP);
    try_kind(KIND_UNIX);
    try_kind(KIND_PIPE);
    cor_group_cancel(&busy);
    T_OK(cor_group_wait(&busy, 0));
    T_CODE(cor_listener_close(listener), 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    cor_chan_free(chan);
    cor_timer_free(timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_return_at_once_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Calls that may park and return at once, again and again: whatever they return, others have their turn, of which one
 * may be what the loop is waiting for. One worker, where nobody else would do it.
 */
/* test: workers=1 */
#include "base/limits.h"
#include "net/netcase.h"

#include <coracle/buffered.h>
#include <coracle/bulk.h>
#include <coracle/chan.h>
#include <coracle/fd.h>
#include <coracle/io.h>
#include <coracle/lines.h>
#include <coracle/lookup.h>
#include <coracle/packet.h>
#include <coracle/sync.h>
#include <coracle/task.h>
#include <coracle/timer.h>
#include <signal.h>
#include <unistd.h>

/* At its end; with a deadline that has passed; closed, as the listener is. */
static cor_conn *ended, *late, *closed;
static cor_listener *listener, *closed_listener;
static cor_chan *chan, *timed;
static cor_group busy, full; /* a task is in each, and there is no room for another in the second */
static cor_waitgroup pending;
static cor_mutex mutex; /* locked */
static cor_cond cond;
static cor_reader reader; /* of the one at its end */
static cor_lines lines;
static cor_writer writer; /* of the closed one; it has failed */
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

static int read_closed(void)
{
    return (int)cor_read(closed, bytes, sizeof(bytes));
}

static int read_nothing(void)
{
    return (int)cor_read(late, bytes, 0);
}

static int read_of_no_conn(void)
{
    return (int)cor_read(NULL, bytes, sizeof(bytes));
}

static int read_packet(void)
{
    cor_addr from;
    return (int)cor_read_from(late, bytes, sizeof(bytes), &from);
}

static ssize_t call_read(int fd, void *unused)
{
    (void)unused;
    return read(fd, bytes, sizeof(bytes));
}

static int read_raw(void)
{
    ssize_t rc = cor_raw_read(late, call_read, NULL);
    return rc == -EOPNOTSUPP ? COR_ETIMEOUT : (int)rc; /* a pipe has no descriptor */
}

static int wait_closed(void)
{
    return cor_wait_readable(closed);
}

static int write_closed(void)
{
    return (int)cor_write(closed, bytes, sizeof(bytes));
}

/* The first write over TCP is taken, and answered by a reset. */
static int write_to_gone(void)
{
    ssize_t rc = cor_write(ended, bytes, sizeof(bytes));
    return rc == sizeof(bytes) || rc == COR_EPIPE_CLOSED || rc == -ECONNRESET ? -EPIPE : (int)rc;
}

static int write_parts_to_gone(void)
{
    struct iovec part = {bytes, sizeof(bytes)};
    ssize_t rc = cor_writev(ended, &part, 1);
    return rc == COR_EPIPE_CLOSED ? -EPIPE : (int)rc;
}

static int close_closed(void)
{
    return cor_close(closed);
}

static int open_and_close(void)
{
    cor_conn *a, *b;
    int rc = cor_pipe(&a, &b);
    return rc < 0 || (rc = cor_close(a)) < 0 ? rc : cor_close(b);
}

static int close_listener(void)
{
    return cor_listener_close(closed_listener);
}

static int accept_closed(void)
{
    cor_conn *conn;
    return cor_accept(closed_listener, &conn);
}

static int drain_closed(void)
{
    return (int)cor_drain(closed, sizeof(bytes), LONG_AGO);
}

static int copy_late(void)
{
    int64_t rc = cor_copy(late, ended);
    return rc == 0 ? COR_ETIMEOUT : (int)rc; /* out of a pipe comes the end first */
}

static int next_line(void)
{
    char *line;
    return cor_lines_next(&lines, &line, NULL);
}

static int next_piece(void)
{
    char *piece;
    return cor_reader_until(&reader, '\n', &piece, NULL);
}

static int write_failed(void)
{
    return (int)cor_writer_write(&writer, bytes, 1);
}

static int send_on_none(void)
{
    return cor_chan_send(NULL, bytes, LONG_AGO);
}

static int wait_for_done_late(void)
{
    return cor_waitgroup_wait(&pending, LONG_AGO);
}

static int wait_for_cond_late(void)
{
    return cor_cond_wait(&cond, &mutex, LONG_AGO);
}

static int call_roll_late(void)
{
    return cor_roll_call(LONG_AGO);
}

static int dial_nowhere(void)
{
    cor_conn *conn;
    return cor_dial(&conn, "tcp", "127.0.0.1", NULL);
}

static int listen_nowhere(void)
{
    cor_listener *made;
    return cor_listen(&made, "tcp", "127.0.0.1", NULL);
}

static int look_up(void)
{
    char out[1][COR_ADDR_TEXT];
    return cor_lookup_host(out, 1, "127.0.0.1", 0, NULL);
}

#define CALL(call, result)                                                                                             \
    {                                                                                                                  \
        call, result, #call                                                                                            \
    }
static const struct {
    int (*call)(void);
    int result;
    const char *name;
} calls[] = {
    CALL(wait_for_end, 0),
    CALL(wait_late, COR_ETIMEOUT),
    CALL(read_late, COR_ETIMEOUT),
    CALL(write_late, COR_ETIMEOUT),
    CALL(accept_late, COR_ETIMEOUT),
    CALL(send_late, COR_ETIMEOUT),
    CALL(receive_late, COR_ETIMEOUT),
    CALL(receive_timer_late, COR_ETIMEOUT),
    CALL(select_late, COR_ETIMEOUT),
    CALL(sleep_for_nothing, 0),
    CALL(wait_for_group_late, COR_ETIMEOUT),
    CALL(wait_for_signal_late, COR_ETIMEOUT),
    CALL(wait_for_fd_late, COR_ETIMEOUT),
    CALL(read_closed, COR_ECLOSED),
    CALL(read_nothing, 0),
    CALL(read_of_no_conn, -EINVAL),
    CALL(read_packet, -EOPNOTSUPP),
    CALL(read_raw, COR_ETIMEOUT),
    CALL(wait_closed, COR_ECLOSED),
    CALL(write_closed, COR_ECLOSED),
    CALL(close_closed, COR_ECLOSED),
    CALL(open_and_close, 0),
    CALL(close_listener, COR_ECLOSED),
    CALL(accept_closed, COR_ECLOSED),
    CALL(drain_closed, 0),
    CALL(copy_late, COR_ETIMEOUT),
    CALL(next_line, 0),
    CALL(next_piece, 0),
    CALL(write_failed, COR_ECLOSED),
    CALL(send_on_none, COR_ETIMEOUT),
    CALL(wait_for_done_late, COR_ETIMEOUT),
    CALL(wait_for_cond_late, COR_ETIMEOUT),
    CALL(call_roll_late, COR_ETIMEOUT),
    CALL(dial_nowhere, COR_EMISSING_PORT),
    CALL(listen_nowhere, COR_EMISSING_PORT),
    CALL(look_up, 1),
    CALL(write_to_gone, -EPIPE),
    CALL(write_parts_to_gone, -EPIPE),
};

static void had_turn(void *arg)
{
    *(bool *)arg = true;
}

/* These wait unless the task is cancelled, or another one waits. */
static int start_in_full(void)
{
    return cor_group_go(&full, had_turn, NULL);
}

static int wait_for_signal_of_other(void)
{
    return cor_signal_wait(0);
}

/* Calls until another task has had its turn. */
static void call_on(int (*call)(void), int result, bool cancelled, const char *name)
{
    bool others_ran = false;
    T_OK(cor_go(had_turn, &others_ran));
    for (int times = 0; !others_ran; times++) {
        int rc = call();
        T_REQUIRE(rc == result || (cancelled && rc == COR_ECANCELED), "%s gives %d", name, rc);
        T_REQUIRE(times < 10 * CORI_OPS_BUDGET, "%s keeps its worker", name);
    }
}

static void call_all(void *arg)
{
    bool cancelled = *(bool *)arg;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        call_on(calls[i].call, calls[i].result, cancelled, calls[i].name);
    }
    if (cancelled) {
        call_on(start_in_full, COR_ECANCELED, true, "start_in_full");
    }
}

static void stay(void *arg)
{
    (void)arg;
    (void)cor_sleep(COR_MINUTE);
}

static void try_kind(conn_kind kind)
{
    cor_conn *late_peer;
    cor_group group = {0};
    bool cancelled = false;
    make_pair(kind, &ended, &closed);
    make_pair(kind, &late, &late_peer);
    T_CODE(cor_close(closed), 0);
    reader = cor_reader_of(ended, sizeof(bytes));
    lines = cor_lines_of(ended, sizeof(bytes));
    writer = cor_writer_of(closed);
    T_CODE(cor_writer_write(&writer, bytes, 1), 1);
    T_CODE(cor_writer_flush(&writer), COR_ECLOSED);
    T_CODE(cor_set_deadline(late, LONG_AGO), 0);
    call_all(&cancelled);
    cancelled = true;
    T_OK(cor_group_go(&group, call_all, &cancelled));
    cor_group_cancel(&group);
    T_OK(cor_group_wait(&group, 0));
    cor_reader_free(&reader);
    cor_lines_free(&lines);
    cor_writer_free(&writer);
    T_CODE(cor_close(ended), 0);
    close_pair(late, late_peer);
}

static void wait_for_signal(void *arg)
{
    (void)arg;
    T_CODE(cor_signal_wait(0), COR_ECANCELED);
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
    T_OK(cor_listen(&closed_listener, "tcp", "127.0.0.1:0", NULL));
    T_CODE(cor_listener_close(closed_listener), 0);
    cor_group_set_limit(&full, 1);
    T_OK(cor_group_go(&busy, stay, NULL));
    T_OK(cor_group_go(&full, stay, NULL));
    cor_waitgroup_add(&pending, 1);
    cor_mutex_lock(&mutex);
    try_kind(KIND_TCP);
    try_kind(KIND_UNIX);
    try_kind(KIND_PIPE);
    T_OK(cor_group_go(&busy, wait_for_signal, NULL));
    cor_yield();
    call_on(wait_for_signal_of_other, -EBUSY, false, "wait_for_signal_of_other");
    cor_group_cancel(&busy);
    cor_group_cancel(&full);
    T_OK(cor_group_wait(&busy, 0));
    T_OK(cor_group_wait(&full, 0));
    cor_waitgroup_done(&pending);
    cor_mutex_unlock(&mutex);
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

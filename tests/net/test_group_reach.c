/* SPDX-License-Identifier: MIT */
/*
 * What a cancel and a deadline of the group end: each call of net.h, io.h and lines.h that may park, made where it
 * could go on at once, over sockets and pipes. The other headers: tests/unit/sync/test_group_reach.c.
 */
#include "net/netcase.h"

#include <coracle/io.h>
#include <coracle/lines.h>

static cor_conn *here, *there; /* bytes have come in here, and there is room to write */
static cor_conn *ended;        /* its other end is closed */
static cor_listener *listener; /* a connection waits in its backlog */
static char address[COR_ADDR_TEXT];
static cor_lines lines; /* of `here`; a line is in the buffer */
static char bytes[16];

static int read_bytes(void)
{
    return (int)cor_read(here, bytes, 1);
}

static int read_end(void)
{
    return (int)cor_read(ended, bytes, 1);
}

static int read_lent(void)
{
    cor_buffer buffer;
    int rc = (int)cor_read_buffer(here, &buffer);
    cor_buffer_free(&buffer);
    return rc;
}

static int read_full(void)
{
    return (int)cor_read_full(here, bytes, 1);
}

static int wait_readable(void)
{
    return cor_wait_readable(here);
}

static int next_line(void)
{
    char *line;
    return cor_lines_next(&lines, &line, NULL);
}

static int write_bytes(void)
{
    return (int)cor_write(here, "x", 1);
}

static int write_nothing(void)
{
    return (int)cor_write(here, "", 0);
}

static int write_to_ended(void)
{
    return (int)cor_write(ended, "x", 1);
}

static int write_counted(void)
{
    size_t written;
    return cor_write_counted(here, "x", 1, &written);
}

static int print(void)
{
    return (int)cor_printf(here, "%d", 1);
}

static int copy(void)
{
    return (int)cor_copy(here, here);
}

static int accept_one(void)
{
    cor_conn *conn;
    return cor_accept(listener, &conn);
}

static void handle(cor_conn *conn, void *arg)
{
    (void)arg;
    (void)cor_close(conn);
}

static int serve(void)
{
    return cor_serve(listener, NULL, handle, NULL);
}

static int dial(void)
{
    cor_conn *conn;
    return cor_dial(&conn, "tcp", address, NULL);
}

static const struct call {
    const char *name;
    int (*call)(void);
} calls[] = {
    {"cor_read with bytes there", read_bytes},
    {"cor_read at the end", read_end},
    {"cor_read_buffer", read_lent},
    {"cor_read_full", read_full},
    {"cor_wait_readable", wait_readable},
    {"cor_lines_next with a line there", next_line},
    {"cor_write with room", write_bytes},
    {"cor_write of nothing", write_nothing},
    {"cor_write to a closed end", write_to_ended},
    {"cor_write_counted", write_counted},
    {"cor_printf", print},
    {"cor_copy", copy},
    {"cor_accept with a connection there", accept_one},
    {"cor_serve", serve},
    {"cor_dial", dial},
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void check_all(void *expected)
{
    int end = (int)(intptr_t)expected;
    for (int round = 0; round < 2; round++) { /* nothing was taken or used up */
        for (size_t i = 0; i < CALLS; i++) {
            int rc = calls[i].call();
            T_REQUIRE(rc == end, "%s: %d (%s), not %d", calls[i].name, rc, cor_strerror(rc), end);
        }
    }
    T_EQ(cor_read(here, bytes, 0), 0); /* never waits */
    T_EQ(cor_drain(here, 1, 0), 0);
    T_CODE(cor_close(ended), 0); /* closing is not ended */
}

static void write_lines(void *arg)
{
    (void)arg;
    T_EQ(cor_write(there, "one\ntwo\n", 8), 8);
}

static void write_more(void *arg)
{
    (void)arg;
    ssize_t count = cor_write(there, "three", 5); /* over a pipe it waits until that is closed */
    T_ASSERT(count == 5 || count == COR_EPIPE_CLOSED);
}

/* The table with a task of `group`; `end` is what every call must say. */
static void run_table(conn_kind kind, cor_group *group, int end)
{
    const char *network;
    cor_group writer = {0};
    cor_conn *gone, *waiting;
    char *line;
    make_pair(kind, &here, &there);
    make_pair(kind, &ended, &gone);
    T_CODE(cor_close(gone), 0);
    listener = listen_kind(KIND_TCP, &network, address);
    T_CODE(cor_dial(&waiting, "tcp", address, NULL), 0);
    T_CODE(cor_group_go(&writer, write_lines, NULL), 0);
    lines = cor_lines_of(here, 64);
    T_EQ(cor_lines_next(&lines, &line, NULL), 1);
    T_STR(line, "one");
    T_EQ(cor_lines_buffered(&lines), 4);
    T_CODE(cor_group_go(&writer, write_more, NULL), 0);
    T_CODE(cor_wait_readable(here), 0);
    T_CODE(cor_group_go(group, check_all, (void *)(intptr_t)end), 0);
    T_CODE(cor_group_wait(group, 0), 0);
    T_EQ(cor_lines_next(&lines, &line, NULL), 1);
    T_STR(line, "two");
    cor_conn *accepted;
    T_CODE(cor_accept(listener, &accepted), 0);
    close_pair(waiting, accepted);
    T_CODE(cor_listener_close(listener), 0);
    close_pair(here, there);
    T_CODE(cor_group_wait(&writer, 0), 0);
    cor_lines_free(&lines);
}

static void run_kind(conn_kind kind)
{
    cor_group cancelled = {0}, late = {0};
    cor_group_cancel(&cancelled);
    run_table(kind, &cancelled, COR_ECANCELED);
    cor_group_set_deadline(&late, 1);
    run_table(kind, &late, COR_ETIMEOUT);
}

TASK_TEST(sockets)
{
    run_kind(KIND_TCP);
}

TASK_TEST(unix_sockets)
{
    run_kind(KIND_UNIX);
}

TASK_TEST(pipes)
{
    run_kind(KIND_PIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(pipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

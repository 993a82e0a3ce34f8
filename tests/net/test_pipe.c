/* SPDX-License-Identifier: MIT */
/* In-memory connection pairs: synchronous, and like a socket in everything else. */
/* test: simulated */
#include "net/netcase.h"

#include <coracle/io.h>

enum { PAIRS = 2000 };

/* A write under way, in a task of its own. */
typedef struct writing {
    cor_conn *conn;
    const char *text;
    int ended; /* atomic */
    int result;
    size_t written;
} writing;

static void write_text(void *arg)
{
    writing *of = arg;
    of->result = cor_write_counted(of->conn, of->text, strlen(of->text), &of->written);
    (void)add(&of->ended, 1);
}

/* N246: a write ends when all of it was taken; one write feeds several reads, a read takes of one write. */
TASK_TEST(synchronous)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    char buf[8] = "";
    T_CODE(cor_pipe(&a, &b), 0);
    writing of = {.conn = a, .text = "abcde"};
    go_on(1, &writer, write_text, &of);
    T_EQ(cor_read(b, buf, 2), 2);
    T_EQ(cor_read(b, buf + 2, 2), 2);
    T_CODE(cor_sleep(BRIEFLY), 0);
    T_EQ(get(&of.ended), 0);
    T_EQ(cor_read(b, buf + 4, 4), 1);
    T_STR(buf, "abcde");
    wait_for(&writer);
    T_CODE(of.result, 0);
    T_EQ(of.written, 5);
    close_pair(a, b);
}

/* N247 */
TASK_TEST(writes_do_not_interleave)
{
    cor_conn *a, *b;
    cor_group writers = {0};
    writing of[20];
    char buf[4];
    T_CODE(cor_pipe(&a, &b), 0);
    for (int i = 0; i < 20; i++) {
        of[i] = (writing){.conn = a, .text = i % 2 == 0 ? "aaaa" : "bbbb"};
        go_on(i, &writers, write_text, &of[i]);
    }
    for (int i = 0; i < 20; i++) {
        read_all(b, buf, 3);
        T_EQ(cor_read(b, buf + 3, 1), 1);
        T_ASSERT(memcmp(buf, "aaaa", 4) == 0 || memcmp(buf, "bbbb", 4) == 0);
    }
    wait_for(&writers);
    close_pair(a, b);
}

/* N248 differs: of nothing a write returns at once. */
TASK_TEST(nothing)
{
    cor_conn *a, *b;
    T_CODE(cor_pipe(&a, &b), 0);
    T_EQ(cor_write(a, "", 0), 0);
    T_EQ(cor_read(b, NULL, 0), 0);
    T_CODE(cor_set_write_deadline(a, LONG_AGO), 0);
    T_CODE(cor_write(a, "", 0), COR_ETIMEOUT);
    close_pair(a, b);
}

/* N249, N250: own close, the peer's close, the deadline: in this order. */
TASK_TEST(errors_have_an_order)
{
    cor_conn *a, *b;
    char byte;
    T_CODE(cor_pipe(&a, &b), 0);
    T_CODE(cor_set_deadline(b, LONG_AGO), 0);
    T_CODE(cor_read(b, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_close(a), 0);
    T_CODE(cor_read(b, &byte, 1), 0);
    T_CODE(cor_write(b, "x", 1), COR_EPIPE_CLOSED);
    T_CODE(cor_write(b, "", 0), COR_EPIPE_CLOSED);
    T_CODE(cor_read(a, &byte, 1), COR_ECLOSED);
    T_CODE(cor_write(a, "x", 1), COR_ECLOSED);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_read(b, &byte, 1), COR_ECLOSED);
    T_STR(cor_strerror(COR_EPIPE_CLOSED), "io: read/write on closed pipe");
}

/* N246, N249: what interrupts a write, and how much of it was taken by then. */
static void close_it(void *arg)
{
    T_CODE(cor_close(arg), 0);
}

static void expect_interrupted(void (*interrupt)(cor_conn *a, cor_conn *b, cor_group *writer), int code)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    char byte;
    T_CODE(cor_pipe(&a, &b), 0);
    writing of = {.conn = a, .text = "abcde"};
    go_on(1, &writer, write_text, &of);
    T_EQ(cor_read(b, &byte, 1), 1);
    interrupt(a, b, &writer);
    wait_for(&writer);
    T_CODE(of.result, code);
    T_EQ(of.written, 1);
    (void)cor_close(a);
    (void)cor_close(b);
}

static void by_own_close(cor_conn *a, cor_conn *b, cor_group *writer)
{
    (void)b;
    (void)writer;
    close_it(a);
}

static void by_peers_close(cor_conn *a, cor_conn *b, cor_group *writer)
{
    (void)a;
    (void)writer;
    close_it(b);
}

static void by_deadline(cor_conn *a, cor_conn *b, cor_group *writer)
{
    (void)writer;
    T_CODE(cor_set_write_deadline(a, cor_after(BRIEFLY)), 0);
    T_CODE(cor_set_read_deadline(b, cor_after(SOON)), 0);
}

static void by_cancelling(cor_conn *a, cor_conn *b, cor_group *writer)
{
    (void)a;
    (void)b;
    cor_group_cancel(writer);
}

TASK_TEST(interrupted_writes)
{
    expect_interrupted(by_own_close, COR_ECLOSED);
    expect_interrupted(by_peers_close, COR_EPIPE_CLOSED);
    expect_interrupted(by_deadline, COR_ETIMEOUT);
    expect_interrupted(by_cancelling, COR_ECANCELED);
}

/* N252, and there is no half-close. */
TASK_TEST(names)
{
    cor_conn *a, *b;
    char text[COR_ADDR_TEXT];
    T_CODE(cor_pipe(&a, &b), 0);
    T_STR(cor_local_addr(a, text, sizeof(text)), "pipe");
    T_STR(cor_remote_addr(b, text, sizeof(text)), "pipe");
    T_ASSERT(cor_close_write(a) < 0);
    T_ASSERT(cor_close_read(a) < 0);
    T_CODE(cor_set_no_delay(a, true), -EOPNOTSUPP);
    close_pair(a, b);
}

/* Both ends are closed at once by different workers; the memory goes exactly once. */
TASK_TEST(closed_from_both_sides)
{
    for (int i = 0; i < PAIRS; i++) {
        cor_conn *a, *b;
        cor_group closers = {0};
        T_CODE(cor_pipe(&a, &b), 0);
        go_on(i, &closers, close_it, a);
        go_on(i + 1, &closers, close_it, b);
        wait_for(&closers);
    }
}

/* Outside cor_run. */
static void no_task(void **state)
{
    cor_conn *a, *b;
    (void)state;
    assert_int_equal(cor_pipe(&a, &b), COR_ENOT_TASK);
    assert_int_equal(cor_open_fd(&a, 0), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synchronous),
        cmocka_unit_test(writes_do_not_interleave),
        cmocka_unit_test(nothing),
        cmocka_unit_test(errors_have_an_order),
        cmocka_unit_test(interrupted_writes),
        cmocka_unit_test(names),
        cmocka_unit_test(closed_from_both_sides),
        cmocka_unit_test(no_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

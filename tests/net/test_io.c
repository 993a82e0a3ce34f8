/* SPDX-License-Identifier: MIT */
/* Helpers on connections: formatted writes, lent buffers, copying, draining. */
/* test: simulated */
#include "net/netcase.h"

#include <coracle/io.h>

enum { LONG_TEXT = 5000, COPY_BYTES = 1 << 20, BUFFER_BYTES = 16384 };

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};
static const cor_options one_worker = {.workers = 1};

static void printf_task(void *arg)
{
    static char text[LONG_TEXT + 1];
    memset(text, 'l', LONG_TEXT);
    T_EQ(cor_printf(arg, "%d %s|", 42, "x"), 5);
    T_EQ(cor_printf(arg, "%s", ""), 0);
    T_EQ(cor_printf(arg, "%.255s", text), 255);
    T_EQ(cor_printf(arg, "%.256s", text), 256);
    T_EQ(cor_printf(arg, "%s%d", text, 7), LONG_TEXT + 1);
    T_EQ(cor_printf(arg, "%c%c", '\0', 'e'), 2);
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(formatted_writes)
{
    for (size_t i = 0; i < 3; i++) {
        static char buf[LONG_TEXT];
        cor_conn *a, *b;
        cor_group writer = {0};
        make_pair(kinds[i], &a, &b);
        go_in(&writer, printf_task, a);
        read_all(b, buf, 5);
        T_MEM(buf, "42 x|", 5);
        read_all(b, buf, 255 + 256);
        T_ASSERT(memchr(buf, '7', 255 + 256) == NULL);
        read_all(b, buf, LONG_TEXT);
        T_ASSERT(buf[0] == 'l' && buf[LONG_TEXT - 1] == 'l');
        read_all(b, buf, 3);
        T_MEM(buf, "7\0e", 3);
        T_EQ(cor_read(b, buf, 1), 0);
        wait_for(&writer);
        T_CODE(cor_close(b), 0);
        T_CODE(cor_printf(a, "x"), COR_ECLOSED);
    }
}

/* A format that vsnprintf refuses: a wide character that has no form in this locale. */
TASK_TEST(bad_format)
{
    cor_conn *a, *b;
    static const wchar_t wide[] = {0x7fffffff, 0};
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_printf(a, "%ls", wide), -EINVAL);
    close_pair(a, b);
}

static void write_bytes(void *arg)
{
    static char zeros[3 * BUFFER_BYTES];
    write_all(arg, zeros, sizeof(zeros));
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(lent_buffers)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        cor_buffer buffer;
        size_t total = 0;
        make_pair(kinds[i], &a, &b);
        go_in(&writer, write_bytes, a);
        ssize_t count;
        while ((count = cor_read_buffer(b, &buffer)) > 0) {
            T_EQ(buffer.size, count);
            T_ASSERT(buffer.data != NULL && count <= BUFFER_BYTES);
            memset(buffer.data, 'x', buffer.size);
            total += buffer.size;
            cor_buffer_free(&buffer);
            T_ASSERT(buffer.data == NULL && buffer.size == 0);
        }
        T_EQ(count, 0);
        T_ASSERT(buffer.data == NULL);
        T_EQ(total, 3 * BUFFER_BYTES);
        cor_buffer_free(&buffer);
        cor_buffer_free(NULL);
        wait_for(&writer);
        T_CODE(cor_close(b), 0);
    }
}

/* Many tasks that wait for data hold no buffers: the worker has all it ever made. */
static void read_one_buffer(void *arg)
{
    cor_buffer buffer;
    T_EQ(cor_read_buffer(arg, &buffer), 1);
    cor_buffer_free(&buffer);
}

TASK_TEST_WITH(waiting_needs_no_buffer, &one_worker)
{
    enum { WAITERS = 60 };
    cor_conn *a[WAITERS], *b[WAITERS];
    cor_group readers = {0};
    for (int i = 0; i < WAITERS; i++) {
        make_pair(kinds[i % 3], &a[i], &b[i]);
        go_in(&readers, read_one_buffer, b[i]);
    }
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_sleep(100 * COR_MICROSECOND), 0);
    }
    T_EQ(cori_here_spares()->count, 1);
    for (int i = 0; i < WAITERS; i++) {
        write_all(a[i], "x", 1);
    }
    wait_for(&readers);
    for (int i = 0; i < WAITERS; i++) {
        close_pair(a[i], b[i]);
    }
}

/* A buffer may be given back on another worker. */
static void free_elsewhere(void *arg)
{
    cor_buffer_free(arg);
}

TASK_TEST(buffers_may_change_hands)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    for (int i = 0; i < 40; i++) {
        cor_buffer buffer;
        cor_group other = {0};
        write_all(a, "x", 1);
        T_EQ(cor_read_buffer(b, &buffer), 1);
        go_on(i, &other, free_elsewhere, &buffer);
        wait_for(&other);
        T_ASSERT(buffer.data == NULL);
    }
    close_pair(a, b);
}

/* N199: from one connection to another, in bursts. */
typedef struct route {
    cor_conn *from, *to;
    int64_t copied;
} route;

static void copy_task(void *arg)
{
    route *of = arg;
    of->copied = cor_copy(of->to, of->from);
    T_CODE(cor_close(of->to), 0);
}

static void write_bursts(void *arg)
{
    static char burst[COPY_BYTES / 16];
    for (int i = 0; i < 16; i++) {
        memset(burst, 'a' + i, sizeof(burst));
        write_all(arg, burst, sizeof(burst));
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(copy_between_kinds)
{
    static char received[COPY_BYTES];
    for (size_t i = 0; i < 9; i++) {
        cor_conn *source, *target, *in, *out;
        cor_group tasks = {0};
        make_pair(kinds[i / 3], &source, &in);
        make_pair(kinds[i % 3], &out, &target);
        route of = {.from = in, .to = out};
        go_in(&tasks, write_bursts, source);
        go_in(&tasks, copy_task, &of);
        read_all(target, received, COPY_BYTES);
        for (size_t at = 0; at < COPY_BYTES; at++) {
            T_EQ(received[at], 'a' + (int)(at / (COPY_BYTES / 16)));
        }
        T_EQ(cor_read(target, received, 1), 0);
        wait_for(&tasks);
        T_EQ(of.copied, COPY_BYTES);
        close_pair(in, target);
    }
}

/* N199: a pipe of the kernel's into TCP; each burst has arrived before the next is written, so none is glued to it. */
TASK_TEST(bursts_of_a_pipe_reach_tcp)
{
    T_SKIP_SIMULATED("the pipe is the kernel's");
    int fds[2];
    char burst[8] = "burst 0", got[8];
    cor_group tasks = {0};
    cor_conn *target, *out, *in;
    T_EQ(pipe(fds), 0);
    T_CODE(cor_open_fd(&in, fds[0]), 0);
    make_pair(KIND_TCP, &out, &target);
    route of = {.from = in, .to = out};
    go_on(1, &tasks, copy_task, &of);
    for (int i = 0; i < 50; i++) {
        burst[6] = (char)('0' + i);
        T_EQ(write(fds[1], burst, sizeof(burst)), sizeof(burst));
        read_all(target, got, sizeof(got));
        T_MEM(got, burst, sizeof(burst));
    }
    T_EQ(close(fds[1]), 0);
    T_EQ(cor_read(target, got, 1), 0);
    wait_for(&tasks);
    T_EQ(of.copied, 50 * sizeof(burst));
    close_pair(in, target);
}

TASK_TEST(copy_errors)
{
    cor_conn *a, *b, *c, *d;
    make_pair(KIND_TCP, &a, &b);
    make_pair(KIND_UNIX, &c, &d);
    T_CODE(cor_set_read_deadline(b, cor_after(BRIEFLY)), 0);
    T_CODE(cor_copy(c, b), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(b, 0), 0);
    write_all(a, "x", 1);
    T_CODE(cor_close(d), 0);
    T_CODE(cor_copy(c, b), -EPIPE);
    T_CODE(cor_close(c), 0);
    write_all(a, "x", 1);
    T_CODE(cor_copy(c, b), COR_ECLOSED);
    T_CODE(cor_copy(b, c), COR_ECLOSED);
    close_pair(a, b);
}

/* N146, N154: an echo that copies a connection to itself. */
static void echo(void *arg)
{
    int64_t copied = cor_copy(arg, arg);
    T_REQUIRE(copied >= 0, "copy gave %jd", (intmax_t)copied);
    T_CODE(cor_close(arg), 0);
}

static void echo_client(void *arg)
{
    char out[512], in[512];
    for (int i = 0; i < 2000; i++) {
        memset(out, i, sizeof(out));
        write_all(arg, out, sizeof(out));
        read_all(arg, in, sizeof(in));
        T_MEM(out, in, sizeof(out));
    }
    T_CODE(cor_close(arg), 0);
}

TASK_TEST(echoes_lose_nothing)
{
    cor_group tasks = {0};
    for (int i = 0; i < 5; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i % 3], &a, &b);
        go_on(i, &tasks, echo, b);
        go_on(i / 2, &tasks, echo_client, a);
    }
    wait_for(&tasks);
}

static void printable_text(void **state)
{
    (void)state;
    char text[] = "a\x1b[2J\tb\0c\x7f\n\xc2\x9b é\xc2\xa0世\xc2";
    const char shown[] = "a?[2J\tb?c?\n?? é\xc2\xa0世\xc2";
    assert_ptr_equal(cor_printable(text, sizeof(text) - 1), text);
    assert_memory_equal(text, shown, sizeof(shown));
    assert_ptr_equal(cor_printable(text, 0), text);
}

static void write_in_pieces(void *conn)
{
    for (const char *piece = "abcdefghij"; *piece != '\0'; piece++) {
        write_all(conn, piece, 1);
    }
    T_CODE(cor_close_write(conn), 0);
}

TASK_TEST(reading_a_given_number_of_bytes)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    char text[8];
    make_pair(KIND_TCP, &a, &b);
    go_on(1, &writer, write_in_pieces, a);
    T_EQ(cor_read_full(b, text, 7), 7);
    T_MEM(text, "abcdefg", 7);
    T_EQ(cor_read_full(b, text, 0), 0);
    T_CODE((int)cor_read_full(b, text, 4), COR_EUNEXPECTED_EOF);
    T_EQ(cor_read_full(b, text, 4), 0);
    wait_for(&writer);
    T_CODE(cor_set_read_deadline(a, LONG_AGO), 0);
    T_CODE((int)cor_read_full(a, text, 4), COR_ETIMEOUT);
    close_pair(a, b);
}

TASK_TEST(drain)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i], &a, &b);
        write_all(a, "12345", 5);
        int64_t deadline, drained = 0;
        T_ATTEMPT(drained = cor_drain(b, 1000, deadline = cor_after(10 * COR_MILLISECOND)), drained != 0);
        T_EQ(drained, 5); /* the peer is silent: until the deadline */
        T_ASSERT(cor_now() >= deadline);
        T_EQ(cor_drain(b, 1000, LONG_AGO), 0);
        write_all(a, "123", 3);
        T_EQ(cor_drain(b, 0, cor_after(SOON)), 0); /* nothing is wanted, so nothing is read */
        T_EQ(cor_drain(b, 3, cor_after(SOON)), 3); /* enough: it does not wait for more */
        write_all(a, "12345", 5);
        T_EQ(cor_drain(b, 3, cor_after(SOON)), 3); /* and leaves what comes after */
        T_EQ(cor_drain(b, 2, cor_after(SOON)), 2);
        write_all(a, "1234567", 7);
        T_CODE(cor_close(a), 0);
        T_EQ(cor_drain(b, 1000, cor_after(SOON)), 7); /* end of stream */
        T_CODE(cor_close(b), 0);
        T_EQ(cor_drain(b, 1000, 0), 0);
    }
}

static int64_t read_deadline(cor_conn *conn)
{
    cori_slot *slot;
    T_CODE(cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot), 0);
    int64_t deadline = cori_load(&slot->deadline[CORI_READ]);
    cori_slot_leave(slot, CORI_SHARED);
    return deadline;
}

/* Its deadline is the call's: the connection has afterwards the one that it had before. */
TASK_TEST(drain_leaves_the_deadline)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    int64_t own = cor_after(SOON);
    for (int i = 0; i < 2; i++, own = 0) {
        T_CODE(cor_set_read_deadline(b, own), 0);
        write_all(a, "123", 3);
        T_EQ(cor_drain(b, 3, cor_after(COR_MINUTE)), 3);
        T_EQ(read_deadline(b), own);
        T_EQ(cor_drain(b, 3, LONG_AGO), 0);
        T_EQ(read_deadline(b), own);
    }
    close_pair(a, b);
}

/* A drain, or a read, by another task. */
typedef struct call {
    cor_conn *conn;
    int64_t deadline, result;
    int done; /* atomic */
} call;

static void drain_task(void *arg)
{
    call *of = arg;
    of->result = cor_drain(of->conn, 1000, of->deadline);
    (void)add(&of->done, 1);
}

static void read_task(void *arg)
{
    call *of = arg;
    char byte;
    of->result = cor_read(of->conn, &byte, 1);
}

/* Two of them, of which neither ends first: the connection's deadline is not theirs to lose. */
TASK_TEST(drains_at_once_leave_the_deadline)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group both = {0};
        make_pair(kinds[i], &a, &b);
        int64_t own = cor_after(FAR_AWAY);
        call first = {.conn = b, .deadline = own + 1}, second = {.conn = b, .deadline = own + 2};
        T_CODE(cor_set_read_deadline(b, own), 0);
        go_on(0, &both, drain_task, &first);
        T_PARKED(b, CORI_READ);
        go_on(1, &both, drain_task, &second);
        T_EVENTUALLY(somebody_queues(b), SOON);
        T_CODE(cor_close(a), 0);
        wait_for(&both);
        T_EQ(read_deadline(b), own);
        T_CODE(cor_close(b), 0);
    }
}

/* A read that waits already goes on after the drain's deadline, which ends only the drain's wait for its turn. */
TASK_TEST(drain_beside_a_read)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group reader = {0};
        make_pair(kinds[i], &a, &b);
        call read = {.conn = b};
        go_on(1, &reader, read_task, &read);
        T_PARKED(b, CORI_READ);
        T_EQ(cor_drain(b, 1000, cor_after(10 * COR_MILLISECOND)), 0);
        write_all(a, "x", 1);
        wait_for(&reader);
        T_CODE(read.result, 1);
        close_pair(a, b);
    }
}

/* A read deadline that was there before does not count, nor does one that is later; one that is set meanwhile does. */
TASK_TEST(drain_and_the_read_deadline)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group drainer = {0};
        make_pair(kinds[i], &a, &b);
        T_CODE(cor_set_read_deadline(b, LONG_AGO), 0);
        call of = {.conn = b, .deadline = cor_after(FAR_AWAY)};
        go_on(0, &drainer, drain_task, &of);
        if (kinds[i] != KIND_PIPE) { /* whose writes wait for the drain */
            T_PARKED(b, CORI_READ);
        }
        write_all(a, "123", 3);
        T_CODE(cor_set_read_deadline(b, cor_now() - 1), 0); /* which is LONG_AGO again, and so the same */
        write_all(a, "45", 2);
        T_CODE(cor_set_read_deadline(b, cor_after(BRIEFLY)), 0);
        wait_for(&drainer);
        T_EQ(of.result, 5);
        T_EQ(cor_drain(b, 1000, 0), 0);
        of = (call){.conn = b, .deadline = cor_after(BRIEFLY)};
        go_on(1, &drainer, drain_task, &of);
        T_EVENTUALLY((cor_set_read_deadline(b, cor_after(SOON)), get(&of.done) != 0), SOON);
        wait_for(&drainer);
        close_pair(a, b);
    }
}

/* N142: what the drain is for. The reply survives a request that nobody reads. */
TASK_TEST(drained_close_saves_the_reply)
{
    cor_conn *a, *b;
    char buf[8];
    make_pair(KIND_TCP, &a, &b);
    write_all(a, "a request that nobody reads", 27);
    write_all(b, "reply", 5);
    T_CODE(cor_close_write(b), 0);
    T_CODE(cor_close_write(a), 0);
    T_EQ(cor_drain(b, 1000, cor_after(SOON)), 27);
    T_CODE(cor_close(b), 0);
    read_all(a, buf, 5);
    T_EQ(cor_read(a, buf, 1), 0);
    T_CODE(cor_close(a), 0);
}

/* The same in one call, and what bounds it: the peer's end, the deadline, and a peer that never stops sending. */
TASK_TEST(finish)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        char buf[8];
        make_pair(kinds[i], &a, &b);
        if (kinds[i] != KIND_PIPE) {
            write_all(a, "a request that nobody reads", 27);
            write_all(b, "reply", 5);
            T_CODE(cor_close_write(a), 0);
            T_CODE(cor_finish(b, cor_after(SOON)), 0);
            read_all(a, buf, 5);
        } else {
            T_CODE(cor_finish(b, 0), 0); /* no half-close: nobody to wait for */
        }
        T_EQ(cor_read(a, buf, 1), 0);
        T_CODE(cor_finish(b, 0), COR_ECLOSED);
        T_CODE(cor_close(a), 0);
    }
}

TASK_TEST(finish_waits_no_longer_than_the_deadline)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    int64_t deadline = cor_after(10 * COR_MILLISECOND);
    T_CODE(cor_finish(b, deadline), 0);
    T_ASSERT(cor_now() >= deadline);
    T_CODE(cor_close(a), 0);
}

static void send_for_ever(void *conn)
{
    static char zeros[BUFFER_BYTES];
    while (cor_write(conn, zeros, sizeof(zeros)) > 0) {}
}

TASK_TEST(finish_ends_although_the_peer_does_not)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    make_pair(KIND_TCP, &a, &b);
    go_in(&writer, send_for_ever, a);
    T_CODE(cor_finish(b, 0), 0);
    wait_for(&writer);
    T_CODE(cor_close(a), 0);
}

TASK_TEST(error_text)
{
    cor_conn *a, *b;
    char text[COR_ERROR_TEXT], own[COR_ADDR_TEXT], peer[COR_ADDR_TEXT], expected[COR_ERROR_TEXT];
    make_pair(KIND_TCP, &a, &b);
    cor_local_addr(a, own, sizeof(own));
    cor_remote_addr(a, peer, sizeof(peer));
    (void)snprintf(expected, sizeof(expected), "write tcp %s->%s: write: broken pipe", own, peer);
    T_STR(cor_conn_error_text(a, "write", -EPIPE, text, sizeof(text)), expected);
    T_STR(cor_conn_error_text(a, "read", 0, text, sizeof(text)), "EOF");
    T_STR(cor_conn_error_text(a, "read", 0, text, 3), "EO");
    close_pair(a, b);
}

/* cor_wait_readable: no sooner than there is something, and without taking it. */
static void wait_then_read(void *arg)
{
    char buf[8];
    T_CODE(cor_wait_readable(arg), 0);
    T_CODE(cor_wait_readable(arg), 0);
    T_EQ(cor_read(arg, buf, sizeof(buf)), 1);
    T_CODE(cor_wait_readable(arg), 0); /* the end of the stream is something */
    T_EQ(cor_read(arg, buf, sizeof(buf)), 0);
    T_CODE(cor_wait_readable(arg), 0);
}

TASK_TEST(wait_readable)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group reader = {0};
        make_pair(kinds[i], &a, &b);
        T_CODE(cor_set_read_deadline(b, cor_after(BRIEFLY)), 0);
        T_CODE(cor_wait_readable(b), COR_ETIMEOUT);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        go_on(1, &reader, wait_then_read, b);
        T_CODE(cor_sleep(BRIEFLY), 0);
        write_all(a, "x", 1);
        T_CODE(cor_close(a), 0);
        wait_for(&reader);
        T_CODE(cor_close(b), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formatted_writes),
        cmocka_unit_test(bad_format),
        cmocka_unit_test(lent_buffers),
        cmocka_unit_test(waiting_needs_no_buffer),
        cmocka_unit_test(buffers_may_change_hands),
        cmocka_unit_test(copy_between_kinds),
        cmocka_unit_test(bursts_of_a_pipe_reach_tcp),
        cmocka_unit_test(copy_errors),
        cmocka_unit_test(echoes_lose_nothing),
        cmocka_unit_test(printable_text),
        cmocka_unit_test(reading_a_given_number_of_bytes),
        cmocka_unit_test(drain),
        cmocka_unit_test(drain_leaves_the_deadline),
        cmocka_unit_test(drains_at_once_leave_the_deadline),
        cmocka_unit_test(drain_beside_a_read),
        cmocka_unit_test(drain_and_the_read_deadline),
        cmocka_unit_test(drained_close_saves_the_reply),
        cmocka_unit_test(finish),
        cmocka_unit_test(finish_waits_no_longer_than_the_deadline),
        cmocka_unit_test(finish_ends_although_the_peer_does_not),
        cmocka_unit_test(error_text),
        cmocka_unit_test(wait_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Buffered readers and writers. */
/* test: simulated */
#include "base/limits.h"
#include "net/netcase.h"

#include <coracle/buffered.h>
#include <stdlib.h>

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

enum { SMALL = 16 };

/* Writes each text by itself, and then ends the stream. */
typedef struct script {
    cor_conn *conn;
    const char *texts[8];
} script;

static void play(void *arg)
{
    const script *of = arg;
    for (int i = 0; of->texts[i] != NULL; i++) {
        write_all(of->conn, of->texts[i], strlen(of->texts[i]));
        cor_yield();
    }
    T_CODE(cor_close(of->conn), 0);
}

#define T_UNTIL(reader, delimiter, expected)                                                                           \
    do {                                                                                                               \
        char *t_bytes;                                                                                                 \
        size_t t_size;                                                                                                 \
        T_CODE(cor_reader_until((reader), (delimiter), &t_bytes, &t_size), 1);                                         \
        T_EQ(t_size, strlen(expected));                                                                                \
        T_MEM(t_bytes, (expected), t_size);                                                                            \
    } while (0)

/* N351: up to a delimiter, which is part of it; what comes before the end without one stays and can be read. */
TASK_TEST(until_a_delimiter)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        char *bytes = NULL, rest[8];
        size_t size = 99;
        make_pair(kinds[i], &a, &b);
        script of = {a, {"on", "e|two|", "|", "thr", "ee|la", "st"}};
        go_on(1, &writer, play, &of);
        cor_reader reader = cor_reader_of(b, SMALL);
        T_UNTIL(&reader, '|', "one|");
        T_UNTIL(&reader, '|', "two|");
        T_UNTIL(&reader, '|', "|");
        T_UNTIL(&reader, '|', "three|");
        T_CODE(cor_reader_until(&reader, '|', &bytes, &size), COR_EUNEXPECTED_EOF);
        T_CODE(cor_reader_until(&reader, '|', &bytes, &size), COR_EUNEXPECTED_EOF);
        T_ASSERT(bytes == NULL && size == 99);
        T_EQ(cor_reader_buffered(&reader), 4);
        T_EQ(cor_reader_read(&reader, rest, sizeof(rest)), 4);
        T_MEM(rest, "last", 4);
        T_CODE(cor_reader_until(&reader, '|', &bytes, NULL), 0);
        wait_for(&writer);
        cor_reader_free(&reader);
        cor_reader_free(&reader);
        T_CODE(cor_close(b), 0);
    }
}

/* The bound: exactly as much fits; one byte more does not, and nothing of it is lost. */
TASK_TEST(no_more_than_the_bound)
{
    cor_conn *a, *b;
    char *bytes, got[SMALL + 2];
    make_pair(KIND_UNIX, &a, &b);
    cor_reader reader = cor_reader_of(b, SMALL);
    write_all(a, "0123456789abcde|0123456789abcdef|", 2 * SMALL + 1);
    T_UNTIL(&reader, '|', "0123456789abcde|");
    T_CODE(cor_reader_until(&reader, '|', &bytes, NULL), COR_ETOO_LONG);
    T_EQ(cor_reader_buffered(&reader), SMALL);
    T_CODE((int)cor_reader_peek(&reader, SMALL + 1, &bytes), -EINVAL);
    T_EQ(cor_reader_peek(&reader, SMALL, &bytes), SMALL);
    T_MEM(bytes, "0123456789abcdef", SMALL);
    T_EQ(cor_reader_read_full(&reader, got, SMALL + 1), SMALL + 1);
    T_MEM(got, "0123456789abcdef|", SMALL + 1);
    close_pair(a, b);
    cor_reader_free(&reader);
}

/* N350: a look ahead takes nothing; a read of an empty buffer makes one read of the connection. */
TASK_TEST(looking_ahead)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        char *bytes, got[4];
        make_pair(kinds[i], &a, &b);
        script of = {a, {"ab", "cd", "ef"}};
        cor_reader reader = cor_reader_of(b, 100);
        T_EQ(cor_reader_peek(&reader, 0, &bytes), 0); /* does not wait */
        go_on(1, &writer, play, &of);
        T_ASSERT(cor_reader_peek(&reader, 3, &bytes) >= 3);
        T_MEM(bytes, "abc", 3);
        T_ASSERT(cor_reader_buffered(&reader) >= 3);
        T_EQ(cor_reader_skip(&reader, 1), 1);
        T_EQ(cor_reader_read_full(&reader, got, 4), 4);
        T_MEM(got, "bcde", 4);
        T_EQ(cor_reader_peek(&reader, 5, &bytes), 1); /* the end comes first */
        T_EQ(bytes[0], 'f');
        T_CODE((int)cor_reader_read_full(&reader, got, 2), COR_EUNEXPECTED_EOF);
        T_CODE((int)cor_reader_skip(&reader, 2), COR_EUNEXPECTED_EOF);
        T_EQ(cor_reader_read(&reader, got, 2), 1);
        T_EQ(cor_reader_read_full(&reader, got, 2), 0);
        T_EQ(cor_reader_peek(&reader, 1, &bytes), 0);
        wait_for(&writer);
        cor_reader_free(&reader);
        T_CODE(cor_close(b), 0);
    }
}

/* A deadline that passes within a message takes nothing of it. */
TASK_TEST(deadlines_lose_nothing)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char *bytes, got[8];
        make_pair(kinds[i], &a, &b);
        cor_reader reader = cor_reader_of(b, 100);
        write_all(a, "head", 4);
        T_EQ(cor_reader_peek(&reader, 4, &bytes), 4);
        T_CODE(cor_set_read_deadline(b, cor_after(COR_MILLISECOND)), 0);
        T_CODE(cor_reader_until(&reader, '\n', &bytes, NULL), COR_ETIMEOUT);
        T_CODE((int)cor_reader_read_full(&reader, got, 5), COR_ETIMEOUT);
        T_CODE((int)cor_reader_skip(&reader, 5), COR_ETIMEOUT);
        T_CODE((int)cor_reader_peek(&reader, 5, &bytes), COR_ETIMEOUT);
        T_EQ(cor_reader_buffered(&reader), 4);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        write_all(a, "er\n", 3);
        T_UNTIL(&reader, '\n', "header\n");
        cor_reader_free(&reader);
        close_pair(a, b);
    }
}

/* More than the buffer may hold goes past it, in pieces as they come; the buffer stays small. */
static void write_much(void *conn)
{
    char *bytes = malloc(300000);
    for (int i = 0; i < 300000; i++) {
        bytes[i] = (char)(i * 7 % 251);
    }
    write_all(conn, bytes, 300000);
    free(bytes);
}

TASK_TEST(much_goes_past_the_buffer)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        char *got = malloc(300000), *bytes;
        make_pair(kinds[i], &a, &b);
        go_on(1, &writer, write_much, a);
        cor_reader reader = cor_reader_of(b, 1000);
        T_ASSERT(cor_reader_peek(&reader, 10, &bytes) >= 10);
        T_EQ(cor_reader_read_full(&reader, got, 200000), 200000);
        T_EQ(cor_reader_skip(&reader, 50000), 50000);
        T_EQ(cor_reader_read_full(&reader, got + 250000, 50000), 50000);
        for (int at = 0; at < 300000; at++) {
            T_REQUIRE((at >= 200000 && at < 250000) || got[at] == (char)(at * 7 % 251), "byte %d", at);
        }
        T_ASSERT(reader.capacity <= 1001);
        wait_for(&writer);
        free(got);
        cor_reader_free(&reader);
        close_pair(a, b);
    }
}

/* Nothing is held while nothing is buffered. */
static void wait_for_byte(void *arg)
{
    char got;
    T_EQ(cor_reader_read(arg, &got, 1), 1);
}

static const cor_options one_worker = {.workers = 1};

TASK_TEST_WITH(idle_readers_and_writers_hold_nothing, &one_worker)
{
    cor_conn *a, *b;
    cor_group waiting = {0};
    make_pair(KIND_TCP, &a, &b);
    cor_reader reader = cor_reader_of(b, 100);
    cor_writer writer = cor_writer_of(a);
    go_in(&waiting, wait_for_byte, &reader);
    T_PARKED(b, CORI_READ);
    T_ASSERT(reader.buf == NULL && writer.buf == NULL);
    T_EQ(cor_writer_write(&writer, "x", 1), 1);
    T_ASSERT(writer.buf != NULL);
    T_CODE(cor_writer_flush(&writer), 0);
    T_ASSERT(writer.buf == NULL);
    wait_for(&waiting);
    T_EQ(cor_writer_write(&writer, "", 0), 0);
    T_EQ(cor_writer_printf(&writer, "%s", ""), 0);
    T_ASSERT(writer.buf == NULL);
    cor_reader_free(&reader);
    close_pair(a, b);
}

/* Nothing leaves before the buffer is full or flushed; then all of it does, in order. */
TASK_TEST(writes_leave_together)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        static char big[CORI_BUFFER_BYTES + 1], got[2 * CORI_BUFFER_BYTES];
        make_pair(kinds[i], &a, &b);
        cor_writer writer = cor_writer_of(a);
        T_EQ(cor_writer_write(&writer, "one ", 4), 4);
        T_EQ(cor_writer_printf(&writer, "%s %d ", "two", 3), 6);
        T_EQ(cor_writer_buffered(&writer), 10);
        T_CODE(cor_set_read_deadline(b, cor_after(COR_MILLISECOND)), 0);
        T_CODE((int)cor_read(b, got, sizeof(got)), COR_ETIMEOUT);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        T_CODE(cor_writer_flush(&writer), 0);
        T_EQ(cor_writer_buffered(&writer), 0);
        read_all(b, got, 10);
        T_MEM(got, "one two 3 ", 10);
        memset(big, 'b', sizeof(big));
        T_EQ(cor_writer_write(&writer, big, CORI_BUFFER_BYTES), CORI_BUFFER_BYTES); /* just fits */
        T_EQ(cor_writer_buffered(&writer), CORI_BUFFER_BYTES);
        T_EQ(cor_writer_printf(&writer, "%.100s|", big), 101); /* does not, and leaves with it */
        T_EQ(cor_writer_buffered(&writer), 0);
        read_all(b, got, CORI_BUFFER_BYTES + 101);
        T_EQ(got[CORI_BUFFER_BYTES + 100], '|');
        T_EQ(cor_writer_write(&writer, "a", 1), 1);
        T_EQ(cor_writer_write(&writer, big, sizeof(big)), sizeof(big));
        read_all(b, got, 1 + sizeof(big));
        T_EQ(got[0], 'a');
        T_MEM(got + 1, big, sizeof(big));
        cor_writer_free(&writer);
        close_pair(a, b);
    }
}

/* The first error stays, and frees the buffer. */
TASK_TEST(first_error_stays)
{
    cor_conn *a, *b;
    make_pair(KIND_UNIX, &a, &b);
    cor_writer writer = cor_writer_of(a);
    T_EQ(cor_writer_write(&writer, "x", 1), 1);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_writer_flush(&writer), -EPIPE);
    T_ASSERT(writer.buf == NULL);
    T_CODE(cor_close(a), 0);
    T_CODE(cor_writer_flush(&writer), -EPIPE);
    T_CODE((int)cor_writer_write(&writer, "x", 1), -EPIPE);
    T_CODE((int)cor_writer_printf(&writer, "x"), -EPIPE);
    cor_writer_free(&writer);
}

/* A reader that waits flushes its writer first: question and answer never wait for each other. */
static void answer(void *conn)
{
    cor_reader reader = cor_reader_of(conn, 100);
    cor_writer writer = cor_writer_of(conn);
    char *bytes;
    size_t size;
    reader.flushes = &writer;
    while (cor_reader_until(&reader, '\n', &bytes, &size) == 1) {
        T_EQ(cor_writer_write(&writer, bytes, size), size);
    }
    T_CODE(cor_writer_flush(&writer), 0);
    cor_writer_free(&writer);
    cor_reader_free(&reader);
    T_CODE(cor_close(conn), 0);
}

TASK_TEST(waiting_flushes)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group server = {0};
        char got[8];
        make_pair(kinds[i], &a, &b);
        go_on(1, &server, answer, b);
        cor_reader reader = cor_reader_of(a, 100);
        cor_writer writer = cor_writer_of(a);
        reader.flushes = &writer;
        for (int round = 0; round < 100; round++) {
            T_EQ(cor_writer_printf(&writer, "ask %d\n", round % 10), 6);
            T_EQ(cor_reader_read_full(&reader, got, 6), 6);
            T_EQ(got[4], '0' + round % 10);
        }
        T_EQ(cor_writer_write(&writer, "1\n2\n3\n", 6), 6); /* several at once */
        T_EQ(cor_reader_read_full(&reader, got, 6), 6);
        T_MEM(got, "1\n2\n3\n", 6);
        T_CODE(cor_close_write(a), 0);
        T_EQ(cor_reader_read(&reader, got, 1), 0);
        wait_for(&server);
        cor_reader_free(&reader);
        cor_writer_free(&writer);
        T_CODE(cor_close(a), 0);
    }
}

/* A cancelled task stops, also if all it wants is buffered. */
static void read_buffered(void *reader)
{
    char got;
    T_CODE((int)cor_reader_read(reader, &got, 1), COR_ECANCELED);
}

TASK_TEST(cancel_reaches_the_buffer)
{
    cor_conn *a, *b;
    char *bytes;
    cor_group group = {0};
    make_pair(KIND_TCP, &a, &b);
    cor_reader reader = cor_reader_of(b, 100);
    write_all(a, "abc", 3);
    T_EQ(cor_reader_peek(&reader, 3, &bytes), 3);
    cor_group_cancel(&group);
    go_in(&group, read_buffered, &reader);
    wait_for(&group);
    T_EQ(cor_reader_buffered(&reader), 3);
    cor_reader_free(&reader);
    close_pair(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(until_a_delimiter),
        cmocka_unit_test(no_more_than_the_bound),
        cmocka_unit_test(looking_ahead),
        cmocka_unit_test(deadlines_lose_nothing),
        cmocka_unit_test(much_goes_past_the_buffer),
        cmocka_unit_test(idle_readers_and_writers_hold_nothing),
        cmocka_unit_test(writes_leave_together),
        cmocka_unit_test(first_error_stays),
        cmocka_unit_test(waiting_flushes),
        cmocka_unit_test(cancel_reaches_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

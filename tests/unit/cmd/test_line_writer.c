/* SPDX-License-Identifier: MIT */
/* The line writer: whole lines in order, a blocked descriptor stalls nobody, drops are counted and reported. */
/* sources: cmd/coracle/line_writer.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "line_writer.h"

#define SECONDS(n) ((n)*INT64_C(1000000000))

static _Atomic uint64_t reported;

static void note_dropped(uint64_t count)
{
    reported += count;
}

static bool put_text(line_writer *writer, const char *text)
{
    return line_writer_put(writer, &(line_part){.bytes = text, .size = strlen(text)}, 1);
}

/* Reads everything up to end of file. */
static char *read_all(int fd)
{
    size_t used = 0, capacity = 1 << 20;
    char *text = malloc(capacity + 1);
    ssize_t count;
    while (used < capacity && (count = read(fd, text + used, capacity - used)) > 0) {
        used += (size_t)count;
    }
    text[used] = '\0';
    return text;
}

static void test_parts_and_escapes(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    const line_part parts[] = {{"<5:", 3, false}, {"ab\0\n\x1b", 5, true}, {"> ", 2, false}};
    assert_true(line_writer_put(writer, parts, 3));
    assert_true(put_text(writer, "two"));
    assert_true(line_writer_flush(writer, SECONDS(10)));
    line_writer_close(writer, SECONDS(10));
    close(ends[1]);
    char *text = read_all(ends[0]);
    assert_string_equal(text, "<5:ab\\x00\\n\\x1b> \ntwo\n");
    free(text);
    close(ends[0]);
}

static void *put_many(void *arg)
{
    line_writer *writer = arg;
    char line[64];
    for (int i = 0; i < 2000; i++) {
        snprintf(line, sizeof(line), "%lx says %d and nothing else", (unsigned long)pthread_self(), i);
        put_text(writer, line);
    }
    return NULL;
}

/* Lines of four threads: each whole, each thread's in order. */
static void test_lines_never_mix(void **state)
{
    FILE *file = tmpfile();
    pthread_t threads[4];
    (void)state;
    line_writer *writer = line_writer_new(fileno(file), 1 << 20, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, writer), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(line_writer_flush(writer, SECONDS(20)));
    assert_int_equal(line_writer_dropped(writer), 0);
    line_writer_close(writer, SECONDS(10));
    rewind(file);
    unsigned long who[4] = {0};
    int next[4] = {0};
    char line[128];
    for (int i = 0; i < 8000; i++) {
        unsigned long id;
        int number, end = 0;
        assert_non_null(fgets(line, sizeof(line), file));
        assert_int_equal(sscanf(line, "%lx says %d and nothing else%n", &id, &number, &end), 2);
        assert_string_equal(line + end, "\n");
        int slot = 0;
        while (who[slot] != 0 && who[slot] != id) {
            slot++;
            assert_in_range(slot, 0, 3);
        }
        who[slot] = id;
        assert_int_equal(number, next[slot]++);
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

/* Makes a pipe that takes nothing more; returns how much is in it. */
static size_t full_pipe(int ends[2])
{
    static const char zeros[512];
    size_t filled = 0;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
    for (ssize_t count; (count = write(ends[1], zeros, sizeof(zeros))) > 0;) {
        filled += (size_t)count;
    }
    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    return filled;
}

/* A pipe nobody reads: putting goes on at once, lines are dropped; when it is read again the loss is reported. */
static void test_blocked_descriptor(void **state)
{
    int ends[2];
    (void)state;
    reported = 0;
    size_t filled = full_pipe(ends);
    line_writer *writer = line_writer_new(ends[1], 4096, note_dropped);
    char line[1000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    uint64_t lost = 0;
    for (int i = 0; i < 1000; i++) {
        lost += !put_text(writer, line);
    }
    assert_true(lost > 900);
    assert_int_equal(line_writer_dropped(writer), lost);
    assert_false(line_writer_flush(writer, 1000000));
    assert_int_equal(reported, 0);
    char *buffer = malloc(1 << 20);
    size_t got = 0;
    while (got < filled + (1000 - lost) * sizeof(line)) {
        ssize_t count = read(ends[0], buffer, 1 << 20);
        assert_true(count > 0);
        got += (size_t)count;
    }
    free(buffer);
    assert_true(line_writer_flush(writer, SECONDS(10)));
    line_writer_close(writer, SECONDS(10));
    assert_int_equal(reported, lost);
    close(ends[0]);
    close(ends[1]);
}

/* A reader that has gone: everything is dropped, nothing hangs, SIGPIPE kills nobody. */
static void test_gone_reader(void **state)
{
    int ends[2];
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    assert_true(put_text(writer, "lost"));
    assert_true(line_writer_flush(writer, SECONDS(10)));
    assert_false(put_text(writer, "lost too"));
    assert_int_equal(line_writer_dropped(writer), 2);
    line_writer_close(writer, SECONDS(10));
    close(ends[1]);
}

static void test_line_that_never_fits(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    char line[1025];
    memset(line, 0x1b, sizeof(line));
    assert_false(line_writer_put(writer, &(line_part){line, 1024, true}, 1)); /* 4096 bytes escaped, and LF */
    assert_true(line_writer_put(writer, &(line_part){line, 1023, true}, 1));
    line_writer_close(writer, SECONDS(10));
    close(ends[1]);
    char *text = read_all(ends[0]);
    assert_int_equal(strlen(text), 4 * 1023 + 1);
    free(text);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_escapes),    cmocka_unit_test(test_lines_never_mix),
        cmocka_unit_test(test_blocked_descriptor),   cmocka_unit_test(test_gone_reader),
        cmocka_unit_test(test_line_that_never_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

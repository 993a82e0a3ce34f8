/* SPDX-License-Identifier: MIT */
/*
 * The line writer: whole lines, in order per worker, written without being asked; a blocked descriptor stalls nobody,
 * drops are counted and reported, and at the end nothing is left behind.
 */
/* sources: cmd/coracle/line_writer.c cmd/coracle/log_record.c cmd/coracle/log_rate.c cmd/coracle/escape.c */
/* sources: cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coracle.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "line_writer.h"
#include "log_record.h"

#define SECONDS(n) ((n)*INT64_C(1000000000))

static _Atomic uint64_t reported, reports;

static void note_dropped(uint64_t count)
{
    reported += count;
    reports++;
}

static bool put_text(line_writer *writer, const char *text)
{
    return record_put_line(writer, &(line_part){.bytes = text, .size = strlen(text)}, 1);
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
    assert_true(record_put_line(writer, parts, 3));
    assert_true(put_text(writer, "two"));
    assert_true(line_writer_flush(writer, SECONDS(60)));
    line_writer_close(writer, SECONDS(60));
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
    assert_true(line_writer_flush(writer, SECONDS(60)));
    assert_int_equal(line_writer_dropped(writer), 0);
    line_writer_close(writer, SECONDS(60));
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

#define LINES 1000

/* Puts lines of 999 bytes; counts those that were dropped. */
struct many {
    line_writer *writer;
    uint64_t lost;
};

static int put_long_lines(void *arg)
{
    struct many *many = arg;
    char line[1000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    for (int i = 0; i < LINES; i++) {
        many->lost += !put_text(many->writer, line);
    }
    return 0;
}

/* A pipe nobody reads: putting goes on at once, lines are dropped; when it is read again the loss is reported. */
static void check_blocked(bool in_task)
{
    int ends[2];
    reported = reports = 0;
    size_t filled = full_pipe(ends);
    struct many many = {.writer = line_writer_new(ends[1], 4096, note_dropped)};
    if (in_task) {
        assert_int_equal(cor_run(put_long_lines, &many, NULL), 0);
    } else {
        put_long_lines(&many);
    }
    assert_true(many.lost > 900);
    assert_int_equal(line_writer_dropped(many.writer), many.lost);
    assert_false(line_writer_flush(many.writer, 1000000));
    assert_int_equal(reported, 0);
    char *buffer = malloc(1 << 20);
    size_t got = 0;
    while (got < filled + (LINES - many.lost) * 1000) {
        ssize_t count = read(ends[0], buffer, 1 << 20);
        assert_true(count > 0);
        got += (size_t)count;
    }
    free(buffer);
    assert_true(line_writer_flush(many.writer, SECONDS(60)));
    line_writer_close(many.writer, SECONDS(60));
    assert_int_equal(reported, many.lost);
    assert_int_equal(reports, 1);
    close(ends[0]);
    close(ends[1]);
}

static void test_blocked_descriptor(void **state)
{
    (void)state;
    check_blocked(false);
}

static void test_blocked_descriptor_and_a_worker(void **state)
{
    (void)state;
    check_blocked(true);
}

/* A pipe that stays full keeps nobody, not even at the end. */
static void test_blocked_to_the_end(void **state)
{
    int ends[2];
    (void)state;
    full_pipe(ends);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    assert_true(put_text(writer, "never written"));
    assert_false(line_writer_close(writer, 1000000));
    /* The descriptors stay open: the thread still waits for one. */
}

enum { WORKERS = 4, TASKS = 16, ROUNDS = 3000 };

static struct {
    line_writer *writer;
    int next[WORKERS]; /* each worker's own */
    cor_waitgroup done;
} order;

/* Numbers its worker's lines, with all tasks there. A ring that is full is found empty soon: the line is put again. */
static void put_numbers(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int worker = cor_worker_id();
        char line[64];
        snprintf(line, sizeof(line), "%d %d %.*s", worker, order.next[worker]++, i % 40,
                 "........................................");
        while (!put_text(order.writer, line)) {
            sched_yield();
        }
        if (i % 7 == 0) {
            cor_yield();
        }
    }
    cor_waitgroup_done(&order.done);
}

static int start_numbers(void *arg)
{
    (void)arg;
    cor_waitgroup_add(&order.done, TASKS);
    for (int i = 0; i < TASKS; i++) {
        if (cor_go(put_numbers, NULL) < 0) {
            return 1;
        }
    }
    return cor_waitgroup_wait(&order.done, 0) < 0;
}

/* Rings that are full and begin anew all the time: every line arrives, whole, and each worker's in order. */
static void test_order_per_worker(void **state)
{
    FILE *file = tmpfile();
    const cor_options options = {.workers = WORKERS};
    int next[WORKERS] = {0};
    char line[128];
    (void)state;
    memset(&order, 0, sizeof(order));
    order.writer = line_writer_new(fileno(file), 4096, NULL);
    assert_int_equal(cor_run(start_numbers, NULL, &options), 0);
    line_writer_close(order.writer, SECONDS(60));
    rewind(file);
    for (int i = 0; i < TASKS * ROUNDS; i++) {
        int worker, number, end = 0;
        assert_non_null(fgets(line, sizeof(line), file));
        assert_int_equal(sscanf(line, "%d %d%n", &worker, &number, &end), 2);
        assert_in_range(worker, 0, WORKERS - 1);
        assert_int_equal(number, next[worker]++);
        assert_int_equal(line[end], ' ');
        assert_int_equal(strspn(line + end + 1, "."), strlen(line + end) - 2);
        assert_string_equal(line + strlen(line) - 1, "\n");
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

/* Nobody flushes: a line comes by itself, also when the writer has slept. */
static void test_lines_come_by_themselves(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    for (int i = 0; i < 5; i++) {
        char text[8];
        assert_int_equal(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 50), 0); /* a silence */
        assert_true(put_text(writer, "come"));
        assert_int_equal(read(ends[0], text, sizeof(text)), 5);
    }
    line_writer_close(writer, SECONDS(60));
    close(ends[0]);
    close(ends[1]);
}

/* Lines put just before the end are written. */
static void test_close_writes_everything(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        FILE *file = tmpfile();
        char line[64] = "";
        int last = -1;
        line_writer *writer = line_writer_new(fileno(file), 1 << 16, NULL);
        for (int k = 0; k < i; k++) {
            snprintf(line, sizeof(line), "%d", k);
            assert_true(put_text(writer, line));
        }
        line_writer_close(writer, SECONDS(60));
        rewind(file);
        while (fgets(line, sizeof(line), file) != NULL) {
            assert_int_equal(atoi(line), last + 1);
            last++;
        }
        assert_int_equal(last, i - 1);
        fclose(file);
    }
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
    assert_true(line_writer_flush(writer, SECONDS(60)));
    assert_false(put_text(writer, "lost too"));
    assert_int_equal(line_writer_dropped(writer), 2);
    line_writer_close(writer, SECONDS(60));
    close(ends[1]);
}

/* A line of bytes that all need escaping, as long as a ring can take, and one byte more. */
static void test_line_that_never_fits(void **state)
{
    enum { MOST = 4096 - 16 - 16 }; /* what is before each record, and before a line's only part */
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    line_writer *writer = line_writer_new(ends[1], 4096, NULL);
    char line[MOST + 1];
    memset(line, 0x1b, sizeof(line));
    assert_false(record_put_line(writer, &(line_part){line, MOST + 1, true}, 1));
    assert_true(record_put_line(writer, &(line_part){line, MOST, true}, 1));
    assert_int_equal(line_writer_dropped(writer), 1);
    line_writer_close(writer, SECONDS(60));
    close(ends[1]);
    char *text = read_all(ends[0]);
    assert_int_equal(strlen(text), 4 * MOST + 1);
    assert_int_equal(text[4 * MOST], '\n');
    free(text);
    close(ends[0]);
}

/* A close at any moment of the thread's: it never goes without the answer that the close waits for. */
static void test_close_at_any_moment(void **state)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int64_t end = cor_after(300 * COR_MILLISECOND);
    (void)state;
    for (unsigned i = 0; cor_now() < end; i++) {
        line_writer *writer = line_writer_new(null, 4096, NULL);
        assert_non_null(writer);
        for (unsigned spin = i * 7919 % 100000; spin > 0; spin--) {
            atomic_signal_fence(memory_order_seq_cst); /* takes a while, another each time */
        }
        int64_t begin = cor_now();
        line_writer_close(writer, SECONDS(20));
        assert_true(cor_now() - begin < SECONDS(20));
    }
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_escapes),
        cmocka_unit_test(test_lines_never_mix),
        cmocka_unit_test(test_blocked_descriptor),
        cmocka_unit_test(test_blocked_descriptor_and_a_worker),
        cmocka_unit_test(test_gone_reader),
        cmocka_unit_test(test_line_that_never_fits),
        cmocka_unit_test(test_order_per_worker),
        cmocka_unit_test(test_lines_come_by_themselves),
        cmocka_unit_test(test_close_writes_everything),
        cmocka_unit_test(test_close_at_any_moment),
        cmocka_unit_test(test_blocked_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The line reader: boundaries, odd bytes, lines that are too long, and no buffer while nothing happens (N350).
 */
#include "base/clock.h"
#include "net/netcase.h"

#include <coracle/io.h>
#include <coracle/lines.h>

enum { MAX_LINE = 10000 };

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

/* What a task writes, in pieces of this size, before it closes. */
typedef struct script {
    cor_conn *conn;
    const char *bytes;
    size_t size, piece;
} script;

static void play(void *arg)
{
    script *of = arg;
    for (size_t at = 0; at < of->size; at += of->piece) {
        write_all(of->conn, of->bytes + at, of->size - at < of->piece ? of->size - at : of->piece);
    }
    T_CODE(cor_close(of->conn), 0);
}

static void play_and_stay(void *arg)
{
    script *of = arg;
    write_all(of->conn, of->bytes, of->size);
}

/* One result of cor_lines_next; the list ends with code 0. */
typedef struct expected {
    int code;
    const char *text;
    size_t length;
    bool partial;
} expected;

static void expect_next(cor_lines *lines, const expected *want)
{
    char *line = NULL;
    size_t length = 0;
    T_CODE(cor_lines_next(lines, &line, &length), want->code);
    if (want->code == 1) {
        T_EQ(length, want->length);
        T_MEM(line, want->text, length);
        T_EQ(line[length], '\0');
        T_EQ(lines->partial, want->partial);
    }
}

/* Many pieces are as many hand-overs, where writer and reader are on two workers: not where each costs much. */
static bool too_many(size_t size, size_t piece, conn_kind kind)
{
    return size > 1000 && (taskcase_is_slow() ? piece < 7 : piece == 1 && kind != KIND_PIPE);
}

/* Plays the bytes in pieces of several sizes over every kind and compares what comes out. */
static void expect_lines(const char *bytes, size_t size, size_t max_line, const expected *wants)
{
    static const size_t pieces[] = {1, 2, 3, 7, 1000, 4096, 1 << 20};
    for (size_t i = 0; i < 3 * 7; i++) {
        if (too_many(size, pieces[i % 7], kinds[i / 7])) {
            continue;
        }
        script of = {.bytes = bytes, .size = size, .piece = pieces[i % 7]};
        cor_group writer = {0};
        cor_conn *conn;
        make_pair(kinds[i / 7], &of.conn, &conn);
        cor_lines lines = cor_lines_of(conn, max_line);
        go_in(&writer, play, &of);
        const expected *want = wants;
        do {
            expect_next(&lines, want);
        } while ((want++)->code != 0);
        expect_next(&lines, want - 1); /* the end stays the end */
        T_ASSERT(lines.reader.buf == NULL);
        cor_lines_free(&lines);
        cor_lines_free(&lines);
        wait_for(&writer);
        T_CODE(cor_close(conn), 0);
    }
}

#define LINE(text)                                                                                                     \
    {                                                                                                                  \
        1, text, sizeof(text) - 1, false                                                                               \
    }
#define LAST(text)                                                                                                     \
    {                                                                                                                  \
        1, text, sizeof(text) - 1, true                                                                                \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        0, NULL, 0, false                                                                                              \
    }
#define TOO_LONG                                                                                                       \
    {                                                                                                                  \
        COR_ETOO_LONG, NULL, 0, false                                                                                  \
    }
#define EXPECT(max_line, bytes, ...) expect_lines(bytes, sizeof(bytes) - 1, max_line, (const expected[]){__VA_ARGS__})

/* N351: lines come without their LF, and what follows the last LF comes before the end. */
TASK_TEST(split_and_glued)
{
    EXPECT(100, "", END);
    EXPECT(100, "\n", LINE(""), END);
    EXPECT(100, "one\ntwo\nthree\n", LINE("one"), LINE("two"), LINE("three"), END);
    EXPECT(100, "one\n\n\ntwo", LINE("one"), LINE(""), LINE(""), LAST("two"), END);
    EXPECT(100, "x", LAST("x"), END);
}

TASK_TEST(odd_bytes)
{
    EXPECT(100, "a\r\nb\r\n", LINE("a\r"), LINE("b\r"), END);
    EXPECT(100, "\r\n\r", LINE("\r"), LAST("\r"), END);
    EXPECT(100, "a\0b\n\0\n\0", LINE("a\0b"), LINE("\0"), LAST("\0"), END);
    EXPECT(100, "\xff\xfe\n\x80", LINE("\xff\xfe"), LAST("\x80"), END);
}

TASK_TEST(too_long)
{
    EXPECT(3, "abc\nabcd\nabc\n", LINE("abc"), TOO_LONG, LINE("abc"), END);
    EXPECT(3, "abcd", TOO_LONG, END);
    EXPECT(3, "abcdefghijklmnopq\nab\nabcdefghijklm", TOO_LONG, LINE("ab"), TOO_LONG, END);
    EXPECT(3, "abcd\n\nabcdef\nabc", TOO_LONG, LINE(""), TOO_LONG, LAST("abc"), END);
    EXPECT(1, "a\nb\ncc\nd\n", LINE("a"), LINE("b"), TOO_LONG, LINE("d"), END);
}

/* The longest line there can be: no limit at all. */
TASK_TEST(no_limit)
{
    enum { LONG = 20000 };
    static char sent[LONG + 2];
    static const size_t limits[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 2, SIZE_MAX / 2};
    memset(sent, 'x', LONG);
    sent[LONG] = '\n';
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        cor_conn *a, *b;
        cor_group writers = {0};
        char *line;
        size_t length = 0;
        make_pair(KIND_TCP, &a, &b);
        script of = {.conn = a, .bytes = sent, .size = LONG + 1};
        go_in(&writers, play_and_stay, &of);
        cor_lines lines = cor_lines_of(b, limits[i]);
        T_CODE(cor_lines_next(&lines, &line, &length), 1);
        T_EQ(length, LONG);
        cor_lines_free(&lines);
        wait_for(&writers);
        close_pair(a, b);
    }
}

/* Lines whose lengths lie around the sizes of the buffer and the limit. */
TASK_TEST(boundaries)
{
    static const size_t lengths[] = {4094, 4095,         4096,     4097,         8190,         8191,        8192,
                                     8193, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, MAX_LINE + 2, 3 * MAX_LINE};
    static char bytes[4 * MAX_LINE];
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t length = lengths[i];
        memset(bytes, 'z', length);
        memcpy(bytes + length, "\nend\n", 5);
        expected line = {length <= MAX_LINE ? 1 : COR_ETOO_LONG, bytes, length, false};
        expect_lines(bytes, length + 5, MAX_LINE, (const expected[]){line, LINE("end"), END});
    }
}

/* A line without its LF is given when nothing follows for pause_ns, and the read deadline is what it was before. */
TASK_TEST(pause_ends_a_line)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        script of = {.bytes = "one\ntw", .size = 6, .piece = 3};
        cor_conn *conn;
        make_pair(kinds[i], &of.conn, &conn);
        cor_lines lines = cor_lines_of(conn, 100);
        lines.pause_ns = 10 * COR_MILLISECOND;
        cor_group writer = {0};
        go_in(&writer, play_and_stay, &of);
        expect_next(&lines, &(expected)LINE("one"));
        int64_t before = cor_now();
        expect_next(&lines, &(expected)LAST("tw"));
        T_ASSERT(cor_now() - before >= lines.pause_ns - COR_MILLISECOND);
        wait_for(&writer);
        T_CODE(cor_set_read_deadline(conn, cor_after(30 * COR_MILLISECOND)), 0); /* nothing has begun: no pause */
        before = cor_now();
        expect_next(&lines, &(expected){COR_ETIMEOUT, NULL, 0, false});
        T_ASSERT(cor_now() - before >= 29 * COR_MILLISECOND);
        T_CODE(cor_set_read_deadline(conn, 0), 0);
        script more = {.conn = of.conn, .bytes = "x", .size = 1, .piece = 1};
        go_in(&writer, play_and_stay, &more);
        expect_next(&lines, &(expected)LAST("x"));
        wait_for(&writer);
        more.bytes = "y";
        go_in(&writer, play_and_stay, &more);
        lines.pause_ns = 60 * COR_MINUTE;
        T_CODE(cor_set_read_deadline(conn, cor_after(20 * COR_MILLISECOND)), 0); /* earlier than the pause: it counts */
        expect_next(&lines, &(expected){COR_ETIMEOUT, NULL, 0, false});
        T_CODE(cor_set_read_deadline(conn, 0), 0);
        lines.pause_ns = COR_MILLISECOND;
        expect_next(&lines, &(expected)LAST("y"));
        wait_for(&writer); /* not before: if it began late, and this is a pipe, it waits for its reader */
        cor_lines_free(&lines);
        close_pair(of.conn, conn);
    }
}

static uint32_t line_came; /* atomic */

static void keep_moving_the_deadline(void *conn)
{
    while (__atomic_load_n(&line_came, __ATOMIC_ACQUIRE) == 0) {
        T_CODE(cor_set_read_deadline(conn, cor_after(SOON)), 0);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
    }
}

/* The pause goes on while another task moves the read deadline. */
TASK_TEST(pause_outlasts_a_moved_deadline)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        script of = {.bytes = "tw", .size = 2};
        cor_conn *conn;
        cor_group others = {0};
        make_pair(kinds[i], &of.conn, &conn);
        cor_lines lines = cor_lines_of(conn, 100);
        lines.pause_ns = 20 * COR_MILLISECOND;
        __atomic_store_n(&line_came, 0, __ATOMIC_RELEASE);
        go_in(&others, play_and_stay, &of);
        go_in(&others, keep_moving_the_deadline, conn);
        expect_next(&lines, &(expected)LAST("tw"));
        __atomic_store_n(&line_came, 1, __ATOMIC_RELEASE);
        wait_for(&others);
        cor_lines_free(&lines);
        close_pair(of.conn, conn);
    }
}

static struct {
    cori_slot *slot; /* atomic; NULL: nothing is to happen */
    cori_task *reader;
    const cor_lines *lines; /* the reader's */
    int looks;              /* at the clock by the reader, since it has had bytes */
    int64_t skipped_ns;     /* atomic */
} turn;

static int64_t real_now(void)
{
    struct timespec now = cori_clock_real_after(0);
    return (int64_t)now.tv_sec * COR_SECOND + now.tv_nsec;
}

/* As a reader that pauses looks at the clock again, another task moves the deadline, and the pause runs out. */
static int64_t clock_that_skips(void *unused)
{
    cori_slot *slot = cori_load(&turn.slot);
    (void)unused;
    bool reads = slot != NULL && cori_self() == turn.reader && cor_lines_buffered(turn.lines) > 0;
    if (reads && turn.looks++ > 0) {
        cori_store(&turn.slot, NULL);
        cori_store(&slot->deadline[CORI_READ], real_now() + 2 * FAR_AWAY);
        cori_fetch_add(&turn.skipped_ns, COR_MINUTE);
    }
    return real_now() + cori_load(&turn.skipped_ns);
}

TASK_TEST(deadline_moved_as_the_pause_runs_out)
{
    T_SKIP_SIMULATED("the clock is its own");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        script of = {.bytes = "tw", .size = 2, .piece = 2};
        cor_conn *conn;
        cor_group writer = {0};
        make_pair(kinds[i], &of.conn, &conn);
        cor_lines lines = cor_lines_of(conn, 100);
        lines.pause_ns = COR_SECOND;
        go_in(&writer, play_and_stay, &of);
        turn.reader = cori_self();
        turn.lines = &lines;
        turn.looks = 0;
        cori_slot *slot;
        T_CODE(cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot), 0);
        cori_slot_leave(slot, CORI_SHARED);
        cori_store(&turn.slot, slot);
        expect_next(&lines, &(expected)LAST("tw"));
        T_ASSERT(cori_load(&turn.slot) == NULL);
        T_ASSERT(cori_load(&slot->deadline[CORI_READ]) > cor_after(FAR_AWAY)); /* who has moved it has the last word */
        wait_for(&writer);
        cor_lines_free(&lines);
        close_pair(of.conn, conn);
    }
}

static void deadline_moved_as_the_pause_runs_out_skipping(void **state)
{
    cori_clock_set(clock_that_skips, NULL);
    deadline_moved_as_the_pause_runs_out(state);
    cori_clock_set(NULL, NULL);
}

static void wait_for_line(void *arg)
{
    cor_lines *lines = arg;
    char *line;
    T_CODE(cor_lines_next(lines, &line, NULL), 1);
    T_STR(line, "hello");
}

/* On one worker: all that can run has run and waits again. */
static void let_others_run(void)
{
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_sleep(100 * COR_MICROSECOND), 0);
    }
}

static void expect_no_buffer(cor_lines *lines, cor_conn *peer)
{
    cor_group reader = {0};
    go_in(&reader, wait_for_line, lines);
    let_others_run();
    T_ASSERT(lines->reader.buf == NULL);
    write_all(peer, "hel", 3);
    T_EVENTUALLY(lines->reader.buf != NULL, SOON);
    write_all(peer, "lo\n", 3);
    wait_for(&reader);
}

static const cor_options one_worker = {.workers = 1};

/* An idle connection holds no buffer: before its first line, and between lines. */
TASK_TEST_WITH(no_buffer_while_idle, &one_worker)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        make_pair(kinds[i], &a, &b);
        cor_lines lines = cor_lines_of(b, 100);
        for (int round = 0; round < 4; round++) {
            expect_no_buffer(&lines, a);
        }
        cor_lines_free(&lines);
        close_pair(a, b);
    }
}

/* Errors of reading come through, and reading can go on behind a timeout in the middle of a line. */
TASK_TEST(timeout_within_a_line)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char *line;
        size_t length;
        make_pair(kinds[i], &a, &b);
        cor_lines lines = cor_lines_of(b, 100);
        write_all(a, "one\ntw", 6);
        T_CODE(cor_lines_next(&lines, &line, NULL), 1);
        T_STR(line, "one");
        T_CODE(cor_set_read_deadline(b, cor_after(BRIEFLY)), 0);
        T_CODE(cor_lines_next(&lines, &line, &length), COR_ETIMEOUT);
        T_CODE(cor_lines_next(&lines, &line, &length), COR_ETIMEOUT);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        write_all(a, "o\n", 2);
        T_CODE(cor_lines_next(&lines, &line, &length), 1);
        T_STR(line, "two");
        T_EQ(length, 3);
        T_CODE(cor_close(a), 0);
        T_CODE(cor_close(b), 0);
        T_CODE(cor_lines_next(&lines, &line, &length), COR_ECLOSED);
        cor_lines_free(&lines);
    }
}

TASK_TEST(reset_within_a_line)
{
    cor_conn *a, *b;
    char *line;
    make_pair(KIND_TCP, &a, &b);
    cor_lines lines = cor_lines_of(b, 100);
    T_EQ(cor_lines_buffered(&lines), 0);
    write_all(a, "one\ntw", 6);
    T_CODE(cor_lines_next(&lines, &line, NULL), 1);
    T_EQ(cor_lines_buffered(&lines), 2);
    T_CODE(cor_set_linger(a, 0), 0);
    T_CODE(cor_close(a), 0);
    T_CODE(cor_lines_next(&lines, &line, NULL), -ECONNRESET);
    cor_lines_free(&lines);
    cor_lines_free(NULL);
    T_CODE(cor_close(b), 0);
}

/* N352: what a reader has read ahead is its own; a second reader of the connection does not see it. */
TASK_TEST(a_second_reader_misses_what_the_first_has)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        script of = {.bytes = "one\ntwo\nth", .size = 10, .piece = 10};
        cor_group writer = {0};
        cor_conn *conn;
        char *line;
        make_pair(kinds[i], &of.conn, &conn);
        cor_lines first = cor_lines_of(conn, 100), second = cor_lines_of(conn, 100);
        go_in(&writer, play_and_stay, &of);
        T_CODE(cor_lines_next(&first, &line, NULL), 1);
        T_STR(line, "one");
        wait_for(&writer);
        T_EQ(cor_lines_buffered(&first), 6);
        of = (script){.conn = of.conn, .bytes = "ree\n", .size = 4, .piece = 4};
        go_in(&writer, play_and_stay, &of);
        T_CODE(cor_lines_next(&second, &line, NULL), 1);
        T_STR(line, "ree");
        wait_for(&writer);
        T_CODE(cor_lines_next(&first, &line, NULL), 1);
        T_STR(line, "two");
        T_EQ(cor_lines_buffered(&first), 2);
        cor_lines_free(&first);
        T_EQ(cor_lines_buffered(&first), 0); /* and with its buffer it is lost */
        cor_lines_free(&second);
        close_pair(of.conn, conn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_and_glued),
        cmocka_unit_test(odd_bytes),
        cmocka_unit_test(too_long),
        cmocka_unit_test(pause_ends_a_line),
        cmocka_unit_test(pause_outlasts_a_moved_deadline),
        cmocka_unit_test(deadline_moved_as_the_pause_runs_out_skipping),
        cmocka_unit_test(no_limit),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(no_buffer_while_idle),
        cmocka_unit_test(timeout_within_a_line),
        cmocka_unit_test(reset_within_a_line),
        cmocka_unit_test(a_second_reader_misses_what_the_first_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Connections under load. Streams keep their order while deadlines move, ends close and others look on; and many tasks
 * open, use and close shared handles at random, where no byte may ever come out of a connection that it was not put
 * into. Each lasts a second, two where all is slow, times COR_STRESS_ROUNDS.
 */
/* test: workers=1,2,8 serial no-valgrind simulated */
#include "net/netcase.h"

#include <coracle/io.h>
#include <sys/socket.h>

enum { PAIRS = 10, WRITERS = 3, DISTURBERS = 2, SHARED = 24, USERS = 48, RACE_ROUNDS = 100000 };

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};
static int64_t end; /* of the test */

static uint32_t roll(uint32_t limit)
{
    return cori_rand_below(&cori_self()->worker->rand, limit);
}

static void begin(void)
{
    end = cor_after(taskcase_rounds() * (taskcase_is_slow() ? 2 * COR_SECOND : COR_SECOND));
}

static bool time_is_up(void)
{
    return cor_now() >= end;
}

static int64_t some_deadline(void)
{
    uint32_t kind = roll(6);
    return kind == 0 ? 0 : kind == 1 ? LONG_AGO : cor_after((int64_t)roll(300) * COR_MICROSECOND);
}

/* A pair whose one end is written by several tasks and whose other end is read by one. */
typedef struct stream {
    cor_conn *in, *out;
    uint32_t next[WRITERS]; /* expected of each writer; the reader's */
    int writers_begun;      /* atomic */
} stream;

/* What is written: in one piece, numbered by its writer. */
typedef struct record {
    uint32_t writer, number;
    uint8_t filling[56];
} record;

static bool is_end(ssize_t code)
{
    return code == COR_ECLOSED || code == -EPIPE || code == -ECONNRESET || code == COR_EPIPE_CLOSED;
}

static void write_records(void *arg)
{
    stream *of = arg;
    record next = {.writer = (uint32_t)add(&of->writers_begun, 1) - 1};
    ssize_t rc;
    memset(next.filling, (int)next.writer, sizeof(next.filling));
    while ((rc = cor_write(of->out, &next, sizeof(next))) > 0) {
        T_EQ(rc, sizeof(next));
        next.number++;
        if (roll(50) == 0) {
            cor_yield();
        }
    }
    T_REQUIRE(is_end(rc), "write gave %zd", rc);
}

static void check_record(stream *of, const record *got)
{
    T_ASSERT(got->writer < WRITERS);
    T_EQ(got->number, of->next[got->writer]);
    T_EQ(got->filling[55], got->writer);
    of->next[got->writer]++;
}

static void read_records(void *arg)
{
    stream *of = arg;
    char buf[sizeof(record) * 20];
    size_t have = 0;
    ssize_t rc;
    for (;;) {
        rc = cor_read(of->in, buf + have, 1 + roll((uint32_t)(sizeof(buf) - have)));
        if (rc == COR_ETIMEOUT) {
            cor_yield();
            continue;
        }
        if (rc <= 0) {
            break;
        }
        have += (size_t)rc;
        size_t at = 0;
        for (; have - at >= sizeof(record); at += sizeof(record)) {
            record got;
            memcpy(&got, buf + at, sizeof(got));
            check_record(of, &got);
        }
        memmove(buf, buf + at, have - at);
        have -= at;
    }
    T_REQUIRE(rc == 0 || is_end(rc), "read gave %zd", rc);
}

static void disturb(void *arg)
{
    stream *of = arg;
    char text[COR_ADDR_TEXT];
    int rc = 0;
    while (rc != COR_ECLOSED) {
        switch (roll(5)) {
        case 0:
        case 1:
            rc = cor_set_read_deadline(of->in, some_deadline());
            break;
        case 2:
            rc = cor_wait_readable(of->in);
            break;
        case 3:
            rc = (int)cor_read(of->in, text, 0);
            break;
        default:
            (void)cor_remote_addr(of->out, text, sizeof(text));
            break;
        }
        cor_yield();
    }
}

/* One pair after the other, each for a short while. */
static void run_streams(void *arg)
{
    (void)arg;
    while (!time_is_up()) {
        cor_group tasks = {0};
        stream of = {0};
        make_pair(kinds[roll(3)], &of.out, &of.in);
        go_on((int)roll(8), &tasks, read_records, &of);
        for (int i = 0; i < WRITERS; i++) {
            go_on((int)roll(8), &tasks, write_records, &of);
        }
        for (int i = 0; i < DISTURBERS; i++) {
            go_on((int)roll(8), &tasks, disturb, &of);
        }
        T_CODE(cor_sleep(roll(20) * COR_MILLISECOND), 0);
        bool reader_first = roll(2) == 0;
        T_CODE(cor_close(reader_first ? of.in : of.out), 0);
        T_CODE(cor_sleep(roll(3) * COR_MILLISECOND), 0);
        T_CODE(cor_close(reader_first ? of.out : of.in), 0);
        wait_for(&tasks);
    }
}

TASK_TEST(streams_keep_their_order)
{
    cor_group tasks = {0};
    begin();
    for (int i = 0; i < PAIRS; i++) {
        go_on(i, &tasks, run_streams, NULL);
    }
    wait_for(&tasks);
}

/* A pair in a table, used by everybody. What goes through it is its mark, and nothing else. */
typedef struct entry {
    cor_mutex mutex; /* of the fields; calls on the connections are made without it */
    cor_conn *ends[2];
    uint8_t mark;
} entry;

static entry table[SHARED];

static void replace(entry *of)
{
    cor_conn *ends[2];
    static int marks;
    make_pair(kinds[roll(3)], &ends[0], &ends[1]);
    cor_mutex_lock(&of->mutex);
    cor_conn *before[2] = {of->ends[0], of->ends[1]};
    memcpy(of->ends, ends, sizeof(ends));
    of->mark = (uint8_t)add(&marks, 1);
    cor_mutex_unlock(&of->mutex);
    for (int i = 0; i < 2; i++) {
        int rc = cor_close(before[i]);
        T_REQUIRE(rc == 0 || rc == COR_ECLOSED, "close gave %d", rc);
    }
}

static void expect_known(ssize_t rc)
{
    T_REQUIRE(rc >= 0 || is_end(rc) || rc == COR_ETIMEOUT || rc == -ENOTCONN || rc == -EOPNOTSUPP, "%zd (%s)", rc,
              taskcase_text((int)rc));
}

static void read_marks(cor_conn *conn, uint8_t mark)
{
    uint8_t buf[300];
    ssize_t count = cor_read(conn, buf, 1 + roll(sizeof(buf)));
    expect_known(count);
    for (ssize_t i = 0; i < count; i++) {
        T_EQ(buf[i], mark);
    }
}

static void write_marks(cor_conn *conn, uint8_t mark)
{
    uint8_t buf[300];
    memset(buf, mark, sizeof(buf));
    expect_known(cor_write(conn, buf, roll(sizeof(buf) + 1)));
    memset(buf, mark + 1, sizeof(buf));
}

static void use(entry *of)
{
    cor_mutex_lock(&of->mutex);
    cor_conn *conn = of->ends[roll(2)];
    uint8_t mark = of->mark;
    cor_mutex_unlock(&of->mutex);
    uint32_t what = roll(100);
    if (what < 40) {
        expect_known(cor_set_read_deadline(conn, cor_after(COR_MILLISECOND)));
        read_marks(conn, mark);
    } else if (what < 80) {
        expect_known(cor_set_write_deadline(conn, cor_after(COR_MILLISECOND)));
        write_marks(conn, mark);
    } else if (what < 90) {
        int64_t deadline = some_deadline();
        expect_known(
            cor_set_deadline(conn, deadline != 0 ? deadline : cor_after(COR_MILLISECOND))); /* none is for ever */
    } else if (what < 93) {
        expect_known(cor_close_write(conn));
    } else if (what < 95) {
        expect_known(cor_close_read(conn));
    } else if (what < 97) {
        int rc = cor_close(conn);
        T_REQUIRE(rc == 0 || rc == COR_ECLOSED, "close gave %d", rc);
    } else {
        replace(of);
    }
}

static void use_table(void *arg)
{
    (void)arg;
    while (!time_is_up()) {
        use(&table[roll(SHARED)]);
        cor_yield();
    }
}

/* N168, N265 */
TASK_TEST(shared_handles_never_cross)
{
    cor_group users = {0};
    for (int i = 0; i < SHARED; i++) {
        make_pair(kinds[i % 3], &table[i].ends[0], &table[i].ends[1]);
    }
    begin();
    for (int i = 0; i < USERS; i++) {
        go_on(i, &users, use_table, NULL);
    }
    wait_for(&users);
    for (int i = 0; i < SHARED; i++) {
        (void)cor_close(table[i].ends[0]);
        (void)cor_close(table[i].ends[1]);
    }
}

/* Read, deadline and close race on connections that follow each other quickly. */
static cor_conn *current; /* atomic */

static cor_conn *current_conn(void)
{
    return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

static void race_reads(void *arg)
{
    (void)arg;
    char byte;
    for (cor_conn *conn; (conn = current_conn()) != NULL;) {
        ssize_t rc = cor_read(conn, &byte, 1);
        T_REQUIRE(rc == COR_ETIMEOUT || rc == COR_ECLOSED, "read gave %zd", rc);
        cor_yield();
    }
}

static void race_deadlines(void *arg)
{
    (void)arg;
    for (cor_conn *conn; (conn = current_conn()) != NULL;) {
        int rc = cor_set_read_deadline(conn, roll(2) == 0 ? LONG_AGO : cor_after(FAR_AWAY));
        T_REQUIRE(rc == 0 || rc == COR_ECLOSED, "set gave %d", rc);
        cor_yield();
    }
}

static void next_pair(cor_conn *ends[2])
{
    int fds[2];
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    T_CODE(cor_open_fd(&ends[0], fds[0]), 0);
    T_CODE(cor_open_fd(&ends[1], fds[1]), 0);
}

/* N168 */
TASK_TEST(close_deadline_read_race)
{
    T_SKIP_SIMULATED("the sockets are the kernel's");
    cor_group racers = {0};
    cor_conn *ends[2], *before[2];
    int rounds = 0;
    next_pair(ends);
    __atomic_store_n(&current, ends[0], __ATOMIC_RELEASE);
    begin();
    for (int i = 0; i < 3; i++) {
        go_on(i, &racers, race_reads, NULL);
        go_on(i + 1, &racers, race_deadlines, NULL);
    }
    for (; rounds < RACE_ROUNDS && !time_is_up(); rounds++) {
        memcpy(before, ends, sizeof(before));
        next_pair(ends);
        __atomic_store_n(&current, ends[0], __ATOMIC_RELEASE);
        close_pair(before[0], before[1]);
        cor_yield();
    }
    __atomic_store_n(&current, NULL, __ATOMIC_RELEASE);
    close_pair(ends[0], ends[1]);
    wait_for(&racers);
    print_message("%d rounds\n", rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_keep_their_order),
        cmocka_unit_test(shared_handles_never_cross),
        cmocka_unit_test(close_deadline_read_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

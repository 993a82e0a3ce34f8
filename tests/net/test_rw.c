/* SPDX-License-Identifier: MIT */
/* Reading and writing streams: counts, ends, order, sharing between tasks and workers, peers that vanish. */
#include "net/netcase.h"
#include "support/faults.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { WRITERS = 8, RUN_BYTES = 400000, READERS = 20, SHARED_BYTES = 200000, GLUED_ROUNDS = 210, HOPS = 60 };

static const conn_kind sockets[] = {KIND_TCP, KIND_UNIX};

/* N128 */
TASK_TEST(short_reads)
{
    char buf[100];
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(sockets[i], &a, &b);
        write_all(a, "abc", 3);
        T_EQ(cor_read(b, buf, 2), 2);
        T_EQ(cor_read(b, buf + 2, sizeof(buf) - 2), 1);
        T_MEM(buf, "abc", 3);
        write_all(a, "defg", 4);
        T_EQ(cor_read(b, buf, sizeof(buf)), 4);
        close_pair(a, b);
    }
}

static void read_is_closed(void *arg)
{
    char buf[8];
    T_CODE(cor_read(arg, buf, sizeof(buf)), COR_ECLOSED);
}

/* N129 */
TASK_TEST(reads_of_nothing)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group reader = {0};
        char byte;
        make_pair(sockets[i], &a, &b);
        T_EQ(cor_read(b, &byte, 0), 0);
        go_on(1, &reader, read_is_closed, a);
        T_PARKED(a, CORI_READ);
        T_EQ(cor_read(a, &byte, 0), 0); /* although another task is waiting to read */
        write_all(a, "x", 1);
        T_EQ(cor_read(b, NULL, 0), 0);
        T_CODE(cor_set_read_deadline(b, LONG_AGO), 0);
        T_EQ(cor_read(b, &byte, 0), 0);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        T_CODE(cor_close(a), 0);
        wait_for(&reader);
        T_EQ(cor_read(b, &byte, 0), 0);
        T_EQ(cor_read(b, &byte, 1), 1);
        T_EQ(cor_read(b, &byte, 1), 0);
        T_EQ(cor_read(b, &byte, 0), 0);
        T_CODE(cor_close(b), 0);
        T_CODE(cor_read(b, &byte, 0), COR_ECLOSED);
    }
}

/* N132 */
TASK_TEST(writes_of_nothing)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(sockets[i], &a, &b);
        T_EQ(cor_write(a, "", 0), 0);
        T_CODE(cor_set_write_deadline(a, LONG_AGO), 0);
        T_CODE(cor_write(a, "", 0), COR_ETIMEOUT);
        close_pair(a, b);
        T_CODE(cor_write(a, "", 0), COR_ECLOSED);
    }
}

/* N272, N130, N172 */
TASK_TEST(remaining_bytes_come_before_the_end)
{
    char buf[100];
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        make_pair(sockets[i], &a, &b);
        write_all(a, "abc", 3);
        T_CODE(cor_close_write(a), 0);
        T_EQ(cor_read(b, buf, 1), 1);
        T_EQ(cor_read(b, buf, sizeof(buf)), 2);
        for (int again = 0; again < 3; again++) {
            T_EQ(cor_read(b, buf, sizeof(buf)), 0);
        }
        close_pair(a, b);
    }
}

/* A short read that takes the last bytes together with the end of the stream: the end must still be seen. */
typedef struct glued {
    cor_conn *conn;
    int pauses;
} glued;

static void write_and_leave(void *arg)
{
    glued *test = arg;
    for (int i = 0; i < test->pauses; i++) {
        cor_yield();
    }
    write_all(test->conn, "hello", 5);
    T_CODE(cor_close_write(test->conn), 0);
}

static void read_hello_to_the_end(void *arg)
{
    char buf[64];
    size_t total = 0;
    ssize_t count;
    T_CODE(cor_set_read_deadline(arg, cor_after(SOON)), 0);
    while ((count = cor_read(arg, buf, sizeof(buf))) > 0) {
        total += (size_t)count;
    }
    T_CODE(count, 0);
    T_EQ(total, 5);
}

/* N130, N268: whatever worker's poller has the registration. */
TASK_TEST(end_glued_to_data)
{
    for (int round = 0; round < GLUED_ROUNDS; round++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(sockets[round % 2], &a, &b);
        glued test = {.conn = a, .pauses = round % 7};
        if (round % 3 == 0) {
            (void)fill_up(b); /* registers b with this worker's poller */
        }
        go_on(round / 2, &tasks, read_hello_to_the_end, b);
        go_on(round / 4, &tasks, write_and_leave, &test);
        wait_for(&tasks);
        close_pair(a, b);
    }
}

/* Bytes behind urgent data: a read ends at the mark, which must not be taken for "drained". */
static void send_urgent(void *arg)
{
    int fd = raw_fd(arg);
    T_EQ(send(fd, "ab", 2, 0), 2);
    T_EQ(send(fd, "!", 1, MSG_OOB), 1);
    T_EQ(send(fd, "cd", 2, 0), 2);
}

static void read_around_urgent(void *arg)
{
    char buf[64];
    size_t have = 0;
    T_CODE(cor_set_read_deadline(arg, cor_after(SOON)), 0);
    while (have < 4) {
        ssize_t count = cor_read(arg, buf + have, sizeof(buf) - have);
        T_REQUIRE(count > 0, "read gave %zd after %zu bytes", count, have);
        have += (size_t)count;
    }
    T_EQ(have, 4);
    T_MEM(buf, "abcd", 4);
}

TASK_TEST(urgent_data)
{
    for (int round = 0; round < 20; round++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(KIND_TCP, &a, &b);
        go_on(round, &tasks, read_around_urgent, b);
        if (round % 2 == 0) {
            T_PARKED(b, CORI_READ);
        }
        send_urgent(a); /* in one go: to a reader on this worker all of it is one event */
        wait_for(&tasks);
        write_all(a, "x", 1);
        T_EQ(cor_read(b, (char[8]){0}, 8), 1);
        close_pair(a, b);
    }
}

/* N136 */
typedef struct writer {
    cor_conn *conn;
    char letter;
} writer;

static void write_run(void *arg)
{
    writer *of = arg;
    char *run = malloc(RUN_BYTES);
    T_ASSERT(run != NULL);
    memset(run, of->letter, RUN_BYTES);
    write_all(of->conn, run, RUN_BYTES);
    free(run);
}

static void expect_runs(cor_conn *conn)
{
    static char received[WRITERS * RUN_BYTES];
    unsigned seen = 0;
    read_all(conn, received, sizeof(received));
    for (size_t at = 0; at < sizeof(received); at++) {
        if (at % RUN_BYTES == 0) {
            T_ASSERT((seen & 1u << (received[at] - 'a')) == 0);
            seen |= 1u << (received[at] - 'a');
        }
        T_EQ(received[at], received[at - at % RUN_BYTES]);
    }
}

TASK_TEST(concurrent_writes_stay_whole)
{
    for (conn_kind kind = KIND_TCP; kind <= KIND_PIPE; kind++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        writer writers[WRITERS];
        if (kind == KIND_TCP6) {
            continue;
        }
        make_pair(kind, &a, &b);
        for (int i = 0; i < WRITERS; i++) {
            writers[i] = (writer){.conn = a, .letter = (char)('a' + i)};
            go_on(i, &tasks, write_run, &writers[i]);
        }
        expect_runs(b);
        wait_for(&tasks);
        close_pair(a, b);
    }
}

/* N137 */
static uint16_t seen_numbers[SHARED_BYTES / 2]; /* atomic */

static void read_numbers(void *arg)
{
    for (;;) {
        uint16_t number;
        ssize_t count = cor_read(arg, &number, sizeof(number));
        if (count == COR_ECLOSED) {
            return;
        }
        T_EQ(count, sizeof(number)); /* written in whole numbers, read by one task at a time */
        (void)__atomic_add_fetch(&seen_numbers[number], 1, __ATOMIC_RELAXED);
    }
}

static bool all_seen(size_t count)
{
    while (count > 0 && __atomic_load_n(&seen_numbers[count - 1], __ATOMIC_RELAXED) == 1) {
        count--;
    }
    return count == 0;
}

TASK_TEST(concurrent_reads_share_the_bytes)
{
    enum { NUMBERS = 30000 };
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group readers = {0};
        memset(seen_numbers, 0, sizeof(seen_numbers));
        make_pair(sockets[i], &a, &b);
        for (int reader = 0; reader < READERS; reader++) {
            go_on(reader, &readers, read_numbers, b);
        }
        for (int number = 0; number < NUMBERS; number++) {
            uint16_t value = (uint16_t)number;
            write_all(a, &value, sizeof(value));
        }
        T_EVENTUALLY(all_seen(NUMBERS), SOON);
        T_CODE(cor_close(b), 0); /* all of them return */
        wait_for(&readers);
        T_CODE(cor_close(a), 0);
    }
}

/* N135, N131; N268: both directions of one registration at once, from several workers */
static void write_much(void *arg)
{
    static const char zeros[1 << 20];
    for (int i = 0; i < 8; i++) {
        write_all(arg, zeros, sizeof(zeros));
    }
    T_CODE(cor_close_write(arg), 0);
}

static void read_much(void *arg)
{
    char buf[8192];
    size_t total = 0;
    ssize_t count;
    while ((count = cor_read(arg, buf, sizeof(buf))) > 0) {
        total += (size_t)count;
    }
    T_CODE(count, 0);
    T_EQ(total, 8 << 20);
}

TASK_TEST(full_duplex)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(sockets[i], &a, &b);
        go_on(0, &tasks, write_much, a);
        go_on(1, &tasks, read_much, a);
        go_on(2, &tasks, write_much, b);
        go_on(3, &tasks, read_much, b);
        wait_for(&tasks);
        close_pair(a, b);
    }
}

/* N133 */
enum { GIANT_BYTES = 1342177280 };

static void read_giant(void *arg)
{
    static char buf[1 << 20];
    size_t total = 0;
    ssize_t count;
    while ((count = cor_read(arg, buf, sizeof(buf))) > 0) {
        total += (size_t)count;
    }
    T_EQ(total, GIANT_BYTES);
}

TASK_TEST(more_than_one_system_call_takes)
{
    if (taskcase_is_slow()) {
        T_SKIP("too slow under a sanitizer");
    }
    void *giant = mmap(NULL, GIANT_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    T_ASSERT(giant != MAP_FAILED);
    cor_conn *a, *b;
    cor_group reader = {0};
    make_pair(KIND_UNIX, &a, &b);
    go_on(1, &reader, read_giant, b);
    write_all(a, giant, GIANT_BYTES);
    T_CODE(cor_close(a), 0);
    wait_for(&reader);
    T_CODE(cor_close(b), 0);
    T_EQ(munmap(giant, GIANT_BYTES), 0);
}

/* N134 */
static int interrupted_call;

TASK_TEST(echo_once)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        char buf[8];
        make_pair(sockets[i], &a, &b);
        write_all(a, "12345678", 8);
        read_all(b, buf, 8);
        T_MEM(buf, "12345678", 8);
        close_pair(a, b);
    }
    T_CODE(cor_sleep(COR_MILLISECOND), 0); /* so that the poller is asked at all */
    T_REQUIRE(faults_hit(), "call %d was not made", interrupted_call);
}

static void interrupted_calls_go_on(void **state)
{
    static const int calls[] = {CORI_SYS_RECV, CORI_SYS_SEND, CORI_SYS_ACCEPT, CORI_SYS_EPOLL_WAIT};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        interrupted_call = calls[i];
        faults_set_run(calls[i], 1, 3, -EINTR);
        echo_once(state);
    }
    faults_clear();
}

/* N139: the first write is taken by the kernel, a later one fails, and no signal comes. */
TASK_TEST(write_after_the_peer_closed_tcp)
{
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_close(b), 0);
    T_EQ(cor_write(a, "x", 1), 1);
    ssize_t rc = 0;
    T_EVENTUALLY((rc = cor_write(a, "x", 1)) != 1, SOON);
    T_REQUIRE(rc == -EPIPE || rc == -ECONNRESET, "write gave %zd", rc);
    T_CODE(cor_write(a, "x", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
}

/* N140 */
TASK_TEST(write_after_the_peer_closed_unix)
{
    cor_conn *a, *b;
    make_pair(KIND_UNIX, &a, &b);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_write(a, "x", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
}

/* N141, N061, N171 */
TASK_TEST(reset_by_the_peer)
{
    cor_conn *a, *b;
    char byte;
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_set_linger(b, 0), 0);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_read(a, &byte, 1), -ECONNRESET);
    T_CODE(cor_read(a, &byte, 1), 0);
    T_CODE(cor_write(a, "x", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
}

static void read_is_reset(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), -ECONNRESET);
}

/* N141, N142: a parked reader sees the reset; here it comes of input that the peer did not read. */
TASK_TEST(reset_by_unread_input)
{
    cor_conn *a, *b;
    cor_group reader = {0};
    make_pair(KIND_TCP, &a, &b);
    write_all(a, "never read", 10);
    T_OK(cor_wait_readable(b));
    go_on(1, &reader, read_is_reset, a);
    T_PARKED(a, CORI_READ);
    T_CODE(cor_close(b), 0);
    wait_for(&reader);
    T_CODE(cor_close(a), 0);
}

/* N144: a writer that waits for room costs no system calls, also when the peer has half-closed. */
static void write_until_closed(void *arg)
{
    static const char zeros[65536];
    ssize_t rc;
    while ((rc = cor_write(arg, zeros, sizeof(zeros))) > 0) {}
    T_CODE(rc, COR_ECLOSED);
}

TASK_TEST(blocked_writer)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group tasks = {0};
        make_pair(sockets[i], &a, &b);
        T_CODE(cor_close_write(b), 0);
        go_on(1, &tasks, write_until_closed, a);
        T_PARKED(a, CORI_WRITE);
        unsigned before = faults_seen();
        T_CODE(cor_sleep(50 * COR_MILLISECOND), 0);
        T_REQUIRE(faults_seen() - before <= 4, "%u sends in vain", faults_seen() - before);
        T_CODE(cor_close(a), 0);
        wait_for(&tasks);
        T_CODE(cor_close(b), 0);
    }
}

static void blocked_writer_sleeps(void **state)
{
    faults_set(CORI_SYS_SEND, UINT_MAX, -EINVAL); /* only counts the calls */
    blocked_writer(state);
    faults_clear();
}

/* N147, N032 */
TASK_TEST(both_ends_know_their_network)
{
    static const char *const names[] = {"tcp", "tcp6", "unix", "pipe"};
    for (conn_kind kind = KIND_TCP; kind <= KIND_PIPE; kind++) {
        cor_conn *a, *b;
        cor_error error;
        if (kind == KIND_TCP6 && !has_ipv6()) {
            continue;
        }
        make_pair(kind, &a, &b);
        cor_conn_error(a, "read", 0, &error);
        T_STR(error.network, names[kind]);
        cor_conn_error(b, "read", 0, &error);
        T_STR(error.network, names[kind]);
        close_pair(a, b);
    }
}

/* A connection that is read on one worker after the other; sometimes its peer waits for room at the same time. */
static void read_one(void *arg)
{
    char byte = 0;
    read_all(arg, &byte, 1);
    T_EQ(byte, 'x');
}

TASK_TEST(readers_on_changing_workers)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *a, *b;
        cor_group writer_task = {0};
        make_pair(sockets[i], &a, &b);
        go_on(0, &writer_task, write_until_closed, b);
        T_PARKED(b, CORI_WRITE);
        for (int hop = 0; hop < HOPS; hop++) {
            cor_group reader = {0};
            go_on(hop, &reader, read_one, b);
            if (hop % 2 == 0) {
                T_PARKED(b, CORI_READ);
            }
            write_all(a, "x", 1);
            wait_for(&reader);
        }
        static char buf[65536];
        read_all(a, buf, sizeof(buf)); /* the writer was not forgotten: it goes on */
        T_CODE(cor_close(b), 0);
        wait_for(&writer_task);
        T_CODE(cor_close(a), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_reads),
        cmocka_unit_test(reads_of_nothing),
        cmocka_unit_test(writes_of_nothing),
        cmocka_unit_test(remaining_bytes_come_before_the_end),
        cmocka_unit_test(end_glued_to_data),
        cmocka_unit_test(urgent_data),
        cmocka_unit_test(concurrent_writes_stay_whole),
        cmocka_unit_test(concurrent_reads_share_the_bytes),
        cmocka_unit_test(full_duplex),
        cmocka_unit_test(more_than_one_system_call_takes),
        cmocka_unit_test(interrupted_calls_go_on),
        cmocka_unit_test(write_after_the_peer_closed_tcp),
        cmocka_unit_test(write_after_the_peer_closed_unix),
        cmocka_unit_test(reset_by_the_peer),
        cmocka_unit_test(reset_by_unread_input),
        cmocka_unit_test(blocked_writer_sleeps),
        cmocka_unit_test(both_ends_know_their_network),
        cmocka_unit_test(readers_on_changing_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

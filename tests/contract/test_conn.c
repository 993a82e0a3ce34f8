/* SPDX-License-Identifier: MIT */
/*
 * The contract of a connection, run over every kind there is, from the end that dialed and from the one that accepted.
 * The cases are those of Go's generic connection suite (N253 .. N264); each names its property.
 *
 * Datagrams have no end of stream, and may be lost where nobody reads them: so basic_io is not for them, a round trip
 * sends its message again, and who waits for an end closes its own side.
 */
/* test: simulated */
#include "net/netcase.h"

#include "base/rand.h"

enum { STREAM_BYTES = 1 << 20, CHUNK_BYTES = 1024, PING_ROUNDS = 1000, RACERS = 10, RACES = CORI_TSAN ? 40 : 100 };

#define FOR_ALL_KINDS(name)                                                                                            \
    TASK_TEST(name##_tcp)                                                                                              \
    {                                                                                                                  \
        name(KIND_TCP);                                                                                                \
    }                                                                                                                  \
    TASK_TEST(name##_tcp6)                                                                                             \
    {                                                                                                                  \
        name(KIND_TCP6);                                                                                               \
    }                                                                                                                  \
    TASK_TEST(name##_unix)                                                                                             \
    {                                                                                                                  \
        name(KIND_UNIX);                                                                                               \
    }                                                                                                                  \
    TASK_TEST(name##_pipe)                                                                                             \
    {                                                                                                                  \
        name(KIND_PIPE);                                                                                               \
    }                                                                                                                  \
    TASK_TEST(name##_accepted)                                                                                         \
    {                                                                                                                  \
        turned = true;                                                                                                 \
        name(KIND_TCP);                                                                                                \
    }                                                                                                                  \
    TASK_TEST(name##_accepted_unix)                                                                                    \
    {                                                                                                                  \
        turned = true;                                                                                                 \
        name(KIND_UNIX);                                                                                               \
    }                                                                                                                  \
    TASK_TEST(name##_unixpacket)                                                                                       \
    {                                                                                                                  \
        name(KIND_RECORDS);                                                                                            \
    }                                                                                                                  \
    TASK_TEST(name##_accepted_unixpacket)                                                                              \
    {                                                                                                                  \
        turned = true;                                                                                                 \
        name(KIND_RECORDS);                                                                                            \
    }
#define FOR_PACKETS_TOO(name)                                                                                          \
    FOR_ALL_KINDS(name)                                                                                                \
    TASK_TEST(name##_udp)                                                                                              \
    {                                                                                                                  \
        name(KIND_UDP);                                                                                                \
    }
#define STREAM_KINDS(name)                                                                                             \
    cmocka_unit_test(name##_tcp), cmocka_unit_test(name##_tcp6), cmocka_unit_test(name##_unix),                        \
        cmocka_unit_test(name##_pipe), cmocka_unit_test(name##_accepted), cmocka_unit_test(name##_accepted_unix),      \
        cmocka_unit_test(name##_unixpacket), cmocka_unit_test(name##_accepted_unixpacket)
#define ALL_KINDS(name) STREAM_KINDS(name), cmocka_unit_test(name##_udp)

/* How this test plays, in its own process. */
static bool turned; /* the end that is tested is the one that accepted */

/* The end that is tested, and the one at which it is. */
static void make_ends(conn_kind kind, cor_conn **tested, cor_conn **other)
{
    make_pair(kind, turned ? other : tested, turned ? tested : other);
}

/* Closes both, and waits for what a task of the group does at the other end until its stream ends, or its own close. */
static void close_and_wait(conn_kind kind, cor_conn *tested, cor_conn *other, cor_group *group)
{
    T_CODE(cor_close(tested), 0);
    if (kind == KIND_UDP) {
        T_CODE(cor_close(other), 0);
    }
    wait_for(group);
    if (kind != KIND_UDP) {
        T_CODE(cor_close(other), 0);
    }
}

/* What the tests' tasks share. */
typedef struct shared {
    cor_conn *conn;
    int moment; /* atomic: what must happen first has happened */
    uint8_t marker[16];
} shared;

/* Sends everything back until the stream ends or breaks. */
static void echo(void *arg)
{
    int64_t ignored = cor_copy(arg, arg);
    (void)ignored;
}

/* Writes until the connection ends. */
static void flood(void *arg)
{
    static const char zeros[CHUNK_BYTES];
    while (cor_write(arg, zeros, sizeof(zeros)) > 0) {}
}

/* Reads until the connection ends. */
static void discard(void *arg)
{
    char buf[CHUNK_BYTES];
    while (cor_read(arg, buf, sizeof(buf)) > 0) {}
}

static void write_marker(void *arg)
{
    shared *test = arg;
    write_all(test->conn, test->marker, sizeof(test->marker));
}

/* Makes a message that has no zero bytes. */
static void make_marker(uint8_t marker[16])
{
    static uint64_t number = 88172645463325252u;
    for (int i = 0; i < 16; i++) {
        number = number * 6364136223846793005u + 1442695040888963407u;
        marker[i] = (uint8_t)(number >> 56 | 1);
    }
}

/* Reads until the marker has come, after whatever was still under way. False: the read deadline came first. */
static bool await_marker(const shared *test)
{
    uint8_t buf[8 * CHUNK_BYTES];
    size_t matched = 0;
    while (matched < sizeof(test->marker)) {
        ssize_t count = cor_read(test->conn, buf, sizeof(buf));
        if (count == COR_ETIMEOUT) {
            return false;
        }
        T_REQUIRE(count > 0, "read gave %zd (%s)", count, taskcase_text((int)count));
        for (ssize_t i = 0; i < count && matched < sizeof(test->marker); i++) {
            matched = buf[i] == test->marker[matched] ? matched + 1 : buf[i] == test->marker[0];
        }
    }
    return true;
}

/* With an echo at the other end: a message of its own comes back. */
static void round_trip(conn_kind kind, cor_conn *conn)
{
    shared test = {.conn = conn};
    int64_t last = cor_after(SOON * taskcase_patience());
    bool back = false;
    T_CODE(cor_set_write_deadline(conn, last), 0);
    make_marker(test.marker);
    while (!back) {
        cor_group writer = {0};
        T_CODE(cor_set_read_deadline(conn, kind == KIND_UDP ? cor_after(50 * COR_MILLISECOND) : last), 0);
        go_in(&writer, write_marker, &test);
        back = await_marker(&test);
        wait_for(&writer);
        T_ASSERT(back || (kind == KIND_UDP && cor_now() < last));
    }
    T_CODE(cor_set_deadline(conn, 0), 0);
}

/* N253 */
static uint8_t sent[STREAM_BYTES];

static void write_in_chunks(void *arg)
{
    for (size_t at = 0; at < STREAM_BYTES; at += CHUNK_BYTES) {
        write_all(arg, sent + at, CHUNK_BYTES);
    }
    T_CODE(cor_close(arg), 0);
}

static void basic_io(conn_kind kind)
{
    static uint8_t received[STREAM_BYTES];
    cor_conn *a, *b;
    cor_group writer = {0};
    cori_rand random;
    make_ends(kind, &a, &b);
    cori_rand_init(&random, 253, 0);
    for (size_t i = 0; i < STREAM_BYTES; i++) {
        sent[i] = (uint8_t)cori_rand_below(&random, 256);
    }
    go_in(&writer, write_in_chunks, a);
    read_all(b, received, STREAM_BYTES);
    T_EQ(cor_read(b, received, 1), 0);
    T_EQ(cor_read(b, received, 1), 0);
    wait_for(&writer);
    T_MEM(sent, received, STREAM_BYTES);
    T_CODE(cor_close(b), 0);
}
FOR_ALL_KINDS(basic_io)

/* N254 */
typedef struct player {
    cor_conn *conn;
    bool datagrams; /* no end will tell that the other one was the last */
} player;

/* Reads a number, whole if it is a datagram; false: the stream has ended. */
static bool read_number(cor_conn *conn, uint64_t *number)
{
    ssize_t count = cor_read(conn, number, sizeof(*number));
    T_OK(count);
    if (count > 0 && count < (ssize_t)sizeof(*number)) {
        read_all(conn, (char *)number + count, sizeof(*number) - (size_t)count);
    }
    return count > 0;
}

static void ping(void *arg)
{
    const player *playing = arg;
    uint64_t before = 0, number = 0;
    while (before < PING_ROUNDS && read_number(playing->conn, &number)) {
        number++;
        T_ASSERT(before == 0 || number == before + 2);
        before = number;
        if (number < PING_ROUNDS || playing->datagrams) {
            write_all(playing->conn, &number, sizeof(number));
        }
    }
    T_ASSERT(before >= PING_ROUNDS - 1);
    if (!playing->datagrams) {
        T_CODE(cor_close(playing->conn), 0);
    }
}

static void ping_pong(conn_kind kind)
{
    player a = {.datagrams = kind == KIND_UDP}, b = a;
    cor_group players = {0};
    uint64_t first = 0;
    make_ends(kind, &a.conn, &b.conn);
    go_in(&players, ping, &a);
    go_in(&players, ping, &b);
    write_all(a.conn, &first, sizeof(first));
    wait_for(&players);
    if (a.datagrams) {
        close_pair(a.conn, b.conn);
    }
}
FOR_PACKETS_TOO(ping_pong)

/* N255, N148: the buffer is the caller's again when the call has returned. */
static void racy_reads(void *arg)
{
    uint8_t buf[CHUNK_BYTES];
    for (int i = 0; i < RACES; i++) {
        T_CODE(cor_set_read_deadline(arg, cor_after(COR_MILLISECOND)), 0);
        ssize_t count = cor_read(arg, buf, sizeof(buf));
        T_REQUIRE(count > 0 || count == COR_ETIMEOUT, "read gave %zd", count);
        memset(buf, 0xa5, sizeof(buf));
        cor_yield();
        for (size_t at = 0; at < sizeof(buf); at++) {
            T_EQ(buf[at], 0xa5);
        }
    }
}

static void racy_read(conn_kind kind)
{
    cor_conn *a, *b;
    cor_group racers = {0}, flooder = {0};
    make_ends(kind, &a, &b);
    go_in(&flooder, flood, b);
    for (int i = 0; i < RACERS; i++) {
        go_in(&racers, racy_reads, a);
    }
    wait_for(&racers);
    close_and_wait(kind, a, b, &flooder);
}
FOR_PACKETS_TOO(racy_read)

/* N256, N148: nothing of the buffer is sent after the call has returned. */
static void racy_writes(void *arg)
{
    uint8_t buf[CHUNK_BYTES];
    for (int i = 0; i < RACES; i++) {
        memset(buf, 0x5a, sizeof(buf));
        T_CODE(cor_set_write_deadline(arg, cor_after(COR_MILLISECOND)), 0);
        ssize_t count = cor_write(arg, buf, sizeof(buf));
        T_REQUIRE(count == sizeof(buf) || count == COR_ETIMEOUT, "write gave %zd", count);
        memset(buf, 0, sizeof(buf));
        cor_yield();
    }
}

static void check_and_discard(void *arg)
{
    uint8_t buf[CHUNK_BYTES];
    ssize_t count;
    while ((count = cor_read(arg, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < count; at++) {
            T_EQ(buf[at], 0x5a);
        }
    }
}

static void racy_write(conn_kind kind)
{
    cor_conn *a, *b;
    cor_group racers = {0}, reader = {0};
    make_ends(kind, &a, &b);
    go_in(&reader, check_and_discard, b);
    for (int i = 0; i < RACERS; i++) {
        go_in(&racers, racy_writes, a);
    }
    wait_for(&racers);
    close_and_wait(kind, a, b, &reader);
}
FOR_PACKETS_TOO(racy_write)

/* N257, N264 */
static void read_timeout(conn_kind kind)
{
    cor_conn *a, *b;
    cor_group reader = {0};
    char buf[CHUNK_BYTES] = {0};
    make_ends(kind, &a, &b);
    go_in(&reader, discard, b);
    T_CODE(cor_set_read_deadline(a, LONG_AGO), 0);
    ssize_t count = cor_read(a, buf, sizeof(buf));
    T_CODE(count, COR_ETIMEOUT);
    T_ASSERT(cor_is_timeout((int)count));
    write_all(a, buf, sizeof(buf));
    close_pair(a, b);
    wait_for(&reader);
}
FOR_PACKETS_TOO(read_timeout)

/* N258, N264 */
static void write_timeout(conn_kind kind)
{
    cor_conn *a, *b;
    cor_group writer = {0};
    char buf[CHUNK_BYTES] = {0};
    size_t written = 1;
    make_ends(kind, &a, &b);
    go_in(&writer, flood, b);
    T_CODE(cor_set_write_deadline(a, LONG_AGO), 0);
    T_CODE(cor_write_counted(a, buf, sizeof(buf), &written), COR_ETIMEOUT);
    T_EQ(written, 0);
    T_OK(cor_read(a, buf, sizeof(buf)) - 1);
    close_pair(a, b);
    wait_for(&writer);
}
FOR_PACKETS_TOO(write_timeout)

/* N259, N150, N155 */
static void past_timeout(conn_kind kind)
{
    cor_conn *a, *b;
    cor_group echoer = {0};
    char buf[CHUNK_BYTES] = {0};
    size_t written = 1;
    make_ends(kind, &a, &b);
    go_in(&echoer, echo, b);
    round_trip(kind, a);
    T_CODE(cor_set_deadline(a, LONG_AGO), 0);
    T_CODE(cor_write_counted(a, buf, sizeof(buf), &written), COR_ETIMEOUT);
    T_EQ(written, 0);
    T_CODE(cor_read(a, buf, sizeof(buf)), COR_ETIMEOUT);
    round_trip(kind, a);
    close_pair(a, b);
    wait_for(&echoer);
}
FOR_PACKETS_TOO(past_timeout)

/* N260, N149, N152 */
static void read_until_moment(void *arg)
{
    shared *test = arg;
    char buf[CHUNK_BYTES];
    T_CODE(cor_read(test->conn, buf, sizeof(buf)), COR_ETIMEOUT);
    T_EQ(get(&test->moment), 1);
}

static void write_until_moment(void *arg)
{
    static const char zeros[CHUNK_BYTES];
    shared *test = arg;
    ssize_t count;
    while ((count = cor_write(test->conn, zeros, sizeof(zeros))) > 0) {}
    T_CODE(count, COR_ETIMEOUT);
    T_EQ(get(&test->moment), 1);
}

static void present_timeout(conn_kind kind)
{
    shared test = {0};
    cor_conn *b;
    cor_group tasks = {0};
    make_ends(kind, &test.conn, &b);
    go_in(&tasks, read_until_moment, &test);
    go_in(&tasks, write_until_moment, &test);
    T_CODE(cor_sleep(30 * COR_MILLISECOND), 0);
    (void)add(&test.moment, 1);
    T_CODE(cor_set_deadline(test.conn, cor_now() - 1), 0);
    wait_for(&tasks);
    close_pair(test.conn, b);
}
FOR_PACKETS_TOO(present_timeout)

/* N261, N155 */
static void future_timeout(conn_kind kind)
{
    shared test = {.moment = 1};
    cor_conn *b;
    cor_group tasks = {0}, echoer = {0};
    make_ends(kind, &test.conn, &b);
    int64_t deadline = cor_after(50 * COR_MILLISECOND);
    T_CODE(cor_set_deadline(test.conn, deadline), 0);
    go_in(&tasks, read_until_moment, &test);
    go_in(&tasks, write_until_moment, &test);
    wait_for(&tasks);
    T_ASSERT(cor_now() >= deadline);
    go_in(&echoer, echo, b);
    round_trip(kind, test.conn);
    close_pair(test.conn, b);
    wait_for(&echoer);
}
FOR_PACKETS_TOO(future_timeout)

/* N262, N167 */
static void read_until_closed(void *arg)
{
    shared *test = arg;
    char buf[CHUNK_BYTES];
    ssize_t count;
    while ((count = cor_read(test->conn, buf, sizeof(buf))) > 0) {}
    T_CODE(count, COR_ECLOSED);
    T_EQ(get(&test->moment), 1);
}

static void write_until_closed(void *arg)
{
    static const char zeros[CHUNK_BYTES];
    shared *test = arg;
    ssize_t count;
    while ((count = cor_write(test->conn, zeros, sizeof(zeros))) > 0) {}
    T_CODE(count, COR_ECLOSED);
    T_EQ(get(&test->moment), 1);
}

static void close_timeout(conn_kind kind)
{
    shared test = {0};
    cor_conn *b;
    cor_group tasks = {0}, echoer = {0};
    make_ends(kind, &test.conn, &b);
    go_in(&echoer, echo, b);
    T_CODE(cor_set_deadline(test.conn, cor_after(FAR_AWAY)), 0);
    go_in(&tasks, read_until_closed, &test);
    go_in(&tasks, write_until_closed, &test);
    T_CODE(cor_sleep(30 * COR_MILLISECOND), 0);
    (void)add(&test.moment, 1);
    T_CODE(cor_close(test.conn), 0);
    wait_for(&tasks);
    T_CODE(cor_close(b), 0);
    wait_for(&echoer);
}
FOR_PACKETS_TOO(close_timeout)

/* N263 */
static void method(cor_conn *conn, unsigned number)
{
    char buf[CHUNK_BYTES] = {0};
    ssize_t ignored = 0;
    switch (number % 7) {
    case 0:
        ignored = cor_read(conn, buf, sizeof(buf));
        break;
    case 1:
        ignored = cor_write(conn, buf, sizeof(buf));
        break;
    case 2:
        ignored = cor_set_deadline(conn, cor_after(10 * COR_MILLISECOND));
        break;
    case 3:
        ignored = cor_set_read_deadline(conn, LONG_AGO);
        break;
    case 4:
        ignored = cor_set_write_deadline(conn, LONG_AGO);
        break;
    case 5:
        T_ASSERT(cor_local_addr(conn, buf, sizeof(buf))[0] != '\0');
        break;
    default:
        T_ASSERT(cor_remote_addr(conn, buf, sizeof(buf))[0] != '\0');
        break;
    }
    T_REQUIRE(ignored >= 0 || ignored == COR_ETIMEOUT, "method %u gave %zd", number % 7, ignored);
}

static void call_method(void *arg)
{
    shared *test = arg;
    method(test->conn, (unsigned)add(&test->moment, 1));
}

static void concurrent_methods(conn_kind kind)
{
    shared test = {0};
    cor_conn *b;
    cor_group tasks = {0}, echoer = {0};
    make_ends(kind, &test.conn, &b);
    go_in(&echoer, echo, b);
    for (int i = 0; i < 7 * RACES; i++) {
        go_in(&tasks, call_method, &test);
    }
    wait_for(&tasks);
    round_trip(kind, test.conn);
    close_pair(test.conn, b);
    wait_for(&echoer);
}
FOR_PACKETS_TOO(concurrent_methods)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_KINDS(basic_io),    ALL_KINDS(ping_pong),     ALL_KINDS(racy_read),          ALL_KINDS(racy_write),
        ALL_KINDS(read_timeout),   ALL_KINDS(write_timeout), ALL_KINDS(past_timeout),       ALL_KINDS(present_timeout),
        ALL_KINDS(future_timeout), ALL_KINDS(close_timeout), ALL_KINDS(concurrent_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Reads and writes of several parts. */
/* test: simulated */
#include "base/sys.h"
#include "net/flow.h"

#include <sys/uio.h>

enum { MANY = 1025, PART = 7 };

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

/* Parts of PART bytes each, every third of them empty. */
static size_t make_parts(struct iovec *parts, size_t count, unsigned char *bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = i % 3 == 2 ? 0 : PART;
        parts[i] = (struct iovec){.iov_base = bytes + total, .iov_len = size};
        total += size;
    }
    make_bytes(bytes, 0, total);
    return total;
}

/* N188: so many parts, empty ones among them; all of them are empty afterwards. */
typedef struct parts_writer {
    cor_conn *conn;
    size_t count;
} parts_writer;

static void write_parts(void *arg)
{
    static const size_t counts[] = {0, 1, 10, 1023, 1024, MANY};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct iovec *parts = calloc(MANY, sizeof(*parts));
        unsigned char *bytes = malloc(MANY * PART);
        size_t total = make_parts(parts, counts[i], bytes);
        T_EQ(cor_writev(arg, parts, counts[i]), total);
        for (size_t at = 0; at < counts[i]; at++) {
            T_EQ(parts[at].iov_len, 0);
        }
        free(parts);
        free(bytes);
    }
}

TASK_TEST(parts_are_written_in_order)
{
    static const size_t totals[] = {PART, 7 * PART, 682 * PART, 683 * PART, 684 * PART};
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        make_pair(kinds[i], &a, &b);
        go_on(1, &writer, write_parts, a);
        for (size_t at = 0; at < sizeof(totals) / sizeof(totals[0]); at++) {
            read_stream_of(b, totals[at]);
        }
        wait_for(&writer);
        close_pair(a, b);
    }
}

/* N188: one system call for each 1,024 parts that follow each other. */
static unsigned sends;

static int count_sends(enum cori_sys_call call)
{
    return call == CORI_SYS_SEND ? (void)__atomic_add_fetch(&sends, 1, __ATOMIC_RELAXED), 0 : 0;
}

TASK_TEST(parts_of_one_call)
{
    T_SKIP_SIMULATED("the test counts system calls");
    static struct iovec parts[MANY];
    static unsigned char bytes[MANY * PART];
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    size_t total = make_parts(parts, 8, bytes);
    unsigned before = __atomic_load_n(&sends, __ATOMIC_RELAXED);
    T_EQ(cor_writev(a, parts, 8), total);
    T_EQ(__atomic_load_n(&sends, __ATOMIC_RELAXED) - before, 1);
    read_stream_of(b, total);
    total = make_parts(parts, MANY, bytes);
    before = __atomic_load_n(&sends, __ATOMIC_RELAXED);
    T_EQ(cor_writev(a, parts, MANY), total);
    T_EQ(__atomic_load_n(&sends, __ATOMIC_RELAXED) - before, 2);
    read_stream_of(b, total);
    close_pair(a, b);
}

static void parts_share_a_system_call(void **state)
{
    cori_sys_fault = count_sends;
    parts_of_one_call(state);
    cori_sys_fault = NULL;
}

static void write_briefly(cor_conn *conn, struct iovec *parts, int count)
{
    T_CODE(cor_set_write_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE((int)cor_writev(conn, parts, count), COR_ETIMEOUT);
}

/* N188: after a deadline the parts hold the rest, and the same call goes on with it: nothing is lost or doubled. */
TASK_TEST(parts_hold_the_rest)
{
    for (size_t i = 0; i < 3; i++) {
        enum { BIG = 6 << 20, PARTS = 24 };
        cor_conn *a, *b;
        cor_group reader = {0};
        struct iovec parts[PARTS];
        unsigned char *bytes = malloc(BIG);
        make_pair(kinds[i], &a, &b);
        make_bytes(bytes, 0, BIG);
        for (size_t at = 0; at < PARTS; at++) {
            parts[at] = (struct iovec){.iov_base = bytes + at * (BIG / PARTS), .iov_len = BIG / PARTS};
        }
        T_ATTEMPT(write_briefly(a, parts, PARTS), parts[0].iov_len < BIG / PARTS || kinds[i] == KIND_PIPE);
        T_CODE((int)cor_writev(a, parts, PARTS), COR_ETIMEOUT); /* at once */
        T_CODE(cor_set_write_deadline(a, 0), 0);
        T_ASSERT(parts[PARTS - 1].iov_len == BIG / PARTS);
        flow of = {.conn = b, .size = BIG};
        go_on(1, &reader, check_stream, &of);
        T_ASSERT(cor_writev(a, parts, PARTS) > 0);
        wait_for(&reader);
        free(bytes);
        close_pair(a, b);
    }
}

/* N136, N188: the parts of a write stay together although others write. */
static void write_own_letter(void *arg)
{
    parts_writer *of = arg;
    enum { EACH = 100000 };
    char *bytes = malloc(EACH);
    memset(bytes, (int)of->count, EACH);
    struct iovec parts[] = {{bytes, 1}, {bytes + 1, EACH / 2}, {bytes, 0}, {bytes + 1 + EACH / 2, EACH / 2 - 1}};
    T_EQ(cor_writev(of->conn, parts, 4), EACH);
    free(bytes);
}

TASK_TEST(parts_stay_together)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writers = {0};
        parts_writer of[5];
        char got[1000];
        make_pair(kinds[i], &a, &b);
        for (int at = 0; at < 5; at++) {
            of[at] = (parts_writer){.conn = a, .count = (size_t)('a' + at)};
            go_on(at, &writers, write_own_letter, &of[at]);
        }
        for (int run = 0; run < 500; run++) {
            read_all(b, got, sizeof(got));
            for (size_t at = 1; at < sizeof(got); at++) {
                T_EQ(got[at], got[0]);
            }
        }
        wait_for(&writers);
        close_pair(a, b);
    }
}

/* N190: the texts of a peer that has gone. */
TASK_TEST(parts_for_a_dead_peer)
{
    cor_conn *a, *b;
    char text[COR_ERROR_TEXT] = "seven b";
    make_pair(KIND_UNIX, &a, &b);
    T_CODE(cor_close(b), 0);
    struct iovec parts[] = {{text, 3}, {text, 4}};
    T_CODE((int)cor_writev(a, parts, 2), -EPIPE);
    T_EQ(parts[0].iov_len + parts[1].iov_len, 7);
    T_CONTAINS(cor_conn_error_text(a, "writev", -EPIPE, text, sizeof(text)), ": writev: broken pipe");
    T_ASSERT(strncmp(text, "writev unix ", 12) == 0);
    T_CODE(cor_close(a), 0);
    T_CODE((int)cor_writev(a, parts, 2), COR_ECLOSED);
    T_CODE((int)cor_readv(a, parts, 2), COR_ECLOSED);
}

/* N189: reading into parts gives the stream, in order, and its end exactly when it is empty. */
TASK_TEST(reads_into_parts)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *a, *b;
        cor_group writer = {0};
        unsigned char bytes[100], expected[100];
        struct iovec parts[] = {{bytes, 0}, {bytes, 3}, {bytes + 3, 0}, {bytes + 3, 60}, {bytes + 63, 37}};
        make_pair(kinds[i], &a, &b);
        T_EQ(cor_readv(b, parts, 0), 0);
        T_EQ(cor_readv(b, parts, 1), 0); /* no room: at once */
        T_CODE(cor_set_read_deadline(b, LONG_AGO), 0);
        T_EQ(cor_readv(b, parts, 1), 0);
        T_CODE((int)cor_readv(b, parts, 5), COR_ETIMEOUT);
        T_CODE(cor_set_read_deadline(b, 0), 0);
        flow of = {.conn = a, .size = 100000, .half_closes = kinds[i] != KIND_PIPE};
        go_on(1, &writer, send_stream, &of);
        for (size_t at = 0; at < of.size;) {
            ssize_t count = cor_readv(b, parts, 5);
            T_REQUIRE(count > 0, "readv gave %zd at %zu", count, at);
            make_bytes(expected, at, (size_t)count);
            T_MEM(bytes, expected, (size_t)count);
            at += (size_t)count;
        }
        wait_for(&writer);
        if (kinds[i] == KIND_PIPE) {
            T_CODE(cor_close(a), 0);
        }
        T_EQ(cor_readv(b, parts, 5), 0);
        T_CODE(kinds[i] == KIND_PIPE ? 0 : cor_close(a), 0);
        T_CODE(cor_close(b), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_written_in_order), cmocka_unit_test(parts_share_a_system_call),
        cmocka_unit_test(parts_hold_the_rest),        cmocka_unit_test(parts_stay_together),
        cmocka_unit_test(parts_for_a_dead_peer),      cmocka_unit_test(reads_into_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

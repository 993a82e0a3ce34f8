/* SPDX-License-Identifier: MIT */
/*
 * Copies and reads that take turns at one source. Where the poller receives ahead (io_uring), a copy has it stop and a
 * read lets it go on, and each may be ended at any moment: every byte comes once and in order all the same.
 */
#include "base/sys.h"
#include "net/flow.h"

enum { TURNS = 24, COPY_MAX = 300000, READ_MAX = 3000 };

/* A source, and a target whose bytes are checked. */
typedef struct relay {
    cor_conn *source, *in, *out, *target;
    size_t at; /* bytes taken from the source, whoever took them */
    int64_t max, copied;
    int code;
    cor_group copy;
} relay;

static void copy_task(void *arg)
{
    relay *of = arg;
    of->code = cor_copy_counted(of->out, of->in, of->max, &of->copied);
}

static void start_copy(relay *of, int worker, int64_t max)
{
    of->max = max;
    of->copy = (cor_group){0};
    go_on(worker, &of->copy, copy_task, of);
}

static void start_relay(relay *of)
{
    *of = (relay){.code = 1};
    make_pair(KIND_TCP, &of->source, &of->in);
    make_pair(KIND_TCP, &of->out, &of->target);
}

static void end_relay(relay *of)
{
    close_pair(of->source, of->in);
    close_pair(of->out, of->target);
}

static void check_bytes(const unsigned char *got, size_t at, size_t size)
{
    unsigned char *expected = malloc(size);
    make_bytes(expected, at, size);
    T_MEM(got, expected, size);
    free(expected);
}

/* Reads bytes of the source's stream from `at` on. */
static void read_bytes(cor_conn *conn, size_t at, size_t size)
{
    unsigned char *got = malloc(size);
    read_all(conn, got, size);
    check_bytes(got, at, size);
    free(got);
}

/* What a descriptor is to its poller. */
static int kind_of(cor_conn *conn)
{
    cori_slot *slot = NULL;
    T_CODE(cori_slot_enter(conn, CORI_KIND_CONN, CORI_SHARED, &slot), 0);
    int kind = __atomic_load_n(&slot->pollfd.kind, __ATOMIC_SEQ_CST);
    cori_slot_leave(slot, CORI_SHARED);
    return kind;
}

/* Takes at the target what a copy from `at` on has moved. */
typedef struct taking {
    cor_conn *conn;
    size_t at, size;
} taking;

static void take_task(void *arg)
{
    const taking *of = arg;
    read_bytes(of->conn, of->at, of->size);
}

/* Copies with a limit, and reads in between, by tasks of changing workers. The copy has not changed its source. */
TASK_TEST(reads_follow_copies)
{
    relay of;
    cor_group writer = {0};
    start_relay(&of);
    flow sent = {.conn = of.source, .half_closes = true};
    for (int turn = 0; turn < TURNS; turn++) {
        sent.size += (size_t)(COPY_MAX / (turn % 3 + 1) + READ_MAX / (turn % 4 + 1));
    }
    go_on(1, &writer, send_stream, &sent);
    for (int turn = 0; turn < TURNS; turn++) {
        cor_group taker = {0};
        taking taken = {.conn = of.target, .at = of.at, .size = (size_t)(COPY_MAX / (turn % 3 + 1))};
        go_on(turn + 2, &taker, take_task, &taken);
        start_copy(&of, turn, (int64_t)taken.size);
        wait_for(&of.copy);
        wait_for(&taker);
        T_CODE(of.code, 0);
        T_EQ(of.copied, taken.size);
        T_EQ(kind_of(of.in), CORI_FD_STREAM);
        of.at += taken.size;
        size_t size = (size_t)(READ_MAX / (turn % 4 + 1));
        read_bytes(of.in, of.at, size);
        of.at += size;
    }
    char byte;
    T_EQ(cor_read(of.in, &byte, 1), 0);
    wait_for(&writer);
    end_relay(&of);
}

/* What ends a copy that waits for bytes, having spliced before. */
enum ending { BY_DEADLINE, BY_CANCEL, BY_CLOSE, BY_FIN, BY_RESET, ENDINGS };

/* Sends what is spliced in part at least, and lets the copy wait for more. */
static void let_it_splice(relay *of)
{
    cor_group writer = {0};
    flow sent = {.conn = of->source, .size = 4 * (size_t)PIECE};
    start_copy(of, 1, -1);
    go_on(0, &writer, send_stream, &sent);
    read_stream_of(of->target, sent.size);
    wait_for(&writer);
    T_PARKED(of->in, CORI_READ);
    of->at = sent.size;
}

static void end_copy(relay *of, enum ending ending)
{
    static const int codes[] = {COR_ETIMEOUT, COR_ECANCELED, COR_ECLOSED, 0, -ECONNRESET};
    if (ending == BY_DEADLINE) {
        T_CODE(cor_set_read_deadline(of->in, 1), 0);
    } else if (ending == BY_CANCEL) {
        cor_group_cancel(&of->copy);
    } else if (ending == BY_CLOSE) {
        T_CODE(cor_close(of->in), 0);
    } else if (ending == BY_FIN) {
        T_CODE(cor_close_write(of->source), 0);
    } else {
        T_CODE(cor_set_linger(of->source, 0), 0);
        T_CODE(cor_close(of->source), 0);
    }
    wait_for(&of->copy);
    T_CODE(of->code, codes[ending]);
    T_EQ(of->copied, of->at);
}

/* However a copy ended: what it has not taken, or an end again, is for the next read. */
TASK_TEST(ended_copies_leave_the_rest)
{
    for (enum ending ending = BY_DEADLINE; ending < ENDINGS; ending++) {
        relay of;
        char byte;
        start_relay(&of);
        let_it_splice(&of);
        end_copy(&of, ending);
        T_CODE(cor_set_read_deadline(of.in, 0), ending == BY_CLOSE ? COR_ECLOSED : 0);
        if (ending < BY_CLOSE) {
            unsigned char more[100];
            make_bytes(more, of.at, sizeof(more));
            write_all(of.source, more, sizeof(more));
            read_bytes(of.in, of.at, sizeof(more));
            T_CODE(cor_close_write(of.source), 0);
        }
        if (ending != BY_CLOSE) {
            T_CODE(cor_read(of.in, &byte, 1), 0);
            T_CODE(cor_close(of.in), 0);
        }
        if (ending != BY_RESET) {
            T_CODE(cor_close(of.source), 0);
        }
        close_pair(of.out, of.target);
    }
}

/* Writes until it is told not to. */
static void send_much(void *conn)
{
    static const char zeros[PIECE];
    for (int i = 0; i < 6 && cor_write(conn, zeros, sizeof(zeros)) > 0; i++) {}
}

static void drain(void *conn)
{
    char got[READ_MAX];
    ssize_t count;
    while ((count = cor_read(conn, got, sizeof(got))) > 0) {}
    T_CODE(count, 0);
}

/* A close or a cancel in the middle of a stream, at whatever moment: the copy ends, and both peers hear of it. */
TASK_TEST(ended_in_the_middle)
{
    for (int turn = 0; turn < 8; turn++) {
        relay of;
        char got[READ_MAX];
        cor_group writer = {0}, reader = {0};
        start_relay(&of);
        start_copy(&of, turn, -1);
        go_on(turn / 2, &writer, send_much, of.source);
        read_all(of.target, got, sizeof(got));
        go_on(turn / 4, &reader, drain, of.target);
        if (turn % 2 == 0) {
            T_CODE(cor_close(of.in), 0);
        } else {
            cor_group_cancel(&of.copy);
        }
        wait_for(&of.copy);
        T_CODE(of.code, turn % 2 == 0 ? COR_ECLOSED : COR_ECANCELED);
        T_CODE(cor_close(of.in), turn % 2 == 0 ? COR_ECLOSED : 0);
        T_CODE(cor_close(of.out), 0);
        wait_for(&writer);
        wait_for(&reader);
        close_pair(of.source, of.target);
    }
}

static int splices;

static int count_splices(enum cori_sys_call call)
{
    (void)add(&splices, call == CORI_SYS_SPLICE);
    return 0;
}

/* A copy of a stream is spliced, over each poller; by then a ring may have received a mebibyte of it ahead. */
TASK_TEST(counted_copy)
{
    relay of;
    cor_group writer = {0};
    start_relay(&of);
    flow sent = {.conn = of.source, .size = 64 * (size_t)PIECE, .half_closes = true};
    start_copy(&of, 0, -1);
    go_on(0, &writer, send_stream, &sent);
    read_stream_of(of.target, sent.size);
    wait_for(&writer);
    wait_for(&of.copy);
    T_CODE(of.code, 0);
    T_ASSERT(get(&splices) > 1);
    end_relay(&of);
}

static void copies_are_spliced(void **state)
{
    cori_sys_fault = count_splices;
    counted_copy(state);
    cori_sys_fault = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_follow_copies),
        cmocka_unit_test(ended_copies_leave_the_rest),
        cmocka_unit_test(ended_in_the_middle),
        cmocka_unit_test(copies_are_spliced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

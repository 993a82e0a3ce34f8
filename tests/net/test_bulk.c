/* SPDX-License-Identifier: MIT */
/* Copies through the kernel and beside it: splice, sendfile, limits, half-moved data. */
/* test: timeout=120 */
#include "base/sys.h"
#include "net/flow.h"

#include <coracle/io.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { PART = 7 };

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX, KIND_PIPE};

/* A copy in a task of its own. */
typedef struct route {
    cor_conn *from, *to;
    int64_t max, copied;
    int code;
} route;

static void copy_task(void *arg)
{
    route *of = arg;
    of->code = cor_copy_counted(of->to, of->from, of->max, &of->copied);
}

/* Much, from each kind to each, carried by `carry`: every byte, and the end of the stream is success. */
static void check_carried(void (*carry)(void *of))
{
    for (size_t i = 0; i < 9; i++) {
        cor_conn *source, *target, *in, *out;
        cor_group tasks = {0}, writer = {0};
        make_pair(kinds[i / 3], &source, &in);
        make_pair(kinds[i % 3], &out, &target);
        route of = {.from = in, .to = out, .max = -1};
        flow sent = {.conn = source, .size = bulk_bytes()}, got = {.conn = target, .size = sent.size};
        go_on(0, &writer, send_stream, &sent);
        go_on(1, &tasks, carry, &of);
        go_on(2, &tasks, check_stream, &got);
        wait_for(&writer);
        T_CODE(cor_close(source), 0);
        wait_for(&tasks);
        T_CODE(of.code, 0);
        T_EQ(of.copied, sent.size);
        T_CODE(cor_close(target), 0);
        close_pair(in, out);
    }
}

/* N191, N195 */
TASK_TEST(copies_are_exact)
{
    check_carried(copy_task);
}

/* The source's deadline passes again and again, a little later each time. */
static void copy_in_spans(void *arg)
{
    route *of = arg;
    int64_t span = 0, moved;
    do {
        span += 20 * COR_MICROSECOND;
        T_CODE(cor_set_read_deadline(of->from, cor_after(span)), 0);
        of->code = cor_copy_counted(of->to, of->from, -1, &moved);
        of->copied += moved;
    } while (of->code == COR_ETIMEOUT);
}

/* A time-out of the source takes nothing with it, wherever in a copy it comes: the call may be repeated. */
TASK_TEST(timeouts_of_the_source_lose_nothing)
{
    check_carried(copy_in_spans);
}

/* N191: a limit is kept to the byte, and what comes after it is still the source's. */
TASK_TEST(copies_with_a_limit)
{
    for (size_t i = 0; i < 4; i++) {
        cor_conn *source, *target, *in, *out;
        cor_group writer = {0}, reader = {0};
        int64_t copied = -1;
        make_pair(kinds[i / 2], &source, &in);
        make_pair(kinds[i % 2], &out, &target);
        flow sent = {.conn = source, .size = bulk_bytes(), .half_closes = true},
             got = {.conn = target, .size = sent.size};
        go_on(1, &writer, send_stream, &sent);
        go_on(2, &reader, check_stream, &got);
        int64_t limits[] = {0, 1, 16384, 100000, (int64_t)(sent.size / 2)}, total = 0;
        for (size_t at = 0; at < sizeof(limits) / sizeof(limits[0]); at++) {
            T_CODE(cor_copy_counted(out, in, limits[at], &copied), 0);
            T_EQ(copied, limits[at]);
            total += copied;
        }
        T_CODE(cor_copy_counted(out, in, (int64_t)sent.size, &copied), 0); /* the end comes first */
        T_EQ(total + copied, sent.size);
        wait_for(&writer);
        wait_for(&reader);
        close_pair(source, in);
        close_pair(out, target);
    }
}

/* An open file with these bytes of the stream; nobody else can see it. */
static cor_conn *file_of(size_t size, size_t seek)
{
    char name[] = "/tmp/cor-test-XXXXXX";
    unsigned char *piece = malloc(PIECE);
    int fd = mkstemp(name);
    cor_conn *file = NULL;
    T_ASSERT(fd >= 0 && unlink(name) == 0);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t count = size - at < PIECE ? size - at : PIECE;
        make_bytes(piece, at, count);
        T_EQ(write(fd, piece, count), count);
    }
    free(piece);
    T_EQ(lseek(fd, (off_t)seek, SEEK_SET), seek);
    T_CODE(cor_open_fd(&file, fd), 0);
    return file;
}

/* N196: files: in parts one after the other, from where the file is, limits that fit and that are larger. */
TASK_TEST(files_are_sent)
{
    for (size_t i = 0; i < 3; i++) {
        cor_conn *out, *target;
        cor_group reader = {0};
        int64_t copied = -1;
        size_t size = bulk_bytes() + 12345;
        cor_conn *file = file_of(size, 0);
        make_pair(kinds[i], &out, &target);
        flow got = {.conn = target, .size = size};
        go_on(1, &reader, check_stream, &got);
        T_CODE(cor_copy_counted(out, file, 1000, &copied), 0);
        T_EQ(copied, 1000);
        T_CODE(cor_copy_counted(out, file, 2000000, &copied), 0);
        T_EQ(copied, 2000000 < size ? 2000000 : size - 1000);
        T_CODE(cor_copy_counted(out, file, (int64_t)size, &copied), 0);
        wait_for(&reader);
        T_EQ(cor_copy(out, file), 0);
        T_CODE(cor_close(file), 0);
        file = file_of(PART, PART - 2); /* from a place within */
        char rest[2];
        route of = {.from = file, .to = out, .max = -1};
        go_on(1, &reader, copy_task, &of);
        read_all(target, rest, 2);
        wait_for(&reader);
        T_EQ((unsigned char)rest[1], byte_at(PART - 1));
        T_EQ(of.copied, 2);
        T_CODE(cor_close(file), 0);
        close_pair(out, target);
    }
}

/* N196: from a file beyond 2 GiB; it is empty up to there. */
TASK_TEST(large_files_are_sent)
{
    cor_conn *out, *target, *file;
    char name[] = "/tmp/cor-test-XXXXXX", got[4];
    int fd = mkstemp(name);
    off_t where = (off_t)5 << 30;
    T_ASSERT(fd >= 0 && unlink(name) == 0);
    T_EQ(pwrite(fd, "abcd", 4, where), 4);
    T_EQ(lseek(fd, where, SEEK_SET), where);
    T_CODE(cor_open_fd(&file, fd), 0);
    make_pair(KIND_TCP, &out, &target);
    T_EQ(cor_copy(out, file), 4);
    read_all(target, got, 4);
    T_MEM(got, "abcd", 4);
    T_CODE(cor_close(file), 0);
    close_pair(out, target);
}

/* N198: a deadline of the target that has passed: nothing is taken, and nothing reaches the peer. */
TASK_TEST(passed_deadline_takes_nothing)
{
    cor_conn *out, *target, *source, *in, *file = file_of(1000, 0);
    int64_t copied = -1;
    make_pair(KIND_TCP, &out, &target);
    make_pair(KIND_UNIX, &source, &in);
    write_all(source, "abc", 3);
    T_CODE(cor_set_write_deadline(out, LONG_AGO), 0);
    T_CODE(cor_copy_counted(out, file, -1, &copied), COR_ETIMEOUT);
    T_EQ(copied, 0);
    T_CODE(cor_copy_counted(out, in, -1, &copied), COR_ETIMEOUT);
    T_EQ(copied, 0);
    T_CODE(cor_set_write_deadline(out, 0), 0);
    T_CODE(cor_set_read_deadline(file, LONG_AGO), 0);
    T_CODE(cor_copy_counted(out, file, -1, &copied), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(file, 0), 0);
    T_CODE(cor_copy_counted(out, in, 3, &copied), 0);
    T_CODE(cor_copy_counted(out, file, -1, &copied), 0);
    T_EQ(copied, 1000);
    char got[3];
    read_all(target, got, 3);
    T_MEM(got, "abc", 3);
    read_stream_of(target, 1000);
    T_CODE(cor_close(file), 0);
    T_CODE((int)cor_copy(out, file), COR_ECLOSED);
    close_pair(source, in);
    close_pair(out, target);
}

/* Feeds a copy until it waits for its target and its source has no room, however late the copy has begun. */
static void fill_until_parked(cor_conn *source, cor_conn *out)
{
    T_EVENTUALLY(fill_up(source) == 0 && somebody_waits(out, CORI_KIND_CONN, CORI_WRITE), SOON);
}

static void copy_one_stream(conn_kind first, conn_kind second)
{
    cor_conn *source, *target, *in, *out;
    cor_group tasks = {0};
    make_pair(first, &source, &in);
    make_pair(second, &out, &target);
    route of = {.from = in, .to = out, .max = -1};
    flow sent = {.conn = source, .size = 1 << 20, .half_closes = true}, got = {.conn = target, .size = sent.size};
    go_on(0, &tasks, send_stream, &sent);
    go_on(1, &tasks, copy_task, &of);
    go_on(2, &tasks, check_stream, &got);
    wait_for(&tasks);
    T_CODE(of.code, 0);
    T_EQ(of.copied, sent.size);
    close_pair(source, in);
    close_pair(out, target);
}

/* N194: a target that fails in the middle: what it took is counted, and no later copy meets what was under way. */
TASK_TEST(leftovers_are_dropped)
{
    for (size_t i = 0; i < 4; i++) {
        cor_conn *source, *target, *in, *out;
        cor_group tasks = {0};
        make_pair(kinds[i / 2], &source, &in);
        make_pair(kinds[i % 2], &out, &target);
        route of = {.from = in, .to = out, .max = -1};
        go_on(2, &tasks, copy_task, &of);
        fill_until_parked(source, out);
        T_CODE(cor_set_write_deadline(out, LONG_AGO), 0);
        wait_for(&tasks);
        T_CODE(of.code, COR_ETIMEOUT);
        T_ASSERT(of.copied > 0);
        T_CODE(cor_close(out), 0);
        for (int64_t got = 0; got < of.copied;) { /* all that was counted has arrived, and no more */
            char bytes[4096];
            ssize_t count = cor_read(target, bytes, sizeof(bytes));
            T_REQUIRE(count > 0, "read gave %zd after %jd of %jd", count, (intmax_t)got, (intmax_t)of.copied);
            got += count;
        }
        T_EQ(cor_read(target, &(char){0}, 1), 0);
        T_CODE(cor_close(target), 0);
        close_pair(source, in);
        copy_one_stream(kinds[i / 2], kinds[i % 2]);
    }
}

/* Closing an end ends a copy that waits, whichever it waits for, and is not held up by it. */
TASK_TEST(closing_ends_a_copy)
{
    for (int closes_source = 0; closes_source < 2; closes_source++) {
        for (int stalls = 0; stalls < 2; stalls++) {
            cor_conn *source, *target, *in, *out;
            cor_group tasks = {0}, writer = {0};
            make_pair(KIND_TCP, &source, &in);
            make_pair(KIND_UNIX, &out, &target);
            route of = {.from = in, .to = out, .max = -1};
            if (stalls) {
                fill_up(source);
            }
            go_on(1, &tasks, copy_task, &of);
            if (stalls) {
                T_PARKED(out, CORI_WRITE);
            } else {
                T_PARKED(in, CORI_READ);
            }
            T_CODE(cor_close(closes_source ? in : out), 0);
            T_CODE(cor_close(closes_source ? out : in), 0); /* the copy may still wait for this one */
            close_pair(source, target);
            wait_for(&tasks);
            wait_for(&writer);
            T_CODE(of.code, COR_ECLOSED);
        }
    }
}

/* N197: a kernel pipe is copied to a socket, and whoever shares it notices nothing: it still blocks. */
TASK_TEST(pipes_stay_as_they_are)
{
    int fds[2];
    cor_conn *in, *out, *target;
    T_EQ(pipe(fds), 0);
    int shared = dup(fds[0]);
    T_CODE(cor_open_fd(&in, fds[0]), 0);
    make_pair(KIND_TCP, &out, &target);
    T_EQ(write(fds[1], "abc", 3), 3);
    T_EQ(close(fds[1]), 0);
    T_EQ(cor_copy(out, in), 3);
    T_EQ(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
    T_EQ(close(shared), 0);
    T_CODE(cor_close(in), 0);
    close_pair(out, target);
}

/* No signal ends the process, also none that a splice or sendfile to a dead peer would raise. */
static int broken_pipes;

static void count_broken_pipe(int number)
{
    (void)number;
    broken_pipes++;
}

/* N139, N194. */
TASK_TEST(no_broken_pipe_signal)
{
    struct sigaction counted = {.sa_handler = count_broken_pipe}, before;
    sigset_t pending;
    cor_conn *source, *in, *out, *target;
    cor_group tasks = {0};
    int64_t copied = -1;
    T_EQ(sigaction(SIGPIPE, &counted, &before), 0);
    make_pair(KIND_UNIX, &source, &in);
    make_pair(KIND_UNIX, &out, &target);
    route of = {.from = in, .to = out, .max = -1};
    go_on(0, &tasks, copy_task, &of);
    fill_until_parked(source, out); /* so by splice */
    T_CODE(cor_close(target), 0);
    wait_for(&tasks);
    T_CODE(of.code, -EPIPE);
    T_ASSERT(of.copied > 0);
    cor_conn *file = file_of(PIECE, 0);
    T_CODE(cor_copy_counted(out, file, -1, &copied), -EPIPE);
    T_EQ(copied, 0);
    T_CODE(cor_close(file), 0);
    T_CODE(cor_close(out), 0);
    close_pair(source, in);
    T_EQ(broken_pipes, 0);
    T_ASSERT(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 0);
    T_EQ(sigaction(SIGPIPE, &before, NULL), 0);
}

/* Without a descriptor left for a pipe, and where splice is refused, the bytes go through a buffer. */
static int refusal;

static int refuse(enum cori_sys_call call)
{
    return refusal == -EMFILE && call == CORI_SYS_PIPE                                    ? -EMFILE
           : refusal == -EINVAL && (call == CORI_SYS_SPLICE || call == CORI_SYS_SENDFILE) ? -EINVAL
                                                                                          : 0;
}

/* Refuses every second splice: those out of the pipe. */
static int refuse_out(enum cori_sys_call call)
{
    static unsigned count;
    return call == CORI_SYS_SPLICE && __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % 2 == 0 ? -EINVAL : 0;
}

/* N192 for what is no stream of the kernel's: the bytes arrive all the same. */
TASK_TEST(refused_splices)
{
    copy_one_stream(KIND_UNIX, KIND_TCP);
    cor_conn *out, *target, *file = file_of(100000, 0);
    make_pair(KIND_TCP, &out, &target);
    T_EQ(cor_copy(out, file), 100000);
    read_stream_of(target, 100000);
    T_CODE(cor_close(file), 0);
    close_pair(out, target);
}

static void with_refusals(void **state)
{
    static const int codes[] = {-EMFILE, -EINVAL};
    for (size_t i = 0; i < 2; i++) {
        refusal = codes[i];
        cori_sys_fault = refuse;
        refused_splices(state);
    }
    cori_sys_fault = refuse_out;
    refused_splices(state);
    cori_sys_fault = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_exact),       cmocka_unit_test(timeouts_of_the_source_lose_nothing),
        cmocka_unit_test(copies_with_a_limit),    cmocka_unit_test(files_are_sent),
        cmocka_unit_test(large_files_are_sent),   cmocka_unit_test(passed_deadline_takes_nothing),
        cmocka_unit_test(leftovers_are_dropped),  cmocka_unit_test(closing_ends_a_copy),
        cmocka_unit_test(pipes_stay_as_they_are), cmocka_unit_test(no_broken_pipe_signal),
        cmocka_unit_test(with_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

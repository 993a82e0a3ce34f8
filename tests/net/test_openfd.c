/* SPDX-License-Identifier: MIT */
/* Connections on descriptors of other kinds: pipes, files, terminals, sockets; their flags stay as they were. */
#include "net/netcase.h"
#include "support/child.h"
#include "support/faults.h"

#include <coracle/io.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>

enum { BYTES = 300000 };

static cor_conn *open_conn(int fd)
{
    cor_conn *conn = NULL;
    T_CODE(cor_open_fd(&conn, fd), 0);
    return conn;
}

static void read_waits(void *arg)
{
    char byte;
    T_CODE(cor_read(arg, &byte, 1), COR_ECLOSED);
}

static void write_much(void *arg)
{
    static char zeros[BYTES];
    write_all(arg, zeros, sizeof(zeros));
    T_CODE(cor_close(arg), 0);
}

static void expect_all_read(cor_conn *conn)
{
    static char buf[BYTES];
    read_all(conn, buf, sizeof(buf));
    T_EQ(cor_read(conn, buf, 1), 0);
}

static bool is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    T_ASSERT(flags >= 0);
    return (flags & O_NONBLOCK) != 0;
}

/* A blocking pipe: neither side stops the worker, and for others who have it open the flags stay. */
TASK_TEST(pipe_ends)
{
    int fds[2];
    char byte;
    cor_group tasks = {0};
    T_EQ(pipe(fds), 0);
    int others[2] = {dup(fds[0]), dup(fds[1])};
    cor_conn *in = open_conn(fds[0]), *out = open_conn(fds[1]);
    T_CODE(cor_set_read_deadline(in, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(in, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(in, 0), 0);
    (void)fill_up(out);
    T_ASSERT(is_nonblocking(fds[0]) && is_nonblocking(fds[1]));
    T_ASSERT(!is_nonblocking(others[0]) && !is_nonblocking(others[1]));
    T_EQ(close(others[0]), 0);
    T_EQ(close(others[1]), 0);
    T_CODE(cor_close(in), 0);
    T_CODE(cor_close(out), 0);
    T_ASSERT(fcntl(fds[0], F_GETFD) < 0 && fcntl(fds[1], F_GETFD) < 0);
    T_EQ(pipe(fds), 0);
    in = open_conn(fds[0]);
    go_in(&tasks, write_much, open_conn(fds[1]));
    expect_all_read(in);
    wait_for(&tasks);
    T_CODE(cor_close(in), 0);
}

/* Closing wakes a reader of a pipe whose writer stays open. */
TASK_TEST(close_wakes_a_pipe_reader)
{
    int fds[2];
    cor_group reader = {0};
    T_EQ(pipe(fds), 0);
    cor_conn *in = open_conn(fds[0]);
    go_on(1, &reader, read_waits, in);
    T_PARKED(in, CORI_READ);
    T_CODE(cor_close(in), 0);
    wait_for(&reader);
    T_EQ(close(fds[1]), 0);
}

static void write_breaks(void *arg)
{
    T_CODE(cor_write(arg, "x", 1), -EPIPE);
}

/* The end of its last reader wakes a writer that waits for room: the kernel reports an error and no room. */
TASK_TEST(end_of_the_reader_wakes_a_pipe_writer)
{
    int fds[2];
    cor_group writer = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    T_EQ(pipe(fds), 0);
    cor_conn *out = open_conn(fds[1]);
    (void)fill_up(out);
    go_on(1, &writer, write_breaks, out);
    T_PARKED(out, CORI_WRITE);
    T_EQ(close(fds[0]), 0);
    wait_for(&writer);
    T_CODE(cor_close(out), 0);
}

/* Files never wait; deadlines hold all the same. */
TASK_TEST(files)
{
    FILE *file = tmpfile();
    char buf[16];
    T_ASSERT(file != NULL);
    cor_conn *conn = open_conn(dup(fileno(file)));
    write_all(conn, "some text", 9);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 0);
    T_CODE(cor_wait_readable(conn), 0);
    T_EQ(lseek(fileno(file), 0, SEEK_SET), 0);
    T_EQ(cor_read(conn, buf, 4), 4);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 5);
    T_MEM(buf, " text", 5);
    T_CODE(cor_set_deadline(conn, LONG_AGO), 0);
    T_CODE(cor_read(conn, buf, 1), COR_ETIMEOUT);
    T_CODE(cor_write(conn, "x", 1), COR_ETIMEOUT);
    T_CODE(cor_close(conn), 0);
    T_EQ(fclose(file), 0);
    conn = open_conn(open("/dev/null", O_RDWR | O_CLOEXEC));
    write_all(conn, "x", 1);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 0);
    T_CODE(cor_wait_readable(conn), 0);
    T_CODE(cor_close(conn), 0);
}

/* A terminal: lines go both ways, its end is the end, flags stay. */
TASK_TEST(terminals)
{
    int controller, terminal;
    char buf[64];
    struct termios raw;
    T_EQ(openpty(&controller, &terminal, NULL, NULL, NULL), 0);
    T_EQ(tcgetattr(terminal, &raw), 0);
    cfmakeraw(&raw);
    T_EQ(tcsetattr(terminal, TCSANOW, &raw), 0);
    int shared = dup(terminal); /* as another program has it */
    cor_conn *far = open_conn(controller), *near = open_conn(terminal);
    T_CODE(cor_set_read_deadline(near, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(near, buf, sizeof(buf)), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(near, 0), 0);
    write_all(far, "typed\n", 6);
    read_all(near, buf, 6);
    T_MEM(buf, "typed\n", 6);
    write_all(near, "shown", 5);
    read_all(far, buf, 5);
    T_MEM(buf, "shown", 5);
    T_EQ(fcntl(controller, F_GETFL) & O_NONBLOCK, 0);
    T_EQ(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
    T_EQ(close(shared), 0);
    T_CODE(cor_close(far), 0);
    ssize_t count = cor_read(near, buf, sizeof(buf));
    T_REQUIRE(count == 0 || count == -EIO, "read gave %zd", count);
    T_CODE(cor_close(near), 0);
}

/* A terminal whose other side does not read stops the task, not the worker. */
TASK_TEST(stopped_terminals)
{
    int controller, terminal;
    char buf[4096];
    struct termios raw;
    T_EQ(openpty(&controller, &terminal, NULL, NULL, NULL), 0);
    T_EQ(tcgetattr(terminal, &raw), 0);
    cfmakeraw(&raw);
    T_EQ(tcsetattr(terminal, TCSANOW, &raw), 0);
    cor_conn *far = open_conn(controller), *near = open_conn(terminal);
    size_t shown = fill_up(near);
    T_ASSERT(shown > 0);
    for (ssize_t count = 0; shown > 0; shown -= (size_t)count) {
        count = cor_read(far, buf, sizeof(buf));
        T_REQUIRE(count > 0, "read gave %zd, %zu bytes left", count, shown);
    }
    (void)fill_up(far);
    T_EQ(fcntl(controller, F_GETFL) & O_NONBLOCK, 0);
    close_pair(near, far);
}

/* Sockets of other making; half-close works, and a peer that is gone raises no signal. */
TASK_TEST(socket_pairs)
{
    int fds[2];
    char buf[8];
    cor_group tasks = {0};
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cor_conn *a = open_conn(fds[0]), *b = open_conn(fds[1]);
    T_CODE(cor_set_read_deadline(a, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(a, buf, 1), COR_ETIMEOUT);
    T_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    (void)fill_up(a);
    T_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    write_all(b, "x", 1);
    T_CODE(cor_close_write(b), 0);
    T_CODE(cor_set_read_deadline(a, 0), 0);
    T_EQ(cor_read(a, buf, sizeof(buf)), 1);
    T_EQ(cor_read(a, buf, sizeof(buf)), 0);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_write(a, "x", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    b = open_conn(fds[1]);
    go_in(&tasks, write_much, open_conn(fds[0]));
    expect_all_read(b);
    wait_for(&tasks);
    T_CODE(cor_close(b), 0);
}

/*
 * Another process takes what poll(2) has just reported: a read that follows would wait, and the worker with it. On a
 * pipe of our own description it does not wait; the other takes it at that very moment, through the fault hook.
 */
static int stolen_from = -1; /* atomic */

static int steal(enum cori_sys_call call)
{
    char byte;
    int from = call == CORI_SYS_READ ? get(&stolen_from) : -1;
    if (from >= 0) {
        T_EQ(read(from, &byte, 1), 1);
        cori_store(&stolen_from, -1);
    }
    return 0;
}

static const cor_options one_worker = {.workers = 1};

static void read_briefly(cor_conn *conn, void *data, size_t size)
{
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE((int)cor_read(conn, data, size), COR_ETIMEOUT);
}

TASK_TEST_WITH(a_shared_pipe, &one_worker)
{
    int fds[2];
    char byte;
    T_EQ(pipe(fds), 0);
    int other = dup(fds[0]);
    cor_conn *in = open_conn(fds[0]);
    T_EQ(write(fds[1], "x", 1), 1);
    cori_store(&stolen_from, other);
    T_ATTEMPT(read_briefly(in, &byte, 1), get(&stolen_from) == -1);
    T_CODE(cor_set_read_deadline(in, 0), 0);
    T_EQ(write(fds[1], "y", 1), 1);
    read_all(in, &byte, 1);
    T_EQ(byte, 'y');
    T_EQ(close(other), 0);
    T_EQ(close(fds[1]), 0);
    T_CODE(cor_close(in), 0);
}

/* What cannot be opened again is read on the pool: the read waits there, other tasks go on. */
static void read_counter(void *conn)
{
    uint64_t count = 0;
    read_all(conn, &count, sizeof(count));
    T_EQ(count, 5);
}

static int stolen_counter = -1; /* atomic */

static int steal_counter(enum cori_sys_call call)
{
    uint64_t count;
    int from = call == CORI_SYS_READ ? get(&stolen_counter) : -1;
    if (from >= 0) {
        T_EQ(read(from, &count, sizeof(count)), sizeof(count));
        cori_store(&stolen_counter, -1);
    }
    return 0;
}

TASK_TEST_WITH(what_cannot_be_opened_again, &one_worker)
{
    cor_group reader = {0};
    uint64_t count = 3;
    int fd = eventfd(0, EFD_CLOEXEC);
    int other = dup(fd);
    cor_conn *conn = open_conn(fd);
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(conn, &count, sizeof(count)), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(conn, 0), 0);
    count = 3;
    cori_store(&stolen_counter, other);
    T_EQ(write(other, &count, sizeof(count)), sizeof(count));
    go_in(&reader, read_counter, conn);
    T_EVENTUALLY(get(&stolen_counter) == -1, SOON); /* the read waits by now, or is about to */
    T_EQ(cor_sleep(BRIEFLY), 0);                    /* pacing: and this worker still runs timers */
    count = 5;
    T_EQ(write(other, &count, sizeof(count)), sizeof(count));
    wait_for(&reader);
    write_all(conn, &count, sizeof(count));
    T_EQ(read(other, &count, sizeof(count)), sizeof(count));
    T_EQ(count, 5);
    T_EQ(close(other), 0);
    T_CODE(cor_close(conn), 0);
}

/* A signal that interrupts poll(2) does not make a descriptor ready. */
TASK_TEST_WITH(interrupted_poll, &one_worker)
{
    uint64_t count;
    cor_conn *conn = open_conn(eventfd(0, EFD_CLOEXEC));
    T_ATTEMPT(read_briefly(conn, &count, sizeof(count)), faults_hit());
    T_CODE(cor_close(conn), 0);
}

/* An empty datagram is a message, and no end; the end of a datagram socket is its shutdown. */
static void expect_datagrams(int near, int far)
{
    char buf[8];
    cor_conn *conn = open_conn(near);
    T_EQ(send(far, "", 0, 0), 0);
    T_EQ(send(far, "", 0, 0), 0);
    T_EQ(send(far, "one", 3, 0), 3);
    T_EQ(send(far, "", 0, 0), 0);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 3);
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(conn, buf, sizeof(buf)), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(conn, 0), 0);
    T_EQ(send(far, "two", 3, 0), 3);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 3);
    write_all(conn, "back", 4);
    T_EQ(recv(far, buf, sizeof(buf), 0), 4);
    T_CODE(cor_close_read(conn), 0);
    T_EQ(cor_read(conn, buf, sizeof(buf)), 0);
    T_EQ(close(far), 0);
    T_CODE(cor_close(conn), 0);
}

static int udp_socket(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    T_EQ(bind(fd, (struct sockaddr *)at, len), 0);
    T_EQ(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

TASK_TEST(datagrams)
{
    int fds[2];
    struct sockaddr_in at[2];
    T_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
    expect_datagrams(fds[0], fds[1]);
    fds[0] = udp_socket(&at[0]);
    fds[1] = udp_socket(&at[1]);
    T_EQ(connect(fds[0], (struct sockaddr *)&at[1], sizeof(at[1])), 0);
    T_EQ(connect(fds[1], (struct sockaddr *)&at[0], sizeof(at[0])), 0);
    expect_datagrams(fds[0], fds[1]);
}

TASK_TEST(bad_descriptors)
{
    cor_conn *conn = NULL;
    T_CODE(cor_open_fd(&conn, -1), -EBADF);
    T_CODE(cor_open_fd(&conn, 9999), -EBADF);
    T_ASSERT(conn == NULL);
}

/* As write(2): a pipe that nobody reads raises SIGPIPE unless the program ignores it. */
static int write_to_nobody(void *arg)
{
    int fds[2];
    cor_conn *out;
    (void)arg;
    if (pipe(fds) < 0 || close(fds[0]) < 0 || cor_open_fd(&out, fds[1]) < 0) {
        return 1;
    }
    return cor_write(out, "x", 1) == -EPIPE ? 0 : 2;
}

static int run_with_default(void *arg)
{
    (void)signal(SIGPIPE, SIG_DFL);
    return cor_run(write_to_nobody, arg, NULL);
}

static int run_ignoring(void *arg)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return cor_run(write_to_nobody, arg, NULL);
}

/* N317 */
static void pipe_that_nobody_reads(void **state)
{
    static child_result result;
    (void)state;
    assert_true(child_run(run_with_default, NULL, &result));
    assert_int_equal(result.signal_number, SIGPIPE);
    assert_true(child_run(run_ignoring, NULL, &result));
    assert_int_equal(result.signal_number, 0);
    assert_int_equal(result.exit_status, 0);
}

static int let_steal(void **state)
{
    (void)state;
    cori_sys_fault = steal;
    return 0;
}

static int let_steal_counter(void **state)
{
    (void)state;
    cori_sys_fault = steal_counter;
    return 0;
}

static int interrupt_polls(void **state)
{
    (void)state;
    faults_set_run(CORI_SYS_POLL, 1, 2, -EINTR);
    return 0;
}

static int no_faults(void **state)
{
    (void)state;
    faults_clear();
    cori_sys_fault = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipe_ends),
        cmocka_unit_test(close_wakes_a_pipe_reader),
        cmocka_unit_test(end_of_the_reader_wakes_a_pipe_writer),
        cmocka_unit_test(files),
        cmocka_unit_test(terminals),
        cmocka_unit_test(stopped_terminals),
        cmocka_unit_test(socket_pairs),
        cmocka_unit_test_setup_teardown(a_shared_pipe, let_steal, no_faults),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_again, let_steal_counter, no_faults),
        cmocka_unit_test_setup_teardown(interrupted_poll, interrupt_polls, no_faults),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(bad_descriptors),
        cmocka_unit_test(pipe_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The system call wrappers: results or -errno, EINTR retried where Go does, descriptors closed on exec, faults
 * injected.
 */
/* test: workers=1 */
#include "support/faults.h"
#include "support/taskcase.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void make_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void failures_are_negative_errno(void **state)
{
    (void)state;
    char byte = 0;
    int value = 0;
    errno = 0;
    assert_int_equal(cori_sys_recv(-1, &byte, 1), -EBADF);
    assert_int_equal(cori_sys_send(-1, &byte, 1), -EBADF);
    assert_int_equal(cori_sys_read(-1, &byte, 1), -EBADF);
    assert_int_equal(cori_sys_write(-1, &byte, 1), -EBADF);
    assert_int_equal(cori_sys_listen(-1, 1), -EBADF);
    assert_int_equal(cori_sys_accept(-1, NULL, NULL), -EBADF);
    assert_int_equal(cori_sys_shutdown(-1, SHUT_WR), -EBADF);
    assert_int_equal(cori_sys_setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, 1), -EBADF);
    assert_int_equal(cori_sys_getsockopt(-1, SOL_SOCKET, SO_ERROR, &value), -EBADF);
    assert_int_equal(cori_sys_dup(-1), -EBADF);
    assert_int_equal(cori_sys_socket(AF_INET, 77, 0), -EINVAL);
}

/* N072 */
static void descriptors_are_nonblocking_and_closed_on_exec(void **state)
{
    (void)state;
    int fd = cori_sys_socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    int copy = cori_sys_dup(fd);
    assert_true(copy >= 3);
    assert_true((fcntl(copy, F_GETFD) & FD_CLOEXEC) != 0);
    cori_sys_close(copy);
    cori_sys_close(fd);
}

/* N072: an accepted descriptor too; and the whole life of a connection through the wrappers. */
static void accept_and_connect(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int listener = cori_sys_socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(cori_sys_bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(cori_sys_listen(listener, 5), 0);
    assert_int_equal(cori_sys_getsockname(listener, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(cori_sys_accept(listener, NULL, NULL), -EAGAIN);
    int client = cori_sys_socket(AF_INET, SOCK_STREAM, 0);
    int rc = cori_sys_connect(client, (struct sockaddr *)&name, len);
    assert_true(rc == 0 || rc == -EINPROGRESS);
    int server = -EAGAIN;
    for (int tries = 0; server == -EAGAIN && tries < 1000000; tries++) {
        server = cori_sys_accept(listener, NULL, NULL);
    }
    assert_true(server >= 0);
    assert_true((fcntl(server, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    len = sizeof(name);
    assert_int_equal(cori_sys_getpeername(server, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(cori_sys_setsockopt(server, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    int value = 0;
    assert_int_equal(cori_sys_getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &value), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(cori_sys_setlinger(server, 0), 0);
    assert_int_equal(cori_sys_setlinger(server, -1), 0);
    assert_int_equal(cori_sys_shutdown(server, SHUT_WR), 0);
    struct sockaddr_in own, from;
    len = sizeof(own);
    assert_int_equal(cori_sys_getsockname(client, (struct sockaddr *)&own, &len), 0);
    assert_int_equal(cori_sys_setlinger(client, 0), 0);
    cori_sys_close(client); /* a reset: the peer is known by its address still, to this call only */
    len = sizeof(name);
    assert_int_equal(cori_sys_getpeername(server, (struct sockaddr *)&name, &len), -ENOTCONN);
    assert_int_equal(cori_sys_accepted_from(server, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(from.sin_port, own.sin_port);
    assert_int_equal(from.sin_addr.s_addr, own.sin_addr.s_addr);
    cori_sys_close(server);
    cori_sys_close(listener);
}

/* Receiving never waits, even on a blocking descriptor; writing to a closed peer raises no SIGPIPE (N013). */
static void receive_never_waits_and_send_never_kills(void **state)
{
    (void)state;
    int ends[2];
    char bytes[8] = "abc";
    make_pair(ends);
    assert_int_equal(cori_sys_recv(ends[0], bytes, sizeof(bytes)), -EAGAIN);
    assert_false(cori_sys_ready(ends[0], false));
    assert_true(cori_sys_ready(ends[0], true));
    assert_int_equal(cori_sys_send(ends[1], "abc", 3), 3);
    assert_true(cori_sys_ready(ends[0], false));
    assert_int_equal(cori_sys_recv(ends[0], bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "abc", 3);
    cori_sys_close(ends[1]);
    assert_int_equal(cori_sys_recv(ends[0], bytes, sizeof(bytes)), 0);
    assert_int_equal(cori_sys_send(ends[0], "abc", 3), -EPIPE);
    cori_sys_close(ends[0]);
}

static int interruptions;

static void on_signal(int number)
{
    (void)number;
    __atomic_add_fetch(&interruptions, 1, __ATOMIC_RELAXED);
}

typedef struct reader {
    int fd;
    ssize_t result;
    char byte;
    uint32_t finished; /* atomic */
} reader;

static void *read_one(void *arg)
{
    reader *self = arg;
    self->result = cori_sys_read(self->fd, &self->byte, 1);
    __atomic_store_n(&self->finished, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* N016: a read that a signal interrupts goes on. */
static void interrupted_read_is_retried(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    struct sigaction action = {.sa_handler = on_signal}, before; /* no SA_RESTART: the call does fail with EINTR */
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    reader self = {.fd = ends[0]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_one, &self), 0);
    for (int tries = 0; tries < 2000; tries++) {
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        sched_yield();
        assert_int_equal(__atomic_load_n(&self.finished, __ATOMIC_ACQUIRE), 0);
    }
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(self.result, 1);
    assert_int_equal(self.byte, 'x');
    assert_true(interruptions > 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    cori_sys_close(ends[0]);
    cori_sys_close(ends[1]);
}

static void faults_count_down(void **state)
{
    (void)state;
    int ends[2];
    char byte;
    make_pair(ends);
    faults_set(CORI_SYS_SEND, 2, -ENOBUFS);
    assert_int_equal(cori_sys_send(ends[0], "a", 1), 1);
    assert_false(faults_hit());
    assert_int_equal(cori_sys_recv(ends[1], &byte, 1), 1);
    assert_int_equal(cori_sys_send(ends[0], "a", 1), -ENOBUFS);
    assert_true(faults_hit());
    assert_int_equal(cori_sys_recv(ends[1], &byte, 1), -EAGAIN); /* the call did not happen */
    assert_int_equal(cori_sys_send(ends[0], "a", 1), 1);
    assert_int_equal(faults_seen(), 3);
    faults_clear();
    cori_sys_close(ends[0]);
    cori_sys_close(ends[1]);
}

/* An injected EINTR is retried where a real one would be, and not in connect. */
static void injected_interruptions(void **state)
{
    (void)state;
    int ends[2];
    make_pair(ends);
    faults_set(CORI_SYS_SEND, 1, -EINTR);
    assert_int_equal(cori_sys_send(ends[0], "a", 1), 1);
    assert_true(faults_hit());
    struct sockaddr_in addr = {.sin_family = AF_INET};
    faults_set(CORI_SYS_CONNECT, 1, -EINTR);
    assert_int_equal(cori_sys_connect(ends[0], (struct sockaddr *)&addr, sizeof(addr)), -EINTR);
    faults_clear();
    cori_sys_close(ends[0]);
    cori_sys_close(ends[1]);
}

static int broken_pipes;

static void count_broken_pipe(int number)
{
    (void)number;
    broken_pipes++;
}

/* A TCP connection whose other end is closed, which the kernel learns from the reset that its next bytes get. */
static int deserted_connection(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    int far = accept(listener, NULL, NULL);
    assert_true(far >= 0 && close(far) == 0 && close(listener) == 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* N139: a splice that has moved a part before it met the reset returns that part, and raises no signal either. */
static void splice_in_part_raises_no_signal(void **state)
{
    (void)state;
    enum { BYTES = 256 * 1024 };
    struct sigaction counted = {.sa_handler = count_broken_pipe}, before;
    char *bytes = calloc(1, BYTES);
    int ends[2], fd = deserted_connection();
    assert_int_equal(sigaction(SIGPIPE, &counted, &before), 0);
    assert_int_equal(cori_sys_pipe(ends, BYTES), 0);
    ssize_t filled = write(ends[1], bytes, BYTES), moved = 1, total = 0;
    assert_true(filled > 0);
    while (moved > 0 && total < filled) {
        moved = cori_sys_splice_out(ends[0], fd, (size_t)(filled - total));
        total += moved > 0 ? moved : 0;
    }
    assert_int_equal(moved, -EPIPE);
    assert_int_equal(broken_pipes, 0);
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
    cori_sys_close(ends[0]);
    cori_sys_close(ends[1]);
    cori_sys_close(fd);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_negative_errno), cmocka_unit_test(descriptors_are_nonblocking_and_closed_on_exec),
        cmocka_unit_test(accept_and_connect),          cmocka_unit_test(receive_never_waits_and_send_never_kills),
        cmocka_unit_test(interrupted_read_is_retried), cmocka_unit_test(faults_count_down),
        cmocka_unit_test(injected_interruptions),      cmocka_unit_test(splice_in_part_raises_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

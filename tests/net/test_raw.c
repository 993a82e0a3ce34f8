/* SPDX-License-Identifier: MIT */
/* System calls of one's own on a socket that the library waits for: turns, deadlines, close, cancel. */
#include "net/netcase.h"

#include <coracle/fd.h>
#include <coracle/io.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MUCH = 16 << 20 };

/* A raw call's own state. */
typedef struct tries {
    int calls, fd; /* atomic */
    size_t moved;
    char byte;
} tries;

static ssize_t note(int fd, void *arg)
{
    tries *of = arg;
    (void)add(&of->calls, 1);
    of->fd = fd;
    return 7;
}

static ssize_t receive_byte(int fd, void *arg)
{
    tries *of = arg;
    (void)add(&of->calls, 1);
    ssize_t count = recv(fd, &of->byte, 1, MSG_DONTWAIT);
    return count >= 0 ? count : -errno;
}

/* Sends more than the kernel has room for, over several calls. */
static ssize_t send_much(int fd, void *arg)
{
    static const char zeros[65536];
    tries *of = arg;
    (void)add(&of->calls, 1);
    while (of->moved < MUCH) {
        ssize_t count = send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) {
            return -errno;
        }
        of->moved += (size_t)count;
    }
    return 1;
}

static ssize_t never_ready(int fd, void *arg)
{
    (void)fd;
    (void)note(fd, arg);
    return -EAGAIN;
}

/* N183, N186: once, with the descriptor, and not after the end. */
TASK_TEST(control)
{
    tries of = {0};
    cor_conn *a, *b;
    make_pair(KIND_TCP, &a, &b);
    T_EQ(cor_raw_control(a, note, &of), 7);
    T_EQ(of.calls, 1);
    T_EQ(of.fd, raw_fd(a));
    T_EQ(cor_raw_control(a, never_ready, &of), -EAGAIN);
    T_EQ(of.calls, 2);
    close_pair(a, b);
    T_CODE(cor_raw_control(a, note, &of), COR_ECLOSED);
    T_CODE(cor_raw_read(a, note, &of), COR_ECLOSED);
    T_CODE(cor_raw_write(a, note, &of), COR_ECLOSED);
    T_CODE(cor_raw_control(NULL, note, &of), -EINVAL);
    T_EQ(of.calls, 2);
}

/* N185, N245: a listener's has no reads and writes. */
TASK_TEST(control_of_listeners)
{
    const char *network;
    char address[COR_ADDR_TEXT];
    for (conn_kind kind = KIND_TCP; kind <= KIND_UNIX; kind += KIND_UNIX - KIND_TCP) {
        tries of = {0};
        cor_listener *listener = listen_kind(kind, &network, address);
        T_EQ(cor_listener_raw_control(listener, note, &of), 7);
        T_EQ(of.fd, listener_fd(listener));
        T_CODE(cor_raw_read((cor_conn *)listener, note, &of), -EINVAL);
        T_CODE(cor_raw_write((cor_conn *)listener, note, &of), -EINVAL);
        T_CODE(cor_listener_close(listener), 0);
        T_CODE(cor_listener_raw_control(listener, note, &of), COR_ECLOSED);
        T_EQ(of.calls, 1);
    }
}

static const conn_kind kinds[] = {KIND_TCP, KIND_UNIX};

/* What a task does with a connection. */
typedef struct job {
    cor_conn *conn;
    tries of;
    ssize_t result;
} job;

static void read_raw(void *arg)
{
    job *own = arg;
    own->result = cor_raw_read(own->conn, receive_byte, &own->of);
}

static void read_plain(void *arg)
{
    job *own = arg;
    own->result = cor_read(own->conn, &own->of.byte, 1);
}

static void write_raw(void *arg)
{
    job *own = arg;
    own->result = cor_raw_write(own->conn, send_much, &own->of);
}

/* N183: it waits between the calls. N184: another read has its turn afterwards, and needs nothing else. */
TASK_TEST(reads)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *client, *server;
        cor_group reading = {0};
        make_pair(kinds[i], &client, &server);
        job raw = {.conn = server}, plain = {.conn = server};
        go_on(0, &reading, read_raw, &raw);
        T_PARKED(server, CORI_READ);
        T_ASSERT(get(&raw.of.calls) >= 1);
        go_on(1, &reading, read_plain, &plain);
        write_all(client, "a", 1);
        T_EVENTUALLY(get(&raw.of.calls) >= 2, SOON);
        write_all(client, "b", 1);
        wait_for(&reading);
        T_EQ(raw.result, 1);
        T_EQ(raw.of.byte, 'a');
        T_EQ(plain.result, 1);
        T_EQ(plain.of.byte, 'b');
        write_all(client, "c", 1);
        T_EQ(cor_raw_read(server, receive_byte, &raw.of), 1);
        T_EQ(raw.of.byte, 'c');
        T_CODE(cor_close(client), 0);
        T_EQ(cor_raw_read(server, receive_byte, &raw.of), 0); /* the end, as recv has it */
        T_CODE(cor_close(server), 0);
    }
}

/* N183 */
TASK_TEST(writes)
{
    static char sink[65536];
    for (size_t i = 0; i < 2; i++) {
        cor_conn *client, *server;
        cor_group writing = {0};
        make_pair(kinds[i], &client, &server);
        job raw = {.conn = client};
        go_on(1, &writing, write_raw, &raw);
        T_PARKED(client, CORI_WRITE);
        for (size_t got = 0; got < MUCH;) {
            ssize_t count = cor_read(server, sink, sizeof(sink));
            T_REQUIRE(count > 0, "%zd after %zu bytes", count, got);
            got += (size_t)count;
        }
        wait_for(&writing);
        T_EQ(raw.result, 1);
        T_ASSERT(raw.of.moved >= MUCH && raw.of.calls >= 2);
        close_pair(client, server);
    }
}

/* N187: a past deadline comes before the call; a future one ends the wait. */
TASK_TEST(deadlines)
{
    for (size_t i = 0; i < 2; i++) {
        tries of = {0};
        cor_conn *client, *server;
        make_pair(kinds[i], &client, &server);
        T_CODE(cor_set_deadline(server, cor_now()), 0);
        T_CODE(cor_raw_read(server, note, &of), COR_ETIMEOUT);
        T_CODE(cor_raw_write(server, note, &of), COR_ETIMEOUT);
        T_EQ(of.calls, 0);
        int64_t end = cor_after(BRIEFLY);
        T_CODE(cor_set_deadline(server, end), 0);
        T_CODE(cor_raw_read(server, receive_byte, &of), COR_ETIMEOUT);
        T_ASSERT(cor_now() >= end && of.calls >= 1);
        T_CODE(cor_set_deadline(server, cor_after(BRIEFLY)), 0);
        T_CODE(cor_raw_write(server, never_ready, &of), COR_ETIMEOUT);
        close_pair(client, server);
    }
}

static void close_it(void *conn)
{
    T_CODE(cor_close(conn), 0);
}

/* N183, N186: close and cancel end a wait. */
TASK_TEST(close_and_cancel)
{
    for (size_t i = 0; i < 2; i++) {
        cor_conn *client, *server;
        cor_group reading = {0}, closing = {0};
        make_pair(kinds[i], &client, &server);
        job raw = {.conn = server};
        go_on(0, &reading, read_raw, &raw);
        T_PARKED(server, CORI_READ);
        cor_group_cancel(&reading);
        wait_for(&reading);
        T_CODE(raw.result, COR_ECANCELED);
        reading = (cor_group){0};
        go_on(1, &reading, read_raw, &raw);
        T_PARKED(server, CORI_READ);
        go_on(0, &closing, close_it, server);
        wait_for(&reading);
        wait_for(&closing);
        T_CODE(raw.result, COR_ECLOSED);
        T_CODE(cor_close(client), 0);
    }
}

/* What has no descriptor, and what is never waited for. */
TASK_TEST(nothing_to_wait_for)
{
    tries of = {0};
    cor_conn *a, *b, *file;
    make_pair(KIND_PIPE, &a, &b);
    T_CODE(cor_raw_control(a, note, &of), -EOPNOTSUPP);
    T_CODE(cor_raw_read(a, note, &of), -EOPNOTSUPP);
    T_CODE(cor_raw_write(a, note, &of), -EOPNOTSUPP);
    close_pair(a, b);
    T_CODE(cor_open_fd(&file, open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), 0);
    T_CODE(cor_raw_read(file, note, &of), -EOPNOTSUPP);
    T_CODE(cor_raw_write(file, note, &of), -EOPNOTSUPP);
    T_EQ(of.calls, 0);
    T_EQ(cor_raw_control(file, note, &of), 7);
    T_CODE(cor_close(file), 0);
}

/* Leaves a stream as one that has been waited for: over io_uring a receive is under way. */
static void wait_briefly(cor_conn *conn)
{
    char byte;
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(conn, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(conn, 0), 0);
}

/* N183: over io_uring bytes may have been received ahead. A raw read would miss them and is refused; none is lost. */
TASK_TEST(what_was_received_ahead_is_not_missed)
{
    tries of = {0};
    cor_conn *client, *server;
    bool ahead = strcmp(cor_poller_info(), "io_uring") == 0;
    make_pair(KIND_TCP, &client, &server);
    wait_briefly(server);
    write_all(client, "ab", 2);
    read_all(server, &of.byte, 1);
    T_EQ(of.byte, 'a');
    ssize_t rc = cor_raw_read(server, receive_byte, &of);
    T_ASSERT(ahead ? rc == -EBUSY && of.calls == 0 : rc == 1 && of.byte == 'b');
    if (ahead) {
        read_all(server, &of.byte, 1);
        T_EQ(of.byte, 'b');
    }
    write_all(client, "c", 1);
    T_EQ(cor_raw_read(server, receive_byte, &of), 1); /* after a refusal too */
    T_EQ(of.byte, 'c');
    T_EQ(cor_raw_write(server, note, &of), 7); /* a write needs nothing that was received */
    close_pair(client, server);
}

/* N183, N184: raw and other reads by turns, by tasks of several workers, on streams that had been waited for. */
TASK_TEST(raw_reads_follow_others)
{
    cor_conn *client, *server;
    make_pair(KIND_TCP, &client, &server);
    for (int i = 0; i < 24; i++) {
        char sent = (char)('a' + i);
        cor_group reading = {0};
        job reader = {.conn = server};
        go_on(i / 2, &reading, i % 3 == 0 ? read_plain : read_raw, &reader);
        if (i < 2 || i % 2 == 0) { /* the first raw read: else the byte may be received ahead, and it be refused */
            T_PARKED(server, CORI_READ);
        }
        write_all(client, &sent, 1);
        wait_for(&reading);
        T_EQ(reader.result, 1);
        T_EQ(reader.of.byte, sent);
    }
    T_CODE(cor_close_write(client), 0);
    tries of = {0};
    T_EQ(cor_read(server, &of.byte, 1), 0);
    T_EQ(cor_raw_read(server, receive_byte, &of), 0); /* an end is told by the socket, too */
    close_pair(client, server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control),
        cmocka_unit_test(control_of_listeners),
        cmocka_unit_test(reads),
        cmocka_unit_test(writes),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(close_and_cancel),
        cmocka_unit_test(nothing_to_wait_for),
        cmocka_unit_test(what_was_received_ahead_is_not_missed),
        cmocka_unit_test(raw_reads_follow_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

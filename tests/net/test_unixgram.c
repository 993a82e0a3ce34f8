/* SPDX-License-Identifier: MIT */
/* Unix datagrams and records: names, edges, what ends a call, and what streams' calls mean on packets. */
#include "net/netcase.h"

#include <coracle/message.h>
#include <coracle/packet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { FLOOD_MAX = 20000, FILLERS_MAX = 64, BIG = 20000, RECORDS = 200 };

/* A folder of its own, removed at the end. */
typedef struct folder {
    char path[64];
    char socket[80], other[80];
} folder;

static folder make_folder(void)
{
    folder of = {.path = "/tmp/cor-test-XXXXXX"};
    T_ASSERT(mkdtemp(of.path) != NULL);
    (void)snprintf(of.socket, sizeof(of.socket), "%s/socket", of.path);
    (void)snprintf(of.other, sizeof(of.other), "%s/other", of.path);
    return of;
}

static void remove_folder(const folder *of)
{
    (void)unlink(of->socket);
    (void)unlink(of->other);
    T_EQ(rmdir(of->path), 0);
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static cor_conn *bound(const char *name)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet(&conn, "unixgram", name, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_conn *dialed_from(const char *local, const char *name)
{
    cor_dialer with = COR_DIALER_INIT;
    cor_conn *conn = NULL;
    with.local_path = local;
    T_CODE(cor_dial_with(&conn, &with, "unixgram", name, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_conn *dialed(const char *name)
{
    return dialed_from(NULL, name);
}

static int send_to(cor_conn *conn, const char *name, const char *text)
{
    cor_message message = {.data = (void *)(uintptr_t)text, .size_bytes = strlen(text)};
    (void)snprintf(message.path, sizeof(message.path), "%s", name);
    return (int)cor_write_message(conn, &message);
}

static void expect_from(cor_conn *conn, const char *text, const char *sender)
{
    char data[64];
    cor_message message = {.data = data, .room_bytes = sizeof(data)};
    T_EQ(cor_read_message(conn, &message), strlen(text));
    T_EQ(message.size_bytes, strlen(text));
    T_MEM(data, text, strlen(text));
    T_STR(message.path, sender);
    T_ASSERT(!message.cut && message.fd_count == 0 && !message.fds_lost);
    T_EQ(message.addr.ip.family, 0);
}

static void expect_error(cor_conn *conn, const char *op, const char *path, int code, const char *text)
{
    char shown[COR_ERROR_TEXT];
    cor_message message = {.data = NULL};
    cor_error error;
    (void)snprintf(message.path, sizeof(message.path), "%s", path);
    cor_message_error(conn, op, &message, code, &error);
    T_STR(cor_error_text(&error, shown, sizeof(shown)), text);
}

/* N001, N230, N231, N236, N238, N240, N241: a bound socket, a bound client, a dialed one; names; the files stay */
TASK_TEST(paths)
{
    char text[COR_ADDR_TEXT];
    folder of = make_folder();
    cor_conn *server = bound(of.socket), *client = dialed_from(of.other, of.socket), *unnamed = dialed(of.socket);
    T_STR(cor_local_addr(server, text, sizeof(text)), of.socket);
    T_STR(cor_remote_addr(server, text, sizeof(text)), "");
    T_STR(cor_local_addr(client, text, sizeof(text)), of.other);
    T_STR(cor_remote_addr(client, text, sizeof(text)), of.socket);
    T_STR(cor_local_addr(unnamed, text, sizeof(text)), "@");
    write_all(client, "hello", 5);
    expect_from(server, "hello", of.other);
    T_EQ(send_to(server, of.other, "back"), 4);
    expect_from(client, "back", of.socket);
    write_all(unnamed, "who", 3);
    expect_from(server, "who", "");
    close_pair(client, unnamed);
    T_CODE(cor_close(server), 0);
    T_ASSERT(exists(of.socket) && exists(of.other));
    remove_folder(&of);
}

/* N230, N240: abstract names, also one that the kernel chooses; no files */
TASK_TEST(abstract_names)
{
    char name[64], chosen[COR_ADDR_TEXT];
    cor_conn *server = bound(abstract_name(name, sizeof(name))), *autobound = bound("");
    (void)cor_local_addr(autobound, chosen, sizeof(chosen));
    T_REQUIRE(chosen[0] == '@' && strlen(chosen) == 6, "\"%s\"", chosen);
    T_ASSERT(!exists(name) && !exists(chosen));
    T_EQ(send_to(autobound, name, "one"), 3);
    expect_from(server, "one", chosen);
    T_EQ(send_to(server, chosen, "two"), 3);
    expect_from(autobound, "two", name);
    T_EQ(send_to(server, name, "self"), 4);
    expect_from(server, "self", name);
    close_pair(server, autobound);
}

/* N233, N236: a path in use; one that a closed socket has left is taken over */
TASK_TEST(paths_left_behind)
{
    char want[COR_ERROR_TEXT], text[COR_ERROR_TEXT];
    folder of = make_folder();
    cor_conn *server = bound(of.socket), *second = NULL;
    cor_listener *listener;
    cor_error error;
    T_CODE(cor_listen_packet(&second, "unixgram", of.socket, &error), -EADDRINUSE);
    (void)snprintf(want, sizeof(want), "listen unixgram %s: bind: address already in use", of.socket);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    T_CODE(cor_listen(&listener, "unix", of.socket, NULL), -EADDRINUSE);
    T_EQ(send_to(server, of.socket, "alive"), 5);
    expect_from(server, "alive", of.socket);
    T_CODE(cor_close(server), 0);
    T_CODE(cor_dial(&second, "unixgram", of.socket, &error), -ECONNREFUSED);
    (void)snprintf(want, sizeof(want), "dial unixgram %s: connect: connection refused", of.socket);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    server = bound(of.socket);
    T_EQ(send_to(server, of.socket, "again"), 5);
    expect_from(server, "again", of.socket);
    T_CODE(cor_close(server), 0);
    remove_folder(&of);
}

/* N237, N238, N244: who may send to whom, and the words */
TASK_TEST(destinations)
{
    char want[COR_ERROR_TEXT];
    folder of = make_folder();
    cor_conn *server = bound(of.socket), *client = dialed(of.socket), *none = NULL;
    cor_error error;
    cor_addr from = {.port = 7};
    T_CODE(cor_write(server, "x", 1), -ENOTCONN);
    T_CODE(send_to(server, "", "x"), COR_EMISSING_ADDRESS);
    T_CODE(cor_write_to(server, "x", 1, (cor_addr){0}), COR_EMISSING_ADDRESS);
    T_CODE(cor_write_to(server, "x", 1, (cor_addr){.port = 9}), -EAFNOSUPPORT);
    T_CODE(send_to(server, of.other, "x"), -ENOENT);
    (void)snprintf(want, sizeof(want), "write unixgram %s->%s: sendmsg: no such file or directory", of.socket,
                   of.other);
    expect_error(server, "write", of.other, -ENOENT, want);
    T_CODE(send_to(client, of.socket, "x"), COR_EWRITE_TO_CONNECTED);
    (void)snprintf(want, sizeof(want), "write unixgram @->%s: use of WriteTo with pre-connected connection", of.socket);
    expect_error(client, "write", of.socket, COR_EWRITE_TO_CONNECTED, want);
    T_EQ(send_to(client, "", "peer"), 4);
    expect_from(server, "peer", "");
    T_EQ(cor_write_packets(client, &(cor_packet){.data = "p", .size_bytes = 1}, 1), 1);
    T_EQ(cor_read_from(server, want, sizeof(want), &from), 1);
    T_EQ(from.port, 0);
    T_CODE(cor_dial(&none, "unixgram", of.other, &error), -ENOENT);
    T_CODE(cor_close(server), 0);
    T_CODE(cor_write(client, "x", 1), -ECONNREFUSED);
    T_CODE(cor_close_write(client), -EOPNOTSUPP);
    T_CODE(cor_close(client), 0);
    remove_folder(&of);
}

/* N239: edges, empty datagrams and no room, as on UDP; what is cut is told */
TASK_TEST(edges)
{
    char name[64], data[8], text[COR_ERROR_TEXT], want[COR_ERROR_TEXT];
    cor_message message = {.data = data, .room_bytes = 2};
    cor_addr from;
    cor_error error;
    cor_conn *server = bound(abstract_name(name, sizeof(name))), *client = dialed(name);
    write_all(client, "hello", 5);
    write_all(client, "", 0);
    write_all(client, "ab", 2);
    write_all(client, "dropped", 7);
    T_EQ(cor_read_message(server, &message), 2);
    T_ASSERT(message.cut);
    T_EQ(cor_read(server, data, sizeof(data)), 0);
    T_EQ(cor_read_message(server, &message), 2);
    T_ASSERT(!message.cut);
    T_MEM(data, "ab", 2);
    T_EQ(cor_read(server, data, 0), 0);
    T_EQ(cor_read_from(server, data, 0, &from), 0);
    T_CODE(cor_set_read_deadline(server, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read_message(server, &message), COR_ETIMEOUT);
    cor_conn_error(server, "read", COR_ETIMEOUT, &error);
    (void)snprintf(want, sizeof(want), "read unixgram %s: i/o timeout", name);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    close_pair(client, server);
}

/* A receiver that is full: whoever has a peer is woken by it; whoever has none looks again. Both end in time. */
typedef struct flooding {
    cor_conn *conn;
    const char *to; /* "": the peer */
    int rc, sent;   /* atomic: how many */
} flooding;

static void flood(void *arg)
{
    flooding *of = arg;
    for (int i = 0; i < FLOOD_MAX && of->rc >= 0; i++) {
        of->rc = send_to(of->conn, of->to, "x");
        (void)add(&of->sent, of->rc >= 0);
    }
}

/* True when the flood has gone on since it had sent so many; takes a datagram from its receiver. */
static bool goes_on(const flooding *of, int sent, cor_conn *server)
{
    char byte;
    T_CODE(cor_set_read_deadline(server, cor_after(BRIEFLY)), 0);
    T_ASSERT(cor_read(server, &byte, 1) != 0);
    return get(&of->sent) > sent;
}

/*
 * Fills the receiver's queue from sockets of its own, whose datagrams make no event elsewhere when they are read: as
 * many as it takes until a new one cannot send a single datagram. How many they are.
 */
static int fill(const char *name, int fds[FILLERS_MAX])
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int count = 0, sent = 1;
    memcpy(to.sun_path + 1, name + 1, strlen(name) - 1);
    while (sent > 0 && count < FILLERS_MAX) {
        sent = 0;
        fds[count] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        while (sendto(fds[count], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, len) == 1) {
            sent++;
        }
        T_EQ(errno, EAGAIN);
        count++;
    }
    T_EQ(sent, 0);
    return count;
}

static void full_receiver(bool connected)
{
    char name[64];
    cor_conn *server = bound(abstract_name(name, sizeof(name)));
    cor_conn *client = connected ? dialed(name) : bound("");
    cor_group sender = {0};
    flooding of = {.conn = client, .to = connected ? "" : name};
    int fds[FILLERS_MAX], count = fill(name, fds);
    T_CODE(cor_set_write_deadline(client, LONG_AGO), 0);
    T_CODE(send_to(client, of.to, "x"), COR_ETIMEOUT);
    T_CODE(cor_set_write_deadline(client, cor_after(BRIEFLY)), 0);
    T_CODE(send_to(client, of.to, "x"), COR_ETIMEOUT);
    T_CODE(cor_set_write_deadline(client, 0), 0);
    go_in(&sender, flood, &of);
    T_PARKED(client, CORI_WRITE);
    int sent = get(&of.sent);
    T_EVENTUALLY(goes_on(&of, sent, server), SOON);
    T_CODE(cor_close(client), 0);
    wait_for(&sender);
    T_ASSERT(of.rc == COR_ECLOSED || of.rc >= 0);
    while (count > 0) {
        T_EQ(close(fds[--count]), 0);
    }
    T_CODE(cor_close(server), 0);
}

TASK_TEST(full_receiver_of_a_connected_sender)
{
    full_receiver(true);
}

TASK_TEST(full_receiver_of_a_sender_without_peer)
{
    full_receiver(false);
}

static void make_records(cor_conn **a, cor_conn **b)
{
    char name[64];
    cor_listener *listener;
    T_CODE(cor_listen(&listener, "unixpacket", abstract_name(name, sizeof(name)), NULL), 0);
    T_CODE(cor_dial(a, "unixpacket", name, NULL), 0);
    T_CODE(cor_accept(listener, b), 0);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_set_read_deadline(*a, cor_after(SOON * taskcase_patience())), 0);
    T_CODE(cor_set_read_deadline(*b, cor_after(SOON * taskcase_patience())), 0);
}

/* N001, N230, N235, N147: unixpacket on a path: names, network, and the file goes with the listener */
TASK_TEST(records_on_a_path)
{
    char text[COR_ERROR_TEXT], want[COR_ERROR_TEXT];
    folder of = make_folder();
    cor_listener *listener;
    cor_conn *client, *server;
    cor_error error;
    T_CODE(cor_listen(&listener, "unixpacket", of.socket, NULL), 0);
    T_STR(cor_listener_addr(listener, text, sizeof(text)), of.socket);
    T_CODE(cor_dial(&client, "unixpacket", of.socket, NULL), 0);
    T_CODE(cor_accept(listener, &server), 0);
    T_STR(cor_remote_addr(client, text, sizeof(text)), of.socket);
    T_STR(cor_local_addr(client, text, sizeof(text)), "@");
    T_STR(cor_local_addr(server, text, sizeof(text)), of.socket);
    T_STR(cor_remote_addr(server, text, sizeof(text)), "@");
    cor_conn_error(server, "read", COR_ETIMEOUT, &error);
    (void)snprintf(want, sizeof(want), "read unixpacket %s->@: i/o timeout", of.socket);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    close_pair(client, server);
    T_CODE(cor_dial(&client, "unix", of.socket, NULL), -EPROTOTYPE);
    T_CODE(cor_listener_close(listener), 0);
    T_ASSERT(!exists(of.socket));
    remove_folder(&of);
}

/* N242: edges; what is cut is lost, and told; an empty record reads as the end; too large; half-close */
TASK_TEST(records_keep_their_edges)
{
    static char big[1 << 22];
    char data[8];
    cor_message message = {.data = data, .room_bytes = 2};
    cor_conn *a, *b;
    make_records(&a, &b);
    write_all(a, "hello", 5);
    write_all(a, "yo", 2);
    write_all(a, "hello", 5);
    T_EQ(cor_read(b, data, 2), 2);
    T_EQ(cor_read(b, data, sizeof(data)), 2);
    T_MEM(data, "yo", 2);
    T_EQ(cor_read_message(b, &message), 2);
    T_ASSERT(message.cut);
    write_all(a, "", 0);
    write_all(a, "z", 1);
    T_EQ(cor_read(b, data, sizeof(data)), 0);
    T_EQ(cor_read(b, data, sizeof(data)), 1);
    T_CODE(cor_write(a, big, sizeof(big)), -EMSGSIZE);
    T_CODE(cor_close_write(a), 0);
    T_EQ(cor_read(b, data, sizeof(data)), 0);
    write_all(b, "still", 5);
    T_EQ(cor_read(a, data, sizeof(data)), 5);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_write(a, "q", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
}

/* N140: the first write after the peer has closed fails, of records too */
TASK_TEST(records_after_the_peer_closed)
{
    cor_conn *a, *b;
    make_records(&a, &b);
    T_CODE(cor_close(b), 0);
    T_CODE(cor_write(a, "x", 1), -EPIPE);
    T_CODE(cor_close(a), 0);
}

/* Records in numbers, over both ends' waits. */
static void write_records(void *conn)
{
    static char zeros[BIG];
    for (int i = 1; i <= RECORDS; i++) {
        write_all(conn, zeros, (size_t)i * (BIG / RECORDS));
    }
    T_CODE(cor_close_write(conn), 0);
}

TASK_TEST(many_records)
{
    static char data[2 * BIG];
    cor_conn *a, *b;
    cor_group writer = {0};
    make_records(&a, &b);
    go_on(1, &writer, write_records, a);
    for (int i = 1; i <= RECORDS; i++) {
        T_EQ(cor_read(b, data, sizeof(data)), i * (BIG / RECORDS));
    }
    T_EQ(cor_read(b, data, sizeof(data)), 0);
    wait_for(&writer);
    close_pair(a, b);
}

/* N188: the parts of a vector are one packet, on records and datagrams; reading fills parts from one */
static void vectors_of(cor_conn *a, cor_conn *b)
{
    char first[2], second[8];
    struct iovec out[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    struct iovec in[2] = {{first, sizeof(first)}, {second, sizeof(second)}};
    static struct iovec many[1100];
    T_EQ(cor_writev(a, out, 3), 5);
    T_EQ(out[2].iov_len, 0);
    T_EQ(cor_readv(b, in, 2), 5);
    T_MEM(first, "ab", 2);
    T_MEM(second, "cde", 3);
    for (int i = 0; i < 1100; i++) {
        many[i] = (struct iovec){"x", 1};
    }
    T_CODE(cor_writev(a, many, 1100), -EMSGSIZE);
}

TASK_TEST(vectors)
{
    char name[64];
    cor_conn *a, *b, *server = bound(abstract_name(name, sizeof(name))), *client = dialed(name);
    make_records(&a, &b);
    vectors_of(a, b);
    vectors_of(client, server);
    close_pair(a, b);
    close_pair(client, server);
}

/* N192: a copy passes on packet by packet; empty datagrams are no end; what it would have to cut is an error */
TASK_TEST(copies)
{
    static char big[BIG];
    char name[64], other[64], data[64];
    int64_t copied;
    cor_conn *server = bound(abstract_name(name, sizeof(name))), *client = dialed(name);
    cor_conn *sink = bound(abstract_name(other, sizeof(other))), *out = dialed(other), *a, *b;
    make_records(&a, &b);
    write_all(client, "one", 3);
    write_all(client, "", 0);
    write_all(client, "three", 5);
    T_CODE(cor_copy_counted(out, server, 8, &copied), 0);
    T_EQ(copied, 8);
    expect_from(sink, "one", "");
    expect_from(sink, "three", "");
    write_all(client, big, sizeof(big));
    write_all(client, "after", 5);
    T_CODE(cor_copy_counted(out, server, -1, &copied), -EMSGSIZE);
    T_CODE(cor_copy_counted(out, server, 3, &copied), -EMSGSIZE);
    write_all(a, "four", 4);
    T_CODE(cor_close_write(a), 0);
    T_EQ(cor_copy(out, b), 4);
    expect_from(sink, "four", "");
    write_all(client, "ab", 2);
    write_all(client, "", 0);
    write_all(client, "cd", 2);
    T_EQ(cor_read_full(server, data, 4), 4);
    T_MEM(data, "abcd", 4);
    close_pair(a, b);
    close_pair(server, client);
    close_pair(sink, out);
}

/* A reader of lines takes datagrams as a stream; an empty one is no end. */
TASK_TEST(readers)
{
    char name[64], data[64], *line;
    size_t size;
    cor_conn *server = bound(abstract_name(name, sizeof(name))), *client = dialed(name);
    cor_reader reader = cor_reader_of(server, BIG);
    write_all(client, "one\ntw", 6);
    write_all(client, "", 0);
    write_all(client, "o\n", 2);
    T_OK(cor_reader_until(&reader, '\n', &line, &size));
    T_EQ(size, 4);
    T_OK(cor_reader_until(&reader, '\n', &line, &size));
    T_MEM(line, "two\n", 4);
    cor_reader_free(&reader);
    reader = cor_reader_of(server, 4); /* the rest goes past the buffer */
    write_all(client, "", 0);
    write_all(client, "hello", 5);
    T_EQ(cor_reader_read(&reader, data, sizeof(data)), 5);
    write_all(client, "hel", 3);
    write_all(client, "", 0);
    write_all(client, "lo", 2);
    T_EQ(cor_reader_read_full(&reader, data, 5), 5);
    T_MEM(data, "hello", 5);
    write_all(client, "too long", 8);
    T_CODE(cor_reader_read(&reader, data, 5), -EMSGSIZE);
    cor_reader_free(&reader);
    close_pair(server, client);
}

/* Every order of two ends: a close, a deadline or a cancel, before, while and after a call waits. */
enum ending { BY_CLOSE, BY_DEADLINE, BY_CANCEL };
typedef struct waiting {
    cor_conn *conn;
    const char *to; /* writes: "": the peer; NULL: a read */
    int rc;
} waiting;

static void wait_in_call(void *arg)
{
    waiting *of = arg;
    char byte;
    cor_message message = {.data = &byte, .room_bytes = 1};
    do {
        of->rc = of->to != NULL ? send_to(of->conn, of->to, "x") : (int)cor_read_message(of->conn, &message);
    } while (of->rc >= 0);
}

static int end_it(cor_conn *conn, cor_group *group, enum ending ending)
{
    switch (ending) {
    case BY_CLOSE:
        T_CODE(cor_close(conn), 0);
        return COR_ECLOSED;
    case BY_DEADLINE:
        T_CODE(cor_set_deadline(conn, LONG_AGO), 0);
        return COR_ETIMEOUT;
    default:
        cor_group_cancel(group);
        return COR_ECANCELED;
    }
}

static void two_ends(const char *to, bool connected, bool before, enum ending ending)
{
    char name[64];
    cor_conn *server = bound(abstract_name(name, sizeof(name)));
    cor_conn *client = connected ? dialed(name) : bound("");
    waiting of = {.conn = client, .to = to == NULL || connected ? to : name};
    cor_group group = {0};
    int want = 0;
    if (before) {
        T_CODE(cor_set_deadline(client, 0), 0);
        go_in(&group, wait_in_call, &of);
        want = end_it(client, &group, ending);
    } else {
        T_CODE(cor_set_deadline(client, 0), 0);
        go_in(&group, wait_in_call, &of);
        T_PARKED(client, to == NULL ? CORI_READ : CORI_WRITE);
        want = end_it(client, &group, ending);
    }
    wait_for(&group);
    T_CODE(of.rc, want);
    T_CODE(cor_close(client), ending == BY_CLOSE ? COR_ECLOSED : 0);
    T_CODE(cor_close(server), 0);
}

/* The three ends of a call that waits, and of one that has not begun to */
TASK_TEST(two_ends_in_every_order)
{
    for (int i = 0; i < 24; i++) {
        two_ends((i & 1) != 0 ? "" : NULL, (i & 2) != 0, (i & 4) != 0, (enum ending)(i / 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(abstract_names),
        cmocka_unit_test(paths_left_behind),
        cmocka_unit_test(destinations),
        cmocka_unit_test(edges),
        cmocka_unit_test(full_receiver_of_a_connected_sender),
        cmocka_unit_test(full_receiver_of_a_sender_without_peer),
        cmocka_unit_test(records_on_a_path),
        cmocka_unit_test(records_keep_their_edges),
        cmocka_unit_test(records_after_the_peer_closed),
        cmocka_unit_test(many_records),
        cmocka_unit_test(vectors),
        cmocka_unit_test(copies),
        cmocka_unit_test(readers),
        cmocka_unit_test(two_ends_in_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

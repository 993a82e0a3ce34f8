/* SPDX-License-Identifier: MIT */
/* Messages: what comes with a datagram, descriptors over unix sockets, and who the peer is. */
#include "net/netcase.h"

#include "base/sys.h"

#include <coracle/message.h>
#include <coracle/packet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

enum { EVERYTHING = COR_WITH_LOCAL | COR_WITH_HOPS | COR_WITH_TOS | COR_WITH_TIME, SENT_HOPS = 7, SENT_TOS = 0x20 };

static cor_conn *listen_on(const char *network, const char *address)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet(&conn, network, address, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_message text_message(const char *text)
{
    return (cor_message){.data = (void *)(uintptr_t)text, .size_bytes = strlen(text)};
}

static int64_t real_now(void)
{
    struct timespec now;
    T_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    return (int64_t)now.tv_sec * COR_SECOND + now.tv_nsec;
}

/* Sends `sent` from `from` to `to`, takes it there, and checks all that comes with it. */
static void exchange(cor_conn *from, cor_conn *to, cor_message sent, cor_ip local)
{
    char data[16];
    cor_message got = {.data = data, .room_bytes = sizeof(data)};
    int64_t before = real_now();
    T_EQ(cor_write_message(from, &sent), sent.size_bytes);
    T_EQ(cor_read_message(to, &got), sent.size_bytes);
    T_MEM(data, sent.data, sent.size_bytes);
    T_EQ(got.addr.port, cor_local_endpoint(from).port);
    T_EQ(got.with, EVERYTHING);
    T_EQ(cor_ip_compare(got.local, local), 0);
    T_ASSERT(got.interface > 0);
    if ((sent.with & COR_WITH_HOPS) != 0) {
        T_EQ(got.hops, sent.hops);
    }
    T_EQ(got.tos, (sent.with & COR_WITH_TOS) != 0 ? sent.tos : 0);
    T_REQUIRE(got.time_ns >= before - COR_SECOND && got.time_ns <= real_now() + COR_SECOND, "%lld, not %lld",
              (long long)got.time_ns, (long long)before);
    if ((sent.with & COR_WITH_LOCAL) != 0) {
        T_EQ(cor_ip_compare(got.addr.ip, sent.local), 0);
    }
}

static cor_ip ip_of(const char *text)
{
    cor_ip ip;
    T_CODE(cor_ip_parse(&ip, text), 0);
    return ip;
}

/* N219: destination, interface, hop limit, type of service and time come, and are sent; nothing unasked for comes */
TASK_TEST(control_data)
{
    char data[16];
    cor_conn *server = listen_on("udp4", ":0"), *client = listen_on("udp4", ":0");
    cor_message got = {.data = data, .room_bytes = 2}, sent = text_message("hello");
    sent.addr = (cor_addr){.ip = ip_of("127.0.0.3"), .port = cor_local_endpoint(server).port};
    T_EQ(cor_write_message(client, &sent), 5);
    T_EQ(cor_read_message(server, &got), 2);
    T_ASSERT(got.with == 0 && got.cut);
    T_EQ(got.addr.port, cor_local_endpoint(client).port);
    T_CODE(cor_set_control(server, EVERYTHING), 0);
    exchange(client, server, sent, sent.addr.ip);
    sent.with = COR_WITH_LOCAL | COR_WITH_HOPS | COR_WITH_TOS;
    sent.local = ip_of("127.0.0.9");
    sent.hops = SENT_HOPS;
    sent.tos = SENT_TOS;
    exchange(client, server, sent, sent.addr.ip);
    T_CODE(cor_set_control(server, 0), 0);
    T_EQ(cor_write_message(client, &sent), 5);
    T_EQ(cor_read_message(server, &got), 2);
    T_EQ(got.with, 0);
    close_pair(server, client);
}

/* N219: over IPv6, and IPv4 on a socket of both families */
TASK_TEST(control_data_of_both_families)
{
    if (!has_ipv6()) {
        T_SKIP("this machine has no IPv6 loopback");
    }
    cor_conn *server = listen_on("udp", ":0"), *client = listen_on("udp", ":0");
    cor_message sent = text_message("six");
    T_CODE(cor_set_control(server, EVERYTHING), 0);
    sent.with = COR_WITH_HOPS | COR_WITH_TOS;
    sent.hops = SENT_HOPS;
    sent.tos = SENT_TOS;
    sent.addr = (cor_addr){.ip = ip_of("::1"), .port = cor_local_endpoint(server).port};
    exchange(client, server, sent, sent.addr.ip);
    sent.with |= COR_WITH_LOCAL;
    sent.local = ip_of("127.0.0.9");
    sent.addr.ip = ip_of("127.0.0.1");
    exchange(client, server, sent, sent.addr.ip);
    sent.local = ip_of("::1");
    T_CODE(cor_write_message(client, &sent), -EINVAL);
    close_pair(server, client);
}

/* N219, N244: what cannot be sent */
TASK_TEST(refusals)
{
    char text[COR_ERROR_TEXT], want[COR_ERROR_TEXT], here[COR_ADDR_TEXT];
    int fd = 0;
    cor_error error;
    cor_conn *udp = listen_on("udp4", "127.0.0.1:0"), *a, *b;
    cor_message message = text_message("x");
    cor_credentials peer;
    T_CODE(cor_write_message(udp, &message), COR_EMISSING_ADDRESS);
    message.addr = cor_local_endpoint(udp);
    message.with = COR_WITH_HOPS;
    message.hops = 4711;
    T_CODE(cor_write_message(udp, &message), -EINVAL);
    cor_message_error(udp, "write", &message, -EINVAL, &error);
    (void)cor_local_addr(udp, here, sizeof(here));
    (void)snprintf(want, sizeof(want), "write udp4 %s->%s: sendmsg: invalid argument", here, here);
    T_STR(cor_error_text(&error, text, sizeof(text)), want);
    message.with = 0;
    message.fds = &fd;
    message.fd_count = 1;
    T_CODE(cor_write_message(udp, &message), -EOPNOTSUPP);
    T_CODE(cor_peer_credentials(udp, &peer), -EOPNOTSUPP);
    make_pair(KIND_UNIX, &a, &b);
    message = text_message("x");
    message.with = COR_WITH_TOS;
    T_CODE(cor_write_message(a, &message), -EOPNOTSUPP);
    T_CODE(cor_set_control(a, COR_WITH_LOCAL), -EOPNOTSUPP);
    T_CODE(cor_set_control(a, COR_WITH_TIME), 0);
    message.with = 0;
    (void)snprintf(message.path, sizeof(message.path), "/nowhere");
    T_CODE(cor_write_message(a, &message), COR_EWRITE_TO_CONNECTED);
    close_pair(a, b);
    make_pair(KIND_TCP, &a, &b);
    T_CODE(cor_write_message(a, &message), -EOPNOTSUPP);
    T_CODE(cor_read_message(a, &message), -EOPNOTSUPP);
    T_CODE(cor_set_control(a, 0), -EOPNOTSUPP);
    T_CODE(cor_peer_credentials(a, &peer), -EOPNOTSUPP);
    close_pair(a, b);
    T_CODE(cor_close(udp), 0);
}

/* Descriptors over each kind of unix socket. */
static void make_unix(const char *network, cor_conn **a, cor_conn **b)
{
    char name[64];
    cor_listener *listener;
    if (strcmp(network, "unixgram") == 0) {
        *b = listen_on("unixgram", abstract_name(name, sizeof(name)));
        T_CODE(cor_dial(a, network, name, NULL), 0);
        return;
    }
    T_CODE(cor_listen(&listener, network, abstract_name(name, sizeof(name)), NULL), 0);
    T_CODE(cor_dial(a, network, name, NULL), 0);
    T_CODE(cor_accept(listener, b), 0);
    T_CODE(cor_listener_close(listener), 0);
    T_CODE(cor_set_read_deadline(*b, cor_after(SOON * taskcase_patience())), 0);
}

static const char *const kinds[] = {"unix", "unixpacket", "unixgram"};

/* A pipe, whose writing end is passed: when all copies of that are closed its reader sees the end. */
static void make_pipe(int ends[2])
{
    T_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
}

static bool has_ended(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 0;
}

static void send_fds(cor_conn *conn, const char *text, int *fds, size_t count)
{
    cor_message message = text_message(text);
    message.fds = fds;
    message.fd_count = count;
    T_EQ(cor_write_message(conn, &message), strlen(text));
}

/* N243: a descriptor arrives, is close-on-exec, and leads to the same file; with bytes and without any */
TASK_TEST(descriptors_are_passed)
{
    for (int kind = 0; kind < 3; kind++) {
        char data[8];
        int ends[2], got[2] = {-1, -1};
        cor_conn *a, *b;
        make_unix(kinds[kind], &a, &b);
        for (int bytes = 0; bytes < 2; bytes++) {
            cor_message message = {.data = data, .room_bytes = bytes > 0 ? 8 : 0, .fds = got, .fd_room = 2};
            make_pipe(ends);
            send_fds(a, bytes > 0 ? "with" : "", &ends[1], 1);
            T_EQ(cor_read_message(b, &message), bytes > 0 ? 4 : 0);
            T_EQ(message.fd_count, 1);
            T_ASSERT(!message.fds_lost && !message.cut);
            T_EQ(fcntl(got[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            T_EQ(close(ends[1]), 0);
            T_EQ(write(got[0], "p", 1), 1);
            T_EQ(read(ends[0], data, 1), 1);
            T_EQ(close(got[0]), 0);
            T_ASSERT(has_ended(ends[0]));
            T_EQ(close(ends[0]), 0);
        }
        close_pair(a, b);
    }
}

/* N243: what there is no room for is closed, and told; so is what a plain read or a dying receiver leaves */
TASK_TEST(descriptors_without_room)
{
    for (int kind = 0; kind < 3; kind++) {
        for (int way = 0; way < 4; way++) {
            char data[8];
            int ends[2], got[1], sent[3];
            cor_conn *a, *b;
            cor_message message = {.data = data, .room_bytes = 8, .fds = got, .fd_room = way == 0 ? 1 : 0};
            make_unix(kinds[kind], &a, &b);
            make_pipe(ends);
            sent[0] = sent[1] = sent[2] = ends[1];
            send_fds(a, "three", sent, 3);
            T_EQ(close(ends[1]), 0);
            if (way < 2) {
                T_EQ(cor_read_message(b, &message), 5);
                T_EQ(message.fd_count, way == 0);
                T_ASSERT(message.fds_lost);
                T_ASSERT(way == 0 ? !has_ended(ends[0]) : has_ended(ends[0]));
                T_EQ(way == 0 ? close(got[0]) : 0, 0);
            } else if (way == 2) {
                T_EQ(cor_read(b, data, sizeof(data)), 5);
            } else {
                T_CODE(cor_close(b), 0);
                b = NULL;
            }
            T_ASSERT(has_ended(ends[0]));
            T_EQ(close(ends[0]), 0);
            T_CODE(cor_close(a), 0);
            T_CODE(cor_close(b), 0);
        }
    }
}

/* N243: the most there may be, and more */
TASK_TEST(many_descriptors)
{
    static int sent[COR_FDS_MAX + 1], got[COR_FDS_MAX];
    char byte;
    int ends[2];
    cor_conn *a, *b;
    cor_message message = {.data = &byte, .room_bytes = 1, .fds = got, .fd_room = COR_FDS_MAX};
    make_unix("unix", &a, &b);
    make_pipe(ends);
    for (int i = 0; i <= COR_FDS_MAX; i++) {
        sent[i] = ends[1];
    }
    cor_message out = text_message("x");
    out.fds = sent;
    out.fd_count = COR_FDS_MAX + 1;
    T_CODE(cor_write_message(a, &out), -EINVAL);
    sent[0] = -1;
    out.fd_count = 1;
    T_CODE(cor_write_message(a, &out), -EBADF);
    sent[0] = ends[1];
    send_fds(a, "x", sent, COR_FDS_MAX);
    T_EQ(cor_read_message(b, &message), 1);
    T_EQ(message.fd_count, COR_FDS_MAX);
    T_ASSERT(!message.fds_lost);
    T_EQ(close(ends[1]), 0);
    for (int i = 0; i < COR_FDS_MAX; i++) {
        T_EQ(close(got[i]), 0);
    }
    T_ASSERT(has_ended(ends[0]));
    T_EQ(close(ends[0]), 0);
    close_pair(a, b);
}

/* A message of a stream that the kernel takes in parts goes whole; the descriptor comes with its first byte. */
static void read_big(void *arg)
{
    static char data[1 << 20];
    int fd = -1;
    size_t have = 0;
    while (have < sizeof(data)) {
        cor_message message = {
            .data = data + have, .room_bytes = sizeof(data) - have, .fds = &fd, .fd_room = have == 0};
        T_ASSERT(cor_read_message(arg, &message) > 0);
        T_EQ(message.fd_count, have == 0);
        have += message.size_bytes;
    }
    T_EQ(close(fd), 0);
}

TASK_TEST(big_messages_of_a_stream)
{
    static char data[1 << 20];
    int ends[2];
    cor_conn *a, *b;
    cor_group reader = {0};
    make_unix("unix", &a, &b);
    make_pipe(ends);
    cor_message message = {.data = data, .size_bytes = sizeof(data), .fds = &ends[1], .fd_count = 1};
    go_on(1, &reader, read_big, b);
    T_EQ(cor_write_message(a, &message), sizeof(data));
    wait_for(&reader);
    T_EQ(close(ends[0]), 0);
    T_EQ(close(ends[1]), 0);
    cor_message end = {.data = data, .room_bytes = 1};
    T_CODE(cor_close(a), 0);
    T_EQ(cor_read_message(b, &end), 0);
    T_CODE(cor_close(b), 0);
}

/* Who is at the other end: this process. */
TASK_TEST(credentials)
{
    for (int kind = 0; kind < 2; kind++) {
        cor_conn *a, *b;
        cor_credentials peer = {0};
        make_unix(kinds[kind], &a, &b);
        T_CODE(cor_peer_credentials(b, &peer), 0);
        T_ASSERT(peer.pid == getpid() && peer.uid == geteuid() && peer.gid == getegid());
        T_CODE(cor_peer_credentials(a, &peer), 0);
        T_EQ(peer.pid, getpid());
        close_pair(a, b);
        T_CODE(cor_peer_credentials(a, &peer), COR_ECLOSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_data),
        cmocka_unit_test(control_data_of_both_families),
        cmocka_unit_test(refusals),
        cmocka_unit_test(descriptors_are_passed),
        cmocka_unit_test(descriptors_without_room),
        cmocka_unit_test(many_descriptors),
        cmocka_unit_test(big_messages_of_a_stream),
        cmocka_unit_test(credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that leave as trains: what the receiver sees is what it would have seen without, and what the kernel does
 * not take as a train goes singly.
 */
/* test: simulated */
#include "net/netcase.h"
#include "support/faults.h"

#include <coracle/packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { MANY = 70, SIZE = 100, SMALL_MTU = 600 };

static const cor_options one_worker = {.workers = 1};

static cor_conn *bound(const char *address)
{
    cor_conn *conn = NULL;
    T_CODE(cor_listen_packet(&conn, "udp", address, NULL), 0);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON * taskcase_patience())), 0);
    return conn;
}

static cor_conn *dialed(cor_conn *to)
{
    char address[COR_ADDR_TEXT];
    cor_conn *conn = NULL;
    T_CODE(cor_dial(&conn, "udp", cor_local_addr(to, address, sizeof(address)), NULL), 0);
    return conn;
}

/* The next datagram must be the one with this number and size, and from there. */
static void expect(cor_conn *conn, size_t number, size_t size, cor_addr sender)
{
    static unsigned char data[2 * SMALL_MTU];
    cor_packet packet = {.data = data, .room_bytes = sizeof(data)};
    T_EQ(cor_read_packets(conn, &packet, 1), 1);
    T_EQ(packet.size_bytes, size);
    T_ASSERT(!packet.cut);
    T_EQ(cor_addr_compare(packet.addr, sender), 0);
    for (size_t i = 0; i < size; i++) {
        T_EQ(data[i], (unsigned char)(number + i));
    }
}

/* Packets of these sizes, each filled from its number on, to one address. */
static void fill(cor_packet *packets, unsigned char (*data)[2 * SMALL_MTU], const size_t *sizes, size_t count,
                 cor_addr to)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < sizes[i]; at++) {
            data[i][at] = (unsigned char)(i + at);
        }
        packets[i] = (cor_packet){.data = data[i], .size_bytes = sizes[i], .addr = to};
    }
}

static unsigned char room[MANY][2 * SMALL_MTU];

/* Longer, shorter, empty, equal ones: trains begin and end everywhere. */
static void sizes_of(size_t *sizes)
{
    static const size_t pattern[] = {SIZE, SIZE, SIZE, 1, SIZE, 2 * SIZE, 2 * SIZE, SIZE, SIZE, 0, 0, 7, 7, 7, 7};
    for (size_t i = 0; i < MANY; i++) {
        sizes[i] = pattern[i % (sizeof(pattern) / sizeof(pattern[0]))];
    }
}

static void expect_edges_kept(const char *address)
{
    cor_packet packets[MANY];
    size_t sizes[MANY];
    cor_conn *server = bound(address), *client = dialed(server), *any = bound(address);
    sizes_of(sizes);
    fill(packets, room, sizes, MANY, (cor_addr){0});
    T_EQ(cor_write_packets(client, packets, MANY), MANY);
    for (size_t i = 0; i < MANY; i++) {
        expect(server, i, sizes[i], cor_local_endpoint(client));
    }
    fill(packets, room, sizes, MANY, cor_local_endpoint(server));
    T_EQ(cor_write_packets(any, packets, MANY), MANY);
    for (size_t i = 0; i < MANY; i++) {
        expect(server, i, sizes[i], cor_local_endpoint(any));
    }
    T_CODE(cor_close(any), 0);
    close_pair(server, client);
}

/* Each is read as it was written, whatever left together. */
TASK_TEST(edges_are_kept)
{
    expect_edges_kept("127.0.0.1:0");
    if (has_ipv6()) {
        expect_edges_kept("[::1]:0");
    }
}

/* What goes elsewhere in between is no part of a train. */
TASK_TEST(each_to_its_own)
{
    enum { COUNT = 30 };
    cor_packet packets[COUNT];
    size_t sizes[COUNT];
    cor_conn *one = bound("127.0.0.1:0"), *other = bound("127.0.0.1:0"), *any = bound("127.0.0.1:0");
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = SIZE;
    }
    fill(packets, room, sizes, COUNT, cor_local_endpoint(one));
    for (size_t i = 0; i < COUNT; i++) {
        packets[i].addr = i / 2 % 2 == 0 || i > COUNT / 2 ? packets[i].addr : cor_local_endpoint(other);
    }
    T_EQ(cor_write_packets(any, packets, COUNT), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        bool first = cor_addr_compare(packets[i].addr, cor_local_endpoint(one)) == 0;
        expect(first ? one : other, i, SIZE, cor_local_endpoint(any));
    }
    T_CODE(cor_close(any), 0);
    close_pair(one, other);
}

/* How long what waits at the socket is, and the size that the kernel would cut it to; -1: it is one datagram. */
static ssize_t take_train(int fd, int *segment)
{
    static unsigned char data[65536];
    size_t control[16];
    struct iovec part = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    T_EQ(poll(&ready, 1, (int)(SOON / COR_MILLISECOND)), 1);
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
    *segment = -1;
    struct cmsghdr *told = CMSG_FIRSTHDR(&message);
    if (told != NULL && told->cmsg_level == SOL_UDP && told->cmsg_type == UDP_GRO) {
        memcpy(segment, CMSG_DATA(told), sizeof(*segment));
    }
    return size;
}

/* A receiver that takes trains whole gets them whole. */
TASK_TEST(a_train_is_one_message)
{
    enum { COUNT = 20 };
    cor_packet packets[COUNT];
    size_t sizes[COUNT];
    int segment, on = 1;
    cor_conn *server = bound("127.0.0.1:0"), *client = dialed(server);
    if (setsockopt(raw_fd(server), SOL_UDP, UDP_GRO, &on, sizeof(on)) < 0) {
        T_SKIP("this kernel has no trains of datagrams");
    }
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i + 1 < COUNT ? SIZE : SIZE / 2;
    }
    fill(packets, room, sizes, COUNT, (cor_addr){0});
    T_EQ(cor_write_packets(client, packets, COUNT), COUNT);
    T_EQ(take_train(raw_fd(server), &segment), (COUNT - 1) * SIZE + SIZE / 2);
    T_EQ(segment, SIZE);
    T_EQ(cor_write_packets(client, packets, 3), 3);
    T_EQ(take_train(raw_fd(server), &segment), 3 * SIZE);
    T_EQ(cor_write_packets(client, packets, 1), 1);
    T_EQ(take_train(raw_fd(server), &segment), SIZE);
    T_EQ(segment, -1);
    close_pair(server, client);
}

/* A kernel that takes none: what each datagram alone would have given comes from a second call, and only then. */
TASK_TEST_WITH(refused_trains_go_singly, &one_worker)
{
    T_SKIP_SIMULATED("it has no faults of a test");
    static const int codes[] = {-EINVAL, -EMSGSIZE, -EIO, -EOPNOTSUPP, -ENOBUFS};
    cor_packet packets[3];
    const size_t sizes[3] = {SIZE, SIZE, SIZE};
    cor_conn *server = bound("127.0.0.1:0"), *client = dialed(server);
    fill(packets, room, sizes, 3, (cor_addr){0});
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        faults_set(CORI_SYS_SEND, 1, codes[i]);
        T_EQ(cor_write_packets(client, packets, 3), 3);
        T_ASSERT(faults_hit());
        for (size_t number = 0; number < 3; number++) {
            expect(server, number, SIZE, cor_local_endpoint(client));
        }
        faults_set_run(CORI_SYS_SEND, 1, 2, codes[i]);
        T_CODE(cor_write_packets(client, packets, 3), codes[i]);
        faults_set(CORI_SYS_SEND, 1, codes[i]); /* one is no train */
        T_CODE(cor_write_packets(client, packets, 1), codes[i]);
        faults_set(CORI_SYS_SEND, 1, -ECONNREFUSED); /* of a datagram before */
        T_CODE(cor_write_packets(client, packets, 3), -ECONNREFUSED);
    }
    faults_clear();
    close_pair(server, client);
}

static void loopback_of_size(int mtu)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_mtu = mtu};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    T_EQ(ioctl(fd, SIOCSIFMTU, &lo), 0);
    lo.ifr_flags = IFF_UP;
    T_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    T_EQ(close(fd), 0);
}

/* Datagrams that are larger than the path is: the kernel takes them in pieces, but no train of them. */
TASK_TEST_WITH(larger_than_the_path, &one_worker)
{
    cor_packet packets[MANY];
    size_t sizes[MANY];
    if (unshare(CLONE_NEWNET) < 0) {
        T_SKIP("needs a network namespace, which is refused here");
    }
    loopback_of_size(SMALL_MTU);
    cor_conn *server = bound("127.0.0.1:0"), *client = dialed(server);
    for (size_t i = 0; i < MANY; i++) {
        sizes[i] = i / 10 % 2 == 0 ? SIZE : SMALL_MTU;
    }
    fill(packets, room, sizes, MANY, (cor_addr){0});
    T_EQ(cor_write_packets(client, packets, MANY), MANY);
    for (size_t i = 0; i < MANY; i++) {
        expect(server, i, sizes[i], cor_local_endpoint(client));
    }
    close_pair(server, client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_are_kept),         cmocka_unit_test(each_to_its_own),
        cmocka_unit_test(a_train_is_one_message), cmocka_unit_test(refused_trains_go_singly),
        cmocka_unit_test(larger_than_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

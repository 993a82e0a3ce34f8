/* SPDX-License-Identifier: MIT */
/*
 * The measure for datagrams: a UDP echo as one writes it by hand, without any run-time. One thread, one epoll,
 * edge-triggered; up to 32 datagrams with one recvmmsg and their answers with one sendmmsg. The kernel's forms of the
 * messages are prepared once and used by all sockets; only what a call changes is put right before the next. Fewer
 * datagrams than asked for mean that the socket is empty, so no read is made only to be told EAGAIN.
 * usage: raw_echo_udp [--sockets N] [--work NS]
 * Prints a line `listening echo udp ADDRESS` for each socket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, PACKET_BYTES = 65536, EVENTS = 256 };

static char data[BATCH][PACKET_BYTES];
static struct sockaddr_in6 names[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static int64_t work_ns;

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void work(int count)
{
    int64_t end = now_ns() + count * work_ns;
    while (now_ns() < end) {}
}

static void prepare(void)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = data[i], .iov_len = PACKET_BYTES};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i], .msg_namelen = sizeof(names[i]), .msg_iov = &parts[i], .msg_iovlen = 1};
    }
}

/* Sends the answers; one that cannot be sent is left out. */
static void answer(int fd, int count)
{
    for (int sent = 0; sent < count;) {
        int now = sendmmsg(fd, messages + sent, (unsigned)(count - sent), MSG_NOSIGNAL);
        sent += now > 0 ? now : 1;
    }
}

/* Echoes until the socket is empty. */
static void serve(int fd)
{
    int count;
    do {
        count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            parts[i].iov_len = messages[i].msg_len;
        }
        if (count > 0 && work_ns > 0) {
            work(count);
        }
        answer(fd, count);
        for (int i = 0; i < count; i++) {
            parts[i].iov_len = PACKET_BYTES;
            messages[i].msg_hdr.msg_namelen = sizeof(names[i]);
        }
    } while (count == BATCH);
}

static void open_socket(int epoll)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 || getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        fail("socket");
    }
    printf("listening echo udp 127.0.0.1:%d\n", ntohs(addr.sin_port));
}

int main(int argc, char **argv)
{
    int sockets = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--sockets") == 0) {
            sockets = atoi(argv[i + 1]);
        } else if (strcmp(argv[i], "--work") == 0) {
            work_ns = atoi(argv[i + 1]);
        }
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        return fail("epoll");
    }
    prepare();
    for (int i = 0; i < sockets; i++) {
        open_socket(epoll);
    }
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if ((events[i].events & EPOLLIN) != 0) {
                serve(events[i].data.fd);
            }
        }
        if (count < 0 && errno != EINTR) {
            return fail("epoll_wait");
        }
    }
}

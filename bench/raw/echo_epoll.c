/* SPDX-License-Identifier: MIT */
/*
 * The measure: an echo server as one writes it by hand, without any run-time. One thread, one epoll, edge-triggered;
 * one epoll_ctl per connection for its life; one 16 KiB buffer for all; fewer bytes than asked for mean drained, so no
 * read is made only to be told EAGAIN; TCP_NODELAY is inherited from the listener. What the peer does not take is kept,
 * and nothing more is read from it until it has.
 * With --work it spends so many ns more on each message: a known difference, to see whether a comparison finds it.
 * usage: raw_echo_epoll [--work NS] [PORT]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 16384, EVENTS = 256, BACKLOG = 4096 };

typedef struct client {
    int fd;
    bool ending;  /* the peer has closed, or an error: read until 0 whatever comes */
    char *unsent; /* NULL: nothing */
    size_t from, to;
} client;

static char buffer[BUFFER_BYTES];
static int64_t work_ns;

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(client *of)
{
    close(of->fd);
    free(of->unsent);
    free(of);
}

/* Keeps what could not be sent. */
static bool keep(client *of, const char *data, size_t size)
{
    of->unsent = malloc(size);
    if (of->unsent == NULL) {
        return false;
    }
    memcpy(of->unsent, data, size);
    of->from = 0;
    of->to = size;
    return true;
}

/* False: the connection has failed. */
static bool flush_unsent(client *of)
{
    while (of->from < of->to) {
        ssize_t sent = send(of->fd, of->unsent + of->from, of->to - of->from, MSG_NOSIGNAL);
        if (sent < 0) {
            return errno == EAGAIN;
        }
        of->from += (size_t)sent;
    }
    free(of->unsent);
    of->unsent = NULL;
    return true;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void work(void)
{
    int64_t end = now_ns() + work_ns;
    while (now_ns() < end) {}
}

static bool echo(client *of, size_t size)
{
    if (work_ns > 0) {
        work();
    }
    ssize_t sent = send(of->fd, buffer, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size) {
        return true;
    }
    if (sent < 0 && errno != EAGAIN) {
        return false;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    return keep(of, buffer + done, size - done);
}

/* Reads and echoes until drained. False: the connection is over. */
static bool serve(client *of)
{
    while (of->unsent == NULL) {
        ssize_t count = recv(of->fd, buffer, sizeof(buffer), 0);
        if (count < 0) {
            return errno == EAGAIN;
        }
        if (count == 0 || !echo(of, (size_t)count)) {
            return false;
        }
        if ((size_t)count < sizeof(buffer) && !of->ending) {
            break;
        }
    }
    return true;
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        client *new = calloc(1, sizeof(*new));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = new};
        if (new == NULL || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
            close(fd);
            free(new);
            continue;
        }
        new->fd = fd;
    }
}

static void handle(const struct epoll_event *event)
{
    client *of = event->data.ptr;
    if ((event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        of->ending = true;
    }
    bool goes_on = of->unsent == NULL || flush_unsent(of);
    if (goes_on && ((event->events & EPOLLIN) != 0 || of->ending)) {
        goes_on = serve(of);
    }
    if (!goes_on) {
        drop(of);
    }
}

static int listen_on(int port)
{
    int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(addr);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        return fail("listen");
    }
    printf("listening echo tcp 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--work") == 0) {
        work_ns = atoi(argv[2]);
        argc -= 2;
        argv += 2;
    }
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN | EPOLLET, .data.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]) < 0) {
        return fail("epoll");
    }
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(epoll, listener);
            } else {
                handle(&events[i]);
            }
        }
        if (count < 0 && errno != EINTR) {
            return fail("epoll_wait");
        }
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * An echo server on libevent, for comparison, written for speed: plain persistent events, because a bufferevent reads
 * 4 KiB at a time and costs half as much again; one 16 KiB buffer for all; TCP_NODELAY inherited from the listener.
 * What the peer does not take is kept, and nothing more is read from it until it has.
 * usage: peer_echo_event [PORT]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BUFFER_BYTES = 16384, BACKLOG = 4096 };

typedef struct client {
    struct event *readable, *writable; /* one of them is added at a time */
    char *unsent;
    size_t from, to;
} client;

static char buffer[BUFFER_BYTES];

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(client *of, evutil_socket_t fd)
{
    if (of->readable != NULL) {
        event_free(of->readable);
    }
    if (of->writable != NULL) {
        event_free(of->writable);
    }
    evutil_closesocket(fd);
    free(of->unsent);
    free(of);
}

static bool keep(client *of, const char *data, size_t size)
{
    of->unsent = malloc(size);
    if (of->unsent == NULL) {
        return false;
    }
    memcpy(of->unsent, data, size);
    of->from = 0;
    of->to = size;
    return event_del(of->readable) == 0 && event_add(of->writable, NULL) == 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    client *of = arg;
    (void)what;
    ssize_t sent = send(fd, of->unsent + of->from, of->to - of->from, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        drop(of, fd);
        return;
    }
    of->from += sent > 0 ? (size_t)sent : 0;
    if (of->from == of->to) {
        free(of->unsent);
        of->unsent = NULL;
        event_del(of->writable);
        event_add(of->readable, NULL);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    client *of = arg;
    (void)what;
    ssize_t count = recv(fd, buffer, sizeof(buffer), 0);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    ssize_t sent = count > 0 ? send(fd, buffer, (size_t)count, MSG_NOSIGNAL) : -1;
    if (sent == count) {
        return;
    }
    bool full = count > 0 && (sent >= 0 || errno == EAGAIN);
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (!full || !keep(of, buffer + done, (size_t)count - done)) {
        drop(of, fd);
    }
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
    struct event_base *base = arg;
    (void)listener;
    (void)peer;
    (void)len;
    client *new = calloc(1, sizeof(*new));
    if (new == NULL) {
        evutil_closesocket(fd);
        return;
    }
    new->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, new);
    new->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, new);
    if (new->readable == NULL || new->writable == NULL || event_add(new->readable, NULL) < 0) {
        drop(new, fd);
    }
}

int main(int argc, char **argv)
{
    int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0))};
    socklen_t len = sizeof(addr);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct event_base *base = event_base_new();
    struct evconnlistener *listener =
        base == NULL ? NULL
                     : evconnlistener_new_bind(base, accepted, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, BACKLOG,
                                               (struct sockaddr *)&addr, sizeof(addr));
    if (listener == NULL) {
        return fail("listen");
    }
    int fd = evconnlistener_get_fd(listener);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        return fail("listen");
    }
    printf("listening echo tcp 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}

/* SPDX-License-Identifier: MIT */
/*
 * What the tests of poll/poll.h share: over epoll, over io_uring (polling, and receiving ahead), over the tests' fake
 * poller, each with a descriptor and a way to make things happen at its far end. Each test is run once per backend.
 */
#ifndef TEST_CONTRACT_POLLCASE_H
#define TEST_CONTRACT_POLLCASE_H

#include "support/fake.h"
#include "support/taskcase.h"

#include "base/sys.h"
#include "poll/poll_epoll.h"
#if COR_HAVE_URING
#include "poll/poll_uring.h"
#include "poll/uring_probe.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

enum { READABLE = 1u << CORI_READ, WRITABLE = 1u << CORI_WRITE, FDS = 1024 };

/* How a test makes things happen at the far end of a descriptor. */
typedef struct backend {
    const cori_poll_ops *ops;
    enum cori_fd_kind kind;
    int (*open)(void);
    void (*feed)(int fd, const char *text);
    void (*end)(int fd);
    void (*fill)(int fd);  /* makes it not writable */
    void (*drain)(int fd); /* and writable again */
} backend;

static int peers[FDS]; /* by descriptor: the far end */

static inline int real_open(void)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(ends[0] < FDS);
    peers[ends[0]] = ends[1];
    return ends[0];
}

/* The same in TCP: what is a stream to a poller. */
static inline int tcp_open(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(far, (struct sockaddr *)&at, len), 0);
    int near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(near >= 0 && near < FDS && fcntl(far, F_SETFL, O_NONBLOCK) == 0 && close(listener) == 0);
    peers[near] = far;
    return near;
}

static inline void real_feed(int fd, const char *text)
{
    assert_int_equal(write(peers[fd], text, strlen(text)), strlen(text));
}

static inline void real_end(int fd)
{
    assert_int_equal(close(peers[fd]), 0);
    peers[fd] = -1;
}

static inline void real_fill(int fd)
{
    static const char zeros[4096];
    while (write(fd, zeros, sizeof(zeros)) > 0) {}
    assert_int_equal(errno, EAGAIN);
}

static inline void real_drain(int fd)
{
    char buf[65536];
    while (read(peers[fd], buf, sizeof(buf)) > 0) {}
}

static inline void fake_feed_text(int fd, const char *text)
{
    fake_feed(fd, text, strlen(text));
}

static inline void fake_fill(int fd)
{
    fake_set_writable(fd, false);
}

static inline void fake_drain(int fd)
{
    fake_set_writable(fd, true);
}

#if COR_HAVE_URING
#define URING_OPS &cori_poll_uring
#else
#define URING_OPS NULL /* these are skipped */
#endif

static const backend backends[] = {
    {&cori_poll_epoll, CORI_FD_PLAIN, real_open, real_feed, real_end, real_fill, real_drain},
    {&fake_poll_ops, CORI_FD_PLAIN, fake_open, fake_feed_text, fake_feed_end, fake_fill, fake_drain},
    {URING_OPS, CORI_FD_PLAIN, real_open, real_feed, real_end, real_fill, real_drain},
    {URING_OPS, CORI_FD_STREAM, tcp_open, real_feed, real_end, real_fill, real_drain},
    {&cori_poll_epoll, CORI_FD_STREAM, tcp_open, real_feed, real_end, real_fill, real_drain},
};
enum { EPOLL, FAKE, URING, URING_STREAM, EPOLL_STREAM };

/* What each test stands on: a poller and one descriptor. */
typedef struct fixture {
    const backend *by;
    cori_poller *poller;
    cori_pollfd pollfd;
} fixture;

static inline void open_one(fixture *on, cori_pollfd *pollfd)
{
    cori_pollfd_open(pollfd, on->by->open(), on->by->kind);
}

static inline void close_one(fixture *on, cori_pollfd *pollfd)
{
    if (on->by != &backends[FAKE] && peers[pollfd->fd] >= 0) {
        (void)close(peers[pollfd->fd]);
    }
    (void)close(pollfd->fd);
}

static inline int set_up(void **state, const backend *by)
{
    static fixture on;
    on = (fixture){.by = by};
    fake_install_poller();
    *state = &on;
    if (by->ops->open(&on.poller) < 0) {
        return -1;
    }
    if (by->ops->start != NULL) {
        by->ops->start(on.poller);
    }
    open_one(&on, &on.pollfd);
    return on.poller->ops == by->ops ? 0 : -1;
}

static inline int set_up_epoll(void **state)
{
    return set_up(state, &backends[EPOLL]);
}

static inline int set_up_fake(void **state)
{
    return set_up(state, &backends[FAKE]);
}

static inline int set_up_uring(void **state)
{
    return set_up(state, &backends[URING]);
}

static inline int set_up_uring_stream(void **state)
{
    return set_up(state, &backends[URING_STREAM]);
}

static inline int set_up_epoll_stream(void **state)
{
    return set_up(state, &backends[EPOLL_STREAM]);
}

static inline int tear_down(void **state)
{
    fixture *on = *state;
    close_one(on, &on->pollfd);
    if (on->by->ops->stop != NULL) {
        on->by->ops->stop(on->poller);
    }
    on->by->ops->close(on->poller);
    fake_uninstall();
    return 0;
}

static inline void add_one(fixture *on, cori_pollfd *pollfd)
{
    assert_int_equal(on->by->ops->add(on->poller, pollfd), 0);
    pollfd->poller = on->poller;
}

static inline void remove_one(fixture *on, cori_pollfd *pollfd)
{
    assert_true(on->by->ops->remove(on->poller, pollfd, true));
    pollfd->poller = NULL;
}

/* As net/ does: asks the poller if it receives ahead, else the kernel. */
static inline ssize_t poll_receive(fixture *on, cori_pollfd *pollfd, void *buf, size_t size)
{
    const cori_poll_ahead *ahead = on->by->ops->ahead;
    return ahead != NULL ? ahead->receive(on->poller, pollfd, buf, size) : cori_sys_recv(pollfd->fd, buf, size);
}

/* What is done before each wait. */
static inline void arm(fixture *on, cori_pollfd *pollfd)
{
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        if (on->by->ops->ahead != NULL && pollfd->poller != NULL) {
            assert_int_equal(on->by->ops->ahead->arm(on->poller, pollfd, direction), 0);
        }
    }
}

/* Waits for the directions in `want` of one descriptor, at most a few rounds; all that came. */
static inline unsigned collect(fixture *on, cori_pollfd *pollfd, unsigned want)
{
    unsigned got = 0;
    for (int round = 0; round < 100 && (got & want) != want; round++) {
        cori_event events[8];
        arm(on, pollfd);
        int count = on->by->ops->wait(on->poller, 50 * COR_MILLISECOND, events, 8);
        assert_true(count >= 0 && count <= 8);
        for (int i = 0; i < count; i++) {
            got |= events[i].pollfd == pollfd ? events[i].mask : 0;
        }
    }
    return got;
}

/* What is there without waiting. */
static inline unsigned glance(fixture *on, cori_pollfd *pollfd)
{
    unsigned got = 0;
    cori_event events[8];
    arm(on, pollfd);
    int count = on->by->ops->wait(on->poller, 0, events, 8);
    for (int i = 0; i < count; i++) {
        got |= events[i].pollfd == pollfd ? events[i].mask : 0;
    }
    return got;
}

static inline void add(fixture *on)
{
    add_one(on, &on->pollfd);
}

#define EACH(name)                                                                                                     \
    {"epoll: " #name, name, set_up_epoll, tear_down, NULL}, {"fake: " #name, name, set_up_fake, tear_down, NULL},      \
        {"io_uring: " #name, name, set_up_uring, tear_down, NULL},                                                     \
        {"epoll stream: " #name, name, set_up_epoll_stream, tear_down, NULL},                                          \
    {                                                                                                                  \
        "io_uring stream: " #name, name, set_up_uring_stream, tear_down, NULL                                          \
    }

static inline bool has_uring(void)
{
#if COR_HAVE_URING
    return cori_uring_probe() == 0;
#else
    return false;
#endif
}

/* Leaves out what cannot run here. */
static inline void skip_without_uring(void)
{
    if (!has_uring()) {
        puts("without io_uring: it is not built in, or the kernel refuses it");
        cmocka_set_skip_filter("io_uring*");
    }
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The contract of poll/poll.h: over epoll, over io_uring (polling, and receiving ahead), over the tests' fake poller.
 * Each test is run once per backend.
 */
/* test: workers=1 */
#include "support/fake.h"
#include "support/taskcase.h"

#include "poll/poll.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
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

static int real_open(void)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(ends[0] < FDS);
    peers[ends[0]] = ends[1];
    return ends[0];
}

/* The same in TCP: what is a stream to a poller. */
static int tcp_open(void)
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

static void real_feed(int fd, const char *text)
{
    assert_int_equal(write(peers[fd], text, strlen(text)), strlen(text));
}

static void real_end(int fd)
{
    assert_int_equal(close(peers[fd]), 0);
    peers[fd] = -1;
}

static void real_fill(int fd)
{
    static const char zeros[4096];
    while (write(fd, zeros, sizeof(zeros)) > 0) {}
    assert_int_equal(errno, EAGAIN);
}

static void real_drain(int fd)
{
    char buf[65536];
    while (read(peers[fd], buf, sizeof(buf)) > 0) {}
}

static void fake_feed_text(int fd, const char *text)
{
    fake_feed(fd, text, strlen(text));
}

static void fake_fill(int fd)
{
    fake_set_writable(fd, false);
}

static void fake_drain(int fd)
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
};
enum { EPOLL, FAKE, URING, URING_STREAM };

/* What each test stands on: a poller and one descriptor. */
typedef struct fixture {
    const backend *by;
    cori_poller *poller;
    cori_pollfd pollfd;
} fixture;

static void open_one(fixture *on, cori_pollfd *pollfd)
{
    cori_pollfd_open(pollfd, on->by->open(), on->by->kind);
}

static void close_one(fixture *on, cori_pollfd *pollfd)
{
    if (on->by != &backends[FAKE] && peers[pollfd->fd] >= 0) {
        (void)close(peers[pollfd->fd]);
    }
    (void)close(pollfd->fd);
}

static int set_up(void **state, const backend *by)
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

static int set_up_epoll(void **state)
{
    return set_up(state, &backends[EPOLL]);
}

static int set_up_fake(void **state)
{
    return set_up(state, &backends[FAKE]);
}

static int set_up_uring(void **state)
{
    return set_up(state, &backends[URING]);
}

static int set_up_uring_stream(void **state)
{
    return set_up(state, &backends[URING_STREAM]);
}

static int tear_down(void **state)
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

static void add_one(fixture *on, cori_pollfd *pollfd)
{
    assert_int_equal(on->by->ops->add(on->poller, pollfd), 0);
    pollfd->poller = on->poller;
}

static void remove_one(fixture *on, cori_pollfd *pollfd)
{
    assert_true(on->by->ops->remove(on->poller, pollfd, true));
    pollfd->poller = NULL;
}

/* What is done before each wait. */
static void arm(fixture *on, cori_pollfd *pollfd)
{
    for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
        if (on->by->ops->arm != NULL && pollfd->poller != NULL) {
            assert_int_equal(on->by->ops->arm(on->poller, pollfd, direction), 0);
        }
    }
}

/* Waits for the directions in `want` of one descriptor, at most a few rounds; all that came. */
static unsigned collect(fixture *on, cori_pollfd *pollfd, unsigned want)
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
static unsigned glance(fixture *on, cori_pollfd *pollfd)
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

static void add(fixture *on)
{
    add_one(on, &on->pollfd);
}

static void receive_all(fixture *on, const char *expected)
{
    char buf[64];
    ssize_t count = on->by->ops->receive(on->poller, &on->pollfd, buf, sizeof(buf));
    assert_int_equal(count, strlen(expected));
    assert_memory_equal(buf, expected, (size_t)count);
    assert_int_equal(on->by->ops->receive(on->poller, &on->pollfd, buf, sizeof(buf)), -EAGAIN);
}

static void add_reports_the_first_state(void **state)
{
    fixture *on = *state;
    on->by->feed(on->pollfd.fd, "early");
    add(on);
    assert_int_equal(collect(on, &on->pollfd, READABLE | WRITABLE), READABLE | WRITABLE);
    remove_one(on, &on->pollfd);
}

static void add_reports_only_what_is_so(void **state)
{
    fixture *on = *state;
    add(on);
    assert_int_equal(collect(on, &on->pollfd, WRITABLE), WRITABLE);
    remove_one(on, &on->pollfd);
    static cori_pollfd full; /* a late completion may look at it still */
    open_one(on, &full);
    on->by->fill(full.fd);
    add_one(on, &full);
    assert_int_equal(glance(on, &full) & WRITABLE, 0);
    remove_one(on, &full);
    close_one(on, &full);
}

static void an_edge_after_each_change(void **state)
{
    fixture *on = *state;
    add(on);
    (void)collect(on, &on->pollfd, WRITABLE);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(glance(on, &on->pollfd) & READABLE, 0);
        on->by->feed(on->pollfd.fd, "x");
        assert_int_equal(collect(on, &on->pollfd, READABLE) & READABLE, READABLE);
        if (i % 2 == 0) {
            receive_all(on, i == 0 ? "x" : "xx"); /* an edge comes whether or not the data before was taken */
        }
    }
    remove_one(on, &on->pollfd);
}

static void nothing_twice_for_one_change(void **state)
{
    fixture *on = *state;
    add(on);
    on->by->feed(on->pollfd.fd, "x");
    (void)collect(on, &on->pollfd, READABLE | WRITABLE);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(glance(on, &on->pollfd), 0); /* edge-triggered: undrained data is not reported again */
    }
    remove_one(on, &on->pollfd);
}

static void both_directions(void **state)
{
    fixture *on = *state;
    add(on);
    (void)collect(on, &on->pollfd, WRITABLE);
    on->by->fill(on->pollfd.fd);
    assert_int_equal(glance(on, &on->pollfd) & WRITABLE, 0);
    on->by->drain(on->pollfd.fd);
    assert_int_equal(collect(on, &on->pollfd, WRITABLE) & WRITABLE, WRITABLE);
    on->by->fill(on->pollfd.fd);
    on->by->drain(on->pollfd.fd);
    on->by->feed(on->pollfd.fd, "x");
    assert_int_equal(collect(on, &on->pollfd, READABLE | WRITABLE), READABLE | WRITABLE);
    remove_one(on, &on->pollfd);
}

static void end_of_stream_is_sticky(void **state)
{
    fixture *on = *state;
    char byte;
    add(on);
    (void)collect(on, &on->pollfd, WRITABLE);
    assert_int_equal(on->pollfd.sticky, 0);
    on->by->feed(on->pollfd.fd, "x");
    on->by->end(on->pollfd.fd);
    assert_int_equal(collect(on, &on->pollfd, READABLE) & READABLE, READABLE);
    assert_int_equal(on->pollfd.sticky, 1);
    assert_int_equal(on->by->ops->receive(on->poller, &on->pollfd, &byte, 1), 1);
    assert_int_equal(on->by->ops->receive(on->poller, &on->pollfd, &byte, 1), 0);
    remove_one(on, &on->pollfd);
}

/* A descriptor closed and its object used again: what happened to the old one is not reported to the new one. */
static void old_generations_are_dropped(void **state)
{
    fixture *on = *state;
    add(on);
    on->by->feed(on->pollfd.fd, "for the old one");
    uint16_t before = on->pollfd.generation;
    cori_pollfd old = on->pollfd;
    cori_pollfd_open(&on->pollfd, on->pollfd.fd, on->by->kind); /* reused while the registration is still there */
    assert_int_not_equal(on->pollfd.generation, before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(glance(on, &on->pollfd), 0);
    }
    remove_one(on, &old);
}

static void nothing_after_remove(void **state)
{
    fixture *on = *state;
    add(on);
    on->by->feed(on->pollfd.fd, "x");
    remove_one(on, &on->pollfd);
    assert_int_equal(glance(on, &on->pollfd), 0);
    /* The descriptor can be registered again, and tells its state again. */
    cori_pollfd_open(&on->pollfd, on->pollfd.fd, on->by->kind);
    add(on);
    assert_int_equal(collect(on, &on->pollfd, READABLE) & READABLE, READABLE);
    remove_one(on, &on->pollfd);
}

static void never_more_than_asked_for(void **state)
{
    fixture *on = *state;
    static cori_pollfd many[20]; /* as `full` above */
    for (int i = 0; i < 20; i++) {
        open_one(on, &many[i]);
        add_one(on, &many[i]);
    }
    int seen = 0;
    for (int round = 0; round < 20 && seen < 20; round++) {
        cori_event events[3];
        for (int i = 0; i < 20; i++) {
            arm(on, &many[i]);
        }
        int count = on->by->ops->wait(on->poller, 0, events, 3);
        assert_true(count >= 0 && count <= 3);
        seen += count;
    }
    assert_int_equal(seen, 20);
    for (int i = 0; i < 20; i++) {
        remove_one(on, &many[i]);
        close_one(on, &many[i]);
    }
}

static void *kick_it(void *arg)
{
    fixture *on = arg;
    on->by->ops->kick(on->poller);
    return NULL;
}

static void kick_before_wait(void **state)
{
    fixture *on = *state;
    cori_event events[1];
    on->by->ops->kick(on->poller);
    assert_int_equal(on->by->ops->wait(on->poller, -1, events, 1), 0); /* else the test's alarm ends it */
}

static void kick_from_a_thread(void **state)
{
    fixture *on = *state;
    cori_event events[1];
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, kick_it, on), 0);
        assert_int_equal(on->by->ops->wait(on->poller, -1, events, 1), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static fixture *signal_fixture;

static void on_signal(int number)
{
    (void)number;
    signal_fixture->by->ops->kick(signal_fixture->poller);
}

static void kick_from_a_signal_handler(void **state)
{
    fixture *on = *state;
    cori_event events[1];
    signal_fixture = on;
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(raise(SIGUSR1), 0);
        assert_int_equal(on->by->ops->wait(on->poller, -1, events, 1), 0);
    }
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* Many kicks may count as one, and events are not lost beside them. */
static void kicks_do_not_hide_events(void **state)
{
    fixture *on = *state;
    add(on);
    (void)collect(on, &on->pollfd, WRITABLE);
    for (int i = 0; i < 50; i++) {
        on->by->ops->kick(on->poller);
        on->by->ops->kick(on->poller);
        on->by->feed(on->pollfd.fd, "x");
        assert_int_equal(collect(on, &on->pollfd, READABLE) & READABLE, READABLE);
        receive_all(on, "x");
    }
    remove_one(on, &on->pollfd);
}

static void timeouts_are_kept(void **state)
{
    fixture *on = *state;
    cori_event events[1];
    bool fake = on->by == &backends[FAKE];
    int64_t before = fake ? fake_now() : cor_now();
    int count = 0;
    for (int64_t now = before; now < before + 5 * COR_MILLISECOND; now = fake ? fake_now() : cor_now()) {
        assert_int_equal(on->by->ops->wait(on->poller, before + 5 * COR_MILLISECOND - now, events, 1), 0);
        assert_true(++count < 10); /* it waited instead of spinning */
    }
}

#define EACH(name)                                                                                                     \
    {"epoll: " #name, name, set_up_epoll, tear_down, NULL}, {"fake: " #name, name, set_up_fake, tear_down, NULL},      \
        {"io_uring: " #name, name, set_up_uring, tear_down, NULL},                                                     \
    {                                                                                                                  \
        "io_uring stream: " #name, name, set_up_uring_stream, tear_down, NULL                                          \
    }

static bool has_uring(void)
{
#if COR_HAVE_URING
    return cori_uring_probe() == 0;
#else
    return false;
#endif
}

int main(void)
{
    (void)alarm(60);
    const struct CMUnitTest tests[] = {
        EACH(add_reports_the_first_state),
        EACH(add_reports_only_what_is_so),
        EACH(an_edge_after_each_change),
        EACH(nothing_twice_for_one_change),
        EACH(both_directions),
        EACH(end_of_stream_is_sticky),
        EACH(old_generations_are_dropped),
        EACH(nothing_after_remove),
        EACH(never_more_than_asked_for),
        EACH(kick_before_wait),
        EACH(kick_from_a_thread),
        EACH(kick_from_a_signal_handler),
        EACH(kicks_do_not_hide_events),
        EACH(timeouts_are_kept),
    };
    if (!has_uring()) {
        puts("without io_uring: it is not built in, or the kernel refuses it");
        cmocka_set_skip_filter("io_uring*");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * A close over io_uring ends the requests of its own descriptor: each of them, or the peer would not hear of the close;
 * no others, not even those on the same socket under another number; and at a cost that does not grow with what else
 * is in the ring, or thousands of closes would take minutes of a processor.
 */
/* test: workers=1 no-valgrind */
#include "support/faults.h"
#include "support/taskcase.h"
#include "support/uring_main.h"

#if COR_HAVE_URING
#include "poll/uring_fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_NS = 1000000000, FEW = 100, MANY = 5000, AT_ONCE = 50, TRIES = 7, RATIO_MAX = 5, RESERVE = 100 };

static cori_poller *poller;
static cori_pollfd pollfds[MANY];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(cori_poll_uring.open(&poller), 0);
    cori_poll_uring.start(poller);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    faults_clear();
    cori_poll_uring.stop(poller);
    cori_poll_uring.close(poller);
    return 0;
}

static int turn(int64_t timeout_ns)
{
    cori_event events[CORI_POLL_EVENTS];
    int count = cori_poll_uring.wait(poller, timeout_ns, events, CORI_POLL_EVENTS);
    assert_true(count >= 0);
    return count;
}

static void add(cori_pollfd *pollfd, int fd, enum cori_fd_kind kind)
{
    assert_true(fd >= 0);
    cori_pollfd_open(pollfd, fd, kind);
    assert_int_equal(cori_poll_uring.add(poller, pollfd), 0);
    pollfd->poller = poller;
}

static void arm(cori_pollfd *pollfd, int direction)
{
    assert_int_equal(cori_poll_uring.ahead->arm(poller, pollfd, direction), 0);
}

static void close_it(cori_pollfd *pollfd)
{
    assert_true(cori_poll_uring.remove(poller, pollfd, true));
    assert_int_equal(close(pollfd->fd), 0);
}

/* The peer hears of the close at once. */
static void expect_end(int peer)
{
    char byte;
    ssize_t count = recv(peer, &byte, 1, MSG_DONTWAIT);
    assert_true(count == 0 || (count < 0 && errno == ECONNRESET));
    assert_int_equal(close(peer), 0);
}

/* What there is in the ring when a stream is closed. */
enum { RECEIVE = 1, WATCH = 2, POLL = 4, WRITE = 8 };

static void arm_all(cori_pollfd *pollfd, int peer, unsigned what)
{
    char byte;
    if ((what & (RECEIVE | POLL)) != 0) {
        arm(pollfd, CORI_READ);
        (void)turn(0);
    }
    if ((what & WATCH) != 0) {
        assert_int_equal(send(peer, "x", 1, 0), 1);
        assert_true(turn(WAIT_NS) > 0);
        assert_int_equal(cori_poll_uring.ahead->receive(poller, pollfd, &byte, 1), 1);
        arm(pollfd, CORI_READ);
        assert_int_equal(cori_uring_state(pollfd)->watch, CORI_URING_WATCH_ARMED);
    }
    if ((what & POLL) != 0) {
        while (cori_poll_uring.ahead->pause(poller, pollfd) != 0) {
            (void)turn(WAIT_NS);
        }
        arm(pollfd, CORI_READ);
        assert_true(cori_uring_state(pollfd)->armed_poll);
    }
    if ((what & WRITE) != 0) {
        arm(pollfd, CORI_WRITE);
    }
}

static void one_stream(unsigned what, bool submitted)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    add(&pollfds[0], pair[0], CORI_FD_STREAM);
    arm_all(&pollfds[0], pair[1], what);
    if (submitted) {
        (void)turn(0);
    }
    close_it(&pollfds[0]);
    expect_end(pair[1]);
    (void)turn(0); /* what the cancels brought is of nobody's any more */
}

static const unsigned streams[] = {RECEIVE, RECEIVE | WATCH, POLL, WRITE, RECEIVE | WRITE, RECEIVE | WATCH | WRITE};

static void each_request_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        one_stream(streams[i], true);
        one_stream(streams[i], false); /* the requests are not in the kernel yet */
    }
}

/* The ring takes no entry for the cancel: there is another way. */
static void without_an_entry(void **state)
{
    (void)state;
    for (int submitted = 0; submitted < 2; submitted++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        add(&pollfds[0], pair[0], CORI_FD_STREAM);
        arm_all(&pollfds[0], pair[1], RECEIVE | WATCH | WRITE);
        if (submitted != 0) {
            (void)turn(0);
        }
        faults_set_run(CORI_SYS_URING_ENTRY, 1, FEW, -EBUSY);
        close_it(&pollfds[0]);
        faults_clear();
        expect_end(pair[1]);
    }
}

/* A listener, accepting ahead or only told of connections: its port is free once it is closed. */
static void listeners_end(void **state)
{
    (void)state;
    for (int polls = 0; polls < 2; polls++) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(any);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&any, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
        assert_int_equal(listen(fd, 1), 0);
        add(&pollfds[0], fd, CORI_FD_ACCEPTS);
        pollfds[0].kind = polls != 0 ? CORI_FD_PLAIN : CORI_FD_ACCEPTS;
        arm(&pollfds[0], CORI_READ);
        (void)turn(0);
        close_it(&pollfds[0]);
        assert_int_equal(connect(client, (struct sockaddr *)&any, len), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(close(client), 0);
    }
}

/* Another number of the same socket, waited for as well: it goes on. */
static void no_others_end(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    add(&pollfds[0], pair[0], CORI_FD_PLAIN);
    add(&pollfds[1], dup(pair[0]), CORI_FD_PLAIN);
    arm(&pollfds[0], CORI_READ);
    arm(&pollfds[1], CORI_READ);
    assert_int_equal(turn(0), 0);
    close_it(&pollfds[0]);
    assert_int_equal(turn(0), 0);
    assert_true(cori_uring_state(&pollfds[1])->armed_read);
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    assert_int_equal(turn(WAIT_NS), 1);
    close_it(&pollfds[1]);
    expect_end(pair[1]);
}

/*
 * A pollfd that is used again: what its earlier life has left, also the cancel of a receive, does nothing to the new.
 */
static void used_again(void **state)
{
    (void)state;
    for (int i = 0; i < AT_ONCE; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        pollfds[0].generation++;
        add(&pollfds[0], pair[0], CORI_FD_STREAM);
        arm(&pollfds[0], CORI_READ);
        assert_int_equal(turn(0), 0);
        assert_true(cori_uring_state(&pollfds[0])->armed_read);
        assert_int_equal(cori_poll_uring.ahead->pause(poller, &pollfds[0]), -EAGAIN);
        close_it(&pollfds[0]);
        expect_end(pair[1]);
    }
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The least that AT_ONCE closes took, beside those below them. */
static int64_t closing_ns(int end)
{
    int64_t least_ns = INT64_MAX;
    for (int try = 0; try < TRIES; try++) {
        for (int i = end - AT_ONCE; i < end; i++) {
            add(&pollfds[i], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), CORI_FD_PLAIN);
            arm(&pollfds[i], CORI_READ);
        }
        (void)turn(0);
        int64_t begin_ns = cpu_ns();
        for (int i = end - AT_ONCE; i < end; i++) {
            close_it(&pollfds[i]);
        }
        int64_t took_ns = cpu_ns() - begin_ns;
        least_ns = took_ns < least_ns ? took_ns : least_ns;
        (void)turn(0);
    }
    return least_ns;
}

/* As many descriptors as this process may have, and MANY at most. */
static int allowed(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur >= MANY + RESERVE ? MANY : (int)limit.rlim_cur - RESERVE;
}

static void cost_does_not_grow(void **state)
{
    (void)state;
    int64_t few_ns = closing_ns(FEW);
    int most = allowed(), others = 0;
    if (most < MANY / 2) {
        skip();
    }
    for (; others < most - AT_ONCE; others++) {
        add(&pollfds[others], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), CORI_FD_PLAIN);
        arm(&pollfds[others], CORI_READ);
    }
    (void)turn(0);
    int64_t many_ns = closing_ns(most);
    while (others-- > 0) {
        close_it(&pollfds[others]);
    }
    print_message("%d closes: %lld us; beside %d others: %lld us\n", AT_ONCE, (long long)few_ns / 1000, most - AT_ONCE,
                  (long long)many_ns / 1000);
    assert_true(many_ns < RATIO_MAX * few_ns);
}

#endif

URING_MAIN(cmocka_unit_test_setup_teardown(each_request_ends, set_up, tear_down),
           cmocka_unit_test_setup_teardown(without_an_entry, set_up, tear_down),
           cmocka_unit_test_setup_teardown(listeners_end, set_up, tear_down),
           cmocka_unit_test_setup_teardown(no_others_end, set_up, tear_down),
           cmocka_unit_test_setup_teardown(used_again, set_up, tear_down),
           cmocka_unit_test_setup_teardown(cost_does_not_grow, set_up, tear_down))

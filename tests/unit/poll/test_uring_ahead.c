/* SPDX-License-Identifier: MIT */
/*
 * Receiving ahead over io_uring, at the poller itself and on one thread: what a connection takes it gives back, so it
 * may go on for ever. Were a buffer kept, or the count of filled ones, bytes would still arrive (by plain recv(2)s, one
 * poll each), only slowly: no test of connections would notice.
 *
 * Not under valgrind, which does not see the kernel write into a ring's buffers and takes what was received for
 * uninitialised.
 */
/* test: workers=1 no-valgrind */
#include "support/taskcase.h"
#include "support/uring_main.h"

#if COR_HAVE_URING
#include "poll/uring_fd.h"

#include <sys/socket.h>
#include <unistd.h>

enum { FEW_BUFFERS = 2, MESSAGES = 5 * CORI_URING_QUEUED_MAX, WAIT_NS = 1000000000, WAITS_MAX = 10 };

typedef struct fixture {
    cori_poller *poller;
    cori_pollfd pollfd;
    int peer;
} fixture;

static fixture the;

static void set_up(uint16_t buffers)
{
    cori_uring_size usual = cori_uring_size_now;
    int pair[2];
    the = (fixture){.pollfd = {.fd = -1}};
    cori_uring_size_now.buffers = buffers;
    assert_int_equal(cori_poll_uring.open(&the.poller), 0);
    cori_uring_size_now = usual;
    cori_poll_uring.start(the.poller);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    the.peer = pair[1];
    cori_pollfd_open(&the.pollfd, pair[0], CORI_FD_STREAM);
    assert_int_equal(cori_poll_uring.add(the.poller, &the.pollfd), 0);
    the.pollfd.poller = the.poller;
    assert_int_equal(cori_poll_uring.ahead->arm(the.poller, &the.pollfd, CORI_READ), 0);
}

static void tear_down(void)
{
    assert_true(cori_poll_uring.remove(the.poller, &the.pollfd, true));
    assert_int_equal(close(the.pollfd.fd), 0);
    assert_int_equal(close(the.peer), 0);
    cori_poll_uring.stop(the.poller);
    cori_poll_uring.close(the.poller);
}

/* One message of the peer's is received ahead, then read. */
static void one_message(unsigned number)
{
    cori_event event;
    unsigned got = 0;
    assert_int_equal(send(the.peer, &number, sizeof(number), 0), sizeof(number));
    for (int i = 0; i < WAITS_MAX && !cori_poll_uring.ahead->holds(&the.pollfd); i++) {
        (void)cori_poll_uring.wait(the.poller, WAIT_NS, &event, 1);
    }
    assert_true(cori_poll_uring.ahead->holds(&the.pollfd));
    assert_int_equal(cori_poll_uring.ahead->receive(the.poller, &the.pollfd, &got, sizeof(got)), sizeof(got));
    assert_int_equal(got, number);
    assert_false(cori_poll_uring.ahead->holds(&the.pollfd));
    assert_true(cori_uring_state(&the.pollfd)->armed_read);
}

/* A buffer that was read empty is the kernel's again: two of them are enough for any number of messages. */
static void buffers_come_back(void **state)
{
    (void)state;
    set_up(FEW_BUFFERS);
    for (unsigned i = 0; i < MESSAGES; i++) {
        one_message(i);
    }
    tear_down();
}

/* Only what waits to be read counts against a connection, not what it has read: one receive serves them all. */
static void reading_keeps_it_receiving(void **state)
{
    (void)state;
    set_up(CORI_URING_BUFFERS);
    for (unsigned i = 0; i < MESSAGES; i++) {
        one_message(i);
        assert_false(cori_uring_state(&the.pollfd)->stopping);
    }
    tear_down();
}

#endif

URING_MAIN(cmocka_unit_test(buffers_come_back), cmocka_unit_test(reading_keeps_it_receiving))

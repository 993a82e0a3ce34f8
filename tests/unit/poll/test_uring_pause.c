/* SPDX-License-Identifier: MIT */
/*
 * Stopping to receive ahead, at the io_uring poller itself: whatever the peer does, and whenever, its bytes come once
 * and in order, and its end after them; some from the poller and some from the socket. Each test runs twice: with the
 * reader on the owner's thread, and with the owner on a thread of its own.
 *
 * Not under valgrind, which does not see the kernel write into a ring's buffers and takes what was received for
 * uninitialised.
 */
/* test: workers=1 no-valgrind */
#include "support/taskcase.h"
#include "support/uring_main.h"

#if COR_HAVE_URING
#include "base/sys.h"
#include "poll/uring_fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICK_NS = 20000000, TURNS_MAX = 500, FLIPS = 400, PIECE_MAX = 9000 };

/* What the peer does, and when. */
enum what { DATA, FIN, RST, DATA_AND_FIN, DATA_AND_RST, WHATS };
enum moment { BEFORE_ARMING, WHILE_ARMED, RECEIVED, WHILE_STOPPING, STOPPED, PARKED, MOMENTS };

static struct {
    cori_poller *poller;
    cori_pollfd pollfd;
    int peer;
    bool foreign; /* the owner is another thread */
    bool quits, is_open;
    bool held, is_held; /* it stays out of its poller */
    pthread_t owner;
    unsigned sent, got; /* bytes so far; each byte is its number */
} the;

static void take_events(int64_t timeout_ns)
{
    cori_event events[8];
    int count = cori_poll_uring.wait(the.poller, timeout_ns, events, 8);
    for (int i = 0; i < count; i++) {
        for (int direction = CORI_READ; direction <= CORI_WRITE; direction++) {
            if ((events[i].mask & 1u << direction) != 0) {
                (void)cori_pollfd_ready(events[i].pollfd, direction);
            }
        }
    }
}

static void *own(void *arg)
{
    (void)arg;
    cori_poll_uring.start(the.poller);
    cori_store(&the.is_open, true);
    while (!cori_load(&the.quits)) {
        cori_store(&the.is_held, cori_load(&the.held));
        if (cori_load(&the.held)) {
            (void)sched_yield();
        } else {
            take_events(TICK_NS);
        }
    }
    cori_poll_uring.stop(the.poller);
    return NULL;
}

static void hold_owner(bool held)
{
    cori_store(&the.held, held);
    cori_poll_uring.kick(the.poller);
    while (cori_load(&the.is_held) != held) {
        (void)sched_yield();
    }
}

static void open_connection(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    the.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(the.peer, (struct sockaddr *)&at, len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0 && close(listener) == 0);
    cori_pollfd_open(&the.pollfd, fd, CORI_FD_STREAM);
    the.sent = the.got = 0;
}

static void add(void)
{
    assert_int_equal(cori_poll_uring.add(the.poller, &the.pollfd), 0);
    cori_store_release(&the.pollfd.poller, the.poller);
}

static void close_connection(void)
{
    if (!cori_poll_uring.remove(the.poller, &the.pollfd, true)) {
        while (cori_load(&the.pollfd.backend) != NULL) {
            (void)sched_yield();
        }
    }
    cori_store_release(&the.pollfd.poller, NULL);
    assert_int_equal(close(the.pollfd.fd), 0);
}

static void close_peer(void)
{
    if (the.peer >= 0) {
        assert_int_equal(close(the.peer), 0);
    }
}

static void feed(unsigned size)
{
    unsigned char bytes[PIECE_MAX];
    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(the.sent + i);
    }
    assert_int_equal(send(the.peer, bytes, size, MSG_NOSIGNAL), size);
    (void)cori_fetch_add(&the.sent, size);
}

static void act(enum what what)
{
    struct linger reset = {.l_onoff = 1};
    if (what == DATA || what >= DATA_AND_FIN) {
        feed(300);
    }
    if (what == RST || what == DATA_AND_RST) {
        assert_int_equal(setsockopt(the.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    }
    if (what != DATA) {
        close_peer();
        the.peer = -1;
    }
}

static void arm(void)
{
    assert_int_equal(cori_poll_uring.ahead->arm(the.poller, &the.pollfd, CORI_READ), 0);
}

/* As a reader that parks: until something is reported. */
static void wait_ready(void)
{
    arm();
    for (int turn = 0; turn < TURNS_MAX && cori_load(&the.pollfd.wait[CORI_READ]) != CORI_READY; turn++) {
        if (!the.foreign) {
            take_events(TICK_NS);
        }
        for (int64_t until = cor_now() + TICK_NS;
             the.foreign && cori_load(&the.pollfd.wait[CORI_READ]) != CORI_READY && cor_now() < until;) {
            (void)sched_yield();
        }
    }
    assert_int_equal(cori_load(&the.pollfd.wait[CORI_READ]), CORI_READY);
}

static void consume_ready(void)
{
    (void)cori_swap(&the.pollfd.wait[CORI_READ], CORI_IDLE);
}

static ssize_t check_bytes(const unsigned char *bytes, ssize_t count)
{
    for (ssize_t i = 0; i < count; i++) {
        assert_int_equal(bytes[i], (unsigned char)(the.got + (unsigned)i));
    }
    the.got += count > 0 ? (unsigned)count : 0;
    return count;
}

/* A try to read, through the poller or from the socket itself. */
static ssize_t take(bool itself)
{
    unsigned char bytes[PIECE_MAX];
    consume_ready();
    return check_bytes(bytes, itself ? cori_sys_recv(the.pollfd.fd, bytes, sizeof(bytes))
                                     : cori_poll_uring.ahead->receive(the.poller, &the.pollfd, bytes, sizeof(bytes)));
}

static int pause_now(void)
{
    return cori_poll_uring.ahead->pause(the.poller, &the.pollfd);
}

/* Has it stop and takes what had come: 1, then the socket is the reader's; or the end that was met before, <= 0. */
static ssize_t stop(void)
{
    while (pause_now() != 0) {
        ssize_t count = take(false);
        if (count == -EAGAIN && pause_now() != 0) {
            wait_ready();
        } else if (count <= 0 && count != -EAGAIN) {
            return count;
        }
    }
    return 1;
}

/* Reads the rest from the socket: all that was sent, or its end. */
static ssize_t read_itself(bool to_end)
{
    ssize_t count = 1;
    while (count > 0 && (to_end || the.got < the.sent)) {
        count = take(true);
        if (count == -EAGAIN) {
            wait_ready();
            assert_int_equal(pause_now(), 0);
            count = 1;
        }
    }
    return count;
}

static void one_case(enum what what, enum moment moment)
{
    bool ends = what != DATA;
    open_connection();
    if (moment == BEFORE_ARMING) {
        act(what);
    }
    add();
    arm();
    if (moment == WHILE_ARMED) {
        act(what);
    }
    if (moment == RECEIVED) {
        act(what);
        wait_ready();
    }
    bool stopped_at_once = pause_now() == 0;
    if (moment == WHILE_STOPPING) {
        act(what);
    }
    ssize_t count = stop();
    assert_false(stopped_at_once && moment == RECEIVED && what == DATA);
    if (moment == STOPPED) {
        act(what);
    } else if (moment == PARKED) {
        consume_ready();
        arm();
        act(what);
    }
    count = count > 0 ? read_itself(ends) : count;
    assert_int_equal(the.got, the.sent);
    if (ends) {
        assert_int_equal(count, what == RST || what == DATA_AND_RST ? -ECONNRESET : 0);
    }
    close_connection();
    close_peer();
}

/* Each thing that the peer may do at each moment of a stop. */
static void each_order(void **state)
{
    (void)state;
    for (int what = 0; what < WHATS; what++) {
        for (int moment = 0; moment < MOMENTS; moment++) {
            one_case((enum what)what, (enum moment)moment);
        }
    }
}

/* It may be paused before it is registered: then nothing is ever received ahead. */
static void paused_before_registering(void **state)
{
    (void)state;
    open_connection();
    assert_int_equal(cori_poll_uring.ahead->pause(NULL, &the.pollfd), 0);
    add();
    assert_int_equal(pause_now(), 0);
    arm();
    feed(100);
    wait_ready();
    assert_false(cori_poll_uring.ahead->holds(&the.pollfd));
    assert_int_equal(take(true), 100);
    close_connection();
    close_peer();
}

/* After a resume it is received ahead again, and the poll that is left goes away with the first bytes. */
static void resumed_is_received_ahead(void **state)
{
    (void)state;
    open_connection();
    add();
    arm();
    assert_int_equal(stop(), 1);
    feed(100);
    assert_int_equal(read_itself(false), 100);
    cori_poll_uring.ahead->resume(&the.pollfd);
    bool ahead = false, polls = true;
    for (int turn = 0; turn < TURNS_MAX && (polls || !ahead); turn++) {
        arm();
        feed(100);
        while (the.got < the.sent) {
            ahead = ahead || cori_poll_uring.ahead->holds(&the.pollfd);
            if (take(false) == -EAGAIN) {
                wait_ready();
            }
        }
        polls = cori_load(&cori_uring_state(&the.pollfd)->armed_poll);
    }
    assert_true(ahead);
    assert_false(polls);
    close_connection();
    close_peer();
}

static void *feed_pieces(void *seed)
{
    unsigned next = (unsigned)(uintptr_t)seed;
    for (int i = 0; i < FLIPS; i++) {
        next = next * 1664525 + 1013904223;
        feed(1 + (next >> 8) % PIECE_MAX);
        if (next >> 29 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

/* Paused and resumed at random while bytes come: none is lost, none comes twice, none overtakes another. */
static void flips_keep_the_order(void **state)
{
    (void)state;
    unsigned next = 1;
    pthread_t feeder;
    open_connection();
    add();
    assert_int_equal(pthread_create(&feeder, NULL, feed_pieces, (void *)(uintptr_t)7), 0);
    for (int i = 0; i < 2 * FLIPS; i++) {
        next = next * 22695477 + 1;
        bool itself = (next >> 29) < 3;
        ssize_t count = -EAGAIN;
        if (itself && pause_now() == 0) {
            count = take(true);
        } else if (!itself) {
            cori_poll_uring.ahead->resume(&the.pollfd);
            count = take(false);
        } else {
            count = take(false);
        }
        if (count == -EAGAIN && (next >> 20 & 1) != 0) {
            arm();
        }
        assert_true(count > 0 || count == -EAGAIN);
    }
    assert_int_equal(stop(), 1);
    while (pthread_tryjoin_np(feeder, NULL) != 0) {
        ssize_t count = take(true);
        assert_true(count > 0 || count == -EAGAIN);
        if (count == -EAGAIN) {
            (void)sched_yield();
        }
    }
    (void)read_itself(false);
    assert_int_equal(the.got, the.sent);
    close_connection();
    close_peer();
}

/* Closed in the middle of a stop: the peer hears what it should, a reset if bytes were unread. */
static void closed_while_stopping(void **state)
{
    (void)state;
    for (int unread = 0; unread < 2; unread++) {
        char byte;
        open_connection();
        add();
        arm();
        if (!the.foreign) {
            take_events(0);
        }
        if (unread) {
            feed(10);
        }
        (void)pause_now();
        close_connection();
        ssize_t count = recv(the.peer, &byte, 1, 0);
        assert_int_equal(count, unread ? -1 : 0);
        assert_true(!unread || errno == ECONNRESET);
        close_peer();
    }
}

/* A reader may wait for its socket although nothing was received and nothing comes: it is told when it has it. */
static void right_is_told(void **state)
{
    (void)state;
    open_connection();
    hold_owner(true);
    add();
    arm();
    assert_int_equal(pause_now(), -EAGAIN); /* a receive was asked for, and not begun */
    consume_ready();
    hold_owner(false);
    wait_ready();
    assert_int_equal(pause_now(), 0);
    close_connection();
    close_peer();
}

/* Not while a receive is in the kernel, and not before what it has brought was read. */
static void received_comes_first(void **state)
{
    (void)state;
    open_connection();
    add();
    arm();
    take_events(0);
    feed(100);
    wait_ready();
    assert_int_equal(pause_now(), -EAGAIN);
    assert_true(cori_uring_state(&the.pollfd)->armed_read);
    for (int turn = 0; turn < TURNS_MAX && cori_uring_state(&the.pollfd)->armed_read; turn++) {
        take_events(TICK_NS);
    }
    assert_int_equal(pause_now(), -EAGAIN);
    assert_int_equal(take(false), 100);
    assert_int_equal(pause_now(), 0);
    close_connection();
    close_peer();
}

/* A receive that waits in the kernel for bytes is to be cancelled first. */
static void receive_is_cancelled_first(void **state)
{
    (void)state;
    open_connection();
    add();
    arm();
    take_events(0);
    assert_int_equal(pause_now(), -EAGAIN);
    assert_int_equal(stop(), 1);
    assert_false(cori_uring_state(&the.pollfd)->armed_read);
    close_connection();
    close_peer();
}

static int set_up(bool foreign)
{
    the.poller = NULL;
    the.foreign = foreign;
    the.quits = the.is_open = the.held = the.is_held = false;
    if (cori_poll_uring.open(&the.poller) != 0) {
        return -1;
    }
    if (!foreign) {
        cori_poll_uring.start(the.poller);
        return 0;
    }
    if (pthread_create(&the.owner, NULL, own, NULL) != 0) {
        return -1;
    }
    while (!cori_load(&the.is_open)) {
        (void)sched_yield();
    }
    return 0;
}

static int set_up_own(void **state)
{
    (void)state;
    return set_up(false);
}

static int set_up_foreign(void **state)
{
    (void)state;
    return set_up(true);
}

static int tear_down(void **state)
{
    (void)state;
    if (the.foreign) {
        cori_store(&the.quits, true);
        cori_poll_uring.kick(the.poller);
        (void)pthread_join(the.owner, NULL);
    } else {
        cori_poll_uring.stop(the.poller);
    }
    cori_poll_uring.close(the.poller);
    return 0;
}

#define BOTH(name)                                                                                                     \
    {"own: " #name, name, set_up_own, tear_down, NULL},                                                                \
    {                                                                                                                  \
        "foreign: " #name, name, set_up_foreign, tear_down, NULL                                                       \
    }

#endif

URING_MAIN({"own: received_comes_first", received_comes_first, set_up_own, tear_down, NULL},
           {"own: receive_is_cancelled_first", receive_is_cancelled_first, set_up_own, tear_down, NULL},
           {"foreign: right_is_told", right_is_told, set_up_foreign, tear_down, NULL}, BOTH(each_order),
           BOTH(paused_before_registering), BOTH(resumed_is_received_ahead), BOTH(flips_keep_the_order),
           BOTH(closed_while_stopping))

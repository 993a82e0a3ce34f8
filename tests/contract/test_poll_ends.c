/* SPDX-License-Identifier: MIT */
/* The contract of poll/poll.h: the end of a stream, a reset or a shutdown is never waited for in vain. */
/* test: workers=1 */
#include "contract/pollcase.h"

#if COR_HAVE_URING
#include "poll/uring_ring.h"
#endif

#include <pthread.h>

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
    assert_int_equal(poll_receive(on, &on->pollfd, &byte, 1), 1);
    assert_int_equal(poll_receive(on, &on->pollfd, &byte, 1), 0);
    remove_one(on, &on->pollfd);
}

/* The far end is gone without a goodbye; where there is no reset, with one. */
static void break_off(fixture *on)
{
    struct linger at_once = {.l_onoff = 1};
    if (on->by->kind == CORI_FD_STREAM) {
        assert_int_equal(setsockopt(peers[on->pollfd.fd], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    }
    on->by->end(on->pollfd.fd);
}

/* Reads as a task does, waiting whenever there is nothing, until the end or an error; how many bytes came. */
static size_t read_to_the_end(fixture *on)
{
    size_t total = 0;
    char buf[4];
    (void)glance(on, &on->pollfd); /* as the first read on a stream does */
    for (;;) {
        ssize_t count = poll_receive(on, &on->pollfd, buf, sizeof(buf));
        if (count == -EAGAIN) {
            assert_int_equal(collect(on, &on->pollfd, READABLE) & READABLE, READABLE); /* or it would wait for ever */
        } else if (count <= 0) {
            return total;
        } else {
            total += (size_t)count;
        }
    }
}

/* What happens at the far end while this side has not waited yet, or waits, or has got bytes; a letter each. */
static void play(fixture *on, const char *script)
{
    for (; *script != '\0'; script++) {
        switch (*script) {
        case 'b':
            on->by->feed(on->pollfd.fd, "bytes");
            break;
        case 'r':
            break_off(on);
            break;
        case 'e':
            on->by->end(on->pollfd.fd);
            break;
        case 'w':
            (void)glance(on, &on->pollfd);
            break; /* waits, without what came since being looked at */
        default: {
            char buf[3];
            assert_int_equal(poll_receive(on, &on->pollfd, buf, sizeof(buf)), sizeof(buf));
        }
        }
    }
}

/* However bytes, waits and the end fall together, the reader gets the bytes and then the end or an error. */
static void every_order_of_bytes_and_end(void **state)
{
    static const char *const scripts[] = {
        "br",      "wbr", "bwr", "wbwr", "bwtwr", "wbwtwr", "bwtwbr",  "wbwtwbr", "bbr", "wbwbr", "wbwtbr", "wbwtwr",
        "wbwtwwr", "be",  "wbe", "bwe",  "wbwe",  "bwtwe",  "wbwtwbe", "r",       "wr",  "e",     "we"};
    fixture *on = *state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        if (i > 0) {
            open_one(on, &on->pollfd);
        }
        add(on);
        play(on, scripts[i]);
        size_t bytes = 0;
        for (const char *at = scripts[i]; *at != '\0'; at++) {
            bytes += *at == 'b' ? 5 : *at == 't' ? (size_t)-3 : 0;
        }
        assert_int_equal(read_to_the_end(on), bytes);
        remove_one(on, &on->pollfd);
        close_one(on, &on->pollfd);
    }
    open_one(on, &on->pollfd); /* for the tear-down */
}

/* Reads shut down on this side while bytes wait to be looked at: an end as well. */
static void every_order_of_bytes_and_shutdown(void **state)
{
    static const char *const scripts[] = {"b", "wb", "bw", "wbw", "bwtw", "wbwtw", "bwtwb", "wbwtwb"};
    fixture *on = *state;
    if (on->by == &backends[FAKE]) {
        return;
    }
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        if (i > 0) {
            open_one(on, &on->pollfd);
        }
        add(on);
        play(on, scripts[i]);
        assert_int_equal(shutdown(on->pollfd.fd, SHUT_RD), 0);
        (void)read_to_the_end(on);
        remove_one(on, &on->pollfd);
        close_one(on, &on->pollfd);
    }
    open_one(on, &on->pollfd); /* for the tear-down */
}

/* As long as nobody has read them, bytes make a close a reset: also those that only the poller has, or nobody. */
static void closing_with_bytes_nobody_has_looked_at(void **state)
{
    fixture *on = *state;
    static cori_pollfd others[8]; /* a late completion may look at them still */
    cori_event events[2];
    if (on->by == &backends[FAKE]) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        open_one(on, &others[i]);
        add_one(on, &others[i]);
        arm(on, &others[i]);
        (void)glance(on, &others[i]);
    }
    for (int i = 0; i < 8; i++) {
        on->by->feed(others[i].fd, "unread");
    }
    assert_int_equal(on->by->ops->wait(on->poller, 0, events, 2), 2); /* six are left in the poller or the kernel */
    for (int i = 0; i < 8; i++) {
        char byte;
        int far = peers[others[i].fd];
        remove_one(on, &others[i]);
        assert_int_equal(close(others[i].fd), 0);
        assert_int_equal(read(far, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(close(far), 0);
    }
    add(on);
    remove_one(on, &on->pollfd);
}

/*
 * A descriptor is given from a thread that does not own the poller; the pollfd is in use again before the owner's turn.
 */
typedef struct gift {
    fixture *on;
    cori_pollfd *pollfd;
    bool given;
} gift;

static void *give_it(void *arg)
{
    gift *of = arg;
    of->given = of->on->by->ops->ahead->give(of->on->poller, of->pollfd);
    return NULL;
}

static bool given(fixture *on, cori_pollfd *pollfd)
{
    gift of = {on, pollfd, false};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, give_it, &of), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pollfd->poller = NULL;
    return of.given;
}

static void giving(void **state)
{
    fixture *on = *state;
    static cori_pollfd used;
    char buf[8];
    if (on->by->ops->ahead == NULL || on->by == &backends[FAKE]) {
        return;
    }
    add(on);
    assert_false(on->by->ops->ahead->give(on->poller, &on->pollfd)); /* the owner does it itself */
    remove_one(on, &on->pollfd);
    for (int variant = 0; variant < 8; variant++) { /* bits: bytes unread, looked at already, the pollfd used again */
        cori_event event;
        open_one(on, &used);
        add_one(on, &used);
        arm(on, &used);
        (void)glance(on, &used);
        int old = used.fd, far = peers[old];
        if ((variant & 1) != 0) {
            on->by->feed(old, "unread");
            (void)on->by->ops->wait(on->poller, 0, &event, (variant & 2) != 0 ? 1 : 0);
        }
        assert_true(given(on, &used));
        bool told = on->by->kind == CORI_FD_STREAM && (variant & 1) == 0;
        assert_int_equal(read(far, buf, sizeof(buf)), told ? 0 : -1); /* not closed yet, but a peer need not wait */
        assert_true(told || errno == EAGAIN);
        if ((variant & 4) != 0) {
            open_one(on, &used);
            assert_int_not_equal(used.fd, old); /* its number is taken */
            add_one(on, &used);
        }
        unsigned got = glance(on, &used) | glance(on, &used);
        assert_int_equal(read(far, buf, sizeof(buf)), (variant & 1) != 0 ? -1 : 0);
        assert_true((variant & 1) == 0 || errno == ECONNRESET);
        if ((variant & 4) == 0) {
            assert_int_equal(got & READABLE, READABLE); /* whoever waits for it is told */
            assert_null(used.backend);
        } else {
            on->by->feed(used.fd, "new");
            assert_int_equal(collect(on, &used, READABLE) & READABLE, READABLE);
            assert_int_equal(poll_receive(on, &used, buf, sizeof(buf)), 3);
            remove_one(on, &used);
            close_one(on, &used);
        }
        assert_int_equal(close(far), 0);
        peers[old] = -1;
    }
}

/* Given while the owner is looking at its completions: what is unread makes a reset, wherever it is at that moment. */
static void giving_meanwhile(void **state)
{
    enum { TIMES = 10000 };
    fixture *on = *state;
    static cori_pollfd used;
    if (on->by->ops->ahead == NULL || on->by == &backends[FAKE] || on->by->kind != CORI_FD_STREAM) {
        return;
    }
    int64_t end = cor_after(3 * COR_SECOND); /* some 3,000 times: a thread each */
    for (uint32_t i = 0; i < taskcase_scale(TIMES) && cor_now() < end; i++) {
        gift of = {on, &used, false};
        pthread_t thread;
        cori_event events[2];
        char byte;
        open_one(on, &used);
        add_one(on, &used);
        arm(on, &used);
        (void)glance(on, &used);
        int far = peers[used.fd];
        on->by->feed(used.fd, "unread");
        assert_int_equal(pthread_create(&thread, NULL, give_it, &of), 0);
        while (cori_load(&used.backend) != NULL) {
            assert_true(on->by->ops->wait(on->poller, 0, events, 2) >= 0);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(of.given);
        assert_int_equal(read(far, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        assert_int_equal(close(far), 0);
        used.poller = NULL;
    }
    add(on); /* for the tear-down */
    remove_one(on, &on->pollfd);
}

/*
 * Given while the owner is in its turn, and has taken what there is from where it could be seen, perhaps: nothing is
 * said until it is known, though nothing was unread.
 */
static void giving_in_a_turn(void **state)
{
#if COR_HAVE_URING
    fixture *on = *state;
    char byte;
    if (on->by->ops != &cori_poll_uring || on->by->kind != CORI_FD_STREAM) {
        return;
    }
    cori_uring *poller = (cori_uring *)on->poller;
    add(on);
    arm(on, &on->pollfd);
    (void)glance(on, &on->pollfd);
    int far = peers[on->pollfd.fd];
    bool outermost = cori_uring_turn_begin(poller);
    assert_true(given(on, &on->pollfd));
    assert_int_equal(read(far, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    cori_uring_turn_end(poller, outermost);
    (void)glance(on, &on->pollfd);
    assert_int_equal(read(far, &byte, 1), 0);
    open_one(on, &on->pollfd); /* for the tear-down */
#else
    (void)state;
#endif
}

/* What is given to an owner that has read its mail for the last time is closed with the poller. */
static void giving_too_late(void **state)
{
    fixture *on = *state;
    char byte;
    if (on->by->ops->ahead == NULL || on->by == &backends[FAKE]) {
        return;
    }
    add(on);
    arm(on, &on->pollfd);
    (void)glance(on, &on->pollfd);
    assert_true(given(on, &on->pollfd));
    on->by->ops->stop(on->poller);
    on->by->ops->close(on->poller);
    assert_int_equal(read(peers[on->pollfd.fd], &byte, 1), 0);
    assert_int_equal(on->by->ops->open(&on->poller), 0);
    on->by->ops->start(on->poller);
    open_one(on, &on->pollfd); /* for the tear-down */
}

int main(void)
{
    (void)alarm(60);
    const struct CMUnitTest tests[] = {
        EACH(end_of_stream_is_sticky),
        EACH(every_order_of_bytes_and_end),
        EACH(every_order_of_bytes_and_shutdown),
        EACH(closing_with_bytes_nobody_has_looked_at),
        EACH(giving),
        EACH(giving_meanwhile),
        EACH(giving_in_a_turn),
        EACH(giving_too_late),
    };
    skip_without_uring();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The contract of poll/poll.h; what concerns ends of streams is in test_poll_ends.c. */
/* test: workers=1 */
#include "contract/pollcase.h"

#include <pthread.h>
#include <signal.h>

static void receive_all(fixture *on, const char *expected)
{
    char buf[64];
    ssize_t count = poll_receive(on, &on->pollfd, buf, sizeof(buf));
    assert_int_equal(count, strlen(expected));
    assert_memory_equal(buf, expected, (size_t)count);
    assert_int_equal(poll_receive(on, &on->pollfd, buf, sizeof(buf)), -EAGAIN);
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
    assert_true(on->by->ops->remove(on->poller, &on->pollfd, false)); /* it stays open */
    on->pollfd.poller = NULL;
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
        assert_true(++count < 100); /* it waited instead of spinning, which is thousands */
    }
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
        EACH(old_generations_are_dropped),
        EACH(nothing_after_remove),
        EACH(never_more_than_asked_for),
        EACH(kick_before_wait),
        EACH(kick_from_a_thread),
        EACH(kick_from_a_signal_handler),
        EACH(kicks_do_not_hide_events),
        EACH(timeouts_are_kept),
    };
    skip_without_uring();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

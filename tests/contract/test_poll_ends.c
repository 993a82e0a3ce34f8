/* SPDX-License-Identifier: MIT */
/* The contract of poll/poll.h: the end of a stream, a reset or a shutdown is never waited for in vain. */
/* test: workers=1 */
#include "contract/pollcase.h"

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
        ssize_t count = on->by->ops->receive(on->poller, &on->pollfd, buf, sizeof(buf));
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
            assert_int_equal(on->by->ops->receive(on->poller, &on->pollfd, buf, sizeof(buf)), sizeof(buf));
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

int main(void)
{
    (void)alarm(60);
    const struct CMUnitTest tests[] = {
        EACH(end_of_stream_is_sticky),
        EACH(every_order_of_bytes_and_end),
        EACH(every_order_of_bytes_and_shutdown),
    };
    skip_without_uring();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

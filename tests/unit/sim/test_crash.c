/* SPDX-License-Identifier: MIT */
/* Hosts that crash and are started again, and what their peers see; ways that stay cut. */
/* test: workers=1 no-uring no-valgrind */
#include "simcase.h"

#include "base/platform.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

enum { SEEDS = CORI_TSAN ? 4 : 12 };

typedef struct server {
    int host, starts, ends, handlers, refused;
    cor_mutex lock;
} server;

static void echo(cor_conn *conn, void *arg)
{
    server *of = arg;
    char byte;
    of->handlers++;
    while (cor_read(conn, &byte, 1) == 1 && cor_write(conn, &byte, 1) == 1) {}
    (void)cor_close(conn);
    of->handlers--;
}

/* A child that was started without a group, and sleeps, holds a lock, or waits for a group. */
static void lie_about(void *arg)
{
    server *of = arg;
    cor_mutex_lock(&of->lock);
    CHECK(cor_sleep(1000 * COR_MINUTE) == COR_ECANCELED);
    cor_mutex_unlock(&of->lock);
    of->ends++;
}

static void serve(void *arg)
{
    server *of = arg;
    cor_group group = {0};
    cor_listener *listener;
    of->starts++;
    CHECK(cor_listen(&listener, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_go(lie_about, of) == 0 && cor_go(lie_about, of) == 0);
    CHECK(cor_group_go(&group, lie_about, of) == 0);
    CHECK(cor_serve(listener, &group, echo, of) < 0);
    CHECK(cor_cancelled() == COR_ECANCELED);
    CHECK(cor_listener_close(listener) == 0);
    CHECK(cor_listen(&listener, "tcp", "10.0.0.1:8", NULL) < 0); /* it has no network any more */
    (void)cor_group_wait(&group, 0);
    of->ends++;
}

static cor_conn *dial(void)
{
    cor_conn *conn;
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:7", NULL) == 0);
    return conn;
}

static ssize_t say(cor_conn *conn)
{
    char byte = 'x';
    ssize_t rc = cor_write(conn, &byte, 1);
    return rc == 1 ? cor_read(conn, &byte, 1) : rc;
}

static void start(server *of)
{
    CHECK(cor_sim_go(of->host, serve, of) == 0);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
}

static int crash_main(void *arg)
{
    server *of = arg;
    of->host = cor_sim_host("server", "10.0.0.1");
    CHECK(cor_sim_crash(0) == -EINVAL && cor_sim_crash(2) == -EINVAL && cor_sim_restart(2) == -EINVAL);
    for (int round = 1; round <= 3; round++) {
        start(of);
        cor_conn *talks = dial(), *silent = dial();
        CHECK(say(talks) == 1 && say(silent) == 1);
        CHECK(of->handlers == 2);
        CHECK(cor_sim_crash(of->host) == 0 && cor_sim_crash(of->host) == 0);
        CHECK(cor_sim_go(of->host, serve, of) == -EHOSTDOWN);
        CHECK(cor_set_read_deadline(talks, cor_after(5 * COR_SECOND)) == 0);
        CHECK(say(talks) == COR_ETIMEOUT); /* it is not told */
        CHECK(cor_set_read_deadline(talks, 0) == 0);
        CHECK(cor_sim_restart(of->host) == 0 && cor_sim_restart(of->host) == 0);
        CHECK(of->handlers == 0 && of->ends == 4 * round && of->starts == round);
        char byte;
        CHECK(cor_read(talks, &byte, 1) == -ECONNRESET); /* what it sent is sent again */
        CHECK(cor_close(talks) == 0);
        CHECK(say(silent) == -ECONNRESET);
        CHECK(cor_close(silent) == 0);
        cor_conn *refused;
        CHECK(cor_dial(&refused, "tcp", "10.0.0.1:7", NULL) == -ECONNREFUSED);
    }
    start(of);
    CHECK(cor_sim_crash(of->host) == 0);
    return cor_sim_restart(of->host);
}

static void hosts_crash_and_start_again(void **state)
{
    cor_sim_result first, again;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        server of = {0}, same = {0};
        cor_sim_options options = {.must_end = true};
        assert_int_equal(cor_sim_run(seed, &options, crash_main, &of, &first), 0);
        assert_int_equal(of.ends, 16);
        assert_int_equal(cor_sim_run(seed, &options, crash_main, &same, &again), 0);
        assert_true(first.hash == again.hash);
    }
}

static void ignore_all(void *arg)
{
    while (*(bool *)arg) {
        (void)cor_sleep(COR_SECOND); /* ends at once, with an error */
        cor_yield();
    }
}

static int obstinate_main(void *arg)
{
    int host = cor_sim_host("server", "10.0.0.1");
    CHECK(cor_sim_go(host, ignore_all, arg) == 0);
    CHECK(cor_sleep(COR_SECOND) == 0);
    CHECK(cor_sim_crash(host) == 0);
    int64_t begun = cor_now();
    *(bool *)arg = false;
    CHECK(cor_sim_restart(host) == 0);
    CHECK(cor_now() - begun < COR_SECOND);
    return 0;
}

static void restart_waits_for_the_last_task(void **state)
{
    bool on = true;
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, obstinate_main, &on, NULL), 0);
}

/* Times after which a peer that is gone is noticed. */
typedef struct silence {
    int64_t user_ns, idle_ns, least_ns, most_ns;
    bool writes, crashes;
} silence;

static int silence_main(void *arg)
{
    const silence *of = arg;
    server peer = {.host = cor_sim_host("server", "10.0.0.1")};
    start(&peer);
    cor_conn *conn = dial();
    CHECK(say(conn) == 1);
    if (of->user_ns != 0) {
        CHECK(cor_set_user_timeout(conn, of->user_ns) == 0);
    }
    if (of->idle_ns != 0) {
        CHECK(cor_set_keep_alive(conn, of->idle_ns, 5 * COR_SECOND, 3) == 0);
    }
    CHECK((of->crashes ? cor_sim_crash(peer.host) : cor_sim_cut(0, peer.host, true)) == 0);
    int64_t begun = cor_now();
    char byte;
    CHECK((of->writes ? say(conn) : cor_read(conn, &byte, 1)) == -ETIMEDOUT);
    CHECK(cor_now() - begun >= of->least_ns && cor_now() - begun <= of->most_ns);
    CHECK(cor_close(conn) == 0);
    CHECK(cor_sim_cut(0, peer.host, false) == 0);
    CHECK(cor_sim_crash(peer.host) == 0);
    return cor_sim_restart(peer.host);
}

static void silence_ends_connections(void **state)
{
    static const silence cases[] = {
        {.user_ns = 10 * COR_SECOND, .writes = true, .least_ns = 10 * COR_SECOND, .most_ns = 11 * COR_SECOND},
        {.writes = true, .least_ns = 920 * COR_SECOND, .most_ns = 930 * COR_SECOND},
        {.idle_ns = 20 * COR_SECOND, .least_ns = 34 * COR_SECOND, .most_ns = 36 * COR_SECOND},
        {.idle_ns = 20 * COR_SECOND,
         .user_ns = 22 * COR_SECOND,
         .least_ns = 21 * COR_SECOND,
         .most_ns = 23 * COR_SECOND},
        {.least_ns = 149 * COR_SECOND, .most_ns = 151 * COR_SECOND}, /* as dials set it: 15 s, nine times 15 s */
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        silence one = cases[i / 2];
        one.crashes = i % 2 == 1;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            assert_int_equal(cor_sim_run(seed, NULL, silence_main, &one, NULL), 0);
        }
    }
}

static int healed_main(void *arg)
{
    server peer = {.host = cor_sim_host("server", "10.0.0.1")};
    (void)arg;
    start(&peer);
    cor_conn *conn = dial();
    CHECK(say(conn) == 1);
    for (int i = 0; i < 3; i++) {
        CHECK(cor_sim_cut(0, peer.host, true) == 0);
        CHECK(cor_sleep(100 * COR_SECOND) == 0); /* some questions go without an answer */
        CHECK(cor_sim_cut(0, peer.host, false) == 0);
        CHECK(cor_sleep(20 * COR_SECOND) == 0); /* one is answered */
    }
    CHECK(say(conn) == 1);
    CHECK(cor_close(conn) == 0);
    CHECK(cor_sim_crash(peer.host) == 0);
    return cor_sim_restart(peer.host);
}

static void an_answer_in_time_keeps_them(void **state)
{
    cor_sim_options options = {.must_end = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        assert_int_equal(cor_sim_run(seed, &options, healed_main, NULL, NULL), 0);
    }
}

static void restart_later(void *arg)
{
    server *of = arg;
    CHECK(cor_sleep(2 * COR_SECOND) == 0);
    CHECK(cor_sim_restart(of->host) == 0);
    start(of);
}

static int idle_main(void *arg)
{
    server peer = {.host = cor_sim_host("server", "10.0.0.1")};
    (void)arg;
    start(&peer);
    cor_conn *conn = dial(), *other;
    CHECK(say(conn) == 1);
    CHECK(cor_sim_crash(peer.host) == 0);
    CHECK(cor_go(restart_later, &peer) == 0);
    CHECK(cor_dial(&other, "tcp", "10.0.0.1:7", NULL) == 0); /* it is tried until somebody is there */
    CHECK(say(other) == 1 && cor_close(other) == 0);
    char byte;
    int64_t begun = cor_now();
    CHECK(cor_read(conn, &byte, 1) == -ECONNRESET); /* the new system answers keep-alive's question so */
    CHECK(cor_now() - begun > 5 * COR_SECOND && cor_now() - begun < 16 * COR_SECOND);
    CHECK(cor_close(conn) == 0);
    CHECK(cor_sim_crash(peer.host) == 0);
    return cor_sim_restart(peer.host);
}

static void an_idle_peer_learns_of_a_restart(void **state)
{
    cor_sim_options options = {.must_end = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        assert_int_equal(cor_sim_run(seed, &options, idle_main, NULL, NULL), 0);
    }
}

static void reset_in_a_cut(void *arg)
{
    cor_listener *listener;
    cor_conn *conn;
    (void)arg;
    CHECK(cor_listen(&listener, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_accept(listener, &conn) == 0);
    CHECK(cor_sleep(2 * COR_SECOND) == 0);
    CHECK(cor_set_linger(conn, 0) == 0 && cor_close(conn) == 0 && cor_listener_close(listener) == 0);
}

static int lost_reset_main(void *arg)
{
    int host = cor_sim_host("server", "10.0.0.1");
    (void)arg;
    CHECK(cor_sim_go(host, reset_in_a_cut, NULL) == 0);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    cor_conn *conn = dial();
    CHECK(cor_sleep(COR_SECOND) == 0);
    CHECK(cor_sim_cut(0, host, true) == 0);
    CHECK(cor_sleep(3 * COR_SECOND) == 0);
    CHECK(cor_sim_cut(0, host, false) == 0);
    char byte;
    CHECK(cor_read(conn, &byte, 1) == -ECONNRESET); /* the answer to keep-alive's question */
    return cor_close(conn);
}

static void a_lost_reset_is_sent_again_when_asked(void **state)
{
    cor_sim_options options = {.must_end = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        assert_int_equal(cor_sim_run(seed, &options, lost_reset_main, NULL, NULL), 0);
    }
}

static void never(void *unused)
{
    (void)unused;
    CHECK(false);
}

static void set_a_timer(void *timer)
{
    CHECK(cor_after_func(timer, 60 * COR_MINUTE, never, NULL) == 0);
}

static int timer_main(void *unused)
{
    (void)unused;
    cor_timer *timer = NULL;
    int host = cor_sim_host("server", "10.0.0.1");
    CHECK(cor_sim_go(host, set_a_timer, &timer) == 0);
    CHECK(cor_sleep(COR_SECOND) == 0);
    CHECK(cor_sim_crash(host) == 0);
    CHECK(cor_sim_restart(host) == 0);
    CHECK(cor_sleep(60 * COR_MINUTE) == 0);
    cor_timer_free(timer);
    return 0;
}

/* A timer's task is one of the host's, and ends with it: the function is not called. */
static void timers_end_with_their_host(void **state)
{
    cor_sim_options options = {.must_end = true};
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        assert_int_equal(cor_sim_run(seed, &options, timer_main, NULL, NULL), 0);
    }
}

static void outside(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_crash(1), COR_ENOT_TASK);
    assert_int_equal(cor_sim_restart(1), COR_ENOT_TASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_crash_and_start_again),      cmocka_unit_test(restart_waits_for_the_last_task),
        cmocka_unit_test(silence_ends_connections),         cmocka_unit_test(an_answer_in_time_keeps_them),
        cmocka_unit_test(an_idle_peer_learns_of_a_restart), cmocka_unit_test(a_lost_reset_is_sent_again_when_asked),
        cmocka_unit_test(timers_end_with_their_host),       cmocka_unit_test(outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Links with a latency, a bandwidth and losses, and accepts that fail: by plan, and by the seed. */
/* test: workers=1 no-uring no-valgrind */
#include "simcase.h"

#include <coracle.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

enum { WHOLE = 256 * 1024, DATAGRAMS = 1000, CLIENTS = 8, LINK_SEEDS = 24 };

static int server, client, heard;
static cor_waitgroup done;

static void hosts(void)
{
    server = cor_sim_host("server", "10.0.0.1");
    client = cor_sim_host("client", "10.0.0.2");
    done = (cor_waitgroup){0};
    heard = 0;
}

static void both_ways(const cor_sim_link *link)
{
    CHECK(cor_sim_set_link(client, server, link) == 0 && cor_sim_set_link(server, client, link) == 0);
}

static void start(int host, void (*task)(void *arg), void *arg)
{
    cor_waitgroup_add(&done, 1);
    CHECK(cor_sim_go(host, task, arg) == 0);
}

/* Takes all that one client sends. */
static void take(void *unused)
{
    static char data[4096];
    cor_listener *listener;
    cor_conn *conn;
    ssize_t got;
    (void)unused;
    CHECK(cor_listen(&listener, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_accept(listener, &conn) == 0);
    while ((got = cor_read(conn, data, sizeof(data))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            CHECK(data[i] == (char)((heard + i) % 251));
        }
        heard += (int)got;
    }
    CHECK(got == 0 && cor_close(conn) == 0 && cor_listener_close(listener) == 0);
    cor_waitgroup_done(&done);
}

static void give(void *unused)
{
    static char data[WHOLE];
    cor_conn *conn;
    (void)unused;
    for (int i = 0; i < WHOLE; i++) {
        data[i] = (char)(i % 251);
    }
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_write(conn, data, WHOLE) == WHOLE);
    CHECK(cor_close(conn) == 0);
    cor_waitgroup_done(&done);
}

/* How long a quarter of a megabyte takes over a link; NULL: over the usual one, or the seed's. */
static int64_t transfer(const cor_sim_link *link)
{
    hosts();
    if (link != NULL) {
        both_ways(link);
    }
    start(server, take, NULL);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    int64_t begun = cor_now();
    start(client, give, NULL);
    CHECK(cor_waitgroup_wait(&done, 0) == 0);
    CHECK(heard == WHOLE);
    return cor_now() - begun;
}

static int time_a_transfer(void *arg)
{
    int64_t *of = arg;
    *of = transfer(NULL);
    return 0;
}

static int narrow(void *unused)
{
    (void)unused;
    int64_t took = transfer(&(cor_sim_link){.latency_ns = 40 * COR_MILLISECOND, .bytes_per_s = 64 * 1024});
    CHECK(took >= 4 * COR_SECOND && took < 6 * COR_SECOND); /* four times 64 KiB, the handshake, waits for the window */
    return 0;
}

static void a_narrow_link_takes_its_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        assert_int_equal(cor_sim_run(seed, NULL, narrow, NULL, NULL), 0);
    }
}

/* A stream loses nothing: it stalls. */
static int lossy(void *unused)
{
    (void)unused;
    int64_t took = transfer(&(cor_sim_link){.latency_ns = COR_MILLISECOND, .lost_per_million = 300000});
    return took >= 200 * COR_MILLISECOND ? 1 : 0;
}

static void a_lossy_link_stalls_streams(void **state)
{
    int stalled = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        int rc = cor_sim_run(seed, NULL, lossy, NULL, NULL);
        assert_true(rc == 0 || rc == 1);
        stalled += rc;
    }
    assert_true(stalled >= 6);
}

static void count_datagrams(void *arg)
{
    cor_conn *conn = arg;
    char data[2000];
    while (cor_read(conn, data, sizeof(data)) > 0) {
        heard++;
    }
    cor_waitgroup_done(&done);
}

static void listen_for_datagrams(void *arg)
{
    CHECK(cor_listen_packet((cor_conn **)arg, "udp", "10.0.0.1:7", NULL) == 0);
    cor_waitgroup_done(&done);
}

static void send_datagrams(void *size_bytes)
{
    static const char data[1000];
    cor_conn *conn;
    CHECK(cor_dial(&conn, "udp", "10.0.0.1:7", NULL) == 0);
    for (int i = 0; i < DATAGRAMS; i++) {
        CHECK(cor_write(conn, data, *(size_t *)size_bytes) == (ssize_t) * (size_t *)size_bytes);
        if (i % 50 == 0) { /* the receiver's buffer is bounded, too */
            CHECK(cor_sleep(COR_MILLISECOND) == 0);
        }
    }
    CHECK(cor_close(conn) == 0);
    cor_waitgroup_done(&done);
}

/* How many of DATAGRAMS are heard. */
static int send_over(const cor_sim_link *link, size_t size_bytes)
{
    cor_conn *conn;
    hosts();
    both_ways(link);
    start(server, listen_for_datagrams, &conn);
    CHECK(cor_waitgroup_wait(&done, 0) == 0);
    start(server, count_datagrams, conn);
    start(client, send_datagrams, &size_bytes);
    CHECK(cor_sleep(COR_MINUTE) == 0);
    CHECK(cor_close(conn) == 0);
    CHECK(cor_waitgroup_wait(&done, 0) == 0);
    return heard;
}

static int lose_datagrams(void *unused)
{
    (void)unused;
    CHECK(send_over(&(cor_sim_link){.latency_ns = COR_MILLISECOND}, 10) == DATAGRAMS);
    return 0;
}

static int lose_some(void *unused)
{
    (void)unused;
    int some = send_over(&(cor_sim_link){.latency_ns = COR_MILLISECOND, .lost_per_million = 200000}, 10);
    CHECK(some > DATAGRAMS * 7 / 10 && some < DATAGRAMS * 9 / 10);
    return 0;
}

static int lose_what_is_too_much(void *unused)
{
    (void)unused;
    int some = send_over(&(cor_sim_link){.bytes_per_s = 100 * 1024}, 1000); /* a megabyte in 20 ms */
    CHECK(some >= 256 && some < 300); /* what may wait, and what leaves meanwhile */
    return 0;
}

static void datagrams_are_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_int_equal(cor_sim_run(seed, NULL, lose_datagrams, NULL, NULL), 0);
        assert_int_equal(cor_sim_run(seed, NULL, lose_some, NULL, NULL), 0);
        assert_int_equal(cor_sim_run(seed, NULL, lose_what_is_too_much, NULL, NULL), 0);
    }
}

static int refuse_bad_ones(void *unused)
{
    cor_sim_link good = {.latency_ns = 1};
    (void)unused;
    hosts();
    CHECK(cor_sim_set_link(server, client, &good) == 0 && cor_sim_set_link(server, 9, &good) == -EINVAL);
    CHECK(cor_sim_set_link(server, client, &(cor_sim_link){.latency_ns = -1}) == -EINVAL);
    CHECK(cor_sim_set_link(server, client, &(cor_sim_link){.jitter_ns = COR_MINUTE}) == -EINVAL);
    CHECK(cor_sim_set_link(server, client, &(cor_sim_link){.lost_per_million = 1000001}) == -EINVAL);
    CHECK(cor_sim_fail_accepts(server, -EPIPE, 1) == -EINVAL && cor_sim_fail_accepts(9, -EMFILE, 1) == -EINVAL);
    return 0;
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_int_equal(cor_sim_run(1, NULL, refuse_bad_ones, NULL, NULL), 0);
    assert_int_equal(cor_sim_set_link(0, 0, &(cor_sim_link){0}), COR_ENOT_TASK);
    assert_int_equal(cor_sim_fail_accepts(0, -EMFILE, 1), COR_ENOT_TASK);
}

/* The links that a seed makes carry everything, some later than others. */
static void seeds_have_narrow_and_lossy_links(void **state)
{
    int late = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= LINK_SEEDS; seed++) {
        int64_t took = 0, usual = 0;
        cor_sim_options options = {.more = COR_SIM_NARROW | COR_SIM_LOSSY};
        assert_int_equal(cor_sim_run(seed, &options, time_a_transfer, &took, NULL), 0);
        options.without = COR_SIM_NARROW | COR_SIM_LOSSY;
        assert_int_equal(cor_sim_run(seed, &options, time_a_transfer, &usual, NULL), 0);
        late += took > usual + 100 * COR_MILLISECOND;
    }
    assert_true(late >= 1 && late < LINK_SEEDS);
}

static void answer(cor_conn *conn, void *arg)
{
    (void)arg;
    heard++;
    (void)cor_close(conn);
}

static void serve(void *at)
{
    CHECK(cor_listen((cor_listener **)at, "tcp", "10.0.0.1:7", NULL) == 0);
    (void)cor_serve(*(cor_listener **)at, NULL, answer, NULL);
    cor_waitgroup_done(&done);
}

static void knock(void *unused)
{
    cor_conn *conn;
    char byte;
    (void)unused;
    CHECK(cor_dial(&conn, "tcp", "10.0.0.1:7", NULL) == 0);
    CHECK(cor_read(conn, &byte, 1) <= 0); /* closed at once; where an accept was aborted, by a reset */
    (void)cor_close(conn);
    cor_waitgroup_done(&done);
}

/* Whatever accepting fails with, and however often, each client is served in the end. */
static int knock_at(void *code)
{
    cor_listener *listener;
    hosts();
    if (code != NULL) {
        CHECK(cor_sim_fail_accepts(server, *(int *)code, 5) == 0);
    }
    start(server, serve, &listener);
    CHECK(cor_sleep(COR_MILLISECOND) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        start(client, knock, NULL);
    }
    int64_t begun = cor_now();
    while (heard < CLIENTS) {
        CHECK(cor_sleep(COR_MILLISECOND) == 0);
        CHECK(cor_now() - begun < COR_MINUTE);
    }
    CHECK(cor_listener_close(listener) == 0);
    CHECK(cor_waitgroup_wait(&done, 0) == 0);
    return cor_now() - begun > 5 * COR_MILLISECOND ? 1 : 0; /* accepting has paused */
}

static void accepts_that_fail_are_made_again(void **state)
{
    static int codes[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};
    int aborted = -ECONNABORTED, paused = 0;
    cor_sim_options options = {.more = COR_SIM_FULL};
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        assert_int_equal(cor_sim_run(i + 1, NULL, knock_at, &codes[i], NULL), 1);
    }
    assert_true(cor_sim_run(1, NULL, knock_at, &aborted, NULL) >= 0);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int rc = cor_sim_run(seed, &options, knock_at, NULL, NULL);
        assert_true(rc == 0 || rc == 1);
        paused += rc;
    }
    assert_true(paused >= 3 && paused < 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_narrow_link_takes_its_time),
        cmocka_unit_test(a_lossy_link_stalls_streams),
        cmocka_unit_test(datagrams_are_lost),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(seeds_have_narrow_and_lossy_links),
        cmocka_unit_test(accepts_that_fail_are_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What one address may have open and open how fast, what counts as one address, and that few are remembered. */
/* sources: cmd/coracle/serve/peers.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "serve/peers.h"

#define START (1000 * COR_SECOND)

static cor_ip ip_of(const char *text)
{
    cor_ip ip;
    assert_int_equal(cor_ip_parse(&ip, text), 0);
    return ip;
}

static void test_most_of_one_address(void **state)
{
    struct peers *peers = peers_new(0);
    struct peer *of[4];
    (void)state;
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 2, 0, START, &of[0]), REASON_NONE);
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 2, 0, START, &of[1]), REASON_NONE);
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 2, 0, START, &of[2]), REASON_PER_IP);
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.2"), 2, 0, START, &of[2]), REASON_NONE);
    peers_leave(peers, of[0]);
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 2, 0, START, &of[0]), REASON_NONE);
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 2, 0, START, &of[3]), REASON_PER_IP);
    for (int i = 0; i < 3; i++) {
        peers_leave(peers, of[i]);
    }
    peers_free(peers);
}

static void test_a_v6_client_has_a_network(void **state)
{
    struct peers *peers = peers_new(0);
    struct peer *of[3];
    (void)state;
    assert_int_equal(peers_enter(peers, ip_of("2001:db8:1:2::1"), 1, 0, START, &of[0]), REASON_NONE);
    assert_int_equal(peers_enter(peers, ip_of("2001:db8:1:2:ffff::9"), 1, 0, START, &of[1]), REASON_PER_IP);
    assert_int_equal(peers_enter(peers, ip_of("2001:db8:1:3::1"), 1, 0, START, &of[1]), REASON_NONE);
    /* These begin with the same four bytes: they differ by what they are. */
    assert_int_equal(peers_enter(peers, ip_of("32.1.13.184"), 1, 0, START, &of[2]), REASON_NONE);
    assert_int_equal(peers_kept(peers), 3);
    for (int i = 0; i < 3; i++) {
        peers_leave(peers, of[i]);
    }
    peers_free(peers);
}

static unsigned opened(struct peers *peers, cor_ip ip, uint64_t rate, int64_t now, unsigned tries)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++) {
        struct peer *of;
        close_reason reason = peers_enter(peers, ip, 0, rate, now, &of);
        assert_true(reason == REASON_NONE || reason == REASON_RATE);
        if (reason == REASON_NONE) {
            peers_leave(peers, of);
            count++;
        }
    }
    return count;
}

static void test_rate(void **state)
{
    struct peers *peers = peers_new(0);
    cor_ip ip = ip_of("192.0.2.1");
    (void)state;
    assert_int_equal(opened(peers, ip, 10, START, 30), 10);
    assert_int_equal(opened(peers, ip_of("192.0.2.2"), 10, START, 30), 10);
    assert_int_equal(opened(peers, ip, 10, START + 99 * COR_MILLISECOND, 30), 0);
    assert_int_equal(opened(peers, ip, 10, START + 300 * COR_MILLISECOND, 30), 3);
    assert_int_equal(opened(peers, ip, 10, START + 60 * COR_SECOND, 30), 10);
    assert_int_equal(opened(peers, ip, 3, START + 120 * COR_SECOND, 30), 3); /* it does not divide a second */
    peers_free(peers);
}

static void test_few_are_remembered(void **state)
{
    enum { ADDRESSES = 20000, IDLE = 4096 };
    struct peers *peers = peers_new(0);
    struct peer *stays, *of;
    (void)state;
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 1, 1, START, &stays), REASON_NONE);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
        assert_int_equal(peers_enter(peers, ip_of(text), 1, 1, START, &of), REASON_NONE);
        peers_leave(peers, of);
    }
    assert_int_equal(peers_kept(peers), IDLE + 1);
    assert_int_equal(peers_enter(peers, ip_of("10.0.78.31"), 1, 1, START, &of), REASON_RATE); /* the last one */
    assert_int_equal(peers_enter(peers, ip_of("192.0.2.1"), 1, 0, START, &of), REASON_PER_IP);
    peers_leave(peers, stays);
    peers_free(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_of_one_address),
        cmocka_unit_test(test_a_v6_client_has_a_network),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_few_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Small texts of the program: nearest words, addresses of the command line. */
/* sources: cmd/coracle/suggest.c cmd/coracle/address.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "address.h"
#include "suggest.h"

static const char *nearest(const char *typed)
{
    static const char *const words[] = {"ack",  "print",  "greet",        "broadcast",
                                        "echo", "random", "idle-timeout", "quiet"};
    suggestion best = {0};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        suggest_consider(&best, typed, strlen(typed), words[i]);
    }
    return best.word;
}

static void test_nearest_word(void **state)
{
    (void)state;
    assert_string_equal(nearest("ecoh"), "echo");
    assert_string_equal(nearest("broadcst"), "broadcast");
    assert_string_equal(nearest("rnadom"), "random");
    assert_string_equal(nearest("idel-timeout"), "idle-timeout");
    assert_string_equal(nearest("quit"), "quiet");
    assert_null(nearest("zzz"));
    assert_null(nearest(""));
    assert_null(nearest("a-very-long-word-that-nobody-would-ever-type-here"));
}

static void test_suggestion_counts_only_the_size_given(void **state)
{
    (void)state;
    suggestion best = {0};
    suggest_consider(&best, "ecoh=:1234", 4, "echo");
    assert_non_null(best.word);
    assert_int_equal(best.distance, 1);
}

static void test_split_address(void **state)
{
    static const struct {
        const char *text, *network, *address;
    } cases[] = {
        {":5000", "tcp", ":5000"},
        {"[::1]:9", "tcp", "[::1]:9"},
        {"tcp4://:8001", "tcp4", ":8001"},
        {"unix:///run/x.sock", "unix", "/run/x.sock"},
        {"unix://@name", "unix", "@name"},
        {"", "tcp", ""},
        {"Unix://x", "Unix", "x"},
        {"averylongnetworkname://x", "averylongnetwor", "x"},
        {"://x", "", "x"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        address split = address_split(cases[i].text);
        assert_string_equal(split.network, cases[i].network);
        assert_string_equal(split.text, cases[i].address);
    }
}

static void test_address_to_dial(void **state)
{
    static const struct {
        const char *network, *bound, *dial, *nc;
    } cases[] = {
        {"tcp", "127.0.0.1:9999", "127.0.0.1:9999", "127.0.0.1 9999"},
        {"tcp", "[::]:5000", "127.0.0.1:5000", "127.0.0.1 5000"},
        {"tcp4", "0.0.0.0:8001", "127.0.0.1:8001", "127.0.0.1 8001"},
        {"tcp6", "[::]:5000", "[::1]:5000", "::1 5000"},
        {"unix", "/run/x.sock", "unix:///run/x.sock", "-U /run/x.sock"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        assert_string_equal(address_to_dial(cases[i].network, cases[i].bound, text, sizeof(text)), cases[i].dial);
        assert_string_equal(address_for_nc(cases[i].network, cases[i].bound, text, sizeof(text)), cases[i].nc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_word),
        cmocka_unit_test(test_suggestion_counts_only_the_size_given),
        cmocka_unit_test(test_split_address),
        cmocka_unit_test(test_address_to_dial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

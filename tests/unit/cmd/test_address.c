/* SPDX-License-Identifier: MIT */
/* Addresses of the command line: their parts, what --admin makes of a port, and what a user is told to dial. */
/* sources: cmd/coracle/address.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coracle.h>
#include <string.h>

#include "address.h"

static void test_parts(void **state)
{
    static const char *const texts[][3] = {
        {"localhost:80", "tcp", "localhost:80"},
        {":80", "tcp", ":80"},
        {"", "tcp", ""},
        {"udp://[::1]:53", "udp", "[::1]:53"},
        {"unix:///run/a.sock", "unix", "/run/a.sock"},
        {"unixgram://@name", "unixgram", "@name"},
        {"://x", "", "x"},
        {"tcp://a://b", "tcp", "a://b"},
        {"ip4:icmp://127.0.0.1", "ip4:icmp", "127.0.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        address parts = address_split(texts[i][0]);
        assert_string_equal(parts.network, texts[i][1]);
        assert_string_equal(parts.text, texts[i][2]);
    }
    /* What is too long for a network is one that nobody knows. */
    char text[200];
    memset(text, 'n', sizeof(text));
    memcpy(text + 150, "://host:1", 10);
    address parts = address_split(text);
    assert_string_equal(parts.text, "host:1");
    assert_int_equal(strlen(parts.network), sizeof(parts.network) - 1);
}

static void test_of_admin(void **state)
{
    static const char *const texts[][3] = {
        {"7070", "tcp", "127.0.0.1:7070"},
        {":7070", "tcp", "127.0.0.1:7070"},
        {"0", "tcp", "127.0.0.1:0"},
        {"tcp4://:7070", "tcp4", "127.0.0.1:7070"},
        {"tcp6://7070", "tcp6", "[::1]:7070"},
        {"0.0.0.0:7070", "tcp", "0.0.0.0:7070"},
        {"[::]:7070", "tcp", "[::]:7070"},
        {"host", "tcp", "host"},
        {"", "tcp", "127.0.0.1:"},
        {"tcp6://", "tcp6", "[::1]:"},
        {":http", "tcp", "127.0.0.1:http"},
        {"unix:///run/a.sock", "unix", "/run/a.sock"},
        {"unix://7070", "unix", "7070"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[COR_ADDR_TEXT];
        address at = address_of_admin(texts[i][0], text, sizeof(text));
        assert_string_equal(at.network, texts[i][1]);
        assert_string_equal(at.text, texts[i][2]);
    }
}

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        bool packets, raw;
    } kinds[] = {
        {"localhost:1", false, false}, {"tcp6://[::1]:1", false, false},
        {"unix:///a", false, false},   {"udp://:1", true, false},
        {"udp4://:1", true, false},    {"unixgram:///a", true, false},
        {"ip://::1", true, true},      {"ip4:icmp://127.0.0.1", true, true},
        {"ip6:58://::1", true, true},  {"ip5:icmp://x", false, false},
        {"ipx://x", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        address at = address_split(kinds[i].text);
        assert_int_equal(address_is_packets(&at), kinds[i].packets);
        assert_int_equal(address_is_raw_ip(&at), kinds[i].raw);
    }
}

static void test_to_dial(void **state)
{
    static const char *const texts[][4] = {
        /* network, where it is bound, for dial, for nc */
        {"tcp", "127.0.0.1:80", "127.0.0.1:80", "127.0.0.1 80"},
        {"tcp", "0.0.0.0:80", "127.0.0.1:80", "127.0.0.1 80"},
        {"tcp", "[::]:80", "127.0.0.1:80", "127.0.0.1 80"},
        {"tcp6", "[::]:80", "[::1]:80", "::1 80"},
        {"tcp", "[::1]:80", "[::1]:80", "::1 80"},
        {"udp", "0.0.0.0:53", "udp://127.0.0.1:53", "-u 127.0.0.1 53"},
        {"udp6", "[::]:53", "udp6://[::1]:53", "-u ::1 53"},
        {"unix", "/run/a:b", "unix:///run/a:b", "-U /run/a:b"},
        {"unixgram", "@name", "unixgram://@name", "-uU @name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[COR_ADDR_TEXT];
        assert_string_equal(address_to_dial(texts[i][0], texts[i][1], text, sizeof(text)), texts[i][2]);
        assert_string_equal(address_for_nc(texts[i][0], texts[i][1], text, sizeof(text)), texts[i][3]);
    }
}

static int listen_and_dial(void *arg)
{
    static const struct {
        const char *network, *text;
        bool is_public;
    } places[] = {{"tcp", "127.0.0.1:0", false},
                  {"tcp", "[::1]:0", false},
                  {"tcp", "0.0.0.0:0", true},
                  {"unix", "@cor-test-address", false}};
    (void)arg;
    cor_error error;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        cor_listener *listener;
        if (cor_listen(&listener, places[i].network, places[i].text, NULL) < 0) {
            return -1;
        }
        char bound[COR_ADDR_TEXT], text[COR_ADDR_TEXT];
        bool is_public = address_is_public(listener);
        const address to = address_split(
            address_to_dial(places[i].network, cor_listener_addr(listener, bound, sizeof(bound)), text, sizeof(text)));
        cor_conn *conn;
        int code = address_dial(&conn, &to, cor_after(10 * COR_SECOND), &error);
        cor_listener_close(listener);
        if (code < 0 || is_public != places[i].is_public) {
            return -2;
        }
        cor_close(conn);
    }
    return 0;
}

static int dial_packets(void *arg)
{
    cor_conn *conn;
    const address to = address_split("udp://127.0.0.1:1");
    return address_dial(&conn, &to, 0, arg);
}

/* A listener is dialled by what a user is told; datagrams are not for those who want a connection. */
static void test_dial(void **state)
{
    const cor_options options = {.workers = 1};
    cor_error error = {0};
    char text[COR_ERROR_TEXT];
    (void)state;
    assert_int_equal(cor_run(listen_and_dial, NULL, &options), 0);
    assert_int_equal(cor_run(dial_packets, &error, &options), COR_EUNEXPECTED_TYPE);
    assert_non_null(strstr(cor_error_text(&error, text, sizeof(text)), "dial udp 127.0.0.1:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),   cmocka_unit_test(test_of_admin), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_to_dial), cmocka_unit_test(test_dial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

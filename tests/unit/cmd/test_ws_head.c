/* SPDX-License-Identifier: MIT */
/* The head of a request: what is taken, what is refused, and that it does not matter in which pieces it comes. */
/* sources: cmd/coracle/serve/ws/head.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "serve/ws/head.h"

#define UPGRADE                                                                                                        \
    "GET /?a=b HTTP/1.1\r\nHost: room.example:8080\r\nConnection: keep-alive, Upgrade\r\nUPGRADE: h2c , WebSocket\r\n" \
    "Sec-WebSocket-Key:\t dGhlIHNhbXBsZSBub25jZQ== \r\nSec-WebSocket-Version: 13\r\nOrigin: http://room.example\r\n"   \
    "X-Other: caf\xc3\xa9\r\n\r\n"

static void check_text(const char *bytes, head_text piece, const char *text)
{
    assert_true(piece.given);
    assert_int_equal(piece.size, strlen(text));
    assert_memory_equal(bytes + piece.at, text, piece.size);
}

/* Reads a text in pieces of `step` bytes, each time from a copy of just that size. */
static head_result read_in(struct http_head *head, const char *text, size_t size, size_t step)
{
    head_result result = HEAD_MORE;
    *head = (struct http_head){0};
    for (size_t come = 0; result == HEAD_MORE && come < size;) {
        come = come + step < size ? come + step : size;
        char *copy = malloc(come);
        memcpy(copy, text, come);
        result = head_read(head, copy, come);
        free(copy);
    }
    return result;
}

static void upgrade_is_read_in_any_pieces(void **state)
{
    (void)state;
    struct http_head head;
    for (size_t step = 1; step <= sizeof(UPGRADE) - 1; step++) {
        assert_int_equal(read_in(&head, UPGRADE, sizeof(UPGRADE) - 1, step), HEAD_COMPLETE);
        assert_int_equal(head.size, sizeof(UPGRADE) - 1);
        check_text(UPGRADE, head.method, "GET");
        check_text(UPGRADE, head.target, "/?a=b");
        check_text(UPGRADE, head.host, "room.example:8080");
        check_text(UPGRADE, head.key, "dGhlIHNhbXBsZSBub25jZQ==");
        check_text(UPGRADE, head.version, "13");
        check_text(UPGRADE, head.origin, "http://room.example");
        assert_true(head.asks_websocket && head.asks_upgrade && !head.has_body && head.minor == 1);
    }
}

static void what_follows_is_left_alone(void **state)
{
    (void)state;
    const char *text = "GET / HTTP/1.0\r\n\r\n\x81\x80\n\n";
    struct http_head head = {0};
    assert_int_equal(head_read(&head, text, strlen(text)), HEAD_COMPLETE);
    assert_int_equal(head.size, strlen(text) - 4);
    assert_int_equal(head.minor, 0);
    assert_false(head.host.given || head.asks_websocket || head.asks_upgrade);
}

static void flags_of_fields(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        bool websocket, upgrade, body;
    } cases[] = {
        {"Upgrade: websocket", true, false, false},
        {"Upgrade: ,websocket,", true, false, false},
        {"Upgrade: websockets", false, false, false},
        {"Upgrade: web socket", false, false, false},
        {"Upgrade:", false, false, false},
        {"Connection: upgrade", false, true, false},
        {"Connection: close", false, false, false},
        {"Content-Length: 0", false, false, false},
        {"Content-Length: 1", false, false, true},
        {"Content-Length: 00", false, false, true},
        {"Transfer-Encoding: chunked", false, false, true},
        {"X-Upgrade: websocket", false, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[128] = "GET / HTTP/1.1\r\n";
        strcat(strcat(text, cases[i].field), "\r\n\r\n");
        struct http_head head = {0};
        assert_int_equal(head_read(&head, text, strlen(text)), HEAD_COMPLETE);
        assert_int_equal(head.asks_websocket, cases[i].websocket);
        assert_int_equal(head.asks_upgrade, cases[i].upgrade);
        assert_int_equal(head.has_body, cases[i].body);
    }
}

static void bad_heads(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\r\n",
        "GET\r\n",
        "GET /\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET  / HTTP/1.1\r\n",
        "GET  HTTP/1.1\r\n",
        " / HTTP/1.1\r\n",
        "G\x01T / HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "GET /\x7f HTTP/1.1\r\n",
        "GET /\xc3\xa9 HTTP/1.1\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\rX",
        "GET / HTTP/1.1\r\n: x\r\n",
        "GET / HTTP/1.1\r\nName\r\n",
        "GET / HTTP/1.1\r\nName : x\r\n",
        "GET / HTTP/1.1\r\n Folded: x\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n",
        "GET / HTTP/1.1\r\nA: b\x01\r\n",
        "GET / HTTP/1.1\r\nA: b\x7f\r\n",
        "GET / HTTP/1.1\r\nA: b\nB: c\r\n",
        "GET / HTTP/1.1\r\nA: b\r\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nOrigin: a\r\norigin: b\r\n",
        "GET / HTTP/1.1\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n",
        "GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
        "\x16\x03\x01\x02", /* TLS: refused at the first byte */
        "\x81\x80",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_head head;
        for (size_t step = 1; step <= strlen(cases[i]); step++) {
            assert_int_equal(read_in(&head, cases[i], strlen(cases[i]), step), HEAD_BAD);
        }
    }
    struct http_head head = {0};
    assert_int_equal(head_read(&head, "G\0", 2), HEAD_BAD);
}

static void its_size_is_bounded(void **state)
{
    (void)state;
    static char text[HEAD_MAX + 1];
    struct http_head head = {0};
    const char *begin = "GET / HTTP/1.1\r\nA: ";
    memset(text, 'x', sizeof(text));
    memcpy(text, begin, strlen(begin));
    assert_int_equal(head_read(&head, text, HEAD_MAX - 1), HEAD_MORE);
    assert_int_equal(head_read(&head, text, HEAD_MAX), HEAD_TOO_LONG);
    memcpy(text + HEAD_MAX - 4, "\r\n\r\n", 4);
    head = (struct http_head){0};
    assert_int_equal(head_read(&head, text, HEAD_MAX), HEAD_COMPLETE);
    memcpy(text + HEAD_MAX - 4, "x\r\n\r\n", 5);
    head = (struct http_head){0};
    assert_int_equal(head_read(&head, text, HEAD_MAX + 1), HEAD_TOO_LONG);
}

static void is_compares_whole_texts(void **state)
{
    (void)state;
    const char *bytes = "WebSocket";
    assert_true(head_is(bytes, (head_text){0, 9, true}, "websocket"));
    assert_false(head_is(bytes, (head_text){0, 9, true}, "websockets"));
    assert_false(head_is(bytes, (head_text){0, 9, true}, "websocke"));
    assert_false(head_is(bytes, (head_text){0, 0, false}, ""));
    assert_true(head_is(bytes, (head_text){0, 0, true}, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upgrade_is_read_in_any_pieces),
        cmocka_unit_test(what_follows_is_left_alone),
        cmocka_unit_test(flags_of_fields),
        cmocka_unit_test(bad_heads),
        cmocka_unit_test(its_size_is_bounded),
        cmocka_unit_test(is_compares_whole_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

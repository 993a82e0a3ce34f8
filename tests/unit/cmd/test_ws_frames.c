/* SPDX-License-Identifier: MIT */
/* Frames of a client: what is a message, what breaks the rules and with which code, in any pieces; and memory. */
/* sources: cmd/coracle/serve/ws/frames.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "serve/ws/frames.h"

#if COR_HAVE_WEBSOCKET
#include <wslay/wslay.h>

enum { MAX = 70000, TEXT_MAX = 16, CONT = 0x0 };

/* What is found, as text: "(hello)" for a message, "<x>" for a ping. */
static char found[2 * MAX];
static size_t found_size;
static bool in_text;
static int stop_after = -1; /* pieces of text; -1: never */

static void add(const void *bytes, size_t size)
{
    assert_true(found_size + size < sizeof(found));
    memcpy(found + found_size, bytes, size);
    found_size += size;
    found[found_size] = '\0';
}

static bool on_text(void *arg, const void *bytes, size_t size)
{
    (void)arg;
    if (!in_text) {
        add("(", 1);
    }
    in_text = true;
    add(bytes, size);
    return stop_after < 0 || stop_after-- > 0;
}

static void on_end(void *arg)
{
    (void)arg;
    add(in_text ? ")" : "()", in_text ? 1 : 2);
    in_text = false;
}

static void on_ping(void *arg, const void *payload, size_t size)
{
    (void)arg;
    add("<", 1);
    add(payload, size);
    add(">", 1);
}

static const frames_events events = {on_text, on_end, on_ping};

/* A stream being put together. */
static unsigned char stream[2 * MAX];
static size_t stream_size;

/* Adds a frame as a client sends it; `first` is its first byte, `mask` 0 leaves it without one. */
static void frame(unsigned first, const void *payload, size_t size, unsigned mask)
{
    unsigned char *at = stream + stream_size;
    size_t bytes = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
    *at++ = (unsigned char)first;
    *at++ = (unsigned char)((mask != 0 ? 0x80 : 0) | (bytes == 0 ? size : bytes == 2 ? 126 : 127));
    for (size_t i = bytes; i > 0; i--) {
        *at++ = (unsigned char)((uint64_t)size >> (8 * (i - 1)));
    }
    for (int i = 0; i < 4 && mask != 0; i++) {
        *at++ = (unsigned char)(mask >> (24 - 8 * i));
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char key = mask != 0 ? (unsigned char)(mask >> (24 - 8 * (i % 4))) : 0;
        *at++ = ((const unsigned char *)payload)[i] ^ key;
    }
    stream_size = (size_t)(at - stream);
}

static void text_frame(unsigned first, const char *text)
{
    frame(first, text, strlen(text), 0x12345678);
}

static void start(void)
{
    stream_size = 0;
}

static frames_result take_in(size_t step, size_t max_size, unsigned *code)
{
    struct frames frames = {.max_size = max_size};
    frames_result result = FRAMES_MORE;
    found_size = 0;
    found[0] = '\0';
    in_text = false;
    for (size_t at = 0; at < stream_size && result == FRAMES_MORE; at += step) {
        size_t size = stream_size - at < step ? stream_size - at : step;
        unsigned char *copy = malloc(size);
        memcpy(copy, stream + at, size);
        result = frames_take(&frames, copy, size, &events, NULL);
        free(copy);
    }
    *code = frames.code;
    if (result == FRAMES_MORE) {
        assert_false(in_text && !frames_inside(&frames));
    }
    frames_free(&frames);
    return result;
}

/* What the stream is, in pieces of several sizes. */
static void expect(frames_result result, unsigned code, const char *text)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 64, 4096, sizeof(stream)};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        unsigned given;
        assert_int_equal(take_in(steps[i], MAX, &given), result);
        assert_int_equal(given, code);
        assert_string_equal(found, text);
    }
}

static void broken(unsigned code, const char *text)
{
    expect(FRAMES_BROKEN, code, text);
    start();
}

static void messages(void **state)
{
    (void)state;
    start();
    text_frame(0x81, "hello");
    text_frame(0x81, "");
    text_frame(0x01, "a");
    text_frame(0x89, "ping");
    text_frame(CONT, "b");
    text_frame(CONT, "");
    text_frame(0x8a, "nobody asked");
    text_frame(0x89, "");
    text_frame(0x80, "c");
    text_frame(0x01, "");
    text_frame(0x80, "");
    expect(FRAMES_MORE, 0, "(hello)()(a<ping>b<>c)()");
    assert_int_equal(found_size, strlen("(hello)()(a<ping>b<>c)()"));
}

static void sizes(void **state)
{
    (void)state;
    static char text[MAX];
    static const size_t cases[] = {1, 125, 126, 127, 128, 65535, 65536, MAX};
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned code;
        start();
        frame(0x81, text, cases[i], 0xffeeddcc);
        assert_int_equal(take_in(1000, MAX, &code), FRAMES_MORE);
        assert_int_equal(found_size, cases[i] + 2);
        assert_int_equal(take_in(1000, cases[i] - 1, &code), FRAMES_BROKEN);
        assert_int_equal(code, CLOSE_TOO_BIG);
    }
    start(); /* the limit is of a message, whatever its frames */
    text_frame(0x01, "12345678");
    text_frame(CONT, "12345678");
    text_frame(0x80, "1");
    unsigned code;
    assert_int_equal(take_in(3, 17, &code), FRAMES_MORE);
    assert_int_equal(take_in(3, 16, &code), FRAMES_BROKEN);
    assert_int_equal(code, CLOSE_TOO_BIG);
}

static void rules(void **state)
{
    (void)state;
    start();
    frame(0x81, "x", 1, 0); /* no mask */
    broken(CLOSE_PROTOCOL, "");
    for (unsigned rsv = 1; rsv < 8; rsv++) {
        text_frame(0x81, "a");
        text_frame(0x81 | rsv << 4, "b");
        broken(CLOSE_PROTOCOL, "(a)");
        text_frame(0x89 | rsv << 4, "b");
        broken(CLOSE_PROTOCOL, "");
    }
    static const unsigned reserved[] = {3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        text_frame(0x80 | reserved[i], "");
        broken(CLOSE_PROTOCOL, "");
        text_frame(0x01, "a");
        text_frame(0x80 | reserved[i], "b");
        broken(CLOSE_PROTOCOL, "(a");
    }
    text_frame(0x80, "nothing to go on with");
    broken(CLOSE_PROTOCOL, "");
    text_frame(0x01, "a");
    text_frame(0x81, "b");
    broken(CLOSE_PROTOCOL, "(a");
    text_frame(0x01, "a");
    text_frame(0x82, "b");
    broken(CLOSE_PROTOCOL, "(a");
    text_frame(0x82, "b");
    broken(CLOSE_UNSUPPORTED, "");
    text_frame(0x02, "");
    broken(CLOSE_UNSUPPORTED, "");
    text_frame(0x09, "in parts");
    broken(CLOSE_PROTOCOL, "");
    frame(0x89, stream, 126, 1);
    broken(CLOSE_PROTOCOL, "");
    /* lengths in more bytes than they need, and one that is negative */
    static const unsigned char forms[][14] = {{0x81, 0xfe, 0, 1, 0, 0, 0, 0, 'x'},
                                              {0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
                                              {0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        memcpy(stream, forms[i], sizeof(forms[i]));
        stream_size = sizeof(forms[i]);
        broken(CLOSE_PROTOCOL, "");
    }
}

static void utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "a\xe2\x82z", "\xe2\x82"};
    start();
    text_frame(0x81, "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9b\xb6\"\\");
    expect(FRAMES_MORE, 0, "(h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9b\xb6\"\\)");
    start();
    text_frame(0x01, "\xf0\x9f");
    text_frame(0x89, "\xff");
    text_frame(CONT, "\x9b");
    text_frame(0x80, "\xb6");
    unsigned code;
    assert_int_equal(take_in(1, MAX, &code), FRAMES_MORE);
    assert_string_equal(found, "(\xf0\x9f<\xff>\x9b\xb6)");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        start();
        text_frame(0x81, bad[i]);
        for (size_t step = 1; step < 12; step++) {
            assert_int_equal(take_in(step, MAX, &code), FRAMES_BROKEN);
            assert_int_equal(code, CLOSE_BAD_TEXT);
        }
    }
    start(); /* cut by the end of a message, and not completed by the next */
    text_frame(0x81, "\xc3");
    text_frame(0x81, "\xa9");
    assert_int_equal(take_in(1, MAX, &code), FRAMES_BROKEN);
    assert_int_equal(code, CLOSE_BAD_TEXT);
}

static void closing(void **state)
{
    (void)state;
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 3999, 4999};
    static const unsigned bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    char payload[125] = {0};
    start();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char code[] = {(char)(good[i] >> 8), (char)good[i], 'o', 'k'};
        frame(0x88, code, i % 2 ? 2 : 4, 0x01020304);
        text_frame(0x81, "too late");
        expect(FRAMES_CLOSED, good[i], "");
        start();
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char code[] = {(char)(bad[i] >> 8), (char)bad[i]};
        frame(0x88, code, 2, 0x01020304);
        broken(CLOSE_PROTOCOL, "");
    }
    text_frame(0x88, "");
    expect(FRAMES_CLOSED, CLOSE_NO_CODE, "");
    start();
    text_frame(0x88, "\x03");
    broken(CLOSE_PROTOCOL, "");
    text_frame(0x88, "\x03\xe8\xff");
    broken(CLOSE_BAD_TEXT, "");
    text_frame(0x88, "\x03\xe8\xc3");
    broken(CLOSE_BAD_TEXT, "");
    text_frame(0x01, "\xc3"); /* a character that a message has begun is not the reason's */
    text_frame(0x88, "\x03\xe8\xa9");
    unsigned code;
    assert_int_equal(take_in(100, MAX, &code), FRAMES_BROKEN);
    assert_int_equal(code, CLOSE_BAD_TEXT);
    start();
    memcpy(payload, "\x0f\xa0", 2);
    memset(payload + 2, 'x', sizeof(payload) - 2);
    frame(0x88, payload, sizeof(payload), 7);
    expect(FRAMES_CLOSED, 4000, "");
}

static void no_memory_between_messages(void **state)
{
    (void)state;
    struct frames frames = {.max_size = MAX};
    start();
    text_frame(0x81, "whole");
    text_frame(0x89, "");
    size_t whole = stream_size;
    text_frame(0x01, "a part");
    size_t part = stream_size;
    text_frame(0x80, "the rest");
    for (size_t at = 0; at < stream_size; at++) {
        bool between = at == 0 || at == 11 || at == whole;
        assert_int_equal(frames_inside(&frames), !between);
        assert_int_equal(frames_take(&frames, stream + at, 1, &events, NULL), FRAMES_MORE);
    }
    assert_false(frames_inside(&frames));
    assert_int_equal(frames_take(&frames, stream, whole + 1, &events, NULL), FRAMES_MORE);
    assert_true(frames_inside(&frames));
    assert_int_equal(frames_take(&frames, stream + whole + 1, part - whole - 1, &events, NULL), FRAMES_MORE);
    assert_true(frames_inside(&frames));
    frames_free(&frames);
    assert_false(frames_inside(&frames));
    frames_free(&frames);
}

static void text_may_stop(void **state)
{
    (void)state;
    unsigned code;
    start();
    text_frame(0x81, "one");
    text_frame(0x81, "two");
    text_frame(0x81, "three");
    stop_after = 1;
    assert_int_equal(take_in(1000, MAX, &code), FRAMES_STOPPED);
    assert_string_equal(found, "(one)(two");
    stop_after = -1;
}

static ssize_t give_back(uint8_t *to, size_t size, int flags, void *arg)
{
    size_t *at = arg;
    (void)flags;
    size = size < stream_size - *at ? size : stream_size - *at;
    memcpy(to, stream + *at, size);
    *at += size;
    return size > 0 ? (ssize_t)size : -1;
}

/* What this side writes is what libwslay reads on the other. */
static void heads_are_what_wslay_reads(void **state)
{
    (void)state;
    static const size_t cases[] = {0, 1, 125, 126, 65535, 65536, MAX};
    const struct wslay_frame_callbacks callbacks = {.recv_callback = give_back};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wslay_frame_context_ptr context;
        struct wslay_frame_iocb one = {0};
        size_t at = 0;
        char *end = frames_put_head((char *)stream, FRAME_TEXT, cases[i]);
        assert_true((size_t)(end - (char *)stream) <= FRAMES_HEAD_MAX);
        stream_size = (size_t)(end - (char *)stream) + cases[i];
        assert_int_equal(wslay_frame_context_init(&context, &callbacks, &at), 0);
        assert_true(wslay_frame_recv(context, &one) >= 0);
        assert_int_equal(one.payload_length, cases[i]);
        assert_true(one.fin && one.opcode == WSLAY_TEXT_FRAME && !one.mask && one.rsv == 0);
        wslay_frame_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),      cmocka_unit_test(sizes),
        cmocka_unit_test(rules),         cmocka_unit_test(utf8),
        cmocka_unit_test(closing),       cmocka_unit_test(no_memory_between_messages),
        cmocka_unit_test(text_may_stop), cmocka_unit_test(heads_are_what_wslay_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77;
}

#endif

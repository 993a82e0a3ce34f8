/* SPDX-License-Identifier: MIT */
/* What nodes send each other, and what a node knows by its numbers. */
/* sources: cmd/coracle/serve/room/frame.c cmd/coracle/serve/room/nodes.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "serve/room/nodes.h"

static bool reads(const char *text)
{
    struct frame frame;
    return frame_read(text, strlen(text), &frame);
}

static void test_there_and_back(void **state)
{
    char bytes[256];
    struct frame out, in = {.node = 0xfedcba9876543210, .first = UINT64_MAX - UINT32_MAX, .count = 2, .members = 7};
    size_t head = frame_head(&in, bytes);
    (void)state;
    assert_true(head <= FRAME_HEAD_MAX);
    memcpy(bytes + head, "one\ntwo\n", 8);
    assert_true(frame_read(bytes, head + 8, &out));
    assert_true(out.node == in.node && out.first == in.first && out.count == 2 && out.members == 7);
    assert_int_equal(out.size, 8);
    assert_memory_equal(out.text, "one\ntwo\n", 8);
    in.node = 1;
    head = frame_head(&in, bytes);
    in.count = 0;
    assert_true(frame_read(bytes, frame_head(&in, bytes), &out));
    assert_int_equal(out.size, 0);
    assert_false(frame_read(bytes, head - 2, &out));
}

static void test_what_is_none(void **state)
{
    (void)state;
    assert_true(reads("coracle1 00000000000000ff 0 1 0\nhola\n"));
    assert_true(reads("coracle1 00000000000000ff 12 0 3\n"));
    assert_true(reads("coracle1 00000000000000ff 0 1 0\n\u00e9\\x \u6536\n"));
    static const char *const none[] = {
        "",
        "coracle1",
        "coracle1 ",
        "coracle2 00000000000000ff 0 0 0\n",
        "coracle100000000000000ff 0 0 0\n",
        "coracle1 ff 0 0 0\n",                        /* a node has 16 digits */
        "coracle1 00000000000000FF 0 0 0\n",          /* small ones */
        "coracle1 00000000000000ff 0 0\n",            /* a number is missing */
        "coracle1 00000000000000ff 0 0 0 \n",         /* and here is one more */
        "coracle1 00000000000000ff 0 0 -1\n",         /* below */
        "coracle1 00000000000000ff 0 4294967296 0\n", /* and above what there are */
        "coracle1 00000000000000ff 18446744073709551615 0 0\n",
        "coracle1 00000000000000ff 184467440737095516160 0 0\n",
        "coracle1 00000000000000ff 0 0 0",            /* no end */
        "coracle1 00000000000000ff 0 0 0\nx\n",       /* more lines than it says */
        "coracle1 00000000000000ff 0 2 0\nx\n",       /* fewer */
        "coracle1 00000000000000ff 0 1 0\nx\ny",      /* the last one is not whole */
        "coracle1 00000000000000ff 0 1 0\n\x1b[2J\n", /* would clear a screen */
        "coracle1 00000000000000ff 0 1 0\nx\r\n",
        "coracle1 00000000000000ff 0 4 0\nx\r\nx\r\nx\r\n\x1b[2J\n", /* escaping makes it no longer and no shorter */
        "coracle1 00000000000000ff 0 1 0\n\xff\n",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (reads(none[i])) {
            fail_msg("taken for a frame: %s", none[i]);
        }
    }
    struct frame frame;
    assert_false(frame_read("coracle1 00000000000000ff 0 1 0\na\0\n", 35, &frame));
}

static void test_lines(void **state)
{
    (void)state;
    assert_int_equal(frame_lines("", 0), 0);
    assert_int_equal(frame_lines("a\n\nb\n", 5), 3);
    assert_int_equal(frame_skip("a\n\nb\n", 5, 0), 0);
    assert_int_equal(frame_skip("a\n\nb\n", 5, 2), 3);
    assert_int_equal(frame_skip("a\n\nb\n", 5, 9), 5);
}

static struct nodes nodes;

/* A frame of node `id` comes; returns known * 1000 + lost. */
static uint64_t hear(uint64_t id, uint64_t first, uint32_t count, int64_t now)
{
    const struct frame frame = {.node = id, .first = first, .count = count, .members = (uint32_t)id};
    struct nodes_news news = nodes_hear(&nodes, &frame, now);
    return news.known * 1000 + news.lost;
}

static void test_numbers(void **state)
{
    (void)state;
    memset(&nodes, 0, sizeof(nodes));
    assert_int_equal(hear(1, 70, 5, 0), 0);    /* what was before, nobody here could hear */
    assert_int_equal(hear(1, 75, 5, 0), 0);    /* as it should be */
    assert_int_equal(hear(1, 75, 5, 0), 5000); /* once more */
    assert_int_equal(hear(1, 78, 5, 0), 2000); /* with three that are new */
    assert_int_equal(hear(1, 90, 1, 0), 7);
    assert_int_equal(hear(1, 83, 7, 0), 7000); /* too late: they are not in order any more */
    assert_int_equal(hear(1, 95, 0, 0), 4);    /* a sign of life tells as well */
    assert_int_equal(hear(2, 0, 1, 0), 0);
    assert_int_equal(hear(2, 1, 1, 0), 0);
    assert_int_equal(hear(1, 95, 1, 0), 0);
}

static void test_who_is_there(void **state)
{
    uint64_t members;
    (void)state;
    memset(&nodes, 0, sizeof(nodes));
    hear(20, 0, 0, 1);
    hear(3, 0, 0, COR_SECOND);
    assert_int_equal(nodes_count(&nodes, COR_SECOND, &members), 2);
    assert_int_equal(members, 23);
    assert_int_equal(nodes_count(&nodes, NODES_SILENT_NS + 1, &members), 1);
    assert_int_equal(members, 3);
    hear(20, 8, 0, 2 * NODES_SILENT_NS); /* it was out of reach only */
    assert_int_equal(nodes_count(&nodes, 2 * NODES_SILENT_NS, &members), 1);
    assert_int_equal(hear(20, 9, 0, 2 * NODES_SILENT_NS), 1);
}

/* Whom a node waits for after a loss: those heard of in the last while before it. */
static void test_who_was_there(void **state)
{
    (void)state;
    memset(&nodes, 0, sizeof(nodes));
    assert_int_equal(nodes_lately(&nodes), 0);
    hear(1, 0, 0, 10);
    hear(2, 0, 0, 12);
    assert_int_equal(nodes_since(&nodes, 10), 2);
    assert_int_equal(nodes_since(&nodes, 11), 1);
    assert_int_equal(nodes_lately(&nodes), 2);
    hear(3, 0, 0, NODES_SILENT_NS + 11);
    assert_int_equal(nodes_lately(&nodes), 2);
    hear(1, 0, 0, NODES_SILENT_NS + 12);
    assert_int_equal(nodes_lately(&nodes), 3);
}

static void test_forgets_the_most_silent(void **state)
{
    uint64_t members;
    (void)state;
    memset(&nodes, 0, sizeof(nodes));
    for (int i = 1; i <= NODES_MAX; i++) {
        hear((uint64_t)i, 10, 0, i);
    }
    hear(1, 10, 0, NODES_MAX + 1);
    hear(NODES_MAX + 1, 10, 0, NODES_MAX + 2);
    assert_int_equal(nodes_count(&nodes, NODES_MAX + 2, &members), NODES_MAX);
    assert_int_equal(hear(1, 11, 0, NODES_MAX + 3), 1); /* still known */
    assert_int_equal(hear(2, 11, 0, NODES_MAX + 3), 0); /* as if new */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_who_was_there),
        cmocka_unit_test(test_who_is_there),
        cmocka_unit_test(test_forgets_the_most_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

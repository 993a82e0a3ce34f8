/* SPDX-License-Identifier: MIT */
/* The log of a room: who gets what, in which order, what is kept for whom, and that nothing is kept for nobody. */
/* sources: cmd/coracle/serve/room/msglog.c */
/* test: workers=1 */
#include <coracle/time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/room/msglog.h"

#define OWN "own\n"
enum { BLOCK = 1024, KEEP = 4096, READERS = 8, STEPS = 20000 };
/* Of the test with a reader that stands still: what a line takes with its entry, and how many lines are held for it. */
enum { LINE = 36 + 16, HELD = 50 };

static void add(struct msg_log *log, struct msg_reader *by, const char *text)
{
    assert_true(msglog_add(log, by, MSG_SAID, text, strlen(text)));
}

/* Another form: with a mark in front. */
static char *put_marked(char *to, const char *text, size_t size)
{
    *to = '=';
    return (char *)memcpy(to + 1, text, size) + size;
}

/* Reads at most `runs` runs and appends what the reader gets to `to`. Returns the size. */
static size_t read_runs(struct msg_log *log, struct msg_reader *reader, int runs, char *to)
{
    size_t size = 0;
    struct msg_run run;
    while (runs-- > 0 && msglog_next(log, reader) && msglog_peek(reader, &run)) {
        const char *text;
        size_t length;
        if (msglog_is_put(reader, &run, &text, &length)) {
            memcpy(to + size, text, length);
            size += length;
        } else {
            size += msglog_copy(reader, &run, OWN, strlen(OWN), to + size);
        }
        msglog_take(reader, &run);
    }
    to[size] = '\0';
    return size;
}

static void expect(struct msg_log *log, struct msg_reader *reader, const char *text)
{
    char got[8 * BLOCK];
    read_runs(log, reader, 100, got);
    assert_string_equal(got, text);
}

static size_t listed(const struct msg_log *log, const struct msg_reader *of)
{
    return (size_t)(log->end - atomic_load(&of->place));
}

static void test_own_and_private(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader a = {0}, b = {0}, late = {0};
    (void)state;
    assert_true(msglog_enter(&log, &a));
    assert_true(msglog_enter(&log, &b));
    expect(&log, &a, "");
    add(&log, &a, "a says 1\n");
    add(&log, &b, "b says 2\n");
    assert_true(msglog_add(&log, &a, MSG_PRIVATE, "only a\n", 7));
    add(&log, &a, "a says 3\n");
    assert_true(msglog_enter(&log, &late));
    expect(&log, &a, OWN "b says 2\nonly a\n" OWN);
    expect(&log, &b, "a says 1\n" OWN "a says 3\n");
    expect(&log, &late, "");
    add(&log, &a, "a says 4\n");
    struct msg_run run;
    assert_true(msglog_peek(&b, &run));
    assert_true(run.plain);
    expect(&log, &b, "a says 4\n");
    expect(&log, &late, "a says 4\n");
    assert_true(msglog_add(&log, &a, MSG_PRIVATE, "only a\n", 7));
    add(&log, &a, "a says 5\n");
    expect(&log, &b, "a says 5\n");
    expect(&log, &a, OWN "only a\n" OWN);
    expect(&log, &late, "a says 5\n");
    assert_int_equal(a.dropped + b.dropped + late.dropped, 0);
    assert_int_equal(listed(&log, &a), 0);
    msglog_leave(&log, &a);
    msglog_leave(&log, &b);
    msglog_leave(&log, &late);
    msglog_free(&log);
}

/* Others' private messages are not counted, and a run is as old as its oldest message. */
static void test_count_and_age(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader a = {0}, b = {0};
    struct msg_run run;
    (void)state;
    assert_true(msglog_enter(&log, &a));
    assert_true(msglog_enter(&log, &b));
    int64_t before = cor_now();
    add(&log, &a, "a says 1\n");
    int64_t after = cor_now();
    assert_true(msglog_add(&log, &a, MSG_PRIVATE, "only a\n", 7));
    assert_true(msglog_add(&log, &b, MSG_PRIVATE, "only b\n", 7));
    add(&log, &b, "b says 2\n");
    assert_true(msglog_peek(&a, &run));
    assert_int_equal(msglog_count(&a, &run), 3);
    assert_in_range(run.said_at + COR_MICROSECOND, before, after + COR_MICROSECOND);
    assert_true(msglog_peek(&b, &run));
    assert_int_equal(msglog_count(&b, &run), 3);
    expect(&log, &b, "a says 1\nonly b\n" OWN);
    add(&log, &a, "a says 3\n");
    assert_true(msglog_peek(&b, &run));
    assert_true(run.plain);
    assert_int_equal(msglog_count(&b, &run), 1);
    msglog_leave(&log, &a);
    msglog_leave(&log, &b);
    msglog_free(&log);
}

static void test_longer_than_a_block(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader a = {0}, b = {0};
    char text[3 * BLOCK + 2];
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + sizeof(text) - 2, "\n", 2);
    assert_true(msglog_enter(&log, &a));
    assert_true(msglog_enter(&log, &b));
    add(&log, &a, "1\n");
    add(&log, &a, text);
    add(&log, &a, "3\n");
    char got[8 * BLOCK];
    assert_int_equal(read_runs(&log, &b, 100, got), strlen(text) + 4);
    assert_memory_equal(got, "1\nx", 3);
    assert_memory_equal(got + 2 + strlen(text), "3\n", 3);
    expect(&log, &a, OWN OWN OWN);
    assert_ptr_equal(log.oldest, log.newest);
    msglog_leave(&log, &a);
    msglog_leave(&log, &b);
    msglog_free(&log);
}

/* A batch is not torn between blocks, if it is not larger than the one before. */
static void test_batches_in_one_piece(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader a = {0}, b = {0};
    (void)state;
    assert_true(msglog_enter(&log, &a));
    assert_true(msglog_enter(&log, &b));
    for (int batch = 0; batch < 100; batch++) {
        for (int i = 0; i < 8; i++) {
            add(&log, &a, "a message of thirty bytes, no ");
        }
        msglog_end_batch(&log);
        struct msg_run run;
        assert_true(msglog_next(&log, &b) && msglog_peek(&b, &run));
        assert_int_equal(run.count, 8);
        msglog_take(&b, &run);
        assert_false(msglog_next(&log, &b));
    }
    msglog_leave(&log, &a);
    msglog_leave(&log, &b);
    msglog_free(&log);
}

/* After a batch of any size what comes singly fills blocks: one message does not take a block for itself. */
static void test_single_ones_after_a_batch(void **state)
{
    (void)state;
    for (int size = 1; size < 100; size++) {
        struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
        struct msg_reader a = {0};
        assert_true(msglog_enter(&log, &a));
        for (int i = 0; i < size; i++) {
            add(&log, &a, "a message of thirty bytes, no ");
        }
        msglog_end_batch(&log);
        uint64_t before = log.end;
        for (int i = 0; i < 100; i++) {
            add(&log, &a, "a message of thirty bytes, no ");
            msglog_end_batch(&log);
        }
        assert_in_range(log.end - before, 100 * 30, 2 * 100 * (30 + 16) + BLOCK);
        msglog_leave(&log, &a);
        msglog_free(&log);
    }
}

/* Counts the blocks on the list but the newest; a block begins with its link. */
static size_t count_blocks(const struct msg_log *log)
{
    size_t count = 0;
    for (struct msg_block *block = log->oldest; block != log->newest; block = *(struct msg_block **)(void *)block) {
        count++;
    }
    return count;
}

/* One reader stands still: the log keeps what it promises for it and no more, and the others do not notice. */
static void stand_still(bool hold)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader still = {0}, moving = {0};
    char line[64], got[8 * BLOCK];
    int count = 0;
    assert_true(msglog_enter(&log, &still));
    assert_true(msglog_enter(&log, &moving));
    for (; count < 1000; count++) {
        snprintf(line, sizeof(line), "%08d abcdefghijklmnopqrstuvwxyz\n", count);
        add(&log, &moving, line);
        expect(&log, &moving, OWN);
        if (count == HELD - 1 && hold) {
            msglog_hold(&log, &still);
        }
        size_t blocks = count_blocks(&log); /* each but the newest, and the one it stands in, keeps memory for it */
        assert_in_range(blocks * BLOCK, 0, KEEP + BLOCK + (hold ? HELD * LINE : 0));
    }
    assert_true(log.overtaken > 0);
    int next = 0, last_of_first = -1;
    while (read_runs(&log, &still, 1, got) > 0) {
        for (char *text = got; *text != '\0'; text += 36) {
            int number = atoi(text);
            last_of_first = number != next && last_of_first < 0 ? next - 1 : last_of_first;
            assert_true(number == next || last_of_first == next - 1);
            next = number + 1;
        }
    }
    assert_int_equal(next, count);
    assert_in_range(last_of_first, hold ? HELD - 1 : 1, (hold ? HELD - 1 : 0) + BLOCK / LINE);
    int kept = count - (int)still.dropped - last_of_first - 1;
    assert_in_range(kept * LINE, KEEP - 2 * BLOCK, KEEP + BLOCK);
    assert_int_equal(log.overtaken, 0);
    assert_ptr_equal(log.oldest, log.newest);
    msglog_leave(&log, &still);
    msglog_leave(&log, &moving);
    msglog_free(&log);
}

static void test_overtaken(void **state)
{
    (void)state;
    stand_still(false);
}

static void test_held(void **state)
{
    (void)state;
    stand_still(true);
}

/* Anything in any order: what a reader has got and what was dropped for it is all that it should have got. */
/* Whoever leaves hears to its end what was there, and nothing after that: the log does not wait for it any more. */
static void test_ends_here(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader talker = {0}, leaver = {0};
    char line[64], got[32 * BLOCK];
    (void)state;
    assert_true(msglog_enter(&log, &talker));
    assert_true(msglog_enter(&log, &leaver));
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "%031d\n", i);
        add(&log, &talker, line);
        read_runs(&log, &talker, 100, got);
        if (i == HELD) {
            msglog_hold(&log, &leaver);
            msglog_end_here(&log, &leaver);
        }
    }
    size_t lines = read_runs(&log, &leaver, 1000, got) / 32;
    assert_true(lines > HELD && lines < HELD + BLOCK / 32);
    for (size_t i = 0; i < lines; i++) {
        assert_int_equal(strtol(got + 32 * i, NULL, 10), i);
    }
    msglog_leave(&log, &leaver);
    msglog_leave(&log, &talker);
    msglog_free(&log);
}

/* Where a reader of the random test is. */
struct reading {
    uint64_t next;    /* the number of the line it is to hear next */
    uint64_t entered; /* what was said before is history to it */
    bool placed;      /* `next` is known; else what it hears first says it */
};

/* What has been read: lines in order, none twice, none left out; "o" stands for an own one, "p" for a private one. */
static void check_lines(struct reading *at, const char *got, unsigned history, bool marked)
{
    for (const char *line = got; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_int_equal(*line == '=', marked);
        line += marked;
        uint64_t number = *line != 'o' && *line != 'p' ? strtoull(line, NULL, 10) : at->next;
        if (!at->placed && number != at->next) {
            assert_true(number + history >= at->entered);
            *at = (struct reading){.next = number, .entered = at->entered, .placed = true};
        }
        assert_int_equal(number, at->next);
        assert_true(*line != 'o' || !at->placed || number >= at->entered); /* who was there before is somebody else */
        at->next += *line != 'p';
    }
}

/* With history of `history` messages; `whole`: the log is so long that all of them are there. */
static void at_random(unsigned history, size_t history_bytes, bool whole)
{
    struct msg_log log = {
        .block_size = BLOCK, .keep = history_bytes + KEEP, .history = history, .history_bytes = history_bytes};
    struct msg_reader readers[READERS] = {0};
    struct reading at[READERS] = {0};
    uint64_t said = 0;
    static char got[1 << 20];
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        int i = rand() % READERS, what = rand() % 100;
        struct msg_reader *reader = &readers[i];
        if (reader->block == NULL) {
            *reader = (struct msg_reader){.put = i % 2 == 0 ? NULL : put_marked};
            uint64_t back = said < history ? said : history;
            at[i] = (struct reading){.next = whole ? said - back : UINT64_MAX, .entered = said, .placed = whole};
            assert_true(msglog_enter(&log, reader));
            msglog_go_back(&log, reader);
            assert_true(log.end - atomic_load(&reader->place) <= history_bytes);
        } else if (what < 70) {
            char line[512];
            int size = snprintf(line, sizeof(line), "%010llu%*s\n", (unsigned long long)said++, rand() % 300, "");
            assert_true(msglog_add(&log, reader, MSG_SAID, line, (size_t)size));
        } else if (what < 75) {
            assert_true(msglog_add(&log, reader, MSG_PRIVATE, "p\n", 2));
        } else if (what < 77) {
            msglog_hold(&log, reader);
        } else if (what < 78) {
            msglog_leave(&log, reader);
        } else if (i < READERS / 2 || what < 80) { /* the others are slow */
            uint64_t dropped = reader->dropped;
            read_runs(&log, reader, 1, got);
            at[i].next += reader->dropped - dropped;
            check_lines(&at[i], got, history, reader->put != NULL);
        }
    }
    for (int i = 0; i < READERS; i++) {
        if (readers[i].block != NULL) {
            for (bool more = true; more;) {
                uint64_t dropped = readers[i].dropped;
                more = read_runs(&log, &readers[i], 1, got) > 0 || msglog_next(&log, &readers[i]);
                at[i].next += readers[i].dropped - dropped;
                check_lines(&at[i], got, history, readers[i].put != NULL);
            }
            assert_true(!at[i].placed || at[i].next == said);
            msglog_leave(&log, &readers[i]);
        }
    }
    assert_int_equal(log.overtaken, 0);
    msglog_free(&log);
}

static void test_at_random(void **state)
{
    (void)state;
    at_random(0, 0, true);
    at_random(1, 1 << 20, true);
    at_random(50, 1 << 20, true);
    at_random(1000, KEEP, false);
}

/* What is history: the last ones that were told to all, and none again after it was given up. */
static void test_history(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = 8 * BLOCK, .history = 3, .history_bytes = 4 * BLOCK};
    struct msg_reader by = {0}, late = {0};
    struct msg_run run;
    (void)state;
    assert_true(msglog_enter(&log, &by));
    msglog_go_back(&log, &by);
    expect(&log, &by, "");
    add(&log, &by, "1\n");
    add(&log, &by, "2\n");
    assert_true(msglog_add(&log, &by, MSG_PRIVATE, "only it\n", 8));
    add(&log, &by, "3\n");
    add(&log, &by, "4\n");
    msglog_leave(&log, &by);
    assert_true(msglog_enter(&log, &by)); /* at the same address */
    msglog_go_back(&log, &by);
    add(&log, &by, "5\n");
    assert_true(msglog_next(&log, &by) && msglog_peek(&by, &run) && run.history);
    assert_int_equal(msglog_count(&by, &run), 3);
    expect(&log, &by, "2\n3\n4\n" OWN);
    assert_false(msglog_peek(&by, &run));
    assert_true(msglog_enter(&log, &late));
    msglog_go_back(&log, &late);
    msglog_forget(&log);
    expect(&log, &late, "3\n4\n5\n");
    msglog_leave(&log, &late);
    assert_true(msglog_enter(&log, &late));
    msglog_go_back(&log, &late);
    expect(&log, &late, "");
    msglog_leave(&log, &late);
    msglog_leave(&log, &by);
    msglog_free(&log);
}

/* Blocks stay for their history, and for nothing else. */
static void test_history_is_bounded(void **state)
{
    enum { PART = 2 * BLOCK };
    struct msg_log log = {.block_size = BLOCK, .keep = 64 * BLOCK, .history = 1000, .history_bytes = PART};
    struct msg_reader by = {0}, late = {0};
    char line[64] = "";
    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 2] = '\n';
    assert_true(msglog_enter(&log, &by));
    for (int i = 0; i < 1000; i++) {
        add(&log, &by, line);
        msglog_leave(&log, &by); /* nobody reads */
        assert_true(msglog_enter(&log, &by));
    }
    assert_true(msglog_enter(&log, &late));
    msglog_go_back(&log, &late);
    size_t kept = log.end - atomic_load(&late.place);
    assert_true(kept <= PART && kept > PART - BLOCK);
    msglog_leave(&log, &late);
    assert_true(msglog_forget(&log) > 0);
    assert_true(log.oldest == log.newest);
    msglog_leave(&log, &by);
    msglog_free(&log);
}

/* Made once, for all who want it; not before there is one, nor after the last has left; and it is counted as memory. */
static void test_another_form(void **state)
{
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader talker = {0}, plain = {0}, one = {.put = put_marked}, two = {.put = put_marked};
    struct msg_run run;
    const char *text, *other;
    char line[128];
    size_t size;
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line + 99, "\n", 2);
    assert_true(msglog_enter(&log, &talker) && msglog_enter(&log, &plain));
    add(&log, &talker, "before\n");
    assert_true(msglog_enter(&log, &one) && msglog_enter(&log, &two));
    add(&log, &talker, "in a block without\n");
    assert_true(msglog_peek(&one, &run) && !msglog_is_put(&one, &run, &text, &size));
    expect(&log, &one, "=in a block without\n");
    expect(&log, &plain, "before\nin a block without\n");
    struct msg_block *block = log.newest;
    while (log.newest == block) {
        add(&log, &talker, line);
        expect(&log, &plain, line);
    }
    assert_true(msglog_next(&log, &one) && msglog_peek(&one, &run));
    msglog_take(&one, &run);
    assert_true(msglog_next(&log, &one) && msglog_peek(&one, &run));
    assert_true(msglog_is_put(&one, &run, &text, &size));
    assert_int_equal(size, 101);
    assert_true(text[0] == '=' && memcmp(text + 1, line, 100) == 0);
    while (msglog_next(&log, &two) && msglog_peek(&two, &run) && !msglog_is_put(&two, &run, &other, &size)) {
        msglog_take(&two, &run);
    }
    assert_ptr_equal(other, text); /* the same bytes */
    uint64_t before = log.end;
    add(&log, &talker, line);
    assert_int_equal(log.end - before, 2 * (100 + 16));
    assert_true(msglog_peek(&two, &run) && msglog_is_put(&two, &run, &other, &size));
    assert_int_equal(size, 2 * 101);
    msglog_take(&two, &run);
    assert_int_equal(listed(&log, &two), 0);
    msglog_leave(&log, &one);
    msglog_leave(&log, &two);
    block = log.newest;
    while (log.newest == block) {
        add(&log, &talker, line);
    }
    before = log.end;
    add(&log, &talker, line);
    assert_int_equal(log.end - before, 100 + 16);
    msglog_leave(&log, &plain);
    msglog_leave(&log, &talker);
    msglog_free(&log);
}

static void shorten_leaves_whole_messages(void **state)
{
    (void)state;
    struct msg_log log = {.block_size = BLOCK, .keep = KEEP};
    struct msg_reader reader = {0}, by = {0};
    struct msg_run run;
    assert_true(msglog_enter(&log, &reader) && msglog_enter(&log, &by));
    add(&log, &by, "1234567\n");
    add(&log, &by, "12345\n");
    add(&log, &by, "1\n");
    static const struct {
        size_t most, size;
        uint32_t count;
    } cases[] = {{0, 8, 1}, {7, 8, 1}, {8, 8, 1}, {13, 8, 1}, {14, 14, 2}, {15, 14, 2}, {16, 16, 3}, {99, 16, 3}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(msglog_peek(&reader, &run));
        msglog_shorten(&reader, &run, cases[i].most);
        assert_int_equal(run.size, cases[i].size);
        assert_int_equal(run.count, cases[i].count);
    }
    assert_true(msglog_peek(&reader, &run));
    msglog_shorten(&reader, &run, 8);
    msglog_take(&reader, &run); /* and then from the middle of the block */
    assert_true(msglog_peek(&reader, &run));
    msglog_shorten(&reader, &run, 7);
    assert_int_equal(run.size, 6);
    msglog_leave(&log, &reader);
    msglog_leave(&log, &by);
    msglog_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorten_leaves_whole_messages),
        cmocka_unit_test(test_own_and_private),
        cmocka_unit_test(test_count_and_age),
        cmocka_unit_test(test_longer_than_a_block),
        cmocka_unit_test(test_batches_in_one_piece),
        cmocka_unit_test(test_single_ones_after_a_batch),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_ends_here),
        cmocka_unit_test(test_another_form),
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

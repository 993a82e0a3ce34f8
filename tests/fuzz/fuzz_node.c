/* SPDX-License-Identifier: MIT */
/*
 * What other nodes of a room send over the bus. A frame that is taken has the head that is written for what it says,
 * but for zeros in front, and lines that do no harm; printable ones with such a head are taken. What a node then knows
 * by the numbers is compared with counting line by line.
 *
 * Input: frames with NULs between them; in one that begins with '+' the rest comes behind a good head.
 */
/* sources: cmd/coracle/serve/room/frame.c cmd/coracle/serve/room/nodes.c cmd/coracle/escape.c cmd/coracle/utf8.c */
#include "input.h"
#include "serve/room/nodes.h"
#include "utf8.h"

#include <inttypes.h>
#include <regex.h>

enum { SENDERS_MAX = 64 };

/* The next line of each sender, as somebody would know it who writes down every line. */
static struct {
    uint64_t id, next;
} senders[SENDERS_MAX];
static size_t sender_count;

static bool has_head(const char *text, regmatch_t *parts)
{
    static regex_t form;
    static bool made;
    if (!made) {
        made = true;
        CHECK(regcomp(&form, "^coracle1 ([0-9a-f]{16}) ([0-9]{1,20}) ([0-9]{1,20}) ([0-9]{1,20})\n", REG_EXTENDED) ==
              0);
    }
    return regexec(&form, text, 5, parts, 0) == 0;
}

static void check_taken(const struct frame *frame, const char *text, size_t size, const regmatch_t *parts)
{
    char head[FRAME_HEAD_MAX + 1], wanted[FRAME_HEAD_MAX + 1];
    size_t head_size = frame_head(frame, head);
    CHECK(head_size < FRAME_HEAD_MAX);
    head[head_size] = '\0';
    snprintf(wanted, sizeof(wanted), "coracle1 %.16s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", text + parts[1].rm_so,
             (uint64_t)strtoull(text + parts[2].rm_so, NULL, 10), (uint64_t)strtoull(text + parts[3].rm_so, NULL, 10),
             (uint64_t)strtoull(text + parts[4].rm_so, NULL, 10));
    CHECK(strcmp(head, wanted) == 0);
    CHECK(frame->text == text + parts[0].rm_eo && frame->size == size - (size_t)parts[0].rm_eo);
    CHECK(frame->count == frame_lines(frame->text, frame->size));
    for (size_t at = 0; at < frame->size;) {
        uint32_t rune;
        size_t length = utf8_decode(frame->text + at, frame->size - at, &rune);
        CHECK(length > 0 && (rune == '\n' || rune == '\t' || (rune >= ' ' && (rune < 0x7f || rune > 0x9f))));
        at += length;
    }
}

/* What is refused although its head is good has another number of lines, or bytes that are not printable ASCII. */
static void check_refused(const char *text, size_t size, const regmatch_t *parts)
{
    uint64_t count = strtoull(text + parts[3].rm_so, NULL, 10), lines = 0;
    bool plain = true, numbers = strtoull(text + parts[2].rm_so, NULL, 10) <= UINT64_MAX - UINT32_MAX &&
                                 count <= UINT32_MAX && strtoull(text + parts[4].rm_so, NULL, 10) <= UINT32_MAX;
    for (size_t at = (size_t)parts[0].rm_eo; at < size; at++) {
        lines += text[at] == '\n';
        plain = plain && (text[at] == '\n' || (text[at] >= ' ' && text[at] < 0x7f));
    }
    bool whole = size == (size_t)parts[0].rm_eo || text[size - 1] == '\n';
    CHECK(!numbers || !plain || !whole || lines != count);
}

/* A node hears it: what it takes for known is what has come before, and what it misses is what lies between. */
static void hear(struct nodes *nodes, const struct frame *frame, int64_t now)
{
    size_t at = 0;
    while (at < sender_count && senders[at].id != frame->node) {
        at++;
    }
    if (at == SENDERS_MAX) {
        return;
    }
    if (at == sender_count) {
        senders[sender_count].id = frame->node;
        senders[sender_count++].next = frame->first;
    }
    uint64_t lost = frame->first > senders[at].next ? frame->first - senders[at].next : 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < frame->count; i++) {
        known += frame->first + i < senders[at].next;
    }
    uint64_t end = frame->first + frame->count;
    senders[at].next = end > senders[at].next ? end : senders[at].next;
    struct nodes_news news = nodes_hear(nodes, frame, now);
    CHECK(news.known == known && news.lost == lost);
    size_t skipped = frame_skip(frame->text, frame->size, known);
    CHECK(frame_lines(frame->text, skipped) == known);
    CHECK(frame_lines(frame->text + skipped, frame->size - skipped) == frame->count - known);
    uint64_t members;
    CHECK(nodes_count(nodes, now, &members) <= sender_count && members >= frame->members);
    CHECK(nodes_since(nodes, now) >= 1 && nodes_lately(nodes) <= sender_count);
}

static void take(struct nodes *nodes, const char *text, int64_t now)
{
    struct frame frame;
    regmatch_t parts[5];
    size_t size = strlen(text);
    char *bytes = exact_copy(text, size, 0);
    bool head = has_head(text, parts);
    if (frame_read(bytes, size, &frame)) {
        CHECK(head);
        frame.text = text + (frame.text - bytes);
        check_taken(&frame, text, size, parts);
        hear(nodes, &frame, now);
    } else if (head) {
        check_refused(text, size, parts);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "coracle1 00000000000000aa ";
    static struct nodes nodes;
    input in = {data, size};
    nodes = (struct nodes){0};
    sender_count = 0;
    for (int64_t now = 1; in.left > 0; now += COR_SECOND) {
        char *text = input_text(&in);
        if (*text == '+') {
            char *with_head = malloc(sizeof(good) + strlen(text));
            CHECK(with_head != NULL);
            strcpy(stpcpy(with_head, good), text + 1);
            free(text);
            text = with_head;
        }
        take(&nodes, text, now);
        free(text);
    }
    return 0;
}

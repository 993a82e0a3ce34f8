/* SPDX-License-Identifier: MIT */
/*
 * A client's WebSocket frames. In any pieces they are what a reader written by RFC 6455 finds in the whole stream: the
 * same messages and pings, the same end with the same code. Between messages nothing is held.
 *
 * Input: the longest message, two bytes (high, low); cuts; what the client sends.
 */
/* test: needs-websocket */
/* sources: cmd/coracle/serve/ws/frames.c cmd/coracle/utf8.c */
#include "input.h"
#include "serve/ws/frames.h"

/* What has been found: '(' text ')' for a message, '<' payload '>' for a ping. */
struct found {
    char *bytes;
    size_t size;
    bool in_text;
};

static void add(struct found *found, const void *bytes, size_t size)
{
    memcpy(found->bytes + found->size, bytes, size);
    found->size += size;
}

static void begin_text(struct found *found)
{
    if (!found->in_text) {
        add(found, "(", 1);
    }
    found->in_text = true;
}

static bool on_text(void *arg, const void *bytes, size_t size)
{
    struct found *found = arg;
    CHECK(size > 0);
    begin_text(found);
    add(found, bytes, size);
    return true;
}

static void on_end(void *arg)
{
    struct found *found = arg;
    begin_text(found);
    add(found, ")", 1);
    found->in_text = false;
}

static void on_ping(void *arg, const void *payload, size_t size)
{
    struct found *found = arg;
    CHECK(size <= FRAMES_CONTROL_MAX);
    add(found, "<", 1);
    add(found, payload, size);
    add(found, ">", 1);
}

/* --- the other reader: the whole stream lies before it */

struct reader {
    const uint8_t *next;
    size_t left, max_size;
    struct found found;
    bool in_message;
    size_t text_size;
    unsigned want;      /* bytes that a character still needs */
    unsigned low, high; /* what the next one of them may be */
    frames_result result;
    unsigned code;
};

static void end(struct reader *reader, frames_result result, unsigned code)
{
    reader->result = result;
    reader->code = code;
}

/* RFC 3629, section 4, byte by byte. False: not UTF-8. */
static bool next_byte(struct reader *reader, uint8_t byte)
{
    if (reader->want > 0) {
        bool good = byte >= reader->low && byte <= reader->high;
        reader->want--;
        reader->low = 0x80;
        reader->high = 0xbf;
        return good;
    }
    reader->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    reader->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    reader->want = byte < 0xc2 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    return byte < 0x80 || (byte >= 0xc2 && byte <= 0xf4);
}

static bool is_text(struct reader *reader, const uint8_t *bytes, size_t size)
{
    bool good = true;
    for (size_t i = 0; i < size && good; i++) {
        good = next_byte(reader, bytes[i]);
    }
    return good;
}

static void take_close(struct reader *reader, const uint8_t *payload, size_t size)
{
    static const unsigned ranges[][2] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    unsigned code = size < 2 ? 0 : (unsigned)payload[0] << 8 | payload[1];
    bool good = false;
    for (size_t i = 0; i < 3; i++) {
        good = good || (code >= ranges[i][0] && code <= ranges[i][1]);
    }
    reader->want = 0;
    if (size == 0) {
        end(reader, FRAMES_CLOSED, CLOSE_NO_CODE);
    } else if (!good) {
        end(reader, FRAMES_BROKEN, CLOSE_PROTOCOL);
    } else if (!is_text(reader, payload + 2, size - 2) || reader->want > 0) {
        end(reader, FRAMES_BROKEN, CLOSE_BAD_TEXT);
    } else {
        end(reader, FRAMES_CLOSED, code);
    }
}

/* What is against the rules by a frame's head alone; 0: nothing. */
static unsigned judge(const struct reader *reader, unsigned first, bool mask, uint64_t size)
{
    unsigned opcode = first & 15;
    bool begins = opcode == FRAME_TEXT || opcode == FRAME_BINARY;
    if ((first & 0x70) != 0 || !mask || (opcode >= 3 && opcode <= 7) || opcode > FRAME_PONG) {
        return CLOSE_PROTOCOL;
    }
    if (opcode >= FRAME_CLOSE) {
        return 0; /* its size and that it is whole have been seen */
    }
    if (begins == reader->in_message) {
        return CLOSE_PROTOCOL;
    }
    if (opcode == FRAME_BINARY) {
        return CLOSE_UNSUPPORTED;
    }
    return size > reader->max_size - reader->text_size ? CLOSE_TOO_BIG : 0;
}

static void take_payload(struct reader *reader, unsigned first, const uint8_t *payload, size_t size, bool whole)
{
    unsigned opcode = first & 15;
    if (opcode < FRAME_CLOSE) {
        reader->in_message = true;
        reader->text_size += size;
        if (size > 0) {
            on_text(&reader->found, payload, size);
        }
        bool last = whole && (first & 0x80) != 0;
        if (!is_text(reader, payload, size) || (last && reader->want > 0)) {
            end(reader, FRAMES_BROKEN, CLOSE_BAD_TEXT);
        } else if (last) {
            on_end(&reader->found);
            reader->in_message = false;
            reader->text_size = 0;
        }
    } else if (whole && opcode == FRAME_CLOSE) {
        take_close(reader, payload, size);
    } else if (whole && opcode == FRAME_PING) {
        on_ping(&reader->found, payload, size);
    }
}

/* A frame, or what there is of it. False: there is not all of it. */
static bool take_frame(struct reader *reader)
{
    const uint8_t *at = reader->next;
    if (reader->left < 2) {
        return false;
    }
    unsigned first = at[0];
    bool mask = (at[1] & 0x80) != 0;
    uint64_t size = at[1] & 0x7f;
    size_t bytes = size == 126 ? 2 : size == 127 ? 8 : 0, head = 2 + bytes + (mask ? 4 : 0);
    if ((first & 15) >= FRAME_CLOSE && (size > FRAMES_CONTROL_MAX || (first & 0x80) == 0)) {
        end(reader, FRAMES_BROKEN, CLOSE_PROTOCOL);
        return true;
    }
    if (reader->left < 2 + bytes) {
        return false;
    }
    if (bytes > 0) {
        size = 0;
        for (size_t i = 0; i < bytes; i++) {
            size = size << 8 | at[2 + i];
        }
        if (size < 126 || (bytes == 8 && (size <= UINT16_MAX || size > INT64_MAX))) {
            end(reader, FRAMES_BROKEN, CLOSE_PROTOCOL);
            return true;
        }
    }
    if (reader->left < head || (size > 0 && reader->left == head)) {
        return false; /* what is in the head is judged with the first byte behind it */
    }
    unsigned code = judge(reader, first, mask, size);
    if (code != 0) {
        end(reader, FRAMES_BROKEN, code);
        return true;
    }
    size_t come = reader->left - head < size ? reader->left - head : (size_t)size;
    uint8_t *payload = (uint8_t *)exact_copy(at + head, come, 0);
    for (size_t i = 0; i < come; i++) {
        payload[i] ^= at[head - 4 + i % 4];
    }
    take_payload(reader, first, payload, come, come == size);
    free(payload);
    reader->next += head + come;
    reader->left -= head + come;
    return come == size;
}

/* Whether the stream ends in the middle of a frame or a message. */
static bool read_all(struct reader *reader)
{
    bool whole = true;
    while (whole && reader->result == FRAMES_MORE && reader->left > 0) {
        whole = take_frame(reader);
    }
    return !whole || reader->in_message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const frames_events events = {on_text, on_end, on_ping};
    input in = {data, size};
    size_t max_size = input_byte(&in) << 8;
    max_size |= input_byte(&in);
    cuts pieces = input_cuts(&in);
    struct reader reader = {.next = in.next, .left = in.left, .max_size = max_size};
    struct found found = {.bytes = exact_copy("", 0, in.left * 2)};
    struct frames frames = {.max_size = max_size};
    frames_result result = FRAMES_MORE;
    reader.found.bytes = exact_copy("", 0, in.left * 2);
    bool inside = read_all(&reader);
    for (size_t at = 0, step; at < in.left && result == FRAMES_MORE; at += step) {
        step = cuts_next(&pieces, in.left - at);
        char *copy = exact_copy(in.next + at, step, 0);
        result = frames_take(&frames, copy, step, &events, &found);
        free(copy);
    }
    CHECK(result == reader.result && (result == FRAMES_MORE || frames.code == reader.code));
    /* Of a text that goes wrong less may have been passed on, a piece at a time. */
    bool cut = result == FRAMES_BROKEN && frames.code == CLOSE_BAD_TEXT;
    CHECK(cut ? found.size <= reader.found.size : found.size == reader.found.size);
    CHECK(memcmp(found.bytes, reader.found.bytes, found.size) == 0);
    CHECK(result != FRAMES_MORE || frames_inside(&frames) == inside);
    frames_free(&frames);
    CHECK(!frames_inside(&frames));
    free(found.bytes);
    free(reader.found.bytes);
    return 0;
}

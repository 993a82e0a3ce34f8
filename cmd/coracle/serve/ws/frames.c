/* SPDX-License-Identifier: MIT */
/* From libwslay's frames to messages. */
#include "serve/ws/frames.h"

#if COR_HAVE_WEBSOCKET

#include "utf8.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

/* What is needed in the middle of a frame or a message. */
struct frames_intake {
    wslay_frame_context_ptr context;
    const uint8_t *bytes; /* what has come and is still to be given to wslay */
    size_t size;
    uint64_t given, framed; /* bytes given to wslay, and those of them in whole frames */
    bool in_frame;
    uint64_t left;          /* of the frame's payload */
    bool in_message;        /* a text has begun and its last frame has not ended */
    uint64_t text_size;     /* of the message, with the frame under way */
    uint8_t held[UTF8_MAX]; /* a character that a piece has cut */
    size_t held_size;
    uint8_t control[FRAMES_CONTROL_MAX];
    size_t control_size;
};

static ssize_t give(uint8_t *to, size_t size, int flags, void *arg)
{
    struct frames_intake *intake = arg;
    (void)flags;
    size_t count = size < intake->size ? size : intake->size;
    if (count == 0) {
        return -1; /* there is no more now */
    }
    memcpy(to, intake->bytes, count);
    intake->bytes += count;
    intake->size -= count;
    intake->given += count;
    return (ssize_t)count;
}

static struct frames_intake *make_intake(void)
{
    const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
    struct frames_intake *intake = malloc(sizeof(*intake));
    if (intake == NULL) {
        return NULL;
    }
    *intake = (struct frames_intake){0};
    if (wslay_frame_context_init(&intake->context, &callbacks, intake) != 0) {
        free(intake);
        return NULL;
    }
    return intake;
}

void frames_free(struct frames *frames)
{
    if (frames->intake != NULL) {
        wslay_frame_context_free(frames->intake->context);
        free(frames->intake);
        frames->intake = NULL;
    }
}

bool frames_inside(const struct frames *frames)
{
    return frames->intake != NULL;
}

static frames_result broken(struct frames *frames, unsigned code)
{
    frames->code = code;
    return FRAMES_BROKEN;
}

/* Judges a frame by its head. */
static frames_result begin_frame(struct frames *frames, const struct wslay_frame_iocb *frame)
{
    struct frames_intake *intake = frames->intake;
    if (frame->rsv != 0 || !frame->mask) {
        return broken(frames, CLOSE_PROTOCOL);
    }
    intake->in_frame = true;
    intake->left = frame->payload_length;
    intake->control_size = 0;
    switch (frame->opcode) {
    case WSLAY_BINARY_FRAME:
        return broken(frames, intake->in_message ? CLOSE_PROTOCOL : CLOSE_UNSUPPORTED);
    case WSLAY_TEXT_FRAME:
    case WSLAY_CONTINUATION_FRAME:
        if (intake->in_message != (frame->opcode == WSLAY_CONTINUATION_FRAME)) {
            return broken(frames, CLOSE_PROTOCOL);
        }
        if (frame->payload_length > frames->max_size - intake->text_size) {
            return broken(frames, CLOSE_TOO_BIG);
        }
        intake->in_message = true;
        intake->text_size += frame->payload_length;
        return FRAMES_MORE;
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return FRAMES_MORE;
    default:
        return broken(frames, CLOSE_PROTOCOL);
    }
}

/* Completes a character that the last piece has cut. Returns how many bytes that takes; 0: it cannot be completed. */
static size_t complete_held(struct frames_intake *intake, const uint8_t *bytes, size_t size)
{
    size_t count = 0;
    uint32_t rune;
    while (intake->held_size > 0 && count < size) {
        intake->held[intake->held_size++] = bytes[count++];
        if (utf8_decode(intake->held, intake->held_size, &rune) > 0) {
            intake->held_size = 0;
        } else if (utf8_unfinished(intake->held, intake->held_size) != intake->held_size) {
            return 0;
        }
    }
    return count;
}

/* Whether a text goes on as UTF-8 does. Keeps a character that its end cuts. */
static bool is_text(struct frames_intake *intake, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    uint32_t rune;
    if (intake->held_size > 0 && size > 0 && (at = complete_held(intake, bytes, size)) == 0) {
        return false;
    }
    while (at < size) {
        at += utf8_plain(bytes + at, size - at);
        size_t length = at < size ? utf8_decode(bytes + at, size - at, &rune) : 0;
        if (length == 0) {
            break;
        }
        at += length;
    }
    if (at < size) {
        intake->held_size = size - at;
        if (size - at >= UTF8_MAX || utf8_unfinished(bytes + at, size - at) != size - at) {
            return false;
        }
        memcpy(intake->held, bytes + at, size - at);
    }
    return true;
}

static frames_result take_payload(struct frames *frames, const struct wslay_frame_iocb *frame,
                                  const frames_events *events, void *arg)
{
    struct frames_intake *intake = frames->intake;
    intake->left -= frame->data_length;
    if (wslay_is_ctrl_frame(frame->opcode)) { /* wslay has seen that its size is allowed */
        memcpy(intake->control + intake->control_size, frame->data, frame->data_length);
        intake->control_size += frame->data_length;
        return FRAMES_MORE;
    }
    if (!is_text(intake, frame->data, frame->data_length)) {
        return broken(frames, CLOSE_BAD_TEXT);
    }
    bool more = frame->data_length == 0 || events->text(arg, frame->data, frame->data_length);
    return more ? FRAMES_MORE : FRAMES_STOPPED;
}

/* What a client may say: RFC 6455, section 7.4, and those registered since. */
static bool is_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static frames_result end_close(struct frames *frames)
{
    struct frames_intake *intake = frames->intake;
    frames->code = CLOSE_NO_CODE;
    if (intake->control_size > 0) {
        unsigned code = intake->control_size == 1 ? 0 : (unsigned)intake->control[0] << 8 | intake->control[1];
        if (!is_code(code)) {
            return broken(frames, CLOSE_PROTOCOL);
        }
        intake->held_size = 0; /* a message may be under way, and is no more */
        if (!is_text(intake, intake->control + 2, intake->control_size - 2) || intake->held_size > 0) {
            return broken(frames, CLOSE_BAD_TEXT);
        }
        frames->code = code;
    }
    return FRAMES_CLOSED;
}

/* How many bytes the frame had before its payload. The shortest form is the only one that wslay takes. */
static size_t head_size(const struct wslay_frame_iocb *frame)
{
    size_t length = frame->payload_length < 126 ? 0 : frame->payload_length <= UINT16_MAX ? 2 : 8;
    return 2 + length + 4;
}

static frames_result end_frame(struct frames *frames, const struct wslay_frame_iocb *frame, const frames_events *events,
                               void *arg)
{
    struct frames_intake *intake = frames->intake;
    intake->in_frame = false;
    intake->framed += head_size(frame) + frame->payload_length;
    if (frame->opcode == WSLAY_CONNECTION_CLOSE) {
        return end_close(frames);
    }
    if (frame->opcode == WSLAY_PING) {
        events->ping(arg, intake->control, intake->control_size);
    } else if (frame->opcode != WSLAY_PONG && frame->fin) {
        if (intake->held_size > 0) {
            return broken(frames, CLOSE_BAD_TEXT);
        }
        intake->in_message = false;
        intake->text_size = 0;
        events->text_end(arg);
    }
    return FRAMES_MORE;
}

static frames_result take_frame(struct frames *frames, const struct wslay_frame_iocb *frame,
                                const frames_events *events, void *arg)
{
    frames_result result = frames->intake->in_frame ? FRAMES_MORE : begin_frame(frames, frame);
    if (result == FRAMES_MORE) {
        result = take_payload(frames, frame, events, arg);
    }
    if (result == FRAMES_MORE && frames->intake->left == 0) {
        result = end_frame(frames, frame, events, arg);
    }
    return result;
}

frames_result frames_take(struct frames *frames, const void *bytes, size_t size, const frames_events *events, void *arg)
{
    if (frames->intake == NULL && (frames->intake = make_intake()) == NULL) {
        return FRAMES_NO_MEMORY;
    }
    struct frames_intake *intake = frames->intake;
    intake->bytes = bytes;
    intake->size = size;
    frames_result result = FRAMES_MORE;
    while (result == FRAMES_MORE) {
        struct wslay_frame_iocb frame = {0};
        ssize_t code = wslay_frame_recv(intake->context, &frame);
        if (code == WSLAY_ERR_WANT_READ) {
            break;
        }
        result = code < 0 ? broken(frames, CLOSE_PROTOCOL) : take_frame(frames, &frame, events, arg);
    }
    if (result == FRAMES_MORE && intake->given == intake->framed && !intake->in_message) {
        frames_free(frames);
    }
    return result;
}

char *frames_put_head(char *to, unsigned opcode, size_t size)
{
    unsigned bytes = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
    *to++ = (char)(0x80 | opcode);
    *to++ = (char)(bytes == 0 ? size : bytes == 2 ? 126 : 127);
    for (unsigned i = bytes; i > 0; i--) {
        *to++ = (char)((uint64_t)size >> (8 * (i - 1)));
    }
    return to;
}

#endif

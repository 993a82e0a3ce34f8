/* SPDX-License-Identifier: MIT */
/* What is said to a client of the room and about it, and the loop that reads it. */
#include "serve/participant.h"

#include "serve/json_memory.h"
#include "serve/memory.h"
#include "serve/room/framing.h"
#include "serve/room/room.h"

#if COR_HAVE_JSON

#include "escape.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKNOWLEDGED ": 已经收到信息\n"
#define SAYS " 地址发送了请求消息："

static bool tell_invalid(void *arg, const char *reason)
{
    struct participant *participant = arg;
    char line[160];
    int size = snprintf(line, sizeof(line), "invalid message: %s\n", reason);
    room_tell(participant->member, line, (size_t)size);
    return true;
}

__attribute__((noinline)) static void show_message(const struct member *sender, struct json_object *object)
{
    size_t size;
    (void)json_memory_failed();
    const char *text =
        json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    char before[COR_ADDR_TEXT + 8];
    snprintf(before, sizeof(before), "%s---->", room_address_of(sender));
    if (text != NULL && !json_memory_failed()) {
        log_show(before, text, size, "");
    }
    log_say("connection is connected from  %s", room_address_of(sender));
}

/* Writes "<address> says: <message>" LF; the caller frees it. What is safe keeps its size, nothing else does. */
static char *compose(const struct member *sender, const char *text, size_t size, size_t *total)
{
    const int keep = ESCAPE_KEEP_BACKSLASH | ESCAPE_KEEP_FORMAT;
    size_t address_size = strlen(room_address_of(sender)), escaped = escape_size(text, size, keep);
    *total = address_size + strlen(SAYS) + escaped + 1;
    char *line = malloc(*total);
    if (line != NULL) {
        char *end = mempcpy(line, room_address_of(sender), address_size);
        end = mempcpy(end, SAYS, strlen(SAYS));
        end = escaped == size ? mempcpy(end, text, size) : escape_copy(end, text, size, keep);
        *end = '\n';
    }
    return line;
}

/* False: it is not said because the server ends; then nothing after it may be, or the sender's words had a gap. */
static bool say(struct participant *participant, const char *text, size_t size)
{
    size_t total;
    char *line = compose(participant->member, text, size, &total);
    int code = line != NULL ? room_say(participant->member, line, total) : -ENOMEM;
    free(line);
    if (code == -ENOMEM) {
        tell_invalid(participant, "out of memory");
    } else if (code < 0) {
        session_ended(participant->session, "read", code);
    }
    return code == 0 || code == -ENOMEM;
}

static void note_message(struct session *session)
{
    session->heard = true;
    connection_add(&session->seen->messages_in, 1);
    session_arm_read(session);
}

/* Takes a message that has come whole, shown already. */
static bool take_text(void *arg, const char *text, size_t size)
{
    struct participant *participant = arg;
    note_message(participant->session);
    bool more = size == 0 ? tell_invalid(participant, "\"message\" is empty") : say(participant, text, size);
    return more && room_cut_reason(participant->member) == REASON_NONE;
}

/* Asks to hear who comes and goes: no message, and not of the tutorial. Returns whether it is that. */
static bool take_question(struct participant *participant, struct json_object *object)
{
    struct json_object *presence = json_object_object_get(object, "presence");
    if (json_object_is_type(presence, json_type_boolean)) {
        room_ask_presence(participant->member, json_object_get_boolean(presence));
    }
    return json_object_is_type(presence, json_type_boolean);
}

static bool take_message(void *arg, struct json_object *object, const char *name)
{
    struct participant *participant = arg;
    struct json_object *message = name != NULL ? json_object_object_get(object, name) : NULL;
    if (!json_object_is_type(message, json_type_string)) {
        note_message(participant->session);
        return (take_question(participant, object) || tell_invalid(participant, "no \"message\" text in it")) &&
               room_cut_reason(participant->member) == REASON_NONE;
    }
    if (log_shows() && json_object_get_string_len(message) > 0) {
        show_message(participant->member, object);
    }
    return take_text(participant, json_object_get_string(message), (size_t)json_object_get_string_len(message));
}

/* Says, and tells the client where that helps, why reading it has come to an end. */
__attribute__((noinline)) static void end_talk(struct participant *participant, scanner_result result, int code)
{
    struct session *session = participant->session;
    char text[COR_ERROR_TEXT];
    close_reason cut = room_cut_reason(participant->member);
    const char *cause;
    if (cut != REASON_NONE || result == SCANNER_STOPPED) {
        cause = cut != REASON_NONE ? reason_names[cut] : "stopped";
    } else if (result == SCANNER_TOO_LONG) {
        tell_invalid(participant, "too long");
        connection_decide(session->seen, REASON_TOO_LONG);
        cause = reason_names[REASON_TOO_LONG];
    } else if (result == SCANNER_NO_MEMORY) {
        connection_decide(session->seen, REASON_OOM);
        cause = reason_names[REASON_OOM];
    } else {
        session_ended(session, "read", code);
        cause = session_error_text(session, "read", code, text, sizeof(text));
    }
    log_say("read client message failed:%s", cause);
}

static const scanner_events all_events = {.message = take_message, .invalid = tell_invalid, .text = take_text};
static const scanner_events shown_events = {.message = take_message, .invalid = tell_invalid}; /* the whole object is */

scanner_result participant_feed(struct participant *participant, const void *bytes, size_t size)
{
    return scanner_feed(&participant->scanner, bytes, size, log_shows() ? &shown_events : &all_events, participant);
}

static void expect_message(struct participant *participant)
{
    participant->scanner = (struct scanner){.max_size = session_options(participant->session)->max_line};
}

void participant_end_message(struct participant *participant)
{
    if (scanner_is_inside(&participant->scanner)) {
        tell_invalid(participant, "unexpected end of data");
    }
    scanner_free(&participant->scanner);
    expect_message(participant);
}

static scanner_result take(struct participant *participant, const void *bytes, size_t size)
{
    struct session *session = participant->session;
    if (connection_reason(session->seen) != REASON_NONE) {
        return SCANNER_STOPPED; /* somebody else has ended it, and this has come too late */
    }
    scanner_result result = participant->framing->decode(participant, bytes, size);
    bool inside = participant->framing->is_inside(participant);
    memory_hold(session->seen, scanner_held(&participant->scanner));
    session_inside_message(session, inside);
    session_limit_message(session, inside);
    room_flush(participant->room);
    return result;
}

/* Whether the client has been ended by the operator, or by who looks after memory. */
static bool is_ended(const struct participant *participant, scanner_result result)
{
    close_reason reason = connection_reason(participant->session->seen);
    return reason == REASON_KICKED || (reason == REASON_OOM && result != SCANNER_NO_MEMORY);
}

/* Reads the client until it is over. Returns whether what it has not heard yet is still worth writing. */
static bool listen_to(struct participant *participant)
{
    struct session *session = participant->session;
    scanner_result result = SCANNER_MORE;
    ssize_t count = 0;
    session_arm_read(session);
    if (participant->early_size > 0) {
        result = take(participant, participant->early, participant->early_size);
    }
    while (result == SCANNER_MORE) {
        cor_buffer data;
        count = session_read_piece(session, &data);
        if (count <= 0) {
            break;
        }
        result = take(participant, data.data, data.size);
        cor_buffer_free(&data);
    }
    if (count == 0 && result == SCANNER_MORE && connection_reason(session->seen) == REASON_NONE) {
        participant_end_message(participant);
    }
    scanner_free(&participant->scanner);
    end_talk(participant, result, (int)count);
    return count >= 0 && !is_ended(participant, result);
}

void participant_run(struct participant *participant)
{
    struct session *session = participant->session;
    expect_message(participant);
    participant->member = room_join(participant->room, session, participant->framing, participant, ACKNOWLEDGED);
    if (participant->member == NULL) {
        connection_decide(session->seen, REASON_OOM);
    } else {
        bool drain = listen_to(participant);
        participant->torn = !room_leave(participant->member, session, drain);
        participant->member = NULL;
    }
    participant->framing->close(participant);
}

#endif

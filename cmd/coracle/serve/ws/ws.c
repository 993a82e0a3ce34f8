/* SPDX-License-Identifier: MIT */
/* From a connection to a member of the room, and back. */
#include "serve/ws/ws.h"

#include "serve/participant.h"
#include "serve/room/framing.h"
#include "serve/room/room.h"
#include "serve/room/rooms.h"
#include "serve/ws/frames.h"
#include "serve/ws/handshake.h"
#include "serve/ws/page.h"

#if COR_HAVE_WEBSOCKET

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most bytes of pongs that wait to be written. */
enum { OUT_MAX = 1024 };
enum { CONTROL_ROOM = 2 + FRAMES_CONTROL_MAX };
/* How long a close frame may wait to be taken. */
#define LEAVE_NS COR_SECOND
/* The same, with the wait for the client's end, when the server's grace period is over. */
#define LATE_NS (250 * COR_MILLISECOND)
/* Members are looked at twice in the time after which they are pinged. */
enum { LOOKS_TO_PING = 2, LOOKS_TO_GIVE_UP = 4 };

/* A client after the upgrade. It lies on the stack of its task. */
struct ws {
    struct participant participant; /* first: the framing's functions are given this */
    struct frames frames;
    atomic_bool heard; /* something has come since it was looked at last */
    atomic_bool ping;  /* a ping is to be written */
    unsigned silent;   /* guard: the room's lock; looks since it was heard */
    bool answers;      /* there are pongs, and room_call has not been called for them */
    bool starved;      /* there was no memory for one */
    cor_mutex lock;
    char *out; /* guard: lock; whole frames; NULL: none */
    size_t out_size;
};

static struct ws *ws_of(struct participant *participant)
{
    return (struct ws *)participant;
}

struct hearing {
    struct ws *ws;
    scanner_result result;
};

static bool hear_text(void *arg, const void *bytes, size_t size)
{
    struct hearing *hearing = arg;
    hearing->result = participant_feed(&hearing->ws->participant, bytes, size);
    return hearing->result == SCANNER_MORE;
}

static void hear_end(void *arg)
{
    const struct hearing *hearing = arg;
    participant_end_message(&hearing->ws->participant);
}

static void add_pong(struct ws *ws, const void *payload, size_t size)
{
    if (ws->out == NULL && (ws->out = malloc(OUT_MAX)) == NULL) {
        ws->starved = true;
        return;
    }
    if (ws->out_size + CONTROL_ROOM > OUT_MAX) {
        ws->out_size = 0;
    }
    char *end = frames_put_head(ws->out + ws->out_size, FRAME_PONG, size);
    end = mempcpy(end, payload, size);
    ws->out_size = (size_t)(end - ws->out);
    ws->answers = true;
}

static void hear_ping(void *arg, const void *payload, size_t size)
{
    const struct hearing *hearing = arg;
    cor_mutex_lock(&hearing->ws->lock);
    add_pong(hearing->ws, payload, size);
    cor_mutex_unlock(&hearing->ws->lock);
}

/* What the end of the frames is to the participant. */
static scanner_result end_of(struct ws *ws, frames_result end, scanner_result of_text)
{
    struct connection *seen = ws->participant.session->seen;
    switch (end) {
    case FRAMES_MORE:
        return SCANNER_MORE;
    case FRAMES_STOPPED:
        return of_text;
    case FRAMES_NO_MEMORY:
        return SCANNER_NO_MEMORY;
    case FRAMES_CLOSED:
        connection_decide(seen, REASON_EOF);
        return SCANNER_STOPPED;
    case FRAMES_BROKEN:
        break;
    }
    if (ws->frames.code == CLOSE_TOO_BIG) {
        return SCANNER_TOO_LONG;
    }
    connection_decide(seen, REASON_PROTOCOL);
    return SCANNER_STOPPED;
}

static scanner_result ws_decode(struct participant *participant, const void *bytes, size_t size)
{
    static const frames_events events = {.text = hear_text, .text_end = hear_end, .ping = hear_ping};
    struct ws *ws = ws_of(participant);
    struct hearing hearing = {.ws = ws, .result = SCANNER_MORE};
    atomic_store_explicit(&ws->heard, true, memory_order_relaxed);
    frames_result result = frames_take(&ws->frames, bytes, size, &events, &hearing);
    if (ws->answers) {
        ws->answers = false;
        room_call(participant->member);
    }
    return end_of(ws, result == FRAMES_MORE && ws->starved ? FRAMES_NO_MEMORY : result, hearing.result);
}

static bool ws_inside(const struct participant *participant)
{
    return frames_inside(&((const struct ws *)participant)->frames);
}

_Static_assert((int)FRAMES_HEAD_MAX <= (int)MSG_PUT_MORE, "a line in a frame");

/* A line of the room in a frame, without its LF. */
static char *ws_encode(char *to, const char *line, size_t size)
{
    return mempcpy(frames_put_head(to, FRAME_TEXT, size - 1), line, size - 1);
}

static int ws_send_own(struct participant *participant, struct session *session)
{
    struct ws *ws = ws_of(participant);
    char ping[CONTROL_ROOM];
    int code = 0;
    cor_mutex_lock(&ws->lock);
    char *out = ws->out;
    size_t size = ws->out_size;
    ws->out = NULL;
    ws->out_size = 0;
    cor_mutex_unlock(&ws->lock);
    if (out != NULL) {
        code = session_write(session, out, size);
        free(out);
    }
    if (code == 0 && atomic_exchange(&ws->ping, false)) {
        code = session_write(session, ping, (size_t)(frames_put_head(ping, FRAME_PING, 0) - ping));
    }
    return code;
}

/* The code of a close frame; 0: the client is not there to read it. */
static unsigned close_code(const struct ws *ws, close_reason reason)
{
    switch (reason) {
    case REASON_RESET:
        return 0;
    case REASON_EOF:
        return ws->frames.code != 0 ? ws->frames.code : CLOSE_NORMAL;
    case REASON_PROTOCOL:
        return ws->frames.code;
    case REASON_DRAIN:
        return CLOSE_GOING_AWAY;
    case REASON_TOO_LONG:
        return CLOSE_TOO_BIG;
    case REASON_OOM:
        return CLOSE_TRY_LATER;
    case REASON_INTERNAL:
        return CLOSE_INTERNAL;
    default:
        return CLOSE_POLICY;
    }
}

struct close_frame {
    struct session *session;
    close_reason reason;
    char frame[CONTROL_ROOM];
    size_t size;
};

static void send_close(void *arg)
{
    const struct close_frame *close = arg;
    struct session *session = close->session;
    cor_set_write_deadline(session->conn, cor_after(LEAVE_NS));
    ssize_t written = cor_write(session->conn, close->frame, close->size);
    connection_add(&session->seen->bytes_out, written > 0 ? (uint64_t)written : 0);
    session_hang_up(session, close->reason);
}

/* When the grace period is over this task is cancelled; then another task sends the close frame. */
static void send_close_even_late(struct close_frame *close)
{
    cor_group apart = {0};
    if (cor_cancelled() == 0) {
        send_close(close);
        return;
    }
    cor_group_set_deadline(&apart, cor_after(LATE_NS));
    if (cor_group_set_parent(&apart, NULL) == 0 && cor_group_go(&apart, send_close, close) == 0) {
        cor_group_wait(&apart, 0);
    }
}

__attribute__((noinline)) static void close_with(struct session *session, unsigned code, close_reason reason)
{
    struct close_frame close = {.session = session, .reason = reason};
    const char *text = reason == REASON_EOF ? "" : reason_names[reason];
    size_t size = code == CLOSE_NO_CODE ? 0 : 2 + strlen(text);
    char *end = frames_put_head(close.frame, FRAME_CLOSE, size);
    if (size > 0) {
        *end++ = (char)(code >> 8);
        *end++ = (char)code;
        end = mempcpy(end, text, size - 2);
    }
    close.size = (size_t)(end - close.frame);
    send_close_even_late(&close);
}

static void ws_close(struct participant *participant)
{
    struct ws *ws = ws_of(participant);
    close_reason reason = connection_reason(participant->session->seen);
    unsigned code = close_code(ws, reason);
    if (code != 0 && !participant->torn) {
        close_with(participant->session, code, reason);
    }
    frames_free(&ws->frames);
    free(ws->out);
}

static const struct framing ws_framing = {
    .decode = ws_decode,
    .is_inside = ws_inside,
    .close = ws_close,
    .has_close_frame = true,
    .encode = ws_encode,
    .send_own = ws_send_own,
};

/* A request being read. */
struct request {
    struct http_head head;
    size_t size;
    char bytes[HEAD_MAX];
    cor_buffer data; /* what came last, of which not all is in `bytes` */
    size_t used;     /* bytes of it that are */
};

/* Reads until the head is over. Returns 1 and sets *result, or what the last read gave. */
static ssize_t read_head(struct session *session, struct request *request, head_result *result)
{
    *result = HEAD_MORE;
    while (*result == HEAD_MORE) {
        cor_buffer_free(&request->data);
        ssize_t count = session_read_piece(session, &request->data);
        if (count <= 0) {
            return count;
        }
        size_t room = HEAD_MAX - request->size;
        request->used = request->data.size < room ? request->data.size : room;
        memcpy(request->bytes + request->size, request->data.data, request->used);
        *result = head_read(&request->head, request->bytes, request->size + request->used);
        if (*result == HEAD_COMPLETE) {
            request->used = request->head.size - request->size;
        }
        request->size += request->used;
    }
    return 1;
}

__attribute__((noinline)) static void answer_and_end(struct session *session, const handshake_answer *answer)
{
    char head[HANDSHAKE_MAX], text[256];
    snprintf(text, sizeof(text), "%s\n%s%s", answer->status, answer->hint != NULL ? answer->hint : "",
             answer->hint != NULL ? "\n" : "");
    size_t size = handshake_write_end(answer, "text/plain", strlen(text), head);
    if (session_write(session, head, size) == 0 && session_write(session, text, strlen(text)) == 0) {
        session_hang_up(session, answer->reason);
    }
    connection_decide(session->seen, answer->reason);
}

__attribute__((noinline)) static int write_upgrade(struct session *session, const struct request *request)
{
    char head[HANDSHAKE_MAX];
    return session_write(session, head, handshake_write_upgrade(&request->head, request->bytes, head));
}

/* Decides on a request, and holds the room that it is let into. */
__attribute__((noinline)) static handshake_answer decide(const struct session *session, const struct request *request,
                                                         head_result result, struct room **room)
{
    const struct service *service = session->service;
    char host[COR_ADDR_TEXT], port[16];
    bool named = cor_split_host_port(service->address.text, host, sizeof(host), port, sizeof(port)) == 0;
    const handshake_rules rules = {session_options(session)->origin, named ? host : NULL};
    if (result != HEAD_COMPLETE) {
        return handshake_refuse(result);
    }
    handshake_answer answer = handshake_decide(&request->head, request->bytes, &rules);
    if (answer.result == HANDSHAKE_OTHER) {
        return answer;
    }
    const char *name = *answer.room != '\0' ? answer.room : service->room;
    close_reason why = REASON_EOF;
    if (*service->room != '\0' && strcmp(name, service->room) != 0) {
        return handshake_turn_away(why); /* the entry leads to that one only */
    }
    if (answer.result == HANDSHAKE_PAGE) {
        why = rooms_admit(service->serve->rooms, name);
        return why == REASON_NONE ? answer : handshake_turn_away(why);
    }
    *room = rooms_enter(service->serve->rooms, name, &why);
    return *room != NULL ? answer : handshake_turn_away(why);
}

/* Answers a request. Returns the room, held, if it is upgraded. */
static struct room *answer(struct session *session, const struct request *request, head_result result)
{
    struct room *room = NULL;
    handshake_answer decided = decide(session, request, result, &room);
    int code = 0;
    if (decided.result == HANDSHAKE_UPGRADE) {
        code = write_upgrade(session, request);
    } else if (decided.result == HANDSHAKE_PAGE) {
        page_write(session);
    } else {
        answer_and_end(session, &decided);
    }
    if (code < 0) {
        session_ended(session, "write", code);
    }
    if (room != NULL && code < 0) {
        rooms_leave(room);
        room = NULL;
    }
    return room;
}

/* The whole of a request. Returns the room, held, if the client is upgraded; *early has what it has sent since. */
__attribute__((noinline)) static struct room *shake_hands(struct session *session, cor_buffer *early, size_t *early_at)
{
    struct request *request = malloc(sizeof(*request));
    if (request == NULL) {
        connection_decide(session->seen, REASON_OOM);
        return NULL;
    }
    request->head = (struct http_head){0};
    request->data = (cor_buffer){0};
    request->size = request->used = 0;
    head_result result;
    session_arm_read(session);
    session_limit_message(session, true);
    ssize_t count = read_head(session, request, &result);
    struct room *room = count > 0 ? answer(session, request, result) : NULL;
    if (count <= 0) {
        session_ended(session, "read", (int)count);
    }
    if (room != NULL && request->used < request->data.size) {
        *early = request->data;
        *early_at = request->used;
    } else {
        cor_buffer_free(&request->data);
    }
    free(request);
    return room;
}

void ws_handle(struct session *session)
{
    struct ws ws = {.participant = {.session = session, .framing = &ws_framing},
                    .frames = {.max_size = session_options(session)->max_line}};
    cor_buffer early = {0};
    size_t early_at = 0;
    ws.participant.room = shake_hands(session, &early, &early_at);
    if (ws.participant.room == NULL) {
        return;
    }
    session_limit_message(session, false);
    ws.participant.early = early.data + early_at;
    ws.participant.early_size = early.size - early_at;
    participant_run(&ws.participant);
    cor_buffer_free(&early);
    rooms_leave(ws.participant.room);
}

/* Under the room's lock. */
static room_action look(const struct framing *framing, struct participant *participant)
{
    if (framing != &ws_framing) {
        return ROOM_NOTHING;
    }
    struct ws *ws = ws_of(participant);
    bool heard = atomic_exchange_explicit(&ws->heard, false, memory_order_relaxed);
    ws->silent = heard ? 0 : ws->silent + 1;
    if (ws->silent == LOOKS_TO_PING) {
        atomic_store(&ws->ping, true);
        return ROOM_CALL;
    }
    return ws->silent == LOOKS_TO_GIVE_UP ? ROOM_GIVE_UP : ROOM_NOTHING;
}

static void look_at_all(struct room *room, void *unused)
{
    (void)unused;
    room_look(room, look);
}

static void ping_silent(void *arg)
{
    struct serve *serve = arg;
    int64_t look_ns = serve->options.ping / LOOKS_TO_PING;
    while (cor_sleep(look_ns > COR_MILLISECOND ? look_ns : COR_MILLISECOND) == 0) {
        rooms_each(serve->rooms, look_at_all, NULL);
    }
}

int ws_start(struct service *service)
{
    struct serve *serve = service->serve;
    struct service *first = serve->services;
    while (!first->websocket) {
        first++;
    }
    bool wanted = service == first && serve->options.ping > 0;
    return wanted ? cor_group_go(&serve->helpers, ping_silent, serve) : 0;
}

#endif

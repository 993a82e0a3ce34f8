/* SPDX-License-Identifier: MIT */
/*
 * The service broadcast: rooms whose members send JSON objects, however the stream splits them, and hear lines. The
 * dialogue is in participant.c; here is the service, and the framing of bare connections: bytes and lines as they are.
 */
#include "serve/participant.h"
#include "serve/room/framing.h"
#include "serve/room/room.h"
#include "serve/room/rooms.h"
#include "serve/ws/ws.h"

#if COR_HAVE_JSON

#include <errno.h>
#include <string.h>

static bool lines_inside(const struct participant *participant)
{
    return scanner_is_inside(&participant->scanner);
}

static void lines_close(struct participant *participant)
{
    if (connection_reason(participant->session->seen) == REASON_TOO_LONG) {
        session_hang_up(participant->session, REASON_TOO_LONG);
    }
}

static const struct framing lines = {.decode = participant_feed, .is_inside = lines_inside, .close = lines_close};

static void broadcast_handle(struct session *session)
{
    if (session->service->websocket) {
        ws_handle(session);
        return;
    }
    struct participant participant = {.session = session, .framing = &lines, .room = session->service->state};
    participant_run(&participant);
}

/* The entry that makes the list of rooms, and ends it. */
static struct service *first_entry(const struct service *service)
{
    struct service *first = service->serve->services;
    while (first->def != service->def) {
        first++;
    }
    return first;
}

static const struct service *last_entry(const struct service *service)
{
    const struct serve *serve = service->serve;
    const struct service *last = serve->services + serve->service_count - 1;
    while (last->def != service->def) {
        last--;
    }
    return last;
}

static int broadcast_start(struct service *service)
{
    struct serve *serve = service->serve;
    if (service == first_entry(service)) {
        serve->rooms = rooms_new(serve);
    }
    service->state = serve->rooms != NULL ? rooms_open(serve->rooms, service->room) : NULL;
    const char *port = strrchr(service->bound, ':');
    log_say("listening port:  %s", port != NULL ? port + 1 : service->bound);
    if (service->state == NULL) {
        return -ENOMEM;
    }
    int code = service == first_entry(service) ? rooms_start(serve->rooms) : 0;
    return code == 0 && service->websocket ? ws_start(service) : code;
}

static void broadcast_stop(struct service *service)
{
    struct serve *serve = service->serve;
    if (service->state != NULL) {
        rooms_leave(service->state);
    }
    if (service == last_entry(service)) {
        rooms_free(serve->rooms);
        serve->rooms = NULL;
    }
}

static uint64_t broadcast_forget(const struct service *service)
{
    return service == first_entry(service) ? rooms_forget(service->serve->rooms) : 0;
}

const service_def broadcast_service = {
    .name = "broadcast",
    .address = "0.0.0.0:1253",
    .summary = "a room: JSON messages are passed on to all others",
    .dial = "--as broadcast ",
    .handle = broadcast_handle,
    .streams_only = "its members are those who are connected, and with datagrams nobody is",
    .start = broadcast_start,
    .stop = broadcast_stop,
    .behind = room_behind,
    .forget = broadcast_forget,
    .may_listen = true,
    .tells_refusal = true,
    .has_websocket = COR_HAVE_WEBSOCKET,
    .has_rooms = true,
};

#endif

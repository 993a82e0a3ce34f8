/* SPDX-License-Identifier: MIT */
/*
 * The service broadcast: rooms whose members say JSON objects, however split or glued, and hear lines. The dialogue is
 * the talker's; here is what carries it over a bare connection: nothing, everything goes as it is.
 */
#include "serve/room/carrier.h"
#include "serve/room/room.h"
#include "serve/room/rooms.h"
#include "serve/talker.h"
#include "serve/ws/ws.h"

#if COR_HAVE_JSON

#include <errno.h>
#include <string.h>

static bool lines_inside(const struct talker *talker)
{
    return scanner_is_inside(&talker->scanner);
}

static void lines_leave(struct talker *talker)
{
    if (connection_reason(talker->session->seen) == REASON_TOO_LONG) {
        session_hang_up(talker->session, REASON_TOO_LONG);
    }
}

static const struct carrier lines = {.take = talker_hear, .is_inside = lines_inside, .leave = lines_leave};

static void broadcast_handle(struct session *session)
{
    if (session->service->websocket) {
        ws_handle(session);
        return;
    }
    struct talker talker = {.session = session, .carrier = &lines, .room = session->service->state};
    talker_talk(&talker);
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

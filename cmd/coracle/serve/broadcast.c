/* SPDX-License-Identifier: MIT */
/*
 * The service broadcast: a room whose members say JSON objects, however split or glued, and hear lines. The dialogue is
 * the talker's; here is what carries it over a bare connection: nothing, everything goes as it is.
 */
#include "serve/room/carrier.h"
#include "serve/room/room.h"
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
    struct talker talker = {.session = session, .carrier = &lines};
    talker_talk(&talker);
}

/* The entry that makes the room; the others of this run lead into it, too. */
static struct service *first_entry(const struct service *service)
{
    struct service *first = service->serve->services;
    while (first->def != service->def) {
        first++;
    }
    return first;
}

static int broadcast_start(struct service *service)
{
    struct serve *serve = service->serve;
    struct service *first = first_entry(service);
    service->state = service == first ? room_new(serve) : first->state;
    const char *port = strrchr(service->bound, ':');
    log_say("listening port:  %s", port != NULL ? port + 1 : service->bound);
    if (service->state == NULL) {
        return -ENOMEM;
    }
    int code = service->websocket ? ws_start(service) : 0;
    if (code == 0 && service == first && serve->bus != NULL) {
        code = room_link(service->state, serve->bus, &serve->options.bus);
    }
    return code;
}

static void broadcast_stop(struct service *service)
{
    if (service == first_entry(service) && service->state != NULL) {
        room_unlink(service->state);
        room_free(service->state);
    }
}

static bool broadcast_count_link(const struct service *service, link_counts *out)
{
    return service == first_entry(service) && service->state != NULL && room_count_link(service->state, out);
}

const service_def broadcast_service = {
    .name = "broadcast",
    .address = "0.0.0.0:1253",
    .summary = "a room: JSON messages are told to all others",
    .dial = "--as broadcast ",
    .handle = broadcast_handle,
    .streams_only = "its members are those who are connected, and with datagrams nobody is",
    .start = broadcast_start,
    .stop = broadcast_stop,
    .behind = room_behind,
    .count_link = broadcast_count_link,
    .may_listen = true,
    .tells_refusal = true,
    .has_websocket = COR_HAVE_WEBSOCKET,
};

#endif

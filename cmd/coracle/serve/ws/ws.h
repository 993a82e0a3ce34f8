/* SPDX-License-Identifier: MIT */
/*
 * WebSocket clients of a room: an HTTP request is answered with the upgrade or the page (handshake.h); from then on
 * each text message from the client is what a line is elsewhere, and each line of the room is a text message without
 * its LF. It works on a session like every service, so it does not know what is below: TCP, or TLS.
 *
 * Who writes. While the client is a member only its writing task does, so frames stay whole. The client's own task puts
 * its pongs into `out` and calls room_call. Pongs that come together leave together; beyond OUT_MAX only the newest is
 * kept (RFC 6455, section 5.5.3), so that a flood of pings costs nothing.
 *
 * Pinging. Proxies close silent connections, and keep alive those whose client is gone. So a member that has sent
 * nothing for --ping is sent a ping, and one that sends nothing for as long again is given up: it has vanished, reason
 * reset. One task goes through the rooms for all of them; no member has a timer for it.
 *
 * Closing. Unless a frame was cut in its middle (participant->torn), the client gets a close frame with a code and
 * the reason's name, and then time to close, as after any hang-up.
 */
#ifndef CORACLE_CMD_SERVE_WS_WS_H
#define CORACLE_CMD_SERVE_WS_WS_H

#include "serve/session.h"

#if COR_HAVE_WEBSOCKET

/* Serves a client of a ws:// address. */
void ws_handle(struct session *session);

/* Starts the task that pings silent members of all rooms, once. Returns 0 or an error code. */
int ws_start(struct service *service);

#else

static inline void ws_handle(struct session *session)
{
    (void)session;
}

static inline int ws_start(struct service *service)
{
    (void)service;
    return 0;
}

#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The WebSocket entry of a service's room: an HTTP request is answered with the upgrade or with the page (handshake.h),
 * and then frames carry what lines carry elsewhere: a text message is what a client says, each line of the room is one
 * to it, without its LF. It works on a session like every service, so it does not know what is below: TCP, or TLS.
 *
 * Who writes. While the client is a member only its writing task does, so frames stay whole. The client's own task puts
 * what it has to answer (pongs) in `out` and has the carrier called. What has come together leaves together; beyond
 * OUT_MAX only the newest pong is kept (RFC 6455, section 5.5.3), so that pings that nobody waits for cost nothing.
 *
 * Asking. A proxy ends connections on which nothing goes, and keeps alive those whose client is gone. So a member that
 * has sent nothing for --ping is sent a ping, and one that has not answered after as long again is given up: it has
 * vanished, reason reset. One task goes through the rooms for all of them; no member has a timer for it.
 *
 * Leaving. If no frame has been cut (talker->torn) the client gets a close frame with a code and the reason's word,
 * then is waited for as after any hang-up.
 */
#ifndef CORACLE_CMD_SERVE_WS_WS_H
#define CORACLE_CMD_SERVE_WS_WS_H

#include "serve/session.h"

#if COR_HAVE_WEBSOCKET

/* Talks to a client of the entry. */
void ws_handle(struct session *session);

/* Starts the task that asks silent members of all rooms, once. Returns 0 or an error code. */
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

/* SPDX-License-Identifier: MIT */
/*
 * Who may talk to the status server, or to a WebSocket entry, through a browser. Every page of the web can have the
 * user's browser send requests to the loopback. It cannot read the answers, unless it makes its own name lead to
 * 127.0.0.1 (DNS rebinding): then the browser takes the server for the page's own. Two headers that a page cannot forge
 * tell: Host has the name in the browser's address bar, Origin the name of the page that asks. A name that is no
 * address literal, neither localhost nor the one of the command line, is not this server's.
 */
#ifndef CORACLE_CMD_SERVE_GUARD_H
#define CORACLE_CMD_SERVE_GUARD_H

#include <stdbool.h>

/*
 * Whether a request for `host` ("name", "name:port", "[::1]:port") is meant for this server: localhost, an IP address,
 * or `own`, the host of the command line; NULL: none.
 */
bool guard_host(const char *host, const char *own);

/* Whether a page of `origin` may send requests to `host`: pages of this server only. NULL: no page asks. */
bool guard_origin(const char *origin, const char *host);

/*
 * Whether a browser's word on where the request comes from lets it be answered. A link to the first page (`is_page`)
 * may stand anywhere. NULL: no browser, or an old one.
 */
bool guard_site(const char *site, bool is_page);

#endif

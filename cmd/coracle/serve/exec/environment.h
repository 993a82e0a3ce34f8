/* SPDX-License-Identifier: MIT */
/*
 * What a program is told of its connection, by environment variables as UCSPI names them:
 *
 *      tcp     PROTO=TCP TCPLOCALIP TCPLOCALPORT TCPREMOTEIP TCPREMOTEPORT
 *      unix    PROTO=UNIX UNIXLOCALPATH UNIXREMOTEPID UNIXREMOTEEUID UNIXREMOTEEGID
 *
 * and CORACLE_CONN, the process of the server and the connection's number in its log: see child.h. The rest is the
 * server's own environment, without what is between it and those who started it (NOTIFY_SOCKET, LISTEN_FDS and the
 * like) and without variables of these names. No name and no value is the client's to choose, addresses excepted.
 */
#ifndef CORACLE_CMD_SERVE_EXEC_ENVIRONMENT_H
#define CORACLE_CMD_SERVE_EXEC_ENVIRONMENT_H

#include "serve/conns.h"

/* Makes the environment for a connection on a listener of `bound`; end with free. NULL: no memory. */
char **environment_for(const struct connection *one, const char *bound);

#endif

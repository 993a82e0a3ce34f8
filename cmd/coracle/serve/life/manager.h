/* SPDX-License-Identifier: MIT */
/*
 * The service manager that has started the program, if there is one: systemd, through libsystemd. It hands over sockets
 * (LISTEN_FDS), is told what the program does (NOTIFY_SOCKET), and is sent a sign of life while all workers come round
 * (WATCHDOG_USEC). Without a manager, which is what the environment says, all of it does nothing.
 *
 * Telling may stop the thread that does it, if the manager does not read. So tasks tell by a thread of the pool.
 */
#ifndef CORACLE_CMD_SERVE_LIFE_MANAGER_H
#define CORACLE_CMD_SERVE_LIFE_MANAGER_H

#include "serve/service.h"

/*
 * Takes the sockets that the manager has handed over: how many, from descriptor 3 on; their names, NULL-terminated, are
 * the caller's to free, each and the list. 0 without any, negative errno. Before any thread.
 */
int manager_sockets(char ***names);

/* The variable by which a manager hands over what this build cannot take; NULL: there is none. */
const char *manager_missing(void);

/* Tells the manager what `format` makes, assignments with a line each. For a task. */
void manager_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The beginning and the end of reading the files anew. For a task. */
void manager_reloading(void);
void manager_ready(const struct serve *serve);

/* Sends the signs of life, if the manager wants them; until the helpers are cancelled. 0 or a negative code. */
int manager_watch(struct serve *serve);

#endif

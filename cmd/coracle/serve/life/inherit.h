/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the program is started with: a service manager's (socket activation), or those of the process that it
 * takes over from (restart.h). Each has a name, which says what it is for:
 *
 *   a service's name   the next service of that name; without services on the command line one is added
 *   "admin"            the status server; --admin is given, too
 *   any other          with a service manager, which calls sockets after their unit unless told otherwise: the next
 *                      service that has no socket yet
 *
 * The address on the command line of a service with a socket is not looked at. A socket that finds no place is an
 * error: what is sent to it would wait for ever.
 */
#ifndef CORACLE_CMD_SERVE_LIFE_INHERIT_H
#define CORACLE_CMD_SERVE_LIFE_INHERIT_H

#include "serve/service.h"

/* Where a process that takes over finds the names of its sockets; see restart.c. */
#define RESTART_VARIABLE "CORACLE_SOCKETS"

/* Finds the sockets. Returns an exit code, after one line on stderr. Before any thread. */
int inherit_find(struct inheritance *found);

/* Gives each socket to its service. Returns an exit code, after one line on stderr. */
int inherit_assign(struct serve *serve);

/*
 * Makes a service's listener, or its socket for datagrams, of what it has inherited; one of them must be NULL. The
 * descriptor is taken if it works. Returns as cor_listen. For a task.
 */
int inherit_listen(cor_listener **listener, cor_conn **packets, int fd, const address *at, cor_error *error);

/* Closes what nobody has taken. */
void inherit_clear(struct inheritance *found);

#endif

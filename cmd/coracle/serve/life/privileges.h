/* SPDX-License-Identifier: MIT */
/*
 * Giving up privileges: --user and --group, for a program that root has started so that it can listen below port 1024.
 *
 * In two steps, because capabilities and no_new_privs belong to threads. Before any thread is made, the first one gives
 * up what it does not need for listening: the bounding, inheritable and ambient sets, and any way to more by exec. Its
 * threads are made with that. When all sockets are open, the C library changes the user of all threads at once, with
 * which the kernel takes away what capabilities they have left. Then it is checked that there is no way back.
 */
#ifndef CORACLE_CMD_SERVE_LIFE_PRIVILEGES_H
#define CORACLE_CMD_SERVE_LIFE_PRIVILEGES_H

#include "serve/service.h"

/* Finds the user and the group, and takes the first step. Returns an exit code, after one line on stderr. */
int privileges_prepare(struct serve *serve);

/* Becomes the user. Returns an exit code, after one line on stderr. For the main task, when all sockets are open. */
int privileges_drop(struct serve *serve);

#endif

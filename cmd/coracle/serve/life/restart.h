/* SPDX-License-Identifier: MIT */
/*
 * Restarting without a refused connection: the program starts its successor, usually a newer version of itself, with
 * the same command line and with copies of its listening sockets.
 *
 *   SIGUSR2      the successor is started; this process goes on serving
 *   "R"          from the successor, on a pipe: it serves. Both accept for a moment, out of the same queues
 *   takeover     this process stops accepting and is done when its connections are
 *   no "R"       the successor has ended, or has not said anything for RESTART_WITHIN_NS: it is killed, the event
 *                restart_failed says why, and this process serves on as if nothing had been
 *
 * SIGHUP and SIGUSR1 that this process has obeyed meanwhile are sent to the successor when it serves: it may have read
 * its lists, and opened its log, before.
 *
 * No connection is lost: the sockets are the same, so are their queues, and nobody accepts ahead (cor_listener_fd). The
 * successor finds its sockets by RESTART_VARIABLE: their names, in the order of their descriptors from 4 on; 3 is the
 * pipe. A "+" after a name says that the socket's file is to be removed in the end.
 */
#ifndef CORACLE_CMD_SERVE_LIFE_RESTART_H
#define CORACLE_CMD_SERVE_LIFE_RESTART_H

#include "serve/service.h"

/* Notes what a successor is started with: this program's file and `argv`. Before anything changes them. */
void restart_remember(struct restart *restart, char **argv);
void restart_forget(struct restart *restart);

/* Starts a successor, unless one is on its way. When it serves, restart->successor is set and SIGUSR2 comes again. */
void restart_begin(struct serve *serve);

/* This process obeys a signal that is for a successor, too, if there is one or one is on its way. */
void restart_pass_on(struct serve *serve, int number);

/* This process ends: from now on nobody takes over from it. Returns the successor that has by now; 0: none. */
int restart_end(struct serve *serve);

/* Tells the process that this one takes over from, if there is one, that this one serves. */
void restart_serves(struct serve *serve);

/* Socket files are the successor's from now on. */
void restart_leave_files(struct serve *serve);

#endif

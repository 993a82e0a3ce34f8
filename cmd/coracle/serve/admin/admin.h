/* SPDX-License-Identifier: MIT */
/*
 * What operators ask a running `coracle serve`: pages over HTTP, at the address of --admin.
 *
 * Looking never holds up serving. Everything runs on a thread of its own, and what it needs it gets in three ways:
 *
 * - Counters are atomics that workers change anyway; the thread reads them. A connection is counted as accepted before
 *   it is counted as closed, and the thread reads in the opposite order and takes the difference for those open: none
 *   can be missing, and accepted = open + closed in every answer.
 * - What only tasks can say is asked of a task (ask.h): the thread waits for it, for a second at most, and no worker
 *   ever waits for the thread.
 * - The list of connections is copied by such a task in slices (census.h); it gives way after each.
 *
 * Sorting, formatting and sending are the thread's. What it costs a worker to be looked at therefore does not depend on
 * who looks and how slowly they read. The one exception is /tasks, where each worker prints its own tasks (ADR 0007):
 * at most once a second.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_ADMIN_H
#define CORACLE_CMD_SERVE_ADMIN_ADMIN_H

#include "serve/service.h"

/* Loads what it needs. Returns NULL, or why that cannot be. Before tasks run. */
const char *admin_load(void);

/*
 * Listens at options.admin, if that is set. Returns 0; or an error code, and `error` says more unless its code is 0.
 * For a task.
 */
int admin_listen(struct serve *serve, cor_error *error);

/* Says where it listens: for programs on stdout, and for people on stderr. */
void admin_announce(const struct serve *serve);
void admin_hint(const struct serve *serve);

/* Begins to answer. Returns 0 or a negative errno. For a task. */
int admin_start(struct serve *serve);

/* A copy of the listening socket, or a negative errno. For a task. */
int admin_fd(const struct serve *serve);

/* Says whether the socket's file is removed in the end. For a task. */
void admin_own_file(struct serve *serve, bool own);

/* Answers nobody any more: a successor does. Parks. For a task. */
void admin_end_answers(struct serve *serve);

/* Ends it. Accepts that it was never started. Parks. For a task. */
void admin_stop(struct serve *serve);

#endif

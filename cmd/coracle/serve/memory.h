/* SPDX-License-Identifier: MIT */
/*
 * The watch over --max-memory. What counts is what the process has in memory, whatever for, and what the pipes of exec
 * hold, which is the kernel's. Above seven eighths of the limit new clients are refused. Above all of it what services
 * keep for nobody goes, the history of rooms; and if there is none, the connection for which most is held is ended, be
 * it in a room, with a process or in the middle of a message; the next one only when that has left and what was held
 * for it is free.
 *
 * Held for a connection is what its peer has not taken (session_queued) and what is kept of what it has sent
 * (connection.held): a message that has not ended, or one that its process does not take.
 *
 * The watch is a task that looks now and then, and at once when much has been kept since: memory_grown counts, and ends
 * the watch's wait when that is an eighth of what is left. Else a room could grow by a second's traffic beyond the
 * limit between two looks. No wake-up is lost: the watch puts the count at which to wake it into `look_at`; whoever
 * takes that out again, somebody who counts or the watch itself when its time is up, ends the wait, once.
 */
#ifndef CORACLE_CMD_SERVE_MEMORY_H
#define CORACLE_CMD_SERVE_MEMORY_H

#include "serve/service.h"

/* The task that looks. Ends when it is cancelled. */
void memory_watch(void *serve);

/* Counts bytes that have been kept for somebody. Tasks only. */
void memory_grown(struct serve *serve, uint64_t bytes);

/* Says how much is kept of what a connection has sent, in the server's own memory. Its own task. */
void memory_hold(struct connection *one, uint64_t bytes);

/* Says that so much more is in a pipe between a connection and its process, or may be; memory_pipe_left: less. */
void memory_pipe_taken(struct connection *one, uint64_t bytes);
void memory_pipe_left(struct connection *one, uint64_t bytes);

#endif

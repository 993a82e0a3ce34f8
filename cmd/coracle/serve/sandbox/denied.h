/* SPDX-License-Identifier: MIT */
/*
 * System calls that the sandbox denies: counted, logged, and to the caller an error.
 *
 * The kernel sends SIGSYS to the thread in place of the call. The handler runs there, in the middle of anything,
 * so it takes no lock and does not log: it counts, writes a few bytes to a pipe, and makes the call's result -EPERM. A
 * task reads the pipe and writes the events. When the pipe is full the count is all that is left of a call.
 */
#ifndef CORACLE_CMD_SERVE_SANDBOX_DENIED_H
#define CORACLE_CMD_SERVE_SANDBOX_DENIED_H

#include "serve/service.h"

/*
 * Begins to handle SIGSYS, until the process ends: so long there may be denied calls. Starts the task, a helper of the
 * server. Returns 0 or a negative code.
 */
int denied_begin(struct serve *serve);

/* How many calls were denied so far. Any thread. */
uint64_t denied_count(void);

#endif

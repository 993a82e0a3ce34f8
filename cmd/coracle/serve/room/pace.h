/* SPDX-License-Identifier: MIT */
/* The pace at which a room may be talked to: how far the log may grow, and for whom senders wait. */
#ifndef CORACLE_CMD_SERVE_ROOM_PACE_H
#define CORACLE_CMD_SERVE_ROOM_PACE_H

#include "serve/room/member.h"

/*
 * Waits until the log may grow by `size` bytes. Called and returns with the lock held, and lets go of it meanwhile.
 * False: the task is cancelled.
 */
bool pace_wait(struct room *room, size_t size);

/* Whether it may without a wait. Under the lock. */
bool pace_may(struct room *room, size_t size);

#endif

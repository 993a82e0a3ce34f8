/* SPDX-License-Identifier: MIT */
/* The members' writing tasks. */
#ifndef CORACLE_CMD_SERVE_ROOM_DELIVERY_H
#define CORACLE_CMD_SERVE_ROOM_DELIVERY_H

#include "serve/room/member.h"

/* Starts or wakes the writing task of a member that has none or a parked one. Under the room's lock. */
void delivery_wake(struct member *member);

/* The same for all members that have not been given everything. Under the room's lock. */
void delivery_flush(struct room *room);

#endif

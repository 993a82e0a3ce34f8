/* SPDX-License-Identifier: MIT */
/* Between a room and its members' writing tasks; for room.c and delivery.c only. */
#ifndef CORACLE_CMD_SERVE_ROOM_DELIVERY_H
#define CORACLE_CMD_SERVE_ROOM_DELIVERY_H

#include "serve/room/room.h"

/* Puts a member into a list of the room, or takes it out of the one it is in. Under the room's lock. */
void member_enlist(struct member *member, struct member **list);
void member_delist(struct member *member);

/* Starts or wakes the writing task of a member that has none or a parked one. Under the room's lock. */
void member_wake(struct member *member);

/* Ends a member's reading and writing; its session then has it leave. Under the room's lock. */
void member_cut_off(struct member *member, const char *reason);

/* To be called when a member's place has changed. Not under the lock. */
void member_moved(struct member *member);

#endif

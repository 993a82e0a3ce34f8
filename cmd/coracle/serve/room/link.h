/* SPDX-License-Identifier: MIT */
/*
 * Rooms' ties to the same rooms on other nodes.
 *
 * Every node serves its own members from its own logs. A room's link is a reader of its log, as a member is: what was
 * said here it puts into frames (frame.h) and gives to the bus (serve/bus/bus.h), as much with each as has come
 * meanwhile. What comes from the bus it adds to the log, in its own name. A reader skips its own messages, and so
 * nothing goes back to where it came from. All links of a node share one connection, its uplink (uplink.h).
 *
 * What is guaranteed. Whoever hears a sender hears what it says in order and no message twice. Messages may be missed:
 * a bus loses what is under way when it breaks, and what nobody has subscribed to yet. Each node counts what it has
 * missed of each other one, by the frames' numbers. What the bus did not take is sent again with the same numbers; it
 * may have taken it all the same, and then the numbers tell.
 *
 * A room never waits for the bus. While it is away the logs keep what the links have not sent, within bounds: see
 * uplink.h. What comes in is held to the pace of the room's members (pace.h), and waits meanwhile, within bounds too.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_LINK_H
#define CORACLE_CMD_SERVE_ROOM_LINK_H

#include "serve/room/uplink.h"

/* Ties a room to those of its name. Returns 0 or -ENOMEM. */
int link_start(struct room *room, struct uplink *up);

/*
 * Undoes it: sends what is left, if the bus is there, gives the subscription back and frees the link. The room has no
 * members any more. Accepts NULL.
 */
void link_stop(struct link *link);

/* How many nodes have the room, this one included, and its members on all of them. Any thread. */
void link_members(const struct link *link, uint64_t *nodes, uint64_t *members);

#endif

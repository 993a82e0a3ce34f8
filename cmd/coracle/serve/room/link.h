/* SPDX-License-Identifier: MIT */
/*
 * A room's tie to the same room on other nodes.
 *
 * Every node serves its own members from its own log. The link is a reader of that log, as a member is: what was said
 * here it puts into frames (frame.h) and gives to the bus (serve/bus/bus.h), as much with each as has come meanwhile.
 * What comes from the bus it adds to the log, in its own name. A reader skips its own messages, and so nothing goes
 * back to where it came from.
 *
 * What is guaranteed. Whoever hears a sender hears what it says in order and no message twice. Messages may be missed:
 * a bus loses what is under way when it breaks, and what nobody has subscribed to yet. Each node counts what it has
 * missed of each other one, by the frames' numbers. What the bus did not take is sent again with the same numbers; it
 * may have taken it all the same, and then the numbers tell.
 *
 * The room never waits for the bus. While it is away the log keeps what the link has not sent, up to --outbox; then the
 * oldest is given up and counted. The link connects again after a pause that grows up to BACKOFF_MOST_NS, and of which
 * the upper half is chance, so that nodes do not come back together. What comes in is held to the pace of the members
 * (pace.h), and meanwhile waits on the bus's side, which drops what is too much.
 *
 * Two tasks. One waits for the room's news or for time, connects, sends; what stops a thread it has done by
 * cor_blocking, with no lock held. The other takes frames from a channel, to which the bus's threads send. No wake-up
 * is lost: the first one declares itself parked under the room's lock, after finding there that there is nothing, and
 * whoever adds something looks there afterwards, as with members (room.h).
 */
#ifndef CORACLE_CMD_SERVE_ROOM_LINK_H
#define CORACLE_CMD_SERVE_ROOM_LINK_H

#include "serve/bus/bus.h"
#include "serve/room/member.h"

struct link;

/* What a link has done. */
typedef struct link_counts {
    bool connected;
    int64_t since;           /* cor_now() when that changed last */
    uint64_t connects;       /* how often it has connected */
    uint64_t sent, received; /* messages */
    uint64_t lost_backlog;   /* of the room's own: the bus was away or slow for too long */
    uint64_t lost_too_long;  /* of the room's own: the bus takes no message of that length */
    uint64_t missed;         /* of other nodes': they have not come */
    uint64_t repeated;       /* of other nodes': they had come before, or came too late to be in order */
    uint64_t slow_frames;    /* frames that the bus had to drop here: they were not taken in time */
    uint64_t bad_frames;     /* frames that were none */
    uint64_t nodes, members; /* on the bus now, this one included */
} link_counts;

/* Ties a room to a bus. The options must outlive it. NULL: memory ran out. */
struct link *link_start(struct room *room, const bus_ops *ops, const bus_options *options);

/* Sends what is left, if the bus is there, and stops: what it counts does not change any more. Accepts NULL. */
void link_stop(struct link *link);

/* Frees one that has stopped. Accepts NULL. */
void link_free(struct link *link);

/* Any thread. */
void link_count(const struct link *link, link_counts *out);

#endif

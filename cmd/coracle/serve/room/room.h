/* SPDX-License-Identifier: MIT */
/*
 * A room: every member hears what is said in it, all in the same order. What is said is written once, into the room's
 * log; a member is a place in it and a task that writes to the connection all that lies between this place and the end,
 * in one go. So a message costs each member its share of a write and nothing else, a member that reads slowly delays no
 * other, and memory does not grow with members times messages. A writing task that has nothing to write for a while
 * ends, and is started again when there is something.
 *
 * `outbox` of the options is how far a member may fall behind, in bytes of the log, and so what the room's log may
 * need: there is one, whatever the number of members. A member is slow when it is farther behind than that, or, with
 * the policy cut, when its socket has taken no byte at all for `slow_after` while there was something to take.
 *
 * Senders are faster than any member: nothing on a sender's side tells a member that cannot keep up from one that does
 * not read. So a member more than half of `outbox` behind that moves holds up whoever wants to say something. What
 * is said then comes at the pace of the slowest member that moves, and a flood does not have healthy members cut. One
 * that does not move, and only that, is left behind: senders go on, and at `outbox` the slow policy decides about it.
 * To move is to take a 64th of `outbox` within a second. So one member delays the others by a second if it has just
 * stopped, by nothing if it stopped earlier, and the pace of a room never has to sink below that 64th a second. The
 * alternative, senders that wait for `slow_after`, would let one silent connection silence the room for 10 seconds.
 *
 * No wake-up is lost. A writing task declares itself PARKED under the lock and after having found there that nothing
 * has been added; who adds does so under the lock and then, under the lock, wakes whom it finds PARKED. Writing tasks
 * that are busy are not woken: before they park, they look.
 * A sender that is held up names the member it waits for in `awaited`, then looks whether that is still at the place
 * that was too far behind; the member changes its place, then looks at `awaited` (both sequentially consistent): one of
 * them sees the other.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_ROOM_H
#define CORACLE_CMD_SERVE_ROOM_ROOM_H

#include "serve/session.h"

struct room;
struct member;

/* Makes an empty room; the options must outlive it. NULL: memory ran out. */
struct room *room_new(const serve_options *options);

/* Frees an empty room. Accepts NULL. */
void room_free(struct room *room);

/*
 * Makes a member of the session's connection and lets it in. It will hear its address and `acknowledged`, a whole line,
 * in place of each message of its own. Returns NULL when memory ran out.
 */
struct member *room_join(struct room *room, const struct session *session, const char *acknowledged);

/* Says a whole line (its LF included), longer than the acknowledgement, to everybody. False: memory ran out. */
bool room_say(struct member *sender, const char *line, size_t size);

/* Tells one member only a whole line. */
void room_tell(struct member *to, const char *line, size_t size);

/* Has written what has been said. To be called after a number of messages that came together. */
void room_flush(struct room *room);

/* Why the member is to leave, NULL if it is not. */
const char *member_cut(const struct member *member);

/* The member's address, by its socket. */
const char *member_address(const struct member *member);

/*
 * Takes the member out. With `drain` all that it is to hear is written first. Adds its counts to the session's. The
 * member is gone afterwards; the connection is still to be closed.
 */
void room_leave(struct member *member, struct session *session, bool drain);

#endif

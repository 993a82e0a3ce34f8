/* SPDX-License-Identifier: MIT */
/*
 * A room: every member hears what is said in it, all in the same order.
 *
 * What is said is written once, into the room's log. A member is a position in the log and a task that writes to its
 * connection everything from that position to the end, in one go. A message therefore costs each member its share of a
 * write and nothing else, and memory does not grow with members times messages. A writing task that has had nothing to
 * write for a while ends; it is started again when there is something.
 *
 * Slow members. `outbox` is how far a member may fall behind, in bytes of the log. It is also the size of the log,
 * whatever the number of members. A member is slow when it is farther behind than that or, with the policy cut, when
 * its socket has taken no byte at all for `slow_after` although there was something to take.
 *
 * Pace. A sender is always faster than the members: if nothing held it up, a flood would leave every healthy member
 * behind. A member that moves but is more than half of `outbox` behind therefore holds up all senders, and the room
 * goes at the pace of the slowest member that moves. A member that does not move is left behind: senders go on, and at
 * `outbox` the slow policy decides. To move is to take a 64th of `outbox` within a second. A member that stops in the
 * middle of a flood thus delays the others by a second at most, one that stopped earlier not at all. If senders waited
 * for `slow_after` instead, one silent connection could silence the room for 10 seconds. If the member farthest behind
 * were cut at once, a flood would cut whoever pauses.
 *
 * No wake-up is lost. A writing task declares itself PARKED under the lock, after finding there that nothing has been
 * added and that its framing wants no turn. A sender adds, or room_call is made, under the lock, and then, still under
 * it, every member found PARKED is woken. Tasks that are writing need no wake-up: they look again before they park.
 * A sender that is held up names the member it waits for in `awaited`, then checks that this member is still at the
 * position that was too far behind. The member changes its position, then checks `awaited`. Both are sequentially
 * consistent, and one of them sees the other.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_ROOM_H
#define CORACLE_CMD_SERVE_ROOM_ROOM_H

#include "serve/session.h"

struct room;
struct member;
struct framing;
struct participant;

/* Makes an empty room of a server, which must outlive it. NULL: memory ran out. */
struct room *room_new(struct serve *serve, const char *name);

/* Frees an empty room. Accepts NULL. */
void room_free(struct room *room);

/* Gives up the history that there is. Returns how many bytes that frees. */
uint64_t room_forget(struct room *room);

/*
 * Makes a member of the session's connection and lets it in. It will hear the history (--history), then what is said;
 * its address and `acknowledged`, a whole line, in place of each message of its own; all through the framing, for this
 * participant. Returns NULL when memory ran out.
 */
struct member *room_join(struct room *room, struct session *session, const struct framing *framing,
                         struct participant *participant, const char *acknowledged);

/*
 * Says a whole line (its LF included), longer than the acknowledgement, to everybody. Returns 0, -ENOMEM, or
 * COR_ECANCELED: it has not been said, and nothing that this member sends later may be.
 */
int room_say(struct member *sender, const char *line, size_t size);

/* Tells one member only a whole line: why what it has sent is no message. */
void room_tell(struct member *to, const char *line, size_t size);

/* Tells a member who is here, and from then on who comes and goes, or not any more (presence.h). */
void room_ask_presence(struct member *member, bool on);

/* Has written what has been said. To be called after a number of messages that came together. */
void room_flush(struct room *room);

/* Gives the member's framing a turn to send frames of its own, soon, in the writing task. */
void room_call(struct member *member);

/* What is to be done with a member: nothing, room_call, or end it as one that has vanished. */
typedef enum room_action { ROOM_NOTHING, ROOM_CALL, ROOM_GIVE_UP } room_action;

/* Has framings look, under the room's lock, at all members to which nothing is being written. */
void room_look(struct room *room, room_action (*look)(const struct framing *framing, struct participant *participant));

/* Why the member is to leave, REASON_NONE if it is not. */
close_reason room_cut_reason(const struct member *member);

/* How many bytes of the room's log the member is behind. Any thread, while it is a member. */
uint64_t room_behind(const struct member *member);

/* The member's address, by its socket. */
const char *room_address_of(const struct member *member);

/*
 * Takes the member out. With `drain` all that it is to hear is written first. Adds its counts to the session's. The
 * member is gone afterwards; the connection is still to be closed. Returns false if a write to it has been cut: then
 * what is written next would be taken for the rest of that.
 */
bool room_leave(struct member *member, struct session *session, bool drain);

#endif

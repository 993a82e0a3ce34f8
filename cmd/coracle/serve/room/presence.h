/* SPDX-License-Identifier: MIT */
/*
 * Who comes and goes, told to members that have asked for it, where --presence allows that. It is JSON, one line each:
 *
 *     {"presence":{"members":2,"you":"127.0.0.1:40000"}}                           the answer to whoever asks
 *     {"presence":{"members":3,"joined":["127.0.0.1:40002"],"left":[],"more":0}}   and from then on
 *     {"presence":null}                                                            the answer without --presence
 *
 * "members" is how many there are on this server. Comings and goings are gathered and told once a second: the first
 * PRESENCE_NAMED of each by their addresses, the others by their number, "more". So a crowd that comes and goes costs a
 * room one short line a second, whatever its size. A line is an entry of the log like all others, and held to its pace:
 * while the room waits for a slow member, what is to be told is gathered on. It goes to no other node.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_PRESENCE_H
#define CORACLE_CMD_SERVE_ROOM_PRESENCE_H

#include "serve/room/member.h"

#define PRESENCE_EVERY_NS COR_SECOND
enum { PRESENCE_NAMED = 8, PRESENCE_ANSWER_MAX = COR_JSON_QUOTE_MAX(COR_ADDR_TEXT) + 64 };

/* NULL: memory ran out. */
struct presence *presence_new(void);

/* Accepts NULL. */
void presence_free(struct presence *presence);

/* Notes that a member has come or gone. Does nothing in a room without. Under the lock. */
void presence_note(struct room *room, bool came, const char *who);

/* Has a member hear of it after what it has added last, or no more. Under the lock. */
void presence_ask(struct member *member, bool on);

/* Takes a member out that may have asked. Under the lock. */
void presence_leave(struct member *member);

/* Writes the answer to a member that has asked. Returns its size. Under the lock. */
size_t presence_answer(const struct member *member, char to[PRESENCE_ANSWER_MAX]);

/* Tells what has been noted. False: the room waits for somebody, ask again. */
bool presence_tell(struct room *room);

#endif

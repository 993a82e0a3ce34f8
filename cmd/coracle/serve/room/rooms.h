/* SPDX-License-Identifier: MIT */
/*
 * The rooms of a run, by name. Those of the command line are there from start to stop. Others are made by the first
 * client that asks for one by the path of its URL, at most --rooms of them at a time, and go with their last member.
 *
 * Whoever uses a room holds it (room->holds): an entry, a client from its request until it has left, whoever goes
 * through all of them. The lock is a thread's, as that of conns.h: the status is read by a thread that runs no tasks.
 * It is held for a few steps, and nothing under it waits. Rooms are made under a mutex of tasks, one at a time, so that
 * one found in the list has its link to other nodes; a link takes its time to end, and so a room is freed by a task of
 * its own when it is in the list no more. Whoever asks for that name meanwhile gets another room.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_ROOMS_H
#define CORACLE_CMD_SERVE_ROOM_ROOMS_H

#include "serve/room/link.h"
#include "serve/room/name.h"

struct rooms;

/* Makes the list, empty. The server must outlive it. NULL: memory ran out. */
struct rooms *rooms_new(struct serve *serve);

/* Waits until all rooms have ended, and frees it. Nobody holds a room any more. Accepts NULL. */
void rooms_free(struct rooms *rooms);

/* Finds or makes the room of an entry, and holds it. NULL: memory ran out. */
struct room *rooms_open(struct rooms *rooms, const char *name);

/*
 * Finds the room that a client asks for, or makes it, and holds it. NULL: *why says why not: REASON_MAX_ROOMS;
 * REASON_EOF: clients may not make rooms; REASON_OOM.
 */
struct room *rooms_enter(struct rooms *rooms, const char *name, close_reason *why);

/* Whether a client that asked for it now would get that room: REASON_NONE, or why not. */
close_reason rooms_admit(struct rooms *rooms, const char *name);

/* Starts the task that tells members who comes and goes, if that is wanted. Returns 0 or an error code. */
int rooms_start(struct rooms *rooms);

/* Lets go of a room. */
void rooms_leave(struct room *room);

/* Calls `visit` for each room, held meanwhile. Tasks only, and it may wait. */
void rooms_each(struct rooms *rooms, void (*visit)(struct room *room, void *arg), void *arg);

/* Gives up the history of all rooms. Returns how many bytes that frees. Tasks only. */
uint64_t rooms_forget(struct rooms *rooms);

/* How many there are, at one moment. */
typedef struct rooms_counts {
    uint64_t rooms, made;      /* now; those that clients have made, with those that are ending */
    uint64_t ever_made;        /* by clients */
    uint64_t members, largest; /* of all rooms, of the one with the most */
} rooms_counts;

/* Any thread. */
void rooms_count(struct rooms *rooms, rooms_counts *out);

/* One of them, for a list. */
typedef struct rooms_row {
    char name[ROOM_NAME_SIZE];
    uint64_t members;
    bool made; /* by a client */
} rooms_row;

/* Copies the `most` largest, the largest first. Returns how many; *out is the caller's to free. Any thread. */
size_t rooms_list(struct rooms *rooms, rooms_row **out, size_t most);

/* What their links to other nodes have done, together. Any thread. False: there are none. */
bool rooms_count_links(struct rooms *rooms, link_counts *out);

#endif

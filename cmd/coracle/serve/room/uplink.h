/* SPDX-License-Identifier: MIT */
/*
 * A node's one connection to the bus, and how its rooms share it. For uplink.c (the connection, and whose turn it is)
 * and link.c (what one room sends and hears).
 *
 * Two directions. One task talks for all rooms: it connects, gives each link its turn to send a block of its log or a
 * sign of life, and pauses when the connection is lost; what stops a thread it has done by cor_blocking, with no lock
 * held. What comes in is brought by a thread of the bus's, which never waits: it puts the frame into the inbox of its
 * room and starts the task `hear` for it, if that is not running. That task waits for the room's members if it must,
 * and so a slow room delays no other. It ends when the inbox is empty: a quiet room has no task.
 *
 * Turns. `ready` has the links with news, first come first served; a link is in it once, and with more than one block
 * to send it goes to its end. `links` has all of them, in the order in which signs of life are due, which come first:
 * there is one a second of each room.
 *
 * A connection that is lost is noticed by the talking task, at the latest by a sign of life that fails. It connects
 * again after a pause that grows up to BACKOFF_MOST_NS, and of which the upper half is chance, so that nodes do not
 * come back together. Then each link is due: it subscribes again, and waits, for about as long as the longest pause,
 * until all nodes that there were have been heard of, for they miss what is sent before.
 *
 * To connect takes time, and has no end with a server that stops in the middle of a handshake of TLS. So the task
 * `dial` does it, and meanwhile the talking task looks after the links as in a pause: a room can end, and so can all.
 *
 * Bounds. Of `most` bytes a room may have as much as is left: one that is alone has half of them, two have a third
 * each, n rooms their (n + 1)th parts, and there is always some for the next one. So it is with what the logs keep for
 * the bus (`most` is two outboxes, and a log never keeps more than one; the oldest is given up and counted) and with
 * the frames that wait for rooms (INBOX_BYTES; the newest are dropped and counted).
 *
 * Locks. The uplink's is a thread's, held for a few steps, and nothing under it waits. It comes after the room's: who
 * adds to a log has that. The talking task takes one at a time. What is marked as the talking task's needs none.
 *
 * No wake-up is lost: the talking task declares itself parked under the uplink's lock, after finding there that no link
 * is ready. Who has news adds them under the room's lock, then makes the link ready under the uplink's and looks there
 * whether the task is parked. A link's turn takes it off `ready` first and looks at its log, under the room's lock,
 * afterwards. While the bus is away only links that end or have too much are made ready; later each of them is due.
 * The inbox is the same between that thread and `hear`, which declares itself ended under the lock.
 *
 * The end of a link. Its owner marks it as ending and waits for `gone`. In its turn the link sends what is left, if
 * there is a connection, its subscription is given back, and it leaves both lists: from then on no frame comes and it
 * is not made ready any more. The later of this and the end of `hear` opens `gone`.
 */
#ifndef CORACLE_CMD_SERVE_ROOM_UPLINK_H
#define CORACLE_CMD_SERVE_ROOM_UPLINK_H

#include "serve/bus/bus.h"
#include "serve/room/member.h"
#include "serve/room/nodes.h"

#include <pthread.h>
#include <sys/queue.h>

#define BACKOFF_FIRST_NS (200 * COR_MILLISECOND)
#define BACKOFF_MOST_NS (5 * COR_SECOND)

/* A frame that waits for its room. */
struct parcel {
    STAILQ_ENTRY(parcel) next;
    size_t size;
    char bytes[];
};

struct link {
    struct room *room;
    struct uplink *up;
    char *subject;
    uint64_t id;              /* this node's, in this room */
    struct bus_topic *topic;  /* the talking task's; NULL: not subscribed */
    struct msg_reader reader; /* the talking task's */
    uint64_t said;            /* lines that the bus was given; the talking task's */
    uint64_t backlog_told;    /* of those that the log gave up; the talking task's */
    int64_t due;              /* when the next sign of life is; the talking task's */
    size_t others;            /* guard: the room's lock; nodes to wait for; 0: none */
    int64_t back;             /* guard: the room's lock; cor_now() when it subscribed last */
    uint64_t held;            /* guard: the room's lock; its part of the uplink's */
    cor_mutex gone;           /* locked until only its owner uses the link */

    TAILQ_ENTRY(link) by_due, by_turn; /* guard: the uplink's lock, and of all that follows */
    STAILQ_HEAD(, parcel) inbox;
    size_t waiting; /* bytes in it */
    bool ready;     /* it is in that list */
    bool hearing;   /* the task `hear` is under way */
    bool left;      /* it is in no list */
    atomic_bool ending;

    _Atomic uint64_t all_nodes, all_members;
    struct nodes nodes; /* guard: the room's lock; last: most of it is never touched */
};

struct uplink {
    const bus_ops *ops;
    const bus_options *options;
    struct bus *bus; /* the talking task's; while it connects the task `dial`'s, as is `why` */
    size_t outbox;
    uint64_t chance;   /* of the pauses; the talking task's */
    cor_group tasks;   /* the talking task and `dial` */
    char why[BUS_WHY]; /* why there is no connection */

    pthread_mutex_t lock;
    TAILQ_HEAD(, link) links, ready; /* guard: the lock, and of the next eight */
    size_t count;                    /* of links */
    size_t waiting;                  /* bytes in all inboxes */
    bool parked;
    bool over;
    int64_t until;      /* how long turns are waited for; `dial` sets 0 */
    int answer;         /* what connecting has returned; COR_ECANCELED: nothing yet */
    cor_waitgroup news; /* 1 while the talking task is parked, else 0 */

    _Atomic uint64_t held; /* bytes in the logs of all rooms that the bus has not taken */
    atomic_bool connected;
    _Atomic int64_t since;
    _Atomic uint64_t connects, sent, received, lost_backlog, lost_too_long, missed, repeated, slow_frames, bad_frames;
};

static inline void count_more(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* What the links of a node have done, together. */
typedef struct link_counts {
    bool connected;
    int64_t since;           /* cor_now() when that changed last */
    uint64_t connects;       /* how often it has connected */
    uint64_t sent, received; /* messages */
    uint64_t lost_backlog;   /* of this node's own: the bus was away or slow for too long */
    uint64_t lost_too_long;  /* of this node's own: the bus takes no message of that length */
    uint64_t missed;         /* of other nodes': they have not come */
    uint64_t repeated;       /* of other nodes': they had come before, or came too late to be in order */
    uint64_t slow_frames;    /* frames that were dropped here: rooms did not take them in time */
    uint64_t bad_frames;     /* frames that were none */
    uint64_t nodes, members; /* on the bus now, this one included; of rooms_count_links */
} link_counts;

/*
 * Starts to connect to a bus, and keeps at it. The options must outlive it; `outbox` bounds what waits for the bus.
 * NULL: memory ran out.
 */
struct uplink *uplink_start(const bus_ops *ops, const bus_options *options, size_t outbox);

/* Hangs up and frees it. No link is left. Accepts NULL. */
void uplink_stop(struct uplink *up);

/* Any thread. */
void uplink_count(const struct uplink *up, link_counts *out);

/* Has a room's link, if it has one, look at what was added to the log. Under the room's lock. */
void uplink_wake(struct room *room);

/* --- for link.c */

/* Puts a link into the lists, or has it end and waits until nobody uses it. */
void uplink_enter(struct link *link);
void uplink_leave(struct link *link);

/* Gives a link a turn. Under the room's lock. */
void uplink_make_ready(struct link *link);

/* Has the log give up what is more than the link's part. Under the room's lock; the talking task's, as is the next. */
void uplink_share(struct link *link);

/* Publishes a frame of a link. Returns as bus_ops.publish. */
int uplink_publish(struct link *link, const char *bytes, size_t size);

/* --- what link.c does when it is a link's turn */

/* Takes a frame that has come. A task of the link's. */
void link_take(struct link *link, const char *bytes, size_t size);

/* Looks after what the link counts and keeps. The talking task's, as are all that follow. */
void link_look(struct link *link);

/* The same, and goes on to what there is to send. False: nothing, or other nodes are waited for. */
bool link_next(struct link *link);

/* Sends what is in the reader's block. Returns 0, or a negative code: what is not sent is still to be read. */
int link_send(struct link *link);

/* Sends a sign of life. Returns as bus_ops.publish. */
int link_send_beat(struct link *link);

/* The link hears others again; it does not any more. */
void link_is_back(struct link *link);
void link_is_lost(struct link *link);

#endif

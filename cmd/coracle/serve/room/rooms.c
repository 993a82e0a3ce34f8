/* SPDX-License-Identifier: MIT */
/* Rooms are made, found and freed. */
#include "serve/room/rooms.h"

#include "serve/room/link.h"
#include "serve/room/presence.h"
#include "serve/room/room.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct rooms {
    struct serve *serve;
    struct uplink *up;    /* to other nodes; NULL: there are none */
    cor_chan *news;       /* a byte: rooms have something to tell (presence.h) */
    cor_mutex making;     /* taken before the lock */
    pthread_mutex_t lock; /* guards all that follows, and next, holds and made of each room */
    struct room *first;
    size_t count;
    size_t made; /* by clients, with those that are in the list no more: ending takes a link time */
    uint64_t ever_made;
    cor_waitgroup ending; /* rooms that are in the list no more */
};

struct rooms *rooms_new(struct serve *serve)
{
    const serve_options *options = &serve->options;
    struct rooms *rooms = calloc(1, sizeof(*rooms));
    if (rooms == NULL) {
        return NULL;
    }
    rooms->serve = serve;
    pthread_mutex_init(&rooms->lock, NULL);
    rooms->news = cor_chan_new(1, 1);
    rooms->up = serve->bus != NULL ? uplink_start(serve->bus, &options->bus, options->outbox) : NULL;
    if (rooms->news == NULL || (serve->bus != NULL && rooms->up == NULL)) {
        rooms_free(rooms);
        return NULL;
    }
    return rooms;
}

void rooms_free(struct rooms *rooms)
{
    if (rooms != NULL) {
        cor_waitgroup_wait(&rooms->ending, 0);
        uplink_stop(rooms->up);
        pthread_mutex_destroy(&rooms->lock);
        cor_chan_free(rooms->news);
        free(rooms);
    }
}

/* Under the lock. */
static struct room *find(const struct rooms *rooms, const char *name)
{
    struct room *room = rooms->first;
    while (room != NULL && strcmp(room->name, name) != 0) {
        room = room->next;
    }
    return room;
}

static struct room *find_and_hold(struct rooms *rooms, const char *name)
{
    pthread_mutex_lock(&rooms->lock);
    struct room *room = find(rooms, name);
    if (room != NULL) {
        room->holds++;
    }
    pthread_mutex_unlock(&rooms->lock);
    return room;
}

close_reason rooms_admit(struct rooms *rooms, const char *name)
{
    uint64_t most = rooms->serve->options.rooms;
    pthread_mutex_lock(&rooms->lock);
    bool there = find(rooms, name) != NULL, full = rooms->made >= most;
    pthread_mutex_unlock(&rooms->lock);
    return there || !full ? REASON_NONE : most == 0 ? REASON_EOF : REASON_MAX_ROOMS;
}

static void take_out(struct rooms *rooms, const struct room *room)
{
    struct room **at = &rooms->first;
    while (*at != room) {
        at = &(*at)->next;
    }
    *at = room->next;
}

static void enlist(struct rooms *rooms, struct room *room)
{
    pthread_mutex_lock(&rooms->lock);
    room->next = rooms->first;
    rooms->first = room;
    rooms->count++;
    rooms->made += room->made;
    rooms->ever_made += room->made;
    pthread_mutex_unlock(&rooms->lock);
}

/* Makes a room with all that belongs to it, held once. */
static struct room *make(struct rooms *rooms, const char *name, bool by_client)
{
    struct serve *serve = rooms->serve;
    struct room *room = room_new(serve, name);
    if (room == NULL) {
        return NULL;
    }
    room->rooms = rooms;
    room->holds = 1;
    room->made = by_client;
    room->news = rooms->news;
    if (rooms->up != NULL && link_start(room, rooms->up) < 0) {
        room_free(room);
        return NULL;
    }
    enlist(rooms, room);
    if (by_client) {
        LOG(LEVEL_DEBUG, "room_made", {"room", name, 0});
    }
    return room;
}

static struct room *find_or_make(struct rooms *rooms, const char *name, bool by_client, close_reason *why)
{
    struct room *room = find_and_hold(rooms, name);
    if (room != NULL) {
        return room;
    }
    cor_mutex_lock(&rooms->making);
    room = find_and_hold(rooms, name);
    *why = room == NULL && by_client ? rooms_admit(rooms, name) : REASON_NONE;
    if (room == NULL && *why == REASON_NONE) {
        room = make(rooms, name, by_client);
        *why = REASON_OOM;
    }
    cor_mutex_unlock(&rooms->making);
    return room;
}

struct room *rooms_open(struct rooms *rooms, const char *name)
{
    close_reason why;
    return find_or_make(rooms, name, false, &why);
}

struct room *rooms_enter(struct rooms *rooms, const char *name, close_reason *why)
{
    return find_or_make(rooms, name, true, why);
}

/* Ends a room that is in the list no more. */
static void end_room(void *arg)
{
    struct room *room = arg;
    struct rooms *rooms = room->rooms;
    if (room->link != NULL) {
        link_stop(room->link);
        pthread_mutex_lock(&rooms->lock);
        rooms->made -= room->made;
        pthread_mutex_unlock(&rooms->lock);
    }
    if (room->made) {
        LOG(LEVEL_DEBUG, "room_freed", {"room", room->name, 0});
    }
    room_free(room);
    cor_waitgroup_done(&rooms->ending);
}

void rooms_leave(struct room *room)
{
    struct rooms *rooms = room->rooms;
    pthread_mutex_lock(&rooms->lock);
    bool last = --room->holds == 0;
    if (last) {
        take_out(rooms, room);
        rooms->count--;
        rooms->made -= room->link == NULL && room->made; /* at once: whoever sees it gone may make another */
        cor_waitgroup_add(&rooms->ending, 1);
    }
    pthread_mutex_unlock(&rooms->lock);
    if (last && (room->link == NULL || cor_go(end_room, room) < 0)) {
        end_room(room);
    }
}

void rooms_each(struct rooms *rooms, void (*visit)(struct room *room, void *arg), void *arg)
{
    struct room *before = NULL, *room;
    do {
        pthread_mutex_lock(&rooms->lock);
        room = before == NULL ? rooms->first : before->next; /* held, it is in the list */
        if (room != NULL) {
            room->holds++;
        }
        pthread_mutex_unlock(&rooms->lock);
        if (before != NULL) {
            rooms_leave(before);
        }
        if (room != NULL) {
            visit(room, arg);
        }
        before = room;
    } while (room != NULL);
}

static void tell(struct room *room, void *told)
{
    *(bool *)told &= presence_tell(room);
}

/* A room that notes something after it was looked at has sent a byte again. */
static void tell_presence(void *arg)
{
    struct rooms *rooms = arg;
    char byte;
    int code = 0;
    while (code == 0 && cor_chan_recv(rooms->news, &byte, 0) > 0) {
        bool told = true;
        rooms_each(rooms, tell, &told);
        code = told ? 0 : cor_chan_try_send(rooms->news, "");
        code = code == 0 || code == -EAGAIN ? cor_sleep(PRESENCE_EVERY_NS) : code;
    }
}

int rooms_start(struct rooms *rooms)
{
    struct serve *serve = rooms->serve;
    return serve->options.presence ? cor_group_go(&serve->helpers, tell_presence, rooms) : 0;
}

static void forget(struct room *room, void *freed)
{
    *(uint64_t *)freed += room_forget(room);
}

uint64_t rooms_forget(struct rooms *rooms)
{
    uint64_t freed = 0;
    rooms_each(rooms, forget, &freed);
    return freed;
}

void rooms_count(struct rooms *rooms, rooms_counts *out)
{
    pthread_mutex_lock(&rooms->lock);
    *out = (rooms_counts){.rooms = rooms->count, .made = rooms->made, .ever_made = rooms->ever_made};
    for (struct room *room = rooms->first; room != NULL; room = room->next) {
        uint64_t members = atomic_load(&room->members);
        out->members += members;
        out->largest = members > out->largest ? members : out->largest;
    }
    pthread_mutex_unlock(&rooms->lock);
}

static int by_members(const void *a, const void *b)
{
    const rooms_row *one = a, *other = b;
    return one->members != other->members ? (one->members < other->members) - (one->members > other->members)
                                          : strcmp(one->name, other->name);
}

size_t rooms_list(struct rooms *rooms, rooms_row **out, size_t most)
{
    size_t count = 0;
    pthread_mutex_lock(&rooms->lock);
    rooms_row *rows = calloc(rooms->count + 1, sizeof(*rows));
    for (struct room *room = rooms->first; room != NULL && rows != NULL; room = room->next) {
        rooms_row *row = &rows[count++];
        memcpy(row->name, room->name, sizeof(row->name));
        row->members = atomic_load(&room->members);
        row->made = room->made;
    }
    pthread_mutex_unlock(&rooms->lock);
    if (rows != NULL) {
        qsort(rows, count, sizeof(*rows), by_members);
    }
    *out = rows;
    return count < most ? count : most;
}

bool rooms_count_links(struct rooms *rooms, link_counts *out)
{
    if (rooms->up == NULL) {
        return false;
    }
    uplink_count(rooms->up, out);
    pthread_mutex_lock(&rooms->lock);
    for (const struct room *room = rooms->first; room != NULL; room = room->next) {
        uint64_t nodes, members;
        link_members(room->link, &nodes, &members);
        out->nodes = nodes > out->nodes ? nodes : out->nodes;
        out->members += members;
    }
    pthread_mutex_unlock(&rooms->lock);
    return true;
}

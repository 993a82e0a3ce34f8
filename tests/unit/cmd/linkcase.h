/* SPDX-License-Identifier: MIT */
/*
 * For tests of links and their uplink: nodes whose rooms are logs without members, and between them a bus that loses,
 * doubles, refuses and holds up as it is told. A room's listener reads its log.
 */
#ifndef CORACLE_TESTS_UNIT_CMD_LINKCASE_H
#define CORACLE_TESTS_UNIT_CMD_LINKCASE_H

#include "support/taskcase.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "log.h"
#include "serve/memory.h"
#include "serve/room/delivery.h"
#include "serve/room/link.h"
#include "serve/room/pace.h"

#define SOON (20 * COR_SECOND)
enum { NODES = 3, LINES = 400, TEXT = 256 * 1024, LIVES = 5, BUSES = NODES + LIVES, MORE = 6, TOPICS = 2 + MORE };

static const cor_options with_threads = {.foreign_wakeups = true};

/* What a link needs of the rest of a room: here nobody is slow, unless told so, and only the link is to be woken. */

static _Atomic(struct room *) held; /* what comes for that one waits */
static atomic_bool waits, no_room;

bool pace_wait(struct room *room, size_t size)
{
    (void)size;
    while (held == room) {
        waits = true;
        cor_mutex_unlock(&room->lock);
        cor_yield();
        cor_mutex_lock(&room->lock);
    }
    return !no_room;
}

void delivery_flush(struct room *room)
{
    uplink_wake(room);
}

void memory_grown(struct serve *serve, uint64_t bytes)
{
    (void)serve;
    (void)bytes;
}

/* --- the bus */

struct bus_topic {
    struct bus *bus;
    const char *subject; /* NULL: it is none */
    void *listener;
};

struct bus {
    bus_frame frame;
    pthread_mutex_t lock; /* held while a frame is given to it */
    struct bus_topic topics[TOPICS];
    _Atomic bool connected;
    _Atomic bool away; /* its connects are refused */
};

/* The links' threads read and write it while the test does: atomic, and the lock for what belongs together. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct bus *all[BUSES];
    _Atomic int count;
    struct bus *stuck;          /* its publishes of text wait; guard: lock */
    struct bus *dialling;       /* its connects wait; guard: lock */
    _Atomic bool waiting;       /* one does */
    _Atomic bool away;          /* connects are refused */
    _Atomic bool doubles;       /* each frame comes twice, and to its sender as well */
    _Atomic int loses;          /* every n-th frame with text; 0: none */
    _Atomic int breaks;         /* so many publishes deliver and fail all the same */
    _Atomic unsigned published; /* frames with text */
    _Atomic uint64_t lost;      /* lines, of those that listened */
    _Atomic size_t longest;     /* frame */
    _Atomic size_t max_size;
} net = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct bus *fake_open(const bus_options *options, bus_frame frame)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    (void)options;
    *bus = (struct bus){.frame = frame, .lock = PTHREAD_MUTEX_INITIALIZER};
    net.all[net.count] = bus;
    net.count++;
    return bus;
}

static struct bus_topic *fake_listen(struct bus *bus, const char *subject, void *listener)
{
    struct bus_topic *topic = bus->topics;
    pthread_mutex_lock(&bus->lock);
    while (topic < bus->topics + TOPICS && topic->subject != NULL) {
        topic++;
    }
    bool found = bus->connected && topic < bus->topics + TOPICS;
    if (found) {
        *topic = (struct bus_topic){.bus = bus, .subject = subject, .listener = listener};
    }
    pthread_mutex_unlock(&bus->lock);
    return found ? topic : NULL;
}

static uint64_t fake_unlisten(struct bus *bus, struct bus_topic *topic)
{
    pthread_mutex_lock(&bus->lock);
    topic->subject = NULL;
    pthread_mutex_unlock(&bus->lock);
    return 0;
}

/* How many subjects node `i` hears; of node 0 also when it has said last that it is joined, and that it is alone. */
static atomic_int joined_with = -1, alone_with = -1;
static int topics_of(int i)
{
    struct bus *bus = net.all[i];
    int count = 0;
    pthread_mutex_lock(&bus->lock);
    for (int t = 0; t < TOPICS; t++) {
        count += bus->topics[t].subject != NULL;
    }
    pthread_mutex_unlock(&bus->lock);
    return count;
}

void log_event(log_level level, const char *event, const log_field *fields, size_t count)
{
    (void)level;
    (void)fields;
    (void)count;
    atomic_int *with = strcmp(event, "bus_connected") == 0 ? &joined_with : &alone_with;
    if (with == &joined_with || strcmp(event, "bus_lost") == 0) {
        atomic_store(with, topics_of(0));
    }
}

static int fake_connect(struct bus *bus, char *why)
{
    pthread_mutex_lock(&net.lock);
    while (net.dialling == bus) {
        net.waiting = true;
        pthread_cond_wait(&net.changed, &net.lock);
    }
    bool away = net.away || bus->away;
    bus->connected = !away;
    pthread_mutex_unlock(&net.lock);
    snprintf(why, BUS_WHY, "away");
    return away ? -ECONNREFUSED : 0;
}

static uint32_t lines_of(const char *bytes, size_t size)
{
    uint32_t lines = 0;
    for (size_t i = 0; i < size; i++) {
        lines += bytes[i] == '\n';
    }
    return lines - 1;
}

/* Gives a frame to whoever listens at `to`, so many times. */
static void give(struct bus *to, const char *subject, const char *bytes, size_t size, int times)
{
    pthread_mutex_lock(&to->lock);
    for (int t = 0; t < TOPICS && to->connected; t++) {
        const struct bus_topic *topic = &to->topics[t];
        for (int i = 0; topic->subject != NULL && strcmp(topic->subject, subject) == 0 && i < times; i++) {
            to->frame(topic->listener, bytes, size);
        }
    }
    pthread_mutex_unlock(&to->lock);
}

static int fake_publish(struct bus *bus, const char *subject, const char *bytes, size_t size)
{
    pthread_mutex_lock(&net.lock);
    bool text = lines_of(bytes, size) > 0;
    while (text && net.stuck == bus) {
        net.waiting = true;
        pthread_cond_wait(&net.changed, &net.lock);
    }
    net.published += text;
    net.longest = size > net.longest ? size : net.longest;
    bool lost = text && net.loses > 0 && net.published % (unsigned)net.loses == 0;
    net.lost += lost ? lines_of(bytes, size) : 0;
    bool breaks = text && net.breaks > 0 && bus->connected;
    net.breaks -= breaks;
    bool refuses = !bus->connected, doubles = net.doubles;
    pthread_mutex_unlock(&net.lock);
    if (size > net.max_size) {
        return -EMSGSIZE;
    }
    for (int i = 0; i < net.count && !lost && !refuses; i++) {
        give(net.all[i], subject, bytes, size, doubles ? 2 : net.all[i] != bus);
    }
    return refuses || breaks ? -EPIPE : 0;
}

static void set_stuck(struct bus *bus)
{
    pthread_mutex_lock(&net.lock);
    net.stuck = bus;
    pthread_cond_broadcast(&net.changed);
    pthread_mutex_unlock(&net.lock);
}

static inline void set_dialling(struct bus *bus)
{
    pthread_mutex_lock(&net.lock);
    net.dialling = bus;
    pthread_cond_broadcast(&net.changed);
    pthread_mutex_unlock(&net.lock);
}

static size_t fake_max_size(const struct bus *bus)
{
    (void)bus;
    return net.max_size;
}

static void fake_disconnect(struct bus *bus, char *why)
{
    pthread_mutex_lock(&bus->lock);
    bus->connected = false;
    pthread_mutex_unlock(&bus->lock);
    *why = '\0';
}

static void fake_close(struct bus *bus)
{
    (void)bus; /* others may be about to look at it */
}

static const bus_ops fake_ops = {
    .open = fake_open,
    .connect = fake_connect,
    .listen = fake_listen,
    .unlisten = fake_unlisten,
    .publish = fake_publish,
    .max_size = fake_max_size,
    .disconnect = fake_disconnect,
    .close = fake_close,
};

/* --- nodes */

/* A room of a node. */
struct place {
    struct uplink *up; /* the node's */
    struct room room;
    struct msg_reader talker, listener;
    char text[TEXT]; /* what the listener has heard */
    size_t size;
};

static struct place nodes[NODES], more[NODES][MORE]; /* each node by its first room, and other rooms of it */
static const bus_options options = {.subject = "rooms"};

static void enter(struct place *node)
{
    cor_mutex_lock(&node->room.lock);
    T_ASSERT(msglog_enter(&node->room.log, &node->listener));
    cor_mutex_unlock(&node->room.lock);
    T_OK(link_start(&node->room, node->up));
}

static void leave(struct place *node)
{
    link_stop(node->room.link);
    cor_mutex_lock(&node->room.lock);
    msglog_leave(&node->room.log, &node->listener);
    cor_mutex_unlock(&node->room.lock);
    msglog_free(&node->room.log);
}

/* Makes room `r` of node `i`. */
static struct place *make_room_of(int i, int r)
{
    struct place *node = &more[i][r];
    node->up = nodes[i].up;
    node->room.log = (struct msg_log){.block_size = 4096, .keep = nodes[i].room.log.keep};
    snprintf(node->room.name, sizeof(node->room.name), "%d", r);
    node->room.members = 1;
    enter(node);
    return node;
}

static void start_net(size_t keep)
{
    net.max_size = 1024 * 1024;
    for (int i = 0; i < NODES; i++) {
        struct place *node = &nodes[i];
        node->room.log = (struct msg_log){.block_size = 4096, .keep = keep};
        node->room.members = (size_t)i + 1;
        node->up = uplink_start(&fake_ops, &options, keep);
        T_ASSERT(node->up != NULL);
        enter(node);
    }
}

static link_counts counts(int i)
{
    link_counts out;
    uplink_count(nodes[i].up, &out);
    if (nodes[i].room.link != NULL) {
        link_members(nodes[i].room.link, &out.nodes, &out.members);
    }
    return out;
}

/* Everybody has heard of all others: from now on each knows what it misses. */
static void wait_for_all(void)
{
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).connected && counts(i).nodes == NODES, SOON);
    }
}

static void end_net(void)
{
    for (int i = 0; i < NODES; i++) {
        leave(&nodes[i]);
        T_EQ(atomic_load(&nodes[i].up->held), 0);
        uplink_stop(nodes[i].up);
    }
    for (int i = 0; i < net.count; i++) {
        free(net.all[i]);
    }
}

static void say(struct place *node, const char *line)
{
    cor_mutex_lock(&node->room.lock);
    T_ASSERT(msglog_add(&node->room.log, &node->talker, MSG_SAID, line, strlen(line)));
    msglog_end_batch(&node->room.log);
    delivery_flush(&node->room);
    cor_mutex_unlock(&node->room.lock);
}

/* In that room, node `i` says its line of that number. */
static void say_in(struct place *room, int i, int number)
{
    char line[32];
    snprintf(line, sizeof(line), "n%d %d\n", i, number);
    say(room, line);
}

static inline void say_number(int i, int number)
{
    say_in(&nodes[i], i, number);
}

/* The connection of node `i` is gone. */
static void lose(int i)
{
    net.all[i]->connected = false;
}

static void listen_once(struct place *node)
{
    struct msg_run run;
    cor_mutex_lock(&node->room.lock);
    while (msglog_next(&node->room.log, &node->listener) && msglog_peek(&node->listener, &run)) {
        T_ASSERT(node->size + run.size < TEXT);
        node->size += msglog_copy(&node->listener, &run, "", 0, node->text + node->size);
        msglog_take(&node->listener, &run);
    }
    cor_mutex_unlock(&node->room.lock);
}

/* What a room has heard of lines "nI N": how many, in order and without a repetition. Returns the number. */
static int heard_in(struct place *node, int of)
{
    char prefix[8];
    int count = 0, last = -1;
    listen_once(node);
    node->text[node->size] = '\0';
    snprintf(prefix, sizeof(prefix), "n%d ", of);
    for (const char *line = node->text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, prefix, 3) == 0) {
            int number = (int)strtol(line + 3, NULL, 10);
            T_REQUIRE(number > last, "%d of node %d is heard after %d", number, of, last);
            last = number;
            count++;
        }
    }
    return count;
}

/* What the log keeps for the bus. */
static uint64_t held_for(struct place *room)
{
    cor_mutex_lock(&room->room.lock);
    uint64_t bytes = room->room.link->held;
    cor_mutex_unlock(&room->room.lock);
    return bytes;
}

/* Bytes in the inboxes of node `i`. */
static inline size_t waiting_at(int i)
{
    pthread_mutex_lock(&nodes[i].up->lock);
    size_t bytes = nodes[i].up->waiting;
    pthread_mutex_unlock(&nodes[i].up->lock);
    return bytes;
}

static inline int heard(int by, int of)
{
    return heard_in(&nodes[by], of);
}

/* All rooms of all nodes. */
static void make_more(int rooms)
{
    for (int r = 0; r < rooms; r++) {
        for (int i = 0; i < NODES; i++) {
            (void)make_room_of(i, r);
        }
    }
    for (int r = 0; r < rooms; r++) {
        for (int i = 0; i < NODES; i++) {
            T_EVENTUALLY(atomic_load(&more[i][r].room.link->all_nodes) == NODES, SOON);
        }
    }
}

static void leave_more(int rooms)
{
    for (int r = 0; r < rooms; r++) {
        for (int i = 0; i < NODES; i++) {
            leave(&more[i][r]);
        }
    }
}

#endif

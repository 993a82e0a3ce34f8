/* SPDX-License-Identifier: MIT */
/*
 * For tests of the link: nodes whose rooms are logs without members, and between them a bus that loses, doubles,
 * refuses and holds up as it is told. A node's listener reads its log.
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
enum { NODES = 3, LINES = 400, TEXT = 256 * 1024, LIVES = 5, BUSES = NODES + LIVES };

static const cor_options with_threads = {.foreign_wakeups = true};

/* What link.c needs of the rest of a room: here nobody is slow, unless told so, and only the link is to be woken. */

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
    member_wake_link(room);
}

void memory_grown(struct serve *serve, uint64_t bytes)
{
    (void)serve;
    (void)bytes;
}

void log_event(log_level level, const char *event, const log_field *fields, size_t count)
{
    (void)level;
    (void)event;
    (void)fields;
    (void)count;
}

/* --- the bus */

struct bus {
    const bus_events *events;
    void *arg;
    pthread_mutex_t lock; /* held while a frame is given to it */
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

static struct bus *fake_open(const bus_options *options, const bus_events *events, void *arg)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    (void)options;
    *bus = (struct bus){.events = events, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER};
    net.all[net.count] = bus;
    net.count++;
    return bus;
}

static int fake_connect(struct bus *bus, char *why)
{
    pthread_mutex_lock(&net.lock);
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

static int fake_publish(struct bus *bus, const char *bytes, size_t size)
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
        struct bus *to = net.all[i];
        pthread_mutex_lock(&to->lock);
        for (int times = doubles ? 2 : to != bus; times > 0 && to->connected; times--) {
            to->events->frame(to->arg, bytes, size);
        }
        pthread_mutex_unlock(&to->lock);
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

static size_t fake_max_size(const struct bus *bus)
{
    (void)bus;
    return net.max_size;
}

static uint64_t fake_disconnect(struct bus *bus, char *why)
{
    pthread_mutex_lock(&bus->lock);
    bus->connected = false;
    pthread_mutex_unlock(&bus->lock);
    *why = '\0';
    return 0;
}

static void fake_close(struct bus *bus)
{
    (void)bus; /* others may be about to look at it */
}

static const bus_ops fake_ops = {
    .open = fake_open,
    .connect = fake_connect,
    .publish = fake_publish,
    .max_size = fake_max_size,
    .disconnect = fake_disconnect,
    .close = fake_close,
};

/* --- nodes */

struct node {
    struct room room;
    struct msg_reader talker, listener;
    char text[TEXT]; /* what the listener has heard */
    size_t size;
};

static struct node nodes[NODES];
static const bus_options no_options;

static void start_net(size_t keep)
{
    net.max_size = 1024 * 1024;
    for (int i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        node->room.log = (struct msg_log){.block_size = 4096, .keep = keep};
        node->room.members = (size_t)i + 1;
        cor_mutex_lock(&node->room.lock);
        T_ASSERT(msglog_enter(&node->room.log, &node->listener));
        cor_mutex_unlock(&node->room.lock);
        node->room.link = link_start(&node->room, &fake_ops, &no_options);
        T_ASSERT(node->room.link != NULL);
    }
}

static link_counts counts(int i)
{
    link_counts out;
    link_count(nodes[i].room.link, &out);
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
        struct node *node = &nodes[i];
        link_stop(node->room.link);
        link_free(node->room.link);
        cor_mutex_lock(&node->room.lock);
        msglog_leave(&node->room.log, &node->listener);
        cor_mutex_unlock(&node->room.lock);
        msglog_free(&node->room.log);
    }
    for (int i = 0; i < NODES; i++) {
        free(net.all[i]);
    }
}

static void say(struct node *node, const char *line)
{
    cor_mutex_lock(&node->room.lock);
    T_ASSERT(msglog_add(&node->room.log, &node->talker, MSG_SAID, line, strlen(line)));
    msglog_end_batch(&node->room.log);
    delivery_flush(&node->room);
    cor_mutex_unlock(&node->room.lock);
}

/* Node `i` says its line of that number. */
static void say_number(int i, int number)
{
    char line[32];
    snprintf(line, sizeof(line), "n%d %d\n", i, number);
    say(&nodes[i], line);
}

/* The connection of node `i` is gone. */
static void lose(int i)
{
    net.all[i]->connected = false;
    net.all[i]->events->lost(net.all[i]->arg);
}

static void listen_once(struct node *node)
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

/* What a node has heard of lines "nI N": how many, in order and without a repetition. Returns the number. */
static int heard(int by, int of)
{
    struct node *node = &nodes[by];
    char prefix[8];
    int count = 0, last = -1;
    listen_once(node);
    node->text[node->size] = '\0';
    snprintf(prefix, sizeof(prefix), "n%d ", of);
    for (const char *line = node->text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, prefix, 3) == 0) {
            int number = (int)strtol(line + 3, NULL, 10);
            T_REQUIRE(number > last, "node %d hears %d of node %d after %d", by, number, of, last);
            last = number;
            count++;
        }
    }
    return count;
}

#endif

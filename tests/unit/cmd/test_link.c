/* SPDX-License-Identifier: MIT */
/*
 * The link of a room to other nodes, over a bus of the test's own that loses, doubles and refuses as it is told. The
 * rooms are logs without members; a node's listener reads its log.
 */
/* sources: cmd/coracle/serve/room/link.c cmd/coracle/serve/room/frame.c cmd/coracle/serve/room/nodes.c */
/* sources: cmd/coracle/serve/room/msglog.c cmd/coracle/serve/room/member.c cmd/coracle/escape.c cmd/coracle/utf8.c */
/* test: workers=1,2 */
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
enum { NODES = 3, LINES = 400, TEXT = 256 * 1024 };

static const cor_options with_threads = {.foreign_wakeups = true};

/* What link.c needs of the rest of a room: here nobody is slow and nobody is to be woken but the link. */

bool pace_wait(struct room *room, size_t size)
{
    (void)room;
    (void)size;
    return true;
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
    _Atomic bool connected;
};

/* The links' threads read and write it while the test does: atomic, and the lock for what belongs together. */
static struct {
    pthread_mutex_t lock;
    struct bus *all[NODES];
    int count;
    _Atomic bool away;          /* connects are refused */
    _Atomic bool doubles;       /* each frame comes twice, and to its sender as well */
    _Atomic int loses;          /* every n-th frame with text; 0: none */
    _Atomic int breaks;         /* so many publishes deliver and fail all the same */
    _Atomic unsigned published; /* frames with text */
    _Atomic uint64_t lost;      /* lines, of those that listened */
    _Atomic size_t longest;     /* frame */
    _Atomic size_t max_size;
} net = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct bus *fake_open(const bus_options *options, const bus_events *events, void *arg)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    (void)options;
    *bus = (struct bus){.events = events, .arg = arg};
    net.all[net.count++] = bus;
    return bus;
}

static int fake_connect(struct bus *bus, char *why)
{
    pthread_mutex_lock(&net.lock);
    bool away = net.away;
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
        for (int times = doubles ? 2 : net.all[i] != bus; times > 0 && net.all[i]->connected; times--) {
            net.all[i]->events->frame(net.all[i]->arg, bytes, size);
        }
    }
    return refuses || breaks ? -EPIPE : 0;
}

static size_t fake_max_size(const struct bus *bus)
{
    (void)bus;
    return net.max_size;
}

static uint64_t fake_disconnect(struct bus *bus, char *why)
{
    bus->connected = false;
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
        link_end(node->room.link);
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
    T_ASSERT(msglog_add(&node->room.log, &node->talker, false, line, strlen(line)));
    msglog_end_batch(&node->room.log);
    delivery_flush(&node->room);
    cor_mutex_unlock(&node->room.lock);
}

static char *put_line(char *to, const char *text, size_t size)
{
    return mempcpy(to, text, size);
}

static void listen_once(struct node *node)
{
    struct msg_run run;
    cor_mutex_lock(&node->room.lock);
    while (msglog_next(&node->room.log, &node->listener) && msglog_peek(&node->listener, &run)) {
        T_ASSERT(node->size + run.size < TEXT);
        node->size += msglog_copy(&node->listener, &run, "", 0, put_line, node->text + node->size);
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

static void talk_task(void *arg)
{
    int of = (int)(intptr_t)arg;
    for (int i = 0; i < LINES; i++) {
        char line[32];
        snprintf(line, sizeof(line), "n%d %d\n", of, i);
        say(&nodes[of], line);
        if (i % 7 == 0) {
            cor_yield();
        }
    }
}

static void all_talk(void)
{
    cor_group group = {0};
    for (int i = 0; i < NODES; i++) {
        T_OK(cor_group_go(&group, talk_task, (void *)(intptr_t)i));
    }
    T_OK(cor_group_wait(&group, 0));
}

TASK_TEST_WITH(all_hear_all_once, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    all_talk();
    for (int i = 0; i < NODES; i++) {
        for (int of = 0; of < NODES; of++) {
            T_EVENTUALLY(heard(i, of) == LINES, SOON);
        }
        T_EVENTUALLY(counts(i).sent == LINES, SOON);
        T_EQ(counts(i).received, (NODES - 1) * LINES);
        T_EQ(counts(i).missed + counts(i).repeated + counts(i).lost_backlog + counts(i).bad_frames, 0);
        T_EQ(counts(i).members, 1 + 2 + 3);
    }
    T_ASSERT(net.published < NODES * LINES); /* what came meanwhile went together */
    end_net();
}

TASK_TEST_WITH(nothing_twice, &with_threads)
{
    net.doubles = true;
    start_net(TEXT);
    wait_for_all();
    all_talk();
    for (int i = 0; i < NODES; i++) {
        for (int of = 0; of < NODES; of++) {
            T_EVENTUALLY(heard(i, of) == LINES, SOON);
        }
        T_EVENTUALLY(counts(i).repeated == (NODES - 1) * LINES, SOON);
        T_EQ(counts(i).received, (NODES - 1) * LINES);
    }
    end_net();
}

TASK_TEST_WITH(what_is_lost_is_counted, &with_threads)
{
    net.loses = 3;
    start_net(TEXT);
    wait_for_all();
    all_talk();
    for (int i = 0; i < NODES; i++) { /* the last ones, too: by the next sign of life */
        T_EVENTUALLY(counts(i).received + counts(i).missed == (NODES - 1) * LINES, SOON);
        T_EQ(heard(i, 0) + heard(i, 1) + heard(i, 2), (int)counts(i).received + LINES);
    }
    T_ASSERT(net.lost > 0);
    T_EQ(counts(0).missed + counts(1).missed + counts(2).missed, (NODES - 1) * net.lost);
    end_net();
}

/* The bus has taken it and says that it has not: it is sent again, and heard once. */
TASK_TEST_WITH(an_uncertain_end, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    net.breaks = 4;
    all_talk();
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).connected && counts(i).sent == LINES, SOON);
    }
    T_EQ(net.breaks, 0);
    T_ASSERT(counts(0).repeated + counts(1).repeated + counts(2).repeated > 0);
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).received + counts(i).missed == (NODES - 1) * LINES, SOON);
        (void)(heard(i, 0) + heard(i, 1) + heard(i, 2)); /* in order */
    }
    end_net();
}

/* While it is away the room goes on, and keeps what it may. */
TASK_TEST_WITH(away_for_too_long, &with_threads)
{
    const size_t keep = 8 * 1024;
    char line[64];
    int said = 0;
    net.away = true;
    start_net(keep);
    for (said = 0; said < LINES * 4; said++) {
        snprintf(line, sizeof(line), "n0 %d\n", said);
        say(&nodes[0], line);
        T_EQ(heard(0, 0), said + 1);
        T_ASSERT(nodes[0].room.log.end - atomic_load(&nodes[0].listener.place) <= keep);
    }
    T_ASSERT(!counts(0).connected);
    T_EQ(counts(0).sent, 0);
    net.away = false;
    T_EVENTUALLY(counts(0).sent > 0 && counts(0).sent + counts(0).lost_backlog == (uint64_t)said, SOON);
    T_ASSERT(counts(0).lost_backlog > 0);
    T_ASSERT(counts(0).sent * (sizeof("n0 1599") + 16) <= keep + 2 * 4096); /* and the block that it stood in */
    wait_for_all();
    end_net();
}

TASK_TEST_WITH(a_loss_is_noticed, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    uint64_t before = counts(1).connects;
    struct bus *bus = net.all[1];
    bus->events->lost(bus->arg);
    bus->events->lost(bus->arg); /* late, perhaps: it is not the next connection's */
    T_EVENTUALLY(counts(1).connects == before + 1 && counts(1).connected, SOON);
    all_talk();
    T_EVENTUALLY(heard(1, 0) == LINES && heard(0, 1) == LINES, SOON);
    T_EQ(counts(1).connects, before + 1);
    end_net();
}

/* All lose the bus and come back one after the other: what each has kept, the others hear. */
TASK_TEST_WITH(what_was_said_meanwhile, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    pthread_mutex_lock(&net.lock);
    net.away = true;
    pthread_mutex_unlock(&net.lock);
    for (int i = 0; i < NODES; i++) {
        net.all[i]->events->lost(net.all[i]->arg);
    }
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(!counts(i).connected, SOON);
    }
    all_talk();
    pthread_mutex_lock(&net.lock);
    net.away = false;
    pthread_mutex_unlock(&net.lock);
    for (int i = 0; i < NODES; i++) {
        T_EVENTUALLY(counts(i).received + counts(i).missed == (NODES - 1) * LINES, SOON);
        T_EQ(counts(i).missed, 0);
    }
    end_net();
}

TASK_TEST_WITH(frames_have_a_longest, &with_threads)
{
    static char line[4096];
    start_net(TEXT);
    wait_for_all();
    net.max_size = 1000;
    memset(line, 'x', 2000);
    memcpy(line, "n0 0 ", 5);
    line[2000] = '\n';
    say(&nodes[0], line);
    for (int i = 1; i < LINES; i++) {
        snprintf(line, sizeof(line), "n0 %d\n", i);
        say(&nodes[0], line);
    }
    T_EVENTUALLY(counts(0).sent == LINES - 1, SOON);
    T_EQ(counts(0).lost_too_long, 1);
    T_EVENTUALLY(heard(1, 0) == LINES - 1, SOON);
    T_EQ(counts(1).missed, 1);
    end_net();
}

/* What was said before the end leaves before the end. */
TASK_TEST_WITH(the_last_words, &with_threads)
{
    start_net(TEXT);
    wait_for_all();
    talk_task(0);
    link_end(nodes[0].room.link);
    nodes[0].room.link = NULL;
    T_EVENTUALLY(heard(1, 0) == LINES && heard(2, 0) == LINES, SOON);
    end_net();
}

TASK_TEST_WITH(strangers_are_refused, &with_threads)
{
    static const char strange[] = "hello\n", *const harmful = "coracle1 00000000000000ff 0 1 0\n\x1b[2J\n";
    start_net(TEXT);
    wait_for_all();
    struct bus *bus = net.all[0];
    bus->events->frame(bus->arg, strange, strlen(strange));
    bus->events->frame(bus->arg, harmful, strlen(harmful));
    T_EVENTUALLY(counts(0).bad_frames == 2, SOON);
    T_EQ(counts(0).received, 0);
    end_net();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_hear_all_once),       cmocka_unit_test(nothing_twice),
        cmocka_unit_test(what_is_lost_is_counted), cmocka_unit_test(an_uncertain_end),
        cmocka_unit_test(away_for_too_long),       cmocka_unit_test(a_loss_is_noticed),
        cmocka_unit_test(what_was_said_meanwhile), cmocka_unit_test(frames_have_a_longest),
        cmocka_unit_test(the_last_words),          cmocka_unit_test(strangers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The task `talk` goes round: it has `dial` connect, gives turns, pauses. The tasks `hear` empty inboxes. */
#include "serve/room/uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A link that has nothing to say gives a sign of life so often. */
#define BEAT_NS COR_SECOND
/* How long the end waits for a call of the bus. */
#define STOP_NS (3 * COR_SECOND)

enum { INBOX_BYTES = 32 * 1024 * 1024 };

/* --- what comes */

/* Empties a link's inbox. */
static void hear(void *arg)
{
    struct link *link = arg;
    struct uplink *up = link->up;
    struct parcel *parcel;
    bool last = false;
    do {
        pthread_mutex_lock(&up->lock);
        parcel = STAILQ_FIRST(&link->inbox);
        if (parcel != NULL) {
            STAILQ_REMOVE_HEAD(&link->inbox, next);
            link->waiting -= parcel->size;
            up->waiting -= parcel->size;
        } else {
            link->hearing = false;
            last = link->left;
        }
        pthread_mutex_unlock(&up->lock);
        if (parcel != NULL) {
            link_take(link, parcel->bytes, parcel->size);
        }
        free(parcel);
    } while (parcel != NULL);
    if (last) {
        cor_mutex_unlock(&link->gone);
    }
}

/* Puts a frame into its inbox. False: there is no room. Under the lock. */
static bool put_in(struct link *link, struct parcel *parcel)
{
    struct uplink *up = link->up;
    if (parcel == NULL || link->waiting + parcel->size > INBOX_BYTES - up->waiting) {
        return false;
    }
    STAILQ_INSERT_TAIL(&link->inbox, parcel, next);
    link->waiting += parcel->size;
    up->waiting += parcel->size;
    return true;
}

/* For the bus; on a thread of its own. */
static void on_frame(void *listener, const char *bytes, size_t size)
{
    struct link *link = listener;
    struct uplink *up = link->up;
    struct parcel *parcel = malloc(sizeof(*parcel) + size);
    if (parcel != NULL) {
        parcel->size = size;
        memcpy(parcel->bytes, bytes, size);
    }
    pthread_mutex_lock(&up->lock);
    bool taken = put_in(link, parcel), starts = taken && !link->hearing;
    link->hearing = link->hearing || starts;
    pthread_mutex_unlock(&up->lock);
    if (!taken) {
        free(parcel);
        count_more(&up->slow_frames, 1);
    }
    if (starts && cor_go_foreign(hear, link) < 0) {
        pthread_mutex_lock(&up->lock);
        link->hearing = false; /* the next frame tries again */
        pthread_mutex_unlock(&up->lock);
    }
}

/* --- whose turn it is */

/* Under the lock. */
static void wake(struct uplink *up)
{
    if (up->parked) {
        up->parked = false;
        cor_waitgroup_done(&up->news);
    }
}

/* Parks until `until` or until somebody wakes it. Called and returns with the lock held. */
static void park(struct uplink *up, int64_t until)
{
    up->parked = true;
    cor_waitgroup_add(&up->news, 1);
    pthread_mutex_unlock(&up->lock);
    (void)cor_waitgroup_wait(&up->news, until);
    pthread_mutex_lock(&up->lock);
    wake(up);
}

/* The link whose turn it is, or NULL. Under the lock. */
static struct link *pick(struct uplink *up)
{
    struct link *link = TAILQ_FIRST(&up->links);
    if (link == NULL || !atomic_load(&up->connected) || link->due > cor_now()) {
        link = TAILQ_FIRST(&up->ready);
    }
    if (link != NULL && link->ready) {
        TAILQ_REMOVE(&up->ready, link, by_turn);
        link->ready = false;
    }
    return link;
}

/* Waits until it is somebody's turn. NULL: it is `up->until`, or all is over. */
static struct link *next_turn(struct uplink *up)
{
    struct link *link = NULL;
    pthread_mutex_lock(&up->lock);
    while (!up->over && cor_now() < up->until && (link = pick(up)) == NULL) {
        const struct link *first = TAILQ_FIRST(&up->links);
        park(up, atomic_load(&up->connected) && first != NULL ? first->due : up->until);
    }
    pthread_mutex_unlock(&up->lock);
    return link;
}

/* Visits each link once. The talking task's: nobody else takes links out, and new ones go to the end. */
static void each_link(struct uplink *up, void (*visit)(struct link *link))
{
    pthread_mutex_lock(&up->lock);
    for (size_t left = up->count; left > 0; left--) {
        struct link *link = TAILQ_FIRST(&up->links);
        TAILQ_REMOVE(&up->links, link, by_due);
        TAILQ_INSERT_TAIL(&up->links, link, by_due);
        pthread_mutex_unlock(&up->lock);
        visit(link);
        pthread_mutex_lock(&up->lock);
    }
    pthread_mutex_unlock(&up->lock);
}

void uplink_make_ready(struct link *link)
{
    struct uplink *up = link->up;
    pthread_mutex_lock(&up->lock);
    if (!link->ready && !link->left) {
        TAILQ_INSERT_TAIL(&up->ready, link, by_turn);
        link->ready = true;
        wake(up);
    }
    pthread_mutex_unlock(&up->lock);
}

/* The next sign of life is not due for a while. */
static void put_off(struct link *link)
{
    struct uplink *up = link->up;
    pthread_mutex_lock(&up->lock);
    link->due = cor_after(BEAT_NS);
    TAILQ_REMOVE(&up->links, link, by_due);
    TAILQ_INSERT_TAIL(&up->links, link, by_due);
    pthread_mutex_unlock(&up->lock);
}

/* --- what the logs keep for the bus */

/* Counts what the log has that the bus has not taken. Under the lock. */
static void count_held(struct link *link)
{
    const struct msg_log *log = &link->room->log;
    uint64_t behind = log->end - atomic_load(&link->reader.place);
    uint64_t held = behind < log->keep ? behind : log->keep;
    atomic_fetch_add(&link->up->held, held - link->held);
    link->held = held;
}

/* How much it may have, if that is less than it has; else UINT64_MAX. Under the lock. */
static uint64_t fair_part(const struct link *link)
{
    uint64_t most = 2 * (uint64_t)link->up->outbox, others = atomic_load(&link->up->held) - link->held;
    uint64_t part = others < most ? (most - others) / 2 : 0;
    return link->held > part ? part : UINT64_MAX;
}

void uplink_share(struct link *link)
{
    count_held(link);
    uint64_t part = fair_part(link);
    if (part != UINT64_MAX) {
        msglog_give_up(&link->room->log, &link->reader, part);
        count_held(link);
    }
}

void uplink_wake(struct room *room)
{
    struct link *link = room->link;
    if (link != NULL) {
        count_held(link);
        if (atomic_load(&link->up->connected) || fair_part(link) != UINT64_MAX) {
            uplink_make_ready(link);
        }
    }
}

/* --- what is said */

struct topic_call {
    struct link *link;
    uint64_t dropped;
};

static int listen_to(void *arg)
{
    struct link *link = arg;
    link->topic = link->up->ops->listen(link->up->bus, link->subject, link);
    return link->topic != NULL ? 0 : -EPIPE;
}

static int unlisten_to(void *arg)
{
    struct topic_call *of = arg;
    of->dropped = of->link->up->ops->unlisten(of->link->up->bus, of->link->topic);
    return 0;
}

static int subscribe(struct link *link)
{
    int code = cor_blocking(listen_to, link);
    if (code == 0) {
        link_is_back(link);
    }
    return code;
}

static void unsubscribe(struct link *link)
{
    struct topic_call of = {.link = link};
    if (link->topic != NULL) {
        (void)cor_blocking(unlisten_to, &of);
        link->topic = NULL;
        count_more(&link->up->slow_frames, of.dropped);
    }
}

struct publishing {
    struct link *link;
    const char *bytes;
    size_t size;
};

static int publish(void *arg)
{
    const struct publishing *of = arg;
    const struct uplink *up = of->link->up;
    return up->ops->publish(up->bus, of->link->subject, of->bytes, of->size);
}

int uplink_publish(struct link *link, const char *bytes, size_t size)
{
    struct publishing of = {.link = link, .bytes = bytes, .size = size};
    int code = cor_blocking(publish, &of);
    put_off(link);
    return code;
}

/* Takes a link that ends out of the lists. */
static void let_go(struct link *link)
{
    struct uplink *up = link->up;
    unsubscribe(link);
    pthread_mutex_lock(&up->lock);
    TAILQ_REMOVE(&up->links, link, by_due);
    if (link->ready) {
        TAILQ_REMOVE(&up->ready, link, by_turn);
    }
    up->count--;
    link->ready = false;
    link->left = true;
    bool last = !link->hearing;
    pthread_mutex_unlock(&up->lock);
    if (last) {
        cor_mutex_unlock(&link->gone);
    }
}

/* A link's turn. Returns 0, or a negative code: the connection is gone. */
static int take_turn(struct link *link)
{
    bool ending = atomic_load(&link->ending), more = false;
    bool due = link->due <= cor_now() || ending;
    int code = link->topic == NULL && !ending ? subscribe(link) : 0;
    if (code == 0) {
        more = link_next(link);
        code = more ? link_send(link) : due ? link_send_beat(link) : 0;
    }
    if (code == 0 && more) {
        uplink_make_ready(link);
    } else if (code == 0 && ending) {
        let_go(link);
    }
    return code;
}

/* --- the connection */

static int connect_bus(void *arg)
{
    struct uplink *up = arg;
    return up->ops->connect(up->bus, up->why);
}

static int disconnect_bus(void *arg)
{
    struct uplink *up = arg;
    up->ops->disconnect(up->bus, up->why);
    return 0;
}

static void set_connected(struct uplink *up, bool connected)
{
    atomic_store(&up->since, cor_now());
    atomic_store(&up->connected, connected);
}

/* If it fails the link's turn tells. */
static void join(struct link *link)
{
    if (!atomic_load(&link->ending)) {
        (void)subscribe(link);
    }
}

static bool is_over(struct uplink *up)
{
    pthread_mutex_lock(&up->lock);
    bool over = up->over;
    pthread_mutex_unlock(&up->lock);
    return over;
}

/* Waits for turns until then. */
static void set_until(struct uplink *up, int64_t until)
{
    pthread_mutex_lock(&up->lock);
    up->until = until;
    pthread_mutex_unlock(&up->lock);
}

/* Looks after the links while there is no connection, until `up->until`. */
static void attend(struct uplink *up)
{
    struct link *link;
    while ((link = next_turn(up)) != NULL) {
        link_look(link);
        if (atomic_load(&link->ending)) {
            let_go(link);
        }
    }
}

/* The task that connects, however long that takes. If all is over by then it hangs up. */
static void dial(void *arg)
{
    struct uplink *up = arg;
    int code = cor_blocking(connect_bus, up);
    pthread_mutex_lock(&up->lock);
    bool late = up->over;
    up->answer = late ? COR_ECANCELED : code;
    up->until = 0;
    wake(up);
    pthread_mutex_unlock(&up->lock);
    if (late && code == 0) {
        (void)cor_blocking(disconnect_bus, up);
    }
}

/* Connects and looks after the links meanwhile. Returns as bus_ops.connect, or COR_ECANCELED: all is over. */
static int connect_meanwhile(struct uplink *up)
{
    up->answer = COR_ECANCELED;
    set_until(up, INT64_MAX);
    if (cor_group_go(&up->tasks, dial, up) < 0) {
        snprintf(up->why, sizeof(up->why), "out of memory");
        return -ENOMEM;
    }
    attend(up);
    pthread_mutex_lock(&up->lock);
    int code = up->answer;
    pthread_mutex_unlock(&up->lock);
    return code;
}

/* One attempt; `attempt` counts those that failed since there was a connection. */
static bool call(struct uplink *up, unsigned attempt)
{
    int64_t away = cor_now() - atomic_load(&up->since);
    int code = connect_meanwhile(up);
    if (code < 0) {
        if (code != COR_ECANCELED) {
            LOG(attempt == 0 ? LEVEL_WARN : LEVEL_DEBUG, "bus_unreachable", {"error", up->why, 0});
        }
        return false;
    }
    count_more(&up->connects, 1);
    each_link(up, join); /* first: what others say to a room that is said to be joined is heard */
    set_connected(up, true);
    LOG(LEVEL_INFO, "bus_connected", {"ms", NULL, away / COR_MILLISECOND});
    return true;
}

/* Gives links their turns until the connection is lost or all is over. */
static void relay(struct uplink *up)
{
    struct link *link;
    int code = 0;
    set_until(up, INT64_MAX);
    while (code == 0 && (link = next_turn(up)) != NULL) {
        code = take_turn(link);
    }
}

/* It is due as soon as there is a connection. */
static void lose(struct link *link)
{
    unsubscribe(link);
    link->due = 0;
    link_is_lost(link);
}

static void hang_up(struct uplink *up)
{
    set_connected(up, false);
    (void)cor_blocking(disconnect_bus, up);
    each_link(up, lose);
    if (!is_over(up)) {
        LOG(LEVEL_WARN, "bus_lost", {"error", up->why, 0});
    }
}

/* Waits before the next attempt. */
static void pause_after(struct uplink *up, unsigned attempt)
{
    int64_t most = BACKOFF_FIRST_NS << (attempt < 5 ? attempt : 5);
    most = most < BACKOFF_MOST_NS ? most : BACKOFF_MOST_NS;
    up->chance = up->chance * 6364136223846793005U + 1442695040888963407U;
    set_until(up, cor_after(most / 2 + (int64_t)((up->chance >> 33) % (uint64_t)(most / 2))));
    each_link(up, link_look);
    attend(up);
}

static void talk(void *arg)
{
    struct uplink *up = arg;
    unsigned attempt = 0;
    while (!is_over(up)) {
        if (call(up, attempt)) {
            relay(up);
            hang_up(up);
            attempt = 0;
        } else {
            attempt++;
        }
        pause_after(up, attempt);
    }
}

/* --- links come and go */

void uplink_enter(struct link *link)
{
    struct uplink *up = link->up;
    STAILQ_INIT(&link->inbox);
    cor_mutex_lock(&link->gone);
    pthread_mutex_lock(&up->lock);
    TAILQ_INSERT_TAIL(&up->links, link, by_due);
    up->count++;
    pthread_mutex_unlock(&up->lock);
    uplink_make_ready(link);
}

void uplink_leave(struct link *link)
{
    atomic_store(&link->ending, true);
    uplink_make_ready(link);
    cor_mutex_lock(&link->gone);
    while (!STAILQ_EMPTY(&link->inbox)) { /* there was no memory for its task */
        struct parcel *parcel = STAILQ_FIRST(&link->inbox);
        STAILQ_REMOVE_HEAD(&link->inbox, next);
        pthread_mutex_lock(&link->up->lock);
        link->up->waiting -= parcel->size;
        pthread_mutex_unlock(&link->up->lock);
        free(parcel);
    }
}

/* --- the uplink as a whole */

static void free_uplink(struct uplink *up)
{
    if (up->bus != NULL) {
        up->ops->close(up->bus);
    }
    pthread_mutex_destroy(&up->lock);
    free(up);
}

struct uplink *uplink_start(const bus_ops *ops, const bus_options *options, size_t outbox)
{
    struct uplink *up = calloc(1, sizeof(*up));
    if (up == NULL) {
        return NULL;
    }
    *up = (struct uplink){.ops = ops, .options = options, .outbox = outbox, .since = cor_now()};
    pthread_mutex_init(&up->lock, NULL);
    TAILQ_INIT(&up->links);
    TAILQ_INIT(&up->ready);
    up->bus = ops->open(options, on_frame);
    if (up->bus == NULL || getrandom(&up->chance, sizeof(up->chance), 0) != (ssize_t)sizeof(up->chance) ||
        cor_group_set_parent(&up->tasks, NULL) < 0 || cor_group_go(&up->tasks, talk, up) < 0) {
        free_uplink(up);
        return NULL;
    }
    return up;
}

void uplink_stop(struct uplink *up)
{
    if (up == NULL) {
        return;
    }
    pthread_mutex_lock(&up->lock);
    up->over = true;
    wake(up);
    pthread_mutex_unlock(&up->lock);
    if (cor_group_wait(&up->tasks, cor_after(STOP_NS)) == 0) {
        free_uplink(up); /* else a thread is still in a call of the bus, and it is left alone */
    }
}

void uplink_count(const struct uplink *up, link_counts *out)
{
    *out = (link_counts){
        .connected = atomic_load(&up->connected),
        .since = atomic_load(&up->since),
        .connects = atomic_load(&up->connects),
        .sent = atomic_load(&up->sent),
        .received = atomic_load(&up->received),
        .lost_backlog = atomic_load(&up->lost_backlog),
        .lost_too_long = atomic_load(&up->lost_too_long),
        .missed = atomic_load(&up->missed),
        .repeated = atomic_load(&up->repeated),
        .slow_frames = atomic_load(&up->slow_frames),
        .bad_frames = atomic_load(&up->bad_frames),
    };
}

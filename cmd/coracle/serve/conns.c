/* SPDX-License-Identifier: MIT */
/* The list of open connections and the counters of the others. */
#include "serve/conns.h"

void conns_init(struct conns *all)
{
    *all = (struct conns){.lock = PTHREAD_MUTEX_INITIALIZER};
    all->last = &all->first;
}

/* Puts `one` at `place`, which is &first or a `next`. Under the lock. */
static void put(struct conns *all, struct connection *one, struct connection **place)
{
    one->next = *place;
    one->link = place;
    *place = one;
    if (one->next != NULL) {
        one->next->link = &one->next;
    } else {
        all->last = &one->next;
    }
}

/* Under the lock. */
static void take_out(struct conns *all, struct connection *one)
{
    *one->link = one->next;
    if (one->next != NULL) {
        one->next->link = one->link;
    } else {
        all->last = one->link;
    }
}

close_reason conns_enter(struct conns *all, struct connection *one, uint64_t most)
{
    pthread_mutex_lock(&all->lock);
    one->id = ++all->accepted;
    all->open++;
    if (most > 0 && all->open - all->refusing > most) {
        connection_decide(one, REASON_MAX_CONNS);
    }
    one->refused = connection_reason(one) != REASON_NONE;
    all->refusing += one->refused;
    if (one->among != NULL) {
        ++*one->among;
    }
    put(all, one, all->last);
    pthread_mutex_unlock(&all->lock);
    return connection_reason(one);
}

void connection_add_traffic(const struct connection *one, conns_traffic *sum)
{
    sum->bytes_in += atomic_load_explicit(&one->bytes_in, memory_order_relaxed);
    sum->bytes_out += atomic_load_explicit(&one->bytes_out, memory_order_relaxed);
    sum->messages_in += atomic_load_explicit(&one->messages_in, memory_order_relaxed);
    sum->messages_out += atomic_load_explicit(&one->messages_out, memory_order_relaxed);
}

void conns_set_from(struct conns *all, struct connection *one, cor_addr from)
{
    pthread_mutex_lock(&all->lock);
    one->from = from;
    pthread_mutex_unlock(&all->lock);
}

cor_addr connection_endpoint(const struct connection *one)
{
    return one->from.ip.family != 0 ? one->from : cor_remote_endpoint(one->conn);
}

char *connection_peer(const struct connection *one, char *text, size_t size)
{
    return one->from.ip.family != 0 ? cor_addr_text(one->from, text, size) : cor_remote_addr(one->conn, text, size);
}

void conns_leave(struct conns *all, struct connection *one)
{
    pthread_mutex_lock(&all->lock);
    take_out(all, one);
    all->open--;
    all->refusing -= one->refused;
    if (one->among != NULL) {
        --*one->among;
    }
    all->closed[connection_reason(one)]++;
    connection_add_traffic(one, &all->traffic);
    pthread_mutex_unlock(&all->lock);
}

uint64_t conns_lose(struct conns *all, close_reason reason)
{
    pthread_mutex_lock(&all->lock);
    uint64_t id = ++all->accepted;
    all->closed[reason]++;
    pthread_mutex_unlock(&all->lock);
    return id;
}

void conns_count(struct conns *all, conns_counts *counts)
{
    conns_count_with(all, counts, NULL, NULL);
}

void conns_count_with(struct conns *all, conns_counts *counts, void (*also)(void *arg), void *arg)
{
    *counts = (conns_counts){0};
    pthread_mutex_lock(&all->lock);
    if (also != NULL) {
        also(arg);
    }
    counts->accepted = all->accepted;
    counts->open = all->open;
    counts->traffic = all->traffic;
    for (int i = 0; i < REASON_COUNT; i++) {
        counts->by_reason[i] = all->closed[i];
        counts->closed += all->closed[i];
    }
    pthread_mutex_unlock(&all->lock);
}

/*
 * A visitor's place in the list is kept by an entry without a session, which other visitors pass over. Those that come
 * during the visit are left out, or a flood of new ones could keep it going.
 */
void conns_each(struct conns *all, bool (*visit)(struct connection *one, void *arg), void *arg)
{
    struct connection mark = {0};
    pthread_mutex_lock(&all->lock);
    struct connection *one = all->first;
    uint64_t until = all->accepted;
    bool more = true;
    while (one != NULL && more) {
        for (int i = 0; i < CONNS_AT_A_TIME && one != NULL && more; i++) {
            struct connection *next = one->next;
            more = one->session == NULL || (one->id <= until && visit(one, arg));
            one = next;
        }
        if (one != NULL && more) {
            put(all, &mark, one->link);
            pthread_mutex_unlock(&all->lock);
            pthread_mutex_lock(&all->lock);
            one = mark.next;
            take_out(all, &mark);
        }
    }
    pthread_mutex_unlock(&all->lock);
}

/*
 * Decides that a connection ends, and has its task notice: both directions are shut, so what the task waits for, reads
 * or writes next ends. A task with a close frame to send (takes_leave) is told by the end of its reading and ends the
 * writing itself; but not if it was about to end for another reason. Under the lock; tasks only.
 *
 * Where the operator ends one with a close frame the reading is not shut but timed out. On a connection that is shut
 * both ways the kernel answers what the client still sends with a reset, which may destroy the frame on its way.
 *
 * A task that may be waiting for something else than its connection is told, once.
 */
static void end_connection(struct connection *one, close_reason reason)
{
    connection_decide(one, reason);
    bool speaks = one->takes_leave && connection_reason(one) == reason;
    if (speaks && reason == REASON_KICKED) {
        cor_set_read_deadline(one->conn, CONNECTION_OVER);
    } else {
        cor_close_read(one->conn);
    }
    if (!speaks) {
        cor_close_write(one->conn);
    }
    if (one->told != NULL) {
        one->told(one->told_arg);
        one->told = NULL;
    }
}

struct ending {
    uint64_t id;
    close_reason reason;
    bool done;
};

static bool end(struct connection *one, void *arg)
{
    struct ending *wanted = arg;
    if (one->id == wanted->id) {
        wanted->done = true;
        end_connection(one, wanted->reason);
    }
    return one->id < wanted->id;
}

bool conns_end(struct conns *all, uint64_t id, close_reason reason)
{
    struct ending wanted = {.id = id, .reason = reason};
    conns_each(all, end, &wanted);
    return wanted.done;
}

/* SPDX-License-Identifier: MIT */
/* Copies of the list of connections. */
#include "serve/admin/census.h"

#if COR_HAVE_ADMIN

#include "serve/admin/look.h"
#include "serve/session.h"

#include <stdlib.h>
#include <string.h>

/* Room for connections that come while the list is copied. */
#define SPARE_ROWS 256

/* What a task is asked: to look at some rows. */
struct looking {
    census_row *rows;
    size_t count;
};

struct copying {
    census_row *rows;
    size_t count, room;
};

static uint64_t relaxed(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static bool add_traffic(struct connection *one, void *sum)
{
    connection_add_traffic(one, sum);
    return true;
}

static void raise_to(uint64_t *to, uint64_t value)
{
    *to = value > *to ? value : *to;
}

/* The closed ones first: one that closes after that is still in the list, or missed, but never counted twice. */
void census_traffic(struct serve *serve, conns_traffic *last)
{
    conns_counts counts;
    conns_count(&serve->conns, &counts);
    conns_each(&serve->conns, add_traffic, &counts.traffic);
    raise_to(&last->bytes_in, counts.traffic.bytes_in);
    raise_to(&last->bytes_out, counts.traffic.bytes_out);
    raise_to(&last->messages_in, counts.traffic.messages_in);
    raise_to(&last->messages_out, counts.traffic.messages_out);
}

static bool copy_row(struct connection *one, void *arg)
{
    struct copying *to = arg;
    if (to->count < to->room) {
        census_row *row = &to->rows[to->count++];
        row->id = one->id;
        row->conn = one->conn;
        row->service = one->service;
        row->from = one->from;
        row->since = one->since;
        row->stuck = atomic_load_explicit(&one->stuck, memory_order_relaxed);
        row->bytes_in = relaxed(&one->bytes_in);
        row->bytes_out = relaxed(&one->bytes_out);
        row->waiting = session_queued(one);
    }
    return to->count < to->room;
}

static uint64_t pending(const census_row *row)
{
    return row->waiting + row->unsent;
}

/* Those with most to take first, and among equals the oldest. */
static int by_pending(const void *a, const void *b)
{
    const census_row *left = a, *right = b;
    uint64_t left_bytes = pending(left), right_bytes = pending(right);
    if (left_bytes != right_bytes) {
        return left_bytes < right_bytes ? 1 : -1;
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

static void look_at_row(census_row *row)
{
    struct look seen;
    row->gone = look_at(row->conn, &seen) < 0;
    row->unsent = seen.unsent;
    row->has_tcp = seen.has_tcp;
    row->rtt_us = seen.rtt_us;
    row->retransmits = seen.retransmits;
    row->idle_ms = seen.idle_ms;
    if (row->from.ip.family != 0) {
        cor_addr_text(row->from, row->peer, sizeof(row->peer));
    } else {
        cor_remote_addr(row->conn, row->peer, sizeof(row->peer));
    }
    row->looked_at = true;
}

static void look_at_all(void *arg)
{
    const struct looking *of = arg;
    for (size_t i = 0; i < of->count; i++) {
        if (i % CENSUS_AT_A_TIME == CENSUS_AT_A_TIME - 1) {
            cor_yield();
        }
        look_at_row(&of->rows[i]);
    }
}

static void drop(void *arg)
{
    struct looking *of = arg;
    free(of->rows);
    free(of);
}

/* Has a task look at copies of the rows, and takes them in place of the rows. If no task comes these stay. */
static void have_looked_at(struct admin *admin, census *of)
{
    struct looking *question = malloc(sizeof(*question));
    census_row *rows = malloc((of->count > 0 ? of->count : 1) * sizeof(*rows));
    if (question == NULL || rows == NULL) {
        free(question);
        free(rows);
        return;
    }
    memcpy(rows, of->rows, of->count * sizeof(*rows));
    *question = (struct looking){.rows = rows, .count = of->count};
    if (ask_task(&admin->asker, ASK_WAIT_NS, look_at_all, drop, question) == 0) {
        free(of->rows);
        free(question);
        of->rows = rows;
        of->answered = true;
    }
}

/* Takes rows out whose connections have closed meanwhile. */
static void leave_out_gone(census *of)
{
    size_t kept = 0;
    for (size_t i = 0; i < of->count; i++) {
        if (!of->rows[i].gone) {
            of->rows[kept++] = of->rows[i];
        }
    }
    of->count = kept;
}

bool census_take(struct admin *admin, census *of)
{
    conns_counts counts;
    struct conns *conns = &admin->serve->conns;
    conns_count(conns, &counts);
    struct copying to = {.room = (counts.open < CENSUS_MOST ? counts.open : CENSUS_MOST) + SPARE_ROWS};
    to.rows = calloc(to.room, sizeof(*to.rows));
    *of = (census){.rows = to.rows};
    if (to.rows == NULL) {
        return false;
    }
    conns_each(conns, copy_row, &to);
    qsort(of->rows, to.count, sizeof(*of->rows), by_pending);
    of->count = to.count < CENSUS_LOOKED_AT ? to.count : CENSUS_LOOKED_AT;
    have_looked_at(admin, of);
    leave_out_gone(of);
    qsort(of->rows, of->count, sizeof(*of->rows), by_pending);
    return true;
}

void census_free(census *of)
{
    free(of->rows);
}

#endif

/* SPDX-License-Identifier: MIT */
/* The ring of closed connections. */
#include "serve/admin/recent.h"

#include "serve/service.h"

#include <stdio.h>
#include <stdlib.h>

struct recent *recent_new(void)
{
    struct recent *recent = calloc(1, sizeof(*recent));
    if (recent != NULL) {
        pthread_mutex_init(&recent->lock, NULL);
    }
    return recent;
}

__attribute__((noinline)) static void note(struct recent *recent, const struct connection *one, const char *peer,
                                           uint64_t dropped)
{
    recent_entry entry = {
        .id = one->id,
        .service = one->service->def->name,
        .reason = connection_reason(one),
        .since = one->since,
        .closed_at = cor_now(),
        .bytes_in = atomic_load_explicit(&one->bytes_in, memory_order_relaxed),
        .bytes_out = atomic_load_explicit(&one->bytes_out, memory_order_relaxed),
    };
    if (peer != NULL) {
        (void)snprintf(entry.peer, sizeof(entry.peer), "%s", peer);
    } else {
        connection_peer(one, entry.peer, sizeof(entry.peer));
    }
    int64_t lasted = entry.closed_at - entry.since;
    pthread_mutex_lock(&recent->lock);
    recent->totals.lasted[duration_field(lasted)]++;
    recent->totals.lasted_ns += lasted;
    recent->totals.dropped += dropped;
    recent->entries[recent->count++ % RECENT_COUNT] = entry;
    pthread_mutex_unlock(&recent->lock);
}

void recent_note(struct recent *recent, const struct connection *one, const char *peer, uint64_t dropped)
{
    if (recent != NULL) {
        note(recent, one, peer, dropped);
    }
}

/* Copies up to RECENT_AT_A_TIME entries, from number `before - 1` down. Under the lock. */
static size_t copy_some(const struct recent *recent, uint64_t before, recent_entry *out, size_t most)
{
    uint64_t oldest = recent->count > RECENT_COUNT ? recent->count - RECENT_COUNT : 0;
    size_t done = 0;
    while (done < most && done < RECENT_AT_A_TIME && before > oldest) {
        out[done++] = recent->entries[--before % RECENT_COUNT];
    }
    return done;
}

size_t recent_copy(struct recent *recent, recent_entry *out, size_t most)
{
    uint64_t before = UINT64_MAX;
    size_t done = 0, more;
    do {
        pthread_mutex_lock(&recent->lock);
        before = before > recent->count ? recent->count : before;
        more = copy_some(recent, before, out + done, most - done);
        pthread_mutex_unlock(&recent->lock);
        before -= more;
        done += more;
    } while (more > 0);
    return done;
}

void recent_sums(struct recent *recent, recent_totals *out)
{
    pthread_mutex_lock(&recent->lock);
    *out = recent->totals;
    pthread_mutex_unlock(&recent->lock);
}

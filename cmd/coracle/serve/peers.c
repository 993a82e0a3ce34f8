/* SPDX-License-Identifier: MIT */
/*
 * The table of addresses: chains in an array of buckets, and a list of those without connections, the longest gone
 * first. `due` is the time by which all connections so far would have come at the allowed rate; it may be ahead of now
 * by as much as the burst takes.
 */
#include "serve/peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { IDLE_MAX = 4096, BUCKETS_MIN = 1024, BUCKETS_MAX = 1 << 20, NETWORK_BITS = 64 };

struct peer {
    cor_ip ip;           /* of IPv6 the first half, the rest is zero */
    uint64_t open;       /* connections now */
    int64_t due;         /* cor_now() scale */
    struct peer *chain;  /* the next one in the bucket */
    struct peer **place; /* what points to it there */
    struct peer *newer;  /* in the list of those without connections */
    struct peer **older; /* what points to it there; NULL: it is in no list */
};

struct peers {
    pthread_mutex_t lock; /* of everything here */
    uint64_t seed, mask, kept, idle;
    struct peer *oldest, **newest; /* those without connections; where the next one goes */
    struct peer *buckets[];
};

struct peers *peers_new(uint64_t expected)
{
    uint64_t count = BUCKETS_MIN;
    while (count < expected && count < BUCKETS_MAX) {
        count *= 2;
    }
    struct peers *peers = calloc(1, sizeof(*peers) + count * sizeof(peers->buckets[0]));
    if (peers != NULL) {
        pthread_mutex_init(&peers->lock, NULL);
        peers->mask = count - 1;
        peers->newest = &peers->oldest;
        if (getrandom(&peers->seed, sizeof(peers->seed), 0) != (ssize_t)sizeof(peers->seed)) {
            peers->seed = (uint64_t)cor_now();
        }
    }
    return peers;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    value = (value ^ value >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return value ^ value >> 32;
}

static struct peer **bucket_of(struct peers *peers, const cor_ip *ip)
{
    uint64_t half;
    memcpy(&half, ip->bytes, sizeof(half));
    return &peers->buckets[mix(mix(half ^ peers->seed) + ip->family + peers->seed) & peers->mask];
}

static void leave_idle(struct peers *peers, struct peer *peer)
{
    *peer->older = peer->newer;
    if (peer->newer != NULL) {
        peer->newer->older = peer->older;
    } else {
        peers->newest = peer->older;
    }
    peer->older = NULL;
    peers->idle--;
}

static void enter_idle(struct peers *peers, struct peer *peer)
{
    peer->newer = NULL;
    peer->older = peers->newest;
    *peers->newest = peer;
    peers->newest = &peer->newer;
    peers->idle++;
}

/* Forgets the address that has been without connections for longest. */
static void forget_oldest(struct peers *peers)
{
    struct peer *peer = peers->oldest;
    leave_idle(peers, peer);
    *peer->place = peer->chain;
    if (peer->chain != NULL) {
        peer->chain->place = peer->place;
    }
    peers->kept--;
    free(peer);
}

static struct peer *find(struct peers *peers, const cor_ip *ip)
{
    struct peer **bucket = bucket_of(peers, ip), *peer = *bucket;
    while (peer != NULL && cor_ip_compare(peer->ip, *ip) != 0) {
        peer = peer->chain;
    }
    if (peer == NULL && (peer = malloc(sizeof(*peer))) != NULL) {
        *peer = (struct peer){.ip = *ip, .chain = *bucket, .place = bucket};
        if (*bucket != NULL) {
            (*bucket)->place = &peer->chain;
        }
        *bucket = peer;
        enter_idle(peers, peer);
        peers->kept++;
    }
    return peer;
}

static close_reason admit(struct peer *peer, uint64_t most, uint64_t rate, int64_t now)
{
    if (most > 0 && peer->open >= most) {
        return REASON_PER_IP;
    }
    if (rate > 0) {
        int64_t each = COR_SECOND / (int64_t)rate;
        int64_t due = (peer->due > now ? peer->due : now) + each;
        if (due - now > COR_SECOND) {
            return REASON_RATE;
        }
        peer->due = due;
    }
    return REASON_NONE;
}

close_reason peers_enter(struct peers *peers, cor_ip ip, uint64_t most, uint64_t rate, int64_t now, struct peer **of)
{
    cor_prefix network = cor_prefix_masked((cor_prefix){.ip = ip, .bits = NETWORK_BITS});
    if (network.ip.family != 0) { /* IPv4 has no 64 bits */
        ip = network.ip;
    }
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, &ip);
    close_reason reason = peer == NULL ? REASON_OOM : admit(peer, most, rate, now);
    if (reason == REASON_NONE && peer->open++ == 0) {
        leave_idle(peers, peer);
    }
    while (peers->idle > IDLE_MAX) {
        forget_oldest(peers);
    }
    pthread_mutex_unlock(&peers->lock);
    *of = peer;
    return reason;
}

void peers_leave(struct peers *peers, struct peer *of)
{
    pthread_mutex_lock(&peers->lock);
    if (--of->open == 0) {
        enter_idle(peers, of);
    }
    while (peers->idle > IDLE_MAX) {
        forget_oldest(peers);
    }
    pthread_mutex_unlock(&peers->lock);
}

uint64_t peers_kept(struct peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    uint64_t kept = peers->kept;
    pthread_mutex_unlock(&peers->lock);
    return kept;
}

void peers_free(struct peers *peers)
{
    if (peers != NULL) {
        while (peers->idle > 0) {
            forget_oldest(peers);
        }
        pthread_mutex_destroy(&peers->lock);
        free(peers);
    }
}

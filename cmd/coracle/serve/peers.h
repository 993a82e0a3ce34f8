/* SPDX-License-Identifier: MIT */
/*
 * How many connections each address has open, and how fast it opens them. An IPv6 client has a whole /64 for itself,
 * and that is what counts as its address.
 *
 * An address is kept while it has connections, and for a while after: what it may open at once fills up again with
 * time, and forgetting it would fill that up at once. Of those without connections the IDLE_MAX that left last are
 * kept, so that memory is bounded by the connections there are, whoever comes. Finding one takes a few steps: the
 * buckets are as many as there may be connections, and the hash is seeded by the kernel.
 */
#ifndef CORACLE_CMD_SERVE_PEERS_H
#define CORACLE_CMD_SERVE_PEERS_H

#include "serve/reason.h"

#include <coracle.h>

struct peers;
struct peer;

/* Makes an empty table for about `expected` connections. NULL: memory ran out. */
struct peers *peers_new(uint64_t expected);

/* Frees it; no address has a connection any more. Accepts NULL. */
void peers_free(struct peers *peers);

/*
 * Counts a new connection of an address: at most `most` at a time, and `rate` a second after as many at once; 0: no
 * limit. Returns REASON_NONE and *of, to be given to peers_leave; else why it is refused, and it does not count. Any
 * thread.
 */
close_reason peers_enter(struct peers *peers, cor_ip ip, uint64_t most, uint64_t rate, int64_t now, struct peer **of);

/* Counts a connection out. Any thread. */
void peers_leave(struct peers *peers, struct peer *of);

/* Counts the addresses that are kept. */
uint64_t peers_kept(struct peers *peers);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The limits of a run: what holds when nothing is said, and who is refused.
 *
 * Without options the limits are those of a public port. --no-limits gives the tutorials' behaviour: no limit in time,
 * by address or of memory; sizes stay, because a line without an end is nobody's wish. What is given explicitly holds
 * in both cases.
 *
 * Limits by address pass over the host itself unless they were given: whoever is on this host has other means, and a
 * proxy here would bring everybody under one address.
 *
 * First-byte and idle limits that were not given pass over services whose clients may just listen: there only a message
 * that has begun has to end, within the first-byte limit.
 */
#ifndef CORACLE_CMD_SERVE_LIMITS_H
#define CORACLE_CMD_SERVE_LIMITS_H

#include "serve/service.h"

struct peer;

/* The values of options that were not given. */
#define NOT_GIVEN_COUNT UINT64_MAX
#define NOT_GIVEN_SIZE SIZE_MAX
#define NOT_GIVEN_TIME INT64_C(-1)

/* Puts in what was not given, and raises the limit of descriptors as far as the system lets us. */
void limits_settle(serve_options *options);

/* Prepares what is needed to hold to the limits. Returns 0 or -ENOMEM. */
int limits_start(struct serve *serve);
void limits_stop(struct serve *serve);

/* Decides whether a connection may come in. Sets *of for limits_left. REASON_NONE: it may. */
close_reason limits_admit(struct serve *serve, cor_ip ip, struct peer **of);

/* Counts it out. `of` may be NULL. */
void limits_left(struct serve *serve, struct peer *of);

/* What a client that is refused is told. */
const char *limits_words(close_reason reason);

#endif

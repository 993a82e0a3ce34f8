/* SPDX-License-Identifier: MIT */
/* THE source of randomness for scheduling choices: a small generator per worker, seeded once. Not for secrets. */
#ifndef CORI_BASE_RAND_H
#define CORI_BASE_RAND_H

#include <stdint.h>

typedef struct cori_rand {
    uint64_t state;
} cori_rand;

/* Gives 64 random bits from the kernel (from the clock if it has none to give). */
uint64_t cori_rand_seed(void);

/* Starts a generator; equal seed and stream give the equal sequence. */
void cori_rand_init(cori_rand *rand, uint64_t seed, uint64_t stream);

/* Gives the next 32 random bits (a Weyl sequence through Stafford's mix 13, as in SplitMix64). */
static inline uint32_t cori_rand_next(cori_rand *rand)
{
    uint64_t z = (rand->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* Gives a uniform number below `limit` (limit < 2^16, bias below 2^-16). */
static inline uint32_t cori_rand_below(cori_rand *rand, uint32_t limit)
{
    return (uint32_t)(((uint64_t)cori_rand_next(rand) * limit) >> 32);
}

#endif

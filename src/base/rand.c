/* SPDX-License-Identifier: MIT */
/* Seeding of the scheduler's generators. */
#include "base/rand.h"

#include "base/clock.h"

#include <sys/random.h>

uint64_t cori_rand_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
        seed = (uint64_t)cori_clock_now();
    }
    return seed;
}

void cori_rand_init(cori_rand *rand, uint64_t seed, uint64_t stream)
{
    rand->state = seed + stream * 0xd1342543de82ef95u;
    (void)cori_rand_next(rand);
}

/* SPDX-License-Identifier: MIT */
/* The public face of the clock. */
#include "base/clock.h"

#include <coracle/time.h>

int64_t cor_now(void)
{
    return cori_clock_now();
}

int64_t cor_after(int64_t duration_ns)
{
    int64_t now = cori_clock_now();
    if (duration_ns <= 0) {
        return now;
    }
    return duration_ns > INT64_MAX - now ? INT64_MAX : now + duration_ns;
}

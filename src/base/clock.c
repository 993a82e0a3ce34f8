/* SPDX-License-Identifier: MIT */
/* CLOCK_MONOTONIC through the vDSO, or a test's clock. */
#include "base/clock.h"

#include "base/platform.h"

#include <time.h>

static int64_t (*fake_now)(void *arg);
static void *fake_arg;

int64_t cori_clock_now(void)
{
    if (cori_unlikely(fake_now != NULL)) {
        return fake_now(fake_arg);
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + 1;
}

bool cori_clock_is_fake(void)
{
    return fake_now != NULL;
}

void cori_clock_set(int64_t (*now)(void *arg), void *arg)
{
    fake_now = now;
    fake_arg = arg;
}

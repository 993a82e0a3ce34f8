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

struct timespec cori_clock_real_after(int64_t duration_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = now.tv_nsec + duration_ns % 1000000000;
    now.tv_sec += (time_t)(duration_ns / 1000000000 + ns / 1000000000);
    now.tv_nsec = (long)(ns % 1000000000);
    return now;
}

void cori_clock_set(int64_t (*now)(void *arg), void *arg)
{
    fake_now = now;
    fake_arg = arg;
}

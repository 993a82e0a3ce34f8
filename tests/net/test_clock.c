/* SPDX-License-Identifier: MIT */
/*
 * Deadlines, sleeps and timers follow the monotonic clock. N166, N346. In this process the wall clock jumps by hours
 * each time anybody looks at it, there and back: whatever asked it would end at once or never.
 */
#include "net/netcase.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

enum { JUMP_SECONDS = 7 * 3600 };

static int64_t jump(void)
{
    static int looks;
    return (__atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) & 1) != 0 ? JUMP_SECONDS : -JUMP_SECONDS;
}

/* In the C library's place, for the library under test, too. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        now->tv_sec += jump();
    }
    return rc;
}

/* The smallest wait of all has to be measured by a clock that stands for itself. */
static int64_t real_now(void)
{
    struct timespec now;
    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * COR_SECOND + now.tv_nsec;
}

static void sleeps(void)
{
    T_OK(cor_sleep(BRIEFLY));
}

static void waits_for_a_timer(void)
{
    cor_timer *timer = cor_timer_new(BRIEFLY);
    T_EQ(cor_chan_recv(cor_timer_chan(timer), NULL, 0), 1);
    cor_timer_free(timer);
}

static void waits_for_a_channel(void)
{
    cor_chan *chan = cor_chan_new(0, 0);
    T_CODE(cor_chan_recv(chan, NULL, cor_after(BRIEFLY)), COR_ETIMEOUT);
    cor_chan_free(chan);
}

static void reads(void)
{
    cor_conn *near = NULL, *far = NULL;
    char byte = 0;
    make_pair(KIND_TCP, &near, &far);
    T_OK(cor_set_read_deadline(near, cor_after(BRIEFLY)));
    T_CODE(cor_read(near, &byte, 1), COR_ETIMEOUT);
    close_pair(near, far);
}

TASK_TEST(jumps_of_the_wall_clock_change_nothing)
{
    void (*const waits[])(void) = {sleeps, waits_for_a_timer, waits_for_a_channel, reads};
    struct timespec first, second;
    (void)clock_gettime(CLOCK_REALTIME, &first);
    (void)clock_gettime(CLOCK_REALTIME, &second);
    T_ASSERT(labs((long)(first.tv_sec - second.tv_sec)) > JUMP_SECONDS);
    for (int i = 0; i < 4; i++) {
        int64_t start = real_now();
        waits[i]();
        int64_t took = real_now() - start;
        T_ASSERT(took >= BRIEFLY && took < SOON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(jumps_of_the_wall_clock_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

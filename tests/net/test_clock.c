/* SPDX-License-Identifier: MIT */
/*
 * Deadlines, sleeps and timers follow the monotonic clock. N166, N346. In this process the wall clock jumps by hours
 * each time anybody looks at it, there and back: whatever asked it would end at once or never. And looks at the other
 * one are counted: a read that waits needs none for a deadline that is far away.
 */
#include "net/netcase.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

enum { JUMP_SECONDS = 7 * 3600 };

static const cor_options one_worker = {.workers = 1};

static int64_t jump(void)
{
    static int looks;
    return (__atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) & 1) != 0 ? JUMP_SECONDS : -JUMP_SECONDS;
}

static int looks_at_monotonic; /* atomic */

/* In the C library's place, for the library under test, too. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    (void)add(&looks_at_monotonic, clock == CLOCK_MONOTONIC);
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

enum { ECHOES = 200 };

/* Reads have room for more than comes: so the next one knows that it must wait. */
static void echo_all(void *arg)
{
    char bytes[8];
    while (cor_read(arg, bytes, sizeof(bytes)) == 1) {
        write_all(arg, bytes, 1);
    }
}

/* How often the clock was looked at for so many echoes over connections with these deadlines. */
static int looks_for_echoes(int64_t deadline)
{
    cor_conn *near = NULL, *far = NULL;
    cor_group other = {0};
    char bytes[8] = "x";
    make_pair(KIND_TCP, &near, &far);
    T_OK(cor_set_read_deadline(near, deadline));
    T_OK(cor_set_read_deadline(far, deadline));
    go_in(&other, echo_all, far);
    int before = 0;
    for (int i = -1; i < ECHOES; i++) {
        before = i == 0 ? get(&looks_at_monotonic) : before;
        write_all(near, bytes, 1);
        T_EQ(cor_read(near, bytes, sizeof(bytes)), 1);
    }
    int looks = get(&looks_at_monotonic) - before;
    T_OK(cor_close(near));
    wait_for(&other);
    T_OK(cor_close(far));
    return looks;
}

/* An echo is two reads that wait. Their worker looks before it sleeps, since there are timers, and for nothing else. */
TASK_TEST_WITH(reads_that_wait_look_at_no_clock, &one_worker)
{
    int without = looks_for_echoes(0), with = looks_for_echoes(cor_after(FAR_AWAY));
    T_REQUIRE(with <= without + 2 * ECHOES + ECHOES / 10, "%d looks, %d without deadlines", with, without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_of_the_wall_clock_change_nothing),
        cmocka_unit_test(reads_that_wait_look_at_no_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

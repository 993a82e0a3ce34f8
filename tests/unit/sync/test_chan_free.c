/* SPDX-License-Identifier: MIT */
/*
 * Whoever has received the last value may free the channel at once, also if its sender was about to give up. The sender
 * looks at the clock for its deadline; this clock stops it there until the value is taken and the channel gone.
 */
/* test: workers=2 no-valgrind */
#include "base/clock.h"
#include "sched/here.h"
#include "sched/spawn.h"
#include "unit/sync/waiting.h"

#include <sched.h>

enum step { STARTS, LOOKS, IS_TAKEN, HAS_RETURNED };

static cor_chan *chan;
static cori_task *sender; /* atomic */
static int64_t deadline;
static int step; /* atomic: enum step */

static void reach(enum step now)
{
    __atomic_store_n(&step, now, __ATOMIC_RELEASE);
}

static int64_t real_now(void)
{
    struct timespec now = cori_clock_real_after(0);
    return (int64_t)now.tv_sec * COR_SECOND + now.tv_nsec;
}

static int64_t slow_clock(void *unused)
{
    (void)unused;
    if (get(&step) == STARTS && cori_self() != NULL && cori_self() == __atomic_load_n(&sender, __ATOMIC_ACQUIRE) &&
        waiting(&chan->senders) == 1) {
        reach(LOOKS);
        while (get(&step) != IS_TAKEN || real_now() < deadline) {
            (void)sched_yield();
        }
    }
    return real_now();
}

static void send_late(void *arg)
{
    int value = 5;
    deadline = *(int64_t *)arg;
    __atomic_store_n(&sender, cori_self(), __ATOMIC_RELEASE);
    T_CODE(cor_chan_send(chan, &value, deadline), 0);
    reach(HAS_RETURNED);
}

TASK_TEST_WITH(sender_that_gives_up_leaves_it_alone, &(cor_options){.workers = 2})
{
    int value = 0;
    int64_t soon = cor_after(COR_MILLISECOND), late = cor_after(5 * COR_SECOND * taskcase_patience());
    cori_spawn spawn = {.function = send_late, .arg_a = &soon, .worker = 1};
    chan = cor_chan_new(sizeof(int), 0);
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    T_EVENTUALLY(get(&step) == LOOKS, SOON);
    T_CODE(cor_chan_recv(chan, &value, 0), 1);
    T_EQ(value, 5);
    cori_store(&chan->spin, 1); /* as memory that is something else by now: who wanted the lock would wait for ever */
    reach(IS_TAKEN);
    while (get(&step) != HAS_RETURNED && cor_now() < late) {
        (void)sched_yield();
    }
    bool touched = get(&step) != HAS_RETURNED;
    cori_store(&chan->spin, 0);
    T_EVENTUALLY(get(&step) == HAS_RETURNED, SOON);
    T_ASSERT(!touched);
    cor_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sender_that_gives_up_leaves_it_alone),
    };
    cori_clock_set(slow_clock, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

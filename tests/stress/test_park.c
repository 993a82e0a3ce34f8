/* SPDX-License-Identifier: MIT */
/*
 * Parking and waking under load: tokens travel through rings of tasks on all workers. Every hop is a wake-up; one lost
 * wake-up stops a ring for ever, and the deadlock report or the test's alarm says so.
 */
/* test: simulated */
#include "support/taskcase.h"

#include "base/rand.h"
#include "sched/park.h"

enum { RING = 50, RINGS = 8, LAPS = 60, PAIRS = 6 };

/* A mailbox of one: a count of tokens and the task that waits for one. */
typedef struct box {
    cori_task *owner; /* atomic */
    uint32_t tokens;  /* atomic */
} box;

static box boxes[RINGS][RING];
static uint32_t laps_done; /* atomic */
static uint64_t hops;      /* atomic */

static void put(box *to)
{
    __atomic_add_fetch(&to->tokens, 1, __ATOMIC_SEQ_CST);
    cori_task *owner = __atomic_load_n(&to->owner, __ATOMIC_SEQ_CST);
    if (owner != NULL) {
        cori_wake(owner);
    }
}

static void take(box *from)
{
    cori_task *self = cori_self();
    for (;;) {
        uint32_t tokens = __atomic_load_n(&from->tokens, __ATOMIC_SEQ_CST);
        if (tokens == 0) {
            cori_park(self, 0, "a token");
        } else if (__atomic_compare_exchange_n(&from->tokens, &tokens, tokens - 1, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_SEQ_CST)) {
            return;
        }
    }
}

/* Lets chance decide what happens between two steps. */
static void disturb(cori_rand *rand)
{
    switch (cori_rand_below(rand, 16)) {
    case 0:
        cor_yield();
        break;
    case 1:
        cori_wake(cori_self()); /* a permit for nothing */
        break;
    case 2:
        T_CODE(cor_sleep(cori_rand_below(rand, 20000)), 0);
        break;
    default:
        break;
    }
}

static void pass_on(void *arg)
{
    intptr_t place = (intptr_t)arg, ring = place / RING, own = place % RING;
    cori_rand rand;
    cori_rand_init(&rand, cor_task_id(), (uint64_t)place);
    __atomic_store_n(&boxes[ring][own].owner, cori_self(), __ATOMIC_SEQ_CST);
    for (int lap = 0; lap < LAPS; lap++) {
        disturb(&rand);
        take(&boxes[ring][own]);
        __atomic_add_fetch(&hops, 1, __ATOMIC_RELAXED);
        disturb(&rand);
        put(&boxes[ring][(own + 1) % RING]);
    }
    __atomic_add_fetch(&laps_done, 1, __ATOMIC_ACQ_REL);
}

TASK_TEST(no_token_is_lost)
{
    cor_group group = {0};
    for (intptr_t i = 0; i < RINGS * RING; i++) {
        T_CODE(cor_group_go(&group, pass_on, (void *)i), 0);
    }
    for (int ring = 0; ring < RINGS; ring++) {
        put(&boxes[ring][ring % RING]);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(laps_done, RINGS * RING);
    T_EQ(hops, (uint64_t)RINGS * RING * LAPS);
    for (int ring = 0; ring < RINGS; ring++) {
        uint32_t left = 0;
        for (int i = 0; i < RING; i++) {
            left += boxes[ring][i].tokens;
        }
        T_EQ(left, 1);
    }
}

/* Pairs that do nothing but wake each other, as fast as they can, on different workers if there are any. */
static box pairs[PAIRS][2];
static uint32_t rounds_wanted;

static void ping_pong(void *arg)
{
    intptr_t pair = (intptr_t)arg / 2, side = (intptr_t)arg % 2;
    __atomic_store_n(&pairs[pair][side].owner, cori_self(), __ATOMIC_SEQ_CST);
    for (uint32_t round = 0; round < rounds_wanted; round++) {
        if (side == 0) {
            put(&pairs[pair][1]);
        }
        take(&pairs[pair][side]);
        if (side == 1) {
            put(&pairs[pair][0]);
        }
    }
}

TASK_TEST(ping_pong_without_pause)
{
    cor_group group = {0};
    rounds_wanted = taskcase_scale(20000);
    for (intptr_t i = 0; i < 2 * PAIRS; i++) {
        T_CODE(cor_group_go(&group, ping_pong, (void *)i), 0);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
}

/*
 * The narrow moment: the giver spins until the taker has taken, waits a random few nanoseconds and gives again, just
 * when the taker looks for the last time and parks.
 */
static box narrow;
static uint32_t acknowledged;  /* atomic */
static uint32_t giver_started; /* atomic */
static uint32_t is_last;       /* of what is given; atomic */

static void give_at_the_worst_moment(void *arg)
{
    uint32_t rounds = *(uint32_t *)arg;
    cori_rand rand;
    cori_rand_init(&rand, cor_task_id(), 5);
    __atomic_store_n(&giver_started, 1, __ATOMIC_SEQ_CST);
    int64_t enough = cor_after(5 * COR_SECOND); /* where others use this core, a round takes milliseconds */
    for (uint32_t round = 0; round < rounds && is_last == 0; round++) {
        for (unsigned spins = 0; __atomic_load_n(&acknowledged, __ATOMIC_SEQ_CST) != round; spins++) {
            if (spins % 1024 == 1023) {
                cor_yield(); /* the taker may be on this worker */
            }
        }
        for (uint32_t delay = cori_rand_below(&rand, 64); delay > 0; delay--) {
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        }
        if (round % 64 == 63 && cor_now() > enough) {
            __atomic_store_n(&is_last, 1, __ATOMIC_SEQ_CST);
        }
        put(&narrow);
    }
}

TASK_TEST(wakes_at_the_moment_of_parking)
{
    T_SKIP_SIMULATED("the giver looks at memory, which takes no time there");
    uint32_t rounds = taskcase_scale(100000);
    cor_group group = {0};
    __atomic_store_n(&narrow.owner, cori_self(), __ATOMIC_SEQ_CST);
    T_CODE(cor_group_go(&group, give_at_the_worst_moment, &rounds), 0);
    int64_t deadline = cor_after(20 * COR_SECOND);
    while (cori_rt.worker_count > 1 && __atomic_load_n(&giver_started, __ATOMIC_SEQ_CST) == 0) {
        T_ASSERT(cor_now() < deadline); /* without parking, so that another worker takes it */
    }
    bool over = false;
    for (uint32_t round = 1; round <= rounds && !over; round++) {
        take(&narrow);
        over = __atomic_load_n(&is_last, __ATOMIC_SEQ_CST) != 0; /* of this one: the next has to be asked for */
        __atomic_store_n(&acknowledged, round, __ATOMIC_SEQ_CST);
    }
    T_CODE(cor_group_wait(&group, 0), 0);
}

/* Deadlines that run out at the moment of the wake: the token is taken once, or not at all. */
static uint32_t given, taken; /* atomic */
static box race_box;

static bool take_until(box *from, int64_t deadline)
{
    cori_task *self = cori_self();
    for (;;) {
        uint32_t tokens = __atomic_load_n(&from->tokens, __ATOMIC_SEQ_CST);
        if (tokens != 0) {
            if (__atomic_compare_exchange_n(&from->tokens, &tokens, tokens - 1, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST)) {
                return true;
            }
            continue;
        }
        if (cori_interrupted(self, deadline) != 0) {
            return false;
        }
        cori_park(self, deadline, "a token in time");
    }
}

static void give_for_a_while(void *arg)
{
    uint32_t count = *(uint32_t *)arg;
    cori_rand rand;
    cori_rand_init(&rand, cor_task_id(), 0);
    for (uint32_t i = 0; i < count; i++) {
        T_CODE(cor_sleep(cori_rand_below(&rand, 40000)), 0);
        __atomic_add_fetch(&given, 1, __ATOMIC_RELAXED);
        put(&race_box);
    }
}

TASK_TEST(deadlines_race_with_wakes)
{
    uint32_t count = taskcase_scale(1500);
    cor_group group = {0};
    __atomic_store_n(&race_box.owner, cori_self(), __ATOMIC_SEQ_CST);
    T_CODE(cor_group_go(&group, give_for_a_while, &count), 0);
    cori_rand rand;
    cori_rand_init(&rand, 1, 1);
    int64_t limit = cor_after(40 * COR_SECOND);
    while (taken < count) {
        T_ASSERT(cor_now() < limit);
        taken += take_until(&race_box, cor_after(cori_rand_below(&rand, 60000)));
    }
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(taken, given);
    T_EQ(race_box.tokens, 0);
}

/* Cancelling while tasks park, wake and end. */
static uint32_t cancelled; /* atomic */

static void sleep_until_cancelled(void *arg)
{
    cori_rand rand;
    cori_rand_init(&rand, cor_task_id(), 3);
    int rc = 0;
    while (rc == 0) {
        rc = cor_sleep(cori_rand_below(&rand, 200000));
    }
    T_CODE(rc, COR_ECANCELED);
    __atomic_add_fetch(&cancelled, 1, __ATOMIC_RELAXED);
    (void)arg;
}

TASK_TEST(cancel_races_with_everything)
{
    uint32_t rounds = taskcase_scale(200);
    for (uint32_t round = 0; round < rounds; round++) {
        cor_group group = {0};
        for (int i = 0; i < 20; i++) {
            T_CODE(cor_group_go(&group, sleep_until_cancelled, NULL), 0);
        }
        if (round % 3 != 0) {
            T_CODE(cor_sleep((int64_t)(round % 50) * 4000), 0);
        }
        cor_group_cancel(&group);
        T_CODE(cor_group_wait(&group, 0), 0);
    }
    T_EQ(cancelled, rounds * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_token_is_lost),
        cmocka_unit_test(ping_pong_without_pause),
        cmocka_unit_test(wakes_at_the_moment_of_parking),
        cmocka_unit_test(deadlines_race_with_wakes),
        cmocka_unit_test(cancel_races_with_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What other threads hand to a worker is dealt with in order of arrival: woken tasks, new tasks, notes. */
#include "support/taskcase.h"

#include "base/atomic.h"
#include "base/limits.h"
#include "sched/here.h"
#include "sched/park.h"
#include "sched/spawn.h"
#include "sched/wake.h"

#include <pthread.h>
#include <sched.h>

enum { HANDED_OVER = 5 };

static int order[HANDED_OVER], count; /* the receiving worker's; `count` atomic */
static uint32_t held, let_go;         /* atomic */

static void note_turn(int number)
{
    order[count] = number;
    cori_store_release(&count, count + 1);
}

static void expect_order_of_arrival(void)
{
    T_EVENTUALLY(cori_load_acquire(&count) == HANDED_OVER, 20 * COR_SECOND);
    for (int i = 0; i < HANDED_OVER; i++) {
        T_EQ(order[i], i);
    }
}

static void hold_worker(void *a, void *b)
{
    (void)a;
    (void)b;
    cori_store(&held, 1);
    while (cori_load(&let_go) == 0) {}
}

/* Keeps the last worker computing, so that all that is handed to it arrives before it looks; not if it is the only. */
static void hold_last_worker(void)
{
    cori_spawn spawn = {.entry = hold_worker, .worker = cori_worker_count() - 1};
    if (!cori_solo()) {
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
        T_EVENTUALLY(cori_load(&held) != 0, 20 * COR_SECOND);
    }
}

static cori_task *sleepers[HANDED_OVER];
static uint32_t woken[HANDED_OVER]; /* atomic */

static void sleep_until_woken(void *number, void *unused)
{
    intptr_t own = (intptr_t)number;
    (void)unused;
    while (cori_load(&woken[own]) == 0) {
        cori_park(cori_self(), 0, "a wake");
    }
    note_turn((int)own);
}

TASK_TEST(woken_tasks)
{
    for (intptr_t i = 0; i < HANDED_OVER; i++) {
        cori_spawn spawn = {.entry = sleep_until_woken, .arg_a = (void *)i, .worker = cori_worker_count() - 1};
        T_CODE(cori_spawn_task(&spawn, &sleepers[i]), 0);
    }
    for (int i = 0; i < HANDED_OVER; i++) {
        T_EVENTUALLY(cori_load(&sleepers[i]->permit) == CORI_PARKED, 20 * COR_SECOND);
    }
    hold_last_worker();
    for (int i = 0; i < HANDED_OVER; i++) {
        cori_store(&woken[i], 1);
        cori_wake(sleepers[i]);
    }
    cori_store(&let_go, 1);
    expect_order_of_arrival();
}

static void take_turn(void *number, void *unused)
{
    (void)unused;
    note_turn((int)(intptr_t)number);
}

TASK_TEST(new_tasks)
{
    hold_last_worker();
    for (intptr_t i = 0; i < HANDED_OVER; i++) {
        cori_spawn spawn = {.entry = take_turn, .arg_a = (void *)i, .worker = cori_worker_count() - 1};
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    cori_store(&let_go, 1);
    expect_order_of_arrival();
}

static void on_note(cori_note *note);
static cori_note notes[HANDED_OVER];

static void on_note(cori_note *note)
{
    note_turn((int)(note - notes));
}

static void *leave_notes(void *worker)
{
    for (int i = 0; i < HANDED_OVER; i++) {
        notes[i].act = on_note;
        cori_worker_note(worker, &notes[i]);
    }
    return NULL;
}

/* From a thread that is no worker's: a blocking call that has ended, a signal. */
TASK_TEST(notes_of_a_thread)
{
    pthread_t thread;
    hold_last_worker();
    T_EQ(pthread_create(&thread, NULL, leave_notes, &cori_rt.workers[cori_worker_count() - 1]), 0);
    T_EQ(pthread_join(thread, NULL), 0);
    cori_store(&let_go, 1);
    expect_order_of_arrival();
}

static uint32_t read_so_far; /* atomic */

static void count_note(cori_note *note)
{
    (void)note;
    cori_store(&read_so_far, read_so_far + 1);
}

/* Waits until that worker has read so many notes and nothing to do: true if it looks for more, false if it sleeps. */
static bool until_it_waits(const cori_worker *worker, uint32_t given)
{
    int64_t late = cor_after(20 * COR_SECOND * taskcase_patience());
    bool looks = false;
    for (int i = 1; !looks && (cori_load(&read_so_far) < given || cori_load(&worker->sleeping) == CORI_AWAKE); i++) {
        T_REQUIRE(cor_now() < late, "the worker never waits");
        if (i % 256 == 0) {
            (void)sched_yield(); /* it may wait for this very core */
        }
        looks = cori_load(&read_so_far) == given && cori_load(&worker->injected) == CORI_LOOKING;
    }
    return looks;
}

/*
 * A worker that finds the next hand-over in time each time it looks asks its poller nevertheless: after
 * CORI_POLL_ROUNDS of them at the latest. It is given notes, each when it looks, unless it has gone to sleep meanwhile
 * (then it has asked). Half as often is enough, and the last sleep may not have ended yet.
 */
TASK_TEST(hand_overs_do_not_keep_events_waiting)
{
    enum { TURNS = 20000 };
    static cori_note note = {.act = count_note};
    cori_worker *last = &cori_rt.workers[cori_worker_count() - 1];
    uint64_t naps = cori_load(&last->naps), looked = 0, slept = 0;
    int64_t enough = cor_after(5 * COR_SECOND); /* where others use this core, a turn takes milliseconds */
    uint32_t given = 0;
    while (given < TURNS && cor_now() < enough && !cori_solo()) {
        bool looks = until_it_waits(last, given);
        looked += looks;
        slept += !looks;
        given++;
        cori_worker_note(last, &note);
    }
    naps = cori_load(&last->naps) - naps;
    T_REQUIRE(naps + 1 >= slept + looked / CORI_POLL_ROUNDS / 2,
              "the poller was asked %llu times, and %llu of %llu hand-overs came in sleep", (unsigned long long)naps,
              (unsigned long long)slept, (unsigned long long)(slept + looked));
    T_EVENTUALLY(cori_load(&read_so_far) == given, 20 * COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(woken_tasks),
        cmocka_unit_test(new_tasks),
        cmocka_unit_test(notes_of_a_thread),
        cmocka_unit_test(hand_overs_do_not_keep_events_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

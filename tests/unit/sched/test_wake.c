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

typedef struct rally {
    cor_chan *there, *back;
    int turns;
} rally;

static void return_each(void *a, void *b)
{
    rally *of = a;
    uint64_t value;
    (void)b;
    while (cor_chan_recv(of->there, &value, 0) == 1) {
        T_CODE(cor_chan_send(of->back, &value, 0), 0);
    }
    T_CODE(cor_chan_send(of->back, &value, 0), 0);
}

/*
 * A worker that finds the next hand-over in time each time it looks asks its poller nevertheless: after
 * CORI_POLL_ROUNDS of them at the latest. Most turns of a task are a round, if its partner is not quicker.
 */
TASK_TEST(hand_overs_do_not_keep_events_waiting)
{
    enum { TURNS = 20000 };
    rally of = {cor_chan_new(sizeof(uint64_t), 0), cor_chan_new(sizeof(uint64_t), 0), TURNS};
    const cori_worker *last = &cori_rt.workers[cori_worker_count() - 1];
    cori_spawn spawn = {.entry = return_each, .arg_a = &of, .worker = last->id};
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    uint64_t naps = cori_load(&last->naps), value = 0;
    for (int i = 0; i < TURNS; i++) {
        T_CODE(cor_chan_send(of.there, &value, 0), 0);
        T_CODE(cor_chan_recv(of.back, &value, 0), 1);
    }
    naps = cori_load(&last->naps) - naps;
    T_REQUIRE(naps >= TURNS / CORI_POLL_ROUNDS / 4 || cori_solo(), "the poller was asked %llu times",
              (unsigned long long)naps);
    T_CODE(cor_chan_close(of.there), 0);
    T_CODE(cor_chan_recv(of.back, &value, 0), 1);
    cor_chan_free(of.there);
    cor_chan_free(of.back);
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

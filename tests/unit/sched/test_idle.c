/* SPDX-License-Identifier: MIT */
/*
 * When a worker may tell a deadlock. It reads the other workers' words one after the other while they run, so what it
 * sees was never true at one moment. Here they move at every point where that can matter, on one thread: each load of
 * the function under test is a point at which two other workers may first do any number of steps of handing the one
 * piece of work that there is to and fro. As long as there is that piece, it is no deadlock.
 *
 * For that the source is compiled into this file with its sequentially consistent loads, by which alone it reads what
 * others write, counted.
 */
/* test: workers=1 no-uring no-valgrind */
#include "support/taskcase.h"

#include "base/atomic.h"
#include "sched/here.h"
#include "sched/placement.h"
#include "sched/reclaim.h"
#include "sched/wake.h"

static void before_load(void);
#undef cori_load
#define cori_load(word) (before_load(), __atomic_load_n(word, __ATOMIC_SEQ_CST))
#include "sched/idle.c"

enum { WORKERS = 3, STEPS = 6, BURSTS_MAX = 3, WAYS = 2 };

static cori_worker workers[WORKERS]; /* 0 is the one that asks */
static cori_task work;

/*
 * The steps by which the worker that runs, `giver`, hands its work to the other, `taker`, and goes to sleep. The order
 * is that of wake.c and idle.c; the giver may fall asleep before the taker has woken up, or after.
 */
static int giver, taker, done_steps, way;

static void give(void)
{
    cori_store(&workers[taker].injected, &work);
}

static void kick(void)
{
    cori_store(&workers[taker].sleeping, 0);
}

static void fall_asleep(void)
{
    cori_store(&workers[giver].sleeping, 1);
}

static void count_nap(void)
{
    cori_store(&workers[taker].naps, workers[taker].naps + 1);
}

static void wake_up(void)
{
    cori_store(&workers[taker].sleeping, 0);
}

static void take(void)
{
    cori_store(&workers[taker].injected, NULL);
}

static void (*const ways[WAYS][STEPS])(void) = {
    {give, kick, fall_asleep, count_nap, wake_up, take},
    {give, kick, count_nap, wake_up, take, fall_asleep},
};

static void one_step(void)
{
    ways[way][done_steps]();
    if (++done_steps == STEPS) {
        int before = giver;
        giver = taker;
        taker = before;
        done_steps = 0;
    }
}

/* Before which loads how many steps are done; in order of the loads. */
typedef struct burst {
    int load, steps;
} burst;

static burst bursts[BURSTS_MAX];
static int burst_count, loads;
static bool moves;

static void before_load(void)
{
    for (int i = 0; moves && i < burst_count; i++) {
        for (int step = 0; bursts[i].load == loads && step < bursts[i].steps; step++) {
            one_step();
        }
    }
    loads++;
}

/* All asleep but worker `first` (1 or 2), which has the work. */
static void set_up(int first)
{
    memset(workers, 0, sizeof(workers));
    cori_rt.worker_count = WORKERS;
    cori_rt.workers = workers;
    cori_rt.foreign_wakeups = false;
    for (int i = 0; i < WORKERS; i++) {
        workers[i].sleeping = 1;
    }
    workers[first].sleeping = 0;
    giver = first;
    taker = WORKERS - first;
    done_steps = loads = 0;
}

/* The most loads of a run with these bursts. */
static int expect_no_deadlock(void)
{
    int most = 0;
    for (int variant = 0; variant < 2 * WAYS; variant++) {
        way = variant / 2;
        set_up(1 + variant % 2);
        bool told = deadlocked();
        for (int i = 0; told && i < burst_count; i++) {
            print_message("before load %d: %d steps\n", bursts[i].load, bursts[i].steps);
        }
        assert_false(told);
        most = loads > most ? loads : most;
    }
    return most;
}

/* Tries every place and length of one more burst after those that there are. */
static void explore(void)
{
    int seen = expect_no_deadlock(), from = burst_count > 0 ? bursts[burst_count - 1].load + 1 : 0;
    if (burst_count == BURSTS_MAX) {
        return;
    }
    for (int load = from; load < seen; load++) {
        for (int steps = 1; steps <= STEPS; steps++) {
            bursts[burst_count++] = (burst){load, steps};
            explore();
            burst_count--;
        }
    }
}

static void work_that_moves_is_no_deadlock(void **state)
{
    (void)state;
    moves = true;
    explore();
    moves = false;
}

static void nothing_left_is_one(void **state)
{
    (void)state;
    set_up(1);
    assert_false(deadlocked());
    workers[1].sleeping = 1;
    assert_true(deadlocked());
}

/* Any of these keeps the program alive, whichever worker has it. */
static void what_may_come_is_no_deadlock(void **state)
{
    (void)state;
    static cori_note note;
    for (int i = 0; i < WORKERS; i++) {
        for (int what = 0; what < 5; what++) {
            set_up(1);
            workers[1].sleeping = 1;
            workers[i].external = what == 0;
            workers[i].timer_count = what == 1;
            workers[i].injected = what == 2 ? &work : NULL;
            workers[i].notes = what == 3 ? &note : NULL;
            workers[i].fresh_count = what == 4;
            assert_false(deadlocked());
        }
    }
    set_up(1);
    workers[1].sleeping = 1;
    cori_rt.foreign_wakeups = true;
    assert_false(deadlocked());
    cori_rt.foreign_wakeups = false;
    cori_foreign_inside = 1;
    assert_false(deadlocked());
    cori_foreign_inside = 0;
    assert_true(deadlocked());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_that_moves_is_no_deadlock),
        cmocka_unit_test(nothing_left_is_one),
        cmocka_unit_test(what_may_come_is_no_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

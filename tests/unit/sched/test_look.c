/* SPDX-License-Identifier: MIT */
/*
 * Looking for hand-overs before sleep: a waker that finds a worker looking writes no descriptor and takes its seat
 * over; looks in vain get rarer; only so many workers look. The workers here belong to no cor_run, and the clock
 * stands still, so a look in vain ends by its number of pauses.
 */
/* test: workers=1 no-uring */
#include "support/taskcase.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "sched/look.h"
#include "sched/seat.h"
#include "sched/wake.h"

#include <pthread.h>

static cori_worker workers[2];
static int kicks, readings; /* of the clock */

static int64_t stands_still(void *arg)
{
    (void)arg;
    readings++;
    return COR_SECOND;
}

static void count_kick(cori_poller *poller)
{
    (void)poller;
    kicks++;
}

static const cori_poll_ops ops = {.kick = count_kick};
static cori_poller poller = {.ops = &ops};

static void set_up(int cores)
{
    memset(workers, 0, sizeof(workers));
    cori_rt.worker_count = 2;
    cori_rt.workers = workers;
    cori_rt.stop = 0;
    workers[0].poller = workers[1].poller = &poller;
    kicks = readings = 0;
    cori_look_init(cores);
}

static void note_read(cori_note *note)
{
    (void)note;
}

static cori_note note = {.act = note_read};

static void until_it_looks(void)
{
    while (cori_load(&workers[0].injected) != CORI_LOOKING) {}
}

/* Hands a note over as soon as worker 0 looks. */
static void *hand_over_a_note(void *arg)
{
    (void)arg;
    until_it_looks();
    cori_worker_note(&workers[0], &note);
    return NULL;
}

static cori_task task = {.worker = &workers[0]};

/* Worker 1 wakes a task of worker 0 as soon as that looks. */
static void *hand_over_a_task(void *arg)
{
    (void)arg;
    cori_self_worker = &workers[1];
    until_it_looks();
    cori_wake(&task);
    return NULL;
}

static void look_until_found(void *(*other)(void *arg))
{
    pthread_t thread;
    workers[0].looks = CORI_LOOKS;
    assert_int_equal(pthread_create(&thread, NULL, other, NULL), 0);
    while (!cori_look(&workers[0])) { /* the thread may begin late */
        workers[0].looks = CORI_LOOKS;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_look_finds_what_is_handed_over(void **state)
{
    (void)state;
    set_up(2);
    for (int i = 0; i < 200; i++) {
        look_until_found(hand_over_a_note);
        assert_ptr_equal(workers[0].notes, &note);
        assert_null(workers[0].injected);
        assert_true(workers[0].seat);
        assert_int_equal(cori_rt.looking, 1);
        workers[0].notes = NULL;
    }
    cori_seat_leave(&workers[0]);
    assert_int_equal(cori_rt.looking, 0);
    assert_int_equal(kicks, 0);
}

/* The seat goes to the waker with the hand-over: the count stands still. Who has one already gives it back. */
static void the_waker_takes_the_seat_over(void **state)
{
    (void)state;
    set_up(2);
    for (int has_one = 0; has_one < 2; has_one++) {
        cori_rt.looking_most = 2;
        task.permit = CORI_PARKED;
        assert_int_equal(cori_rt.looking, has_one);
        look_until_found(hand_over_a_task);
        assert_ptr_equal(workers[0].injected, &task);
        assert_null(task.next);
        workers[0].injected = NULL;
        assert_false(workers[0].seat);
        assert_true(workers[1].seat);
        assert_int_equal(cori_rt.looking, 1);
    }
    assert_int_equal(kicks, 0);
}

/* A thread that is no worker cannot sit on it. */
static void a_foreign_waker_gives_the_seat_back(void **state)
{
    (void)state;
    set_up(2);
    cori_rt.looking = 1;
    workers[0].injected = CORI_LOOKING;
    cori_worker_inject(&task);
    assert_ptr_equal(workers[0].injected, &task);
    assert_null(task.next);
    assert_int_equal(cori_rt.looking, 0);
    assert_int_equal(kicks, 0);
}

/* What came before the worker says that it looks is not waited for. */
static void what_is_there_already_is_found(void **state)
{
    (void)state;
    set_up(2);
    workers[0].looks = 1;
    workers[0].notes = &note;
    assert_true(cori_look(&workers[0]));
    assert_null(workers[0].injected);
    workers[0].notes = NULL;
    workers[0].injected = &task;
    assert_true(cori_look(&workers[0]));
    assert_ptr_equal(workers[0].injected, &task);
    cori_seat_leave(&workers[0]);
    assert_int_equal(cori_rt.looking, 0);
}

static void a_sleeper_is_kicked(void **state)
{
    (void)state;
    set_up(2);
    workers[0].sleeping = CORI_ASLEEP;
    assert_true(cori_worker_kick(&workers[0]));
    assert_int_equal(kicks, 1);
    assert_false(cori_worker_kick(&workers[0])); /* it is awake now */
    assert_int_equal(kicks, 1);
    workers[0].sleeping = CORI_ASLEEP;
    cori_worker_inject(&task);
    assert_int_equal(kicks, 2);
}

/* Half of the cores: one of two, none of one. Who is refused sleeps and loses nothing. */
static void half_of_the_cores_look(void **state)
{
    (void)state;
    set_up(2);
    workers[1].looks = CORI_LOOKS;
    cori_rt.looking = 1;
    assert_false(cori_look(&workers[1]));
    assert_int_equal(workers[1].looks, CORI_LOOKS);
    assert_int_equal(cori_rt.looking, 1);
    set_up(1);
    workers[1].looks = CORI_LOOKS;
    assert_false(cori_look(&workers[1]));
    assert_int_equal(cori_rt.looking, 0);
}

/* A timer that is due soon is not waited past. */
static void a_look_ends_at_the_next_timer(void **state)
{
    (void)state;
    set_up(2);
    cori_clock_set(stands_still, NULL);
    cori_timer timer = {0};
    assert_int_equal(cori_heap_set(&workers[0].timers, &timer, COR_SECOND), 0);
    workers[0].looks = 1;
    assert_false(cori_look(&workers[0]));
    assert_true(readings <= 3); /* the clock stands still: a look to its end reads it hundreds of times */
    cori_heap_remove(&workers[0].timers, &timer);
    cori_heap_free(&workers[0].timers);
    cori_clock_set(NULL, NULL);
}

static int64_t comes_back_at; /* from the moment in which the thread has left its core */

/* Time enough to leave the core passes at the second reading, and a note comes in that moment. */
static int64_t leaves_core(void *arg)
{
    (void)arg;
    readings++;
    workers[0].notes = readings == 2 ? &note : workers[0].notes;
    return readings == 1 ? COR_SECOND : readings == 2 ? COR_SECOND + CORI_LOOK_YIELD_NS : comes_back_at;
}

/* What is found after others have had the core for long would have been found sooner asleep. */
static void a_late_find_earns_nothing(void **state)
{
    static const int64_t times[] = {CORI_LOOK_NS - 1, CORI_LOOK_NS};
    static const int credits[] = {CORI_LOOK_PRICE + 2, 1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        set_up(2);
        cori_clock_set(leaves_core, NULL);
        comes_back_at = COR_SECOND + times[i];
        workers[0].looks = CORI_LOOK_PRICE + 1;
        assert_true(cori_look(&workers[0]));
        assert_ptr_equal(workers[0].notes, &note);
        assert_int_equal(workers[0].looks, credits[i]);
        assert_int_equal(workers[0].crowded, 1);
        cori_seat_leave(&workers[0]);
        cori_clock_set(NULL, NULL);
    }
}

/* How many short naps by another's doing pass until the worker may look. */
static int naps_until_a_look(cori_worker *worker)
{
    int naps = 0;
    while (worker->looks == 0 && naps <= 2 * CORI_LOOK_NAPS) {
        cori_look_after_nap(worker, true);
        naps++;
    }
    return naps;
}

static void looks_in_vain_get_rarer(void **state)
{
    (void)state;
    set_up(2);
    cori_clock_set(stands_still, NULL);
    workers[0].now = COR_SECOND;
    assert_false(cori_look(&workers[0])); /* not without a reason */
    int before = 0;
    for (int i = 0; i < 12; i++) {
        int naps = naps_until_a_look(&workers[0]);
        assert_true(naps == (before < CORI_LOOK_NAPS ? 2 * before : before) + (before == 0) ||
                    naps == CORI_LOOK_NAPS + 1);
        assert_false(cori_look(&workers[0]));
        assert_int_equal(workers[0].looks, 0);
        before = naps;
    }
    assert_int_equal(before, CORI_LOOK_NAPS + 1);
    workers[0].notes = &note;
    workers[0].looks = 1;
    assert_true(cori_look(&workers[0])); /* one that pays makes the next trial cheap again */
    workers[0].notes = NULL;
    while (workers[0].looks > 0) {
        assert_false(cori_look(&workers[0]));
    }
    assert_int_equal(naps_until_a_look(&workers[0]), 2);
    cori_clock_set(NULL, NULL);
}

/* Neither I/O nor a long nap is a reason to look. */
static void only_quick_hand_overs_are_a_reason(void **state)
{
    (void)state;
    set_up(2);
    cori_clock_set(stands_still, NULL);
    workers[0].now = COR_SECOND;
    cori_look_after_nap(&workers[0], false);
    assert_int_equal(workers[0].looks, 0);
    workers[0].now = COR_SECOND - CORI_LOOK_NAP_NS - 1;
    cori_look_after_nap(&workers[0], true);
    assert_int_equal(workers[0].looks, 0);
    workers[0].now++;
    cori_look_after_nap(&workers[0], true);
    assert_int_equal(workers[0].looks, 1);
    cori_clock_set(NULL, NULL);
}

int main(void)
{
    (void)alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_finds_what_is_handed_over),
        cmocka_unit_test(the_waker_takes_the_seat_over),
        cmocka_unit_test(a_foreign_waker_gives_the_seat_back),
        cmocka_unit_test(a_look_ends_at_the_next_timer),
        cmocka_unit_test(what_is_there_already_is_found),
        cmocka_unit_test(a_sleeper_is_kicked),
        cmocka_unit_test(half_of_the_cores_look),
        cmocka_unit_test(a_late_find_earns_nothing),
        cmocka_unit_test(looks_in_vain_get_rarer),
        cmocka_unit_test(only_quick_hand_overs_are_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

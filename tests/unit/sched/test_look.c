/* SPDX-License-Identifier: MIT */
/*
 * Looking for hand-overs before sleep: a waker that finds a worker looking writes no descriptor and takes it off the
 * count; looks in vain get rarer; only so many workers look. The workers here belong to no cor_run, and the clock
 * stands still, so a look in vain ends by its number of pauses.
 */
/* test: workers=1 no-uring */
#include "support/taskcase.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/limits.h"
#include "sched/look.h"
#include "sched/wake.h"

#include <pthread.h>

static cori_worker workers[2];
static int kicks;

static int64_t stands_still(void *arg)
{
    (void)arg;
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
    kicks = 0;
    cori_look_init(cores);
}

static void note_read(cori_note *note)
{
    (void)note;
}

static cori_note note = {.act = note_read};

/* Hands a note over as soon as worker 0 looks. */
static void *hand_over(void *arg)
{
    (void)arg;
    while (cori_load(&workers[0].sleeping) != CORI_LOOKING) {}
    cori_worker_note(&workers[0], &note);
    return NULL;
}

static void a_look_finds_what_is_handed_over(void **state)
{
    (void)state;
    set_up(2);
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        workers[0].looks = CORI_LOOKS;
        assert_int_equal(pthread_create(&thread, NULL, hand_over, NULL), 0);
        while (!cori_look(&workers[0])) { /* the thread may begin late */
            workers[0].looks = CORI_LOOKS;
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_ptr_equal(workers[0].notes, &note);
        workers[0].notes = NULL;
        assert_int_equal(workers[0].sleeping, CORI_AWAKE);
        assert_int_equal(cori_rt.looking, 0);
    }
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
    workers[0].sleeping = CORI_LOOKING;
    cori_rt.looking = 1;
    assert_true(cori_worker_kick(&workers[0]));
    assert_int_equal(kicks, 1);
    assert_int_equal(cori_rt.looking, 0);
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
        cmocka_unit_test(what_is_there_already_is_found),
        cmocka_unit_test(a_sleeper_is_kicked),
        cmocka_unit_test(half_of_the_cores_look),
        cmocka_unit_test(looks_in_vain_get_rarer),
        cmocka_unit_test(only_quick_hand_overs_are_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

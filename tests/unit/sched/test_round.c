/* SPDX-License-Identifier: MIT */
/* Rounds end by time: who waits beside tasks that compute, and how the time is watched. */
/* test: workers=1 */
/* link: -Wl,--wrap=pthread_create */
#include "support/fake.h"
#include "support/taskcase.h"

#include "sched/park.h"
#include "sched/spawn.h"
#include "sched/ticker.h"

#include <errno.h>
#include <pthread.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

static bool no_threads;
static unsigned threads_made;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    threads_made++;
    return no_threads ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

static bool stop;
static unsigned turns; /* of the hogs */

enum { TURN_NS = 5000000, NAP_NS = 1000000, NAPS = 20 };

static void fake_hog(void *unused)
{
    (void)unused;
    while (!stop) {
        fake_advance(TURN_NS);
        cor_yield();
    }
}

/* The longest that a nap took too long beside so many hogs. */
static int64_t latest_nap(int hogs)
{
    int64_t latest = 0;
    stop = false;
    for (int i = 0; i < hogs; i++) {
        T_CODE(cor_go(fake_hog, NULL), 0);
    }
    for (int i = 0; i < NAPS; i++) {
        int64_t due = fake_now() + NAP_NS;
        T_CODE(cor_sleep(NAP_NS), 0);
        int64_t late = fake_now() - due;
        latest = late > latest ? late : latest;
    }
    stop = true;
    cor_yield();
    return latest;
}

static int nap_beside_hogs(void *arg)
{
    (void)arg;
    /* It is due in the middle of one's turn, and goes before that one's next. */
    int64_t late = latest_nap(1);
    T_REQUIRE(late < TURN_NS, "%jd ns late beside one", (intmax_t)late);
    late = latest_nap(4);
    T_REQUIRE(late <= 4 * TURN_NS, "%jd ns late beside four", (intmax_t)late);
    return 0;
}

static void a_nap_is_late_by_each_hog_once(void **state)
{
    (void)state;
    cor_options options = fake_options(1);
    fake_install();
    assert_int_equal(cor_run(nap_beside_hogs, NULL, &options), 0);
    fake_uninstall();
    assert_int_equal(threads_made, 0); /* with a test's clock the time is read, not watched */
}

static char order[64];

static void say(const char *word)
{
    strncat(order, word, sizeof(order) - strlen(order) - 1);
}

static void sleep_and_say(void *unused)
{
    (void)unused;
    T_CODE(cor_sleep(NAP_NS), 0);
    say("sleeper ");
}

static void say_after_a_yield(void *unused)
{
    (void)unused;
    fake_advance(TURN_NS);
    cor_yield();
    say("yielder ");
}

static int expect_arrival(void *arg)
{
    (void)arg;
    order[0] = '\0';
    T_CODE(cor_go(sleep_and_say, NULL), 0);
    T_CODE(cor_go(say_after_a_yield, NULL), 0);
    T_CODE(cor_sleep(COR_SECOND), 0);
    T_STR(order, "sleeper yielder ");
    return 0;
}

/* A timer that fell due before the yield: its task arrived first. */
static void what_came_before_a_yield_goes_first(void **state)
{
    (void)state;
    cor_options options = fake_options(1);
    fake_install();
    assert_int_equal(cor_run(expect_arrival, NULL, &options), 0);
    fake_uninstall();
}

static bool others_ran;

static void note_turn(void *unused)
{
    (void)unused;
    others_ran = true;
}

static unsigned operations_per_turn(size_t bytes)
{
    unsigned count = 0;
    cor_yield(); /* a turn of its own */
    others_ran = false;
    T_CODE(cor_go(note_turn, NULL), 0);
    while (!others_ran) {
        cori_charge_bytes(cori_self(), bytes);
        count++;
    }
    return count;
}

static const cor_options one_worker = {.workers = 1};

TASK_TEST_WITH(a_turn_ends_by_work, &one_worker)
{
    T_EQ(operations_per_turn(0), CORI_OPS_BUDGET);
    T_EQ(operations_per_turn(1), CORI_OPS_BUDGET);
    T_EQ(operations_per_turn(65536), 8);
    T_EQ(operations_per_turn(SIZE_MAX), 1);
}

static void compute(int64_t duration_ns)
{
    int64_t end = cor_now() + duration_ns;
    while (cor_now() < end) {}
}

TASK_TEST_WITH(a_deadline_passes_while_its_task_computes, &one_worker)
{
    int64_t deadline = cor_after(2 * COR_MILLISECOND);
    T_CODE(cori_interrupted(cori_self(), cor_after(COR_MINUTE)), 0);
    compute(4 * COR_MILLISECOND);
    T_CODE(cori_interrupted(cori_self(), deadline), COR_ETIMEOUT);
}

static bool computing;

static void hog(void *unused)
{
    (void)unused;
    while (!stop) {
        if (computing) {
            compute(3 * COR_MILLISECOND);
            turns++;
        }
        cor_yield();
    }
}

/* How many turns of four hogs go by during a nap that begins when they, so far only yielding, begin to compute. */
static unsigned turns_in_a_nap(void)
{
    turns = 0;
    computing = true;
    T_CODE(cor_sleep(NAP_NS), 0);
    unsigned during = turns;
    stop = true;
    cor_yield();
    return during;
}

static void start_hogs(void)
{
    stop = computing = false;
    for (int i = 0; i < 4; i++) {
        T_CODE(cor_go(hog, NULL), 0);
    }
}

/* Tasks that did little but switch begin to compute: nobody has read the clock, the ticker tells. */
TASK_TEST_WITH(cheap_turns_become_dear_ones, &one_worker)
{
    if (taskcase_is_slow()) {
        T_SKIP("no turn is cheap here");
    }
    start_hogs();
    T_EVENTUALLY(!cori_self()->worker->clocked, 20 * COR_SECOND);
    unsigned during = turns_in_a_nap();
    T_REQUIRE(during <= 40, "%u turns", during); /* six; a loaded machine may keep the ticker waiting */
    while (cori_ticker_is_awake()) {
        T_CODE(cor_sleep(COR_MILLISECOND), 0); /* until it finds that it is not needed: else the test's time is over */
    }
    T_EQ(threads_made, 1);
}

TASK_TEST_WITH(the_clock_is_read_where_no_thread_can_be_had, &one_worker)
{
    no_threads = true;
    start_hogs();
    T_EVENTUALLY(cori_load(&cori_rt.no_ticker) != 0 || taskcase_is_slow(), 20 * COR_SECOND);
    for (int i = 0; i < 100000; i++) {
        cor_yield();
    }
    T_ASSERT(threads_made <= 1); /* it is not tried again and again */
    T_ASSERT(cori_self()->worker->clocked);
    unsigned during = turns_in_a_nap();
    T_REQUIRE(during <= 6, "%u turns", during);
}

static const cor_options two_workers = {.workers = 2};
static uint32_t ticked; /* atomic */

/* A round that only a tick can end. */
static void compute_until_ticked(void *unused, void *unused_too)
{
    (void)unused;
    (void)unused_too;
    cori_worker *worker = cori_self_worker;
    int64_t end = cor_after(20 * COR_SECOND);
    cori_store(&worker->switches_most, CORI_ROUND_SWITCHES);
    while (cori_load(&worker->switches_most) != 0) {
        cori_ticker_use();
        T_ASSERT(cor_now() < end);
    }
    __atomic_add_fetch(&ticked, 1, __ATOMIC_ACQ_REL);
}

TASK_TEST_WITH(a_tick_reaches_every_worker, &two_workers)
{
    for (int i = 0; i < 2; i++) {
        cori_spawn spawn = {.entry = compute_until_ticked, .worker = i};
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&ticked, __ATOMIC_ACQUIRE) == 2, 60 * COR_SECOND);
}

static void nothing(void *unused)
{
    (void)unused;
}

TASK_TEST_WITH(a_light_load_has_no_ticker, &one_worker)
{
    for (int i = 0; i < 50; i++) {
        for (int j = 0; j < 100; j++) {
            T_CODE(cor_go(nothing, NULL), 0);
        }
        T_CODE(cor_sleep(100 * COR_MICROSECOND), 0);
    }
    T_EQ(threads_made, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nap_is_late_by_each_hog_once),
        cmocka_unit_test(what_came_before_a_yield_goes_first),
        cmocka_unit_test(a_turn_ends_by_work),
        cmocka_unit_test(a_deadline_passes_while_its_task_computes),
        cmocka_unit_test(cheap_turns_become_dear_ones),
        cmocka_unit_test(the_clock_is_read_where_no_thread_can_be_had),
        cmocka_unit_test(a_tick_reaches_every_worker),
        cmocka_unit_test(a_light_load_has_no_ticker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

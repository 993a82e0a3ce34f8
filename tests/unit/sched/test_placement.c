/* SPDX-License-Identifier: MIT */
/* Which worker runs a new task: even shares of long-lived tasks, and nothing waits behind a computing task. */
/* test: workers=2 serial no-valgrind */
#include "support/taskcase.h"

#include "sched/here.h"
#include "sched/park.h"
#include "sched/placement.h"
#include "sched/spawn.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

enum { LONG_LIVED = 1000, WORKERS_MAX = 64, ROUNDS_MAX = 30 };

static uint32_t started;                 /* atomic */
static uint32_t release;                 /* atomic */
static uint32_t ended;                   /* atomic */
static uint32_t per_worker[WORKERS_MAX]; /* atomic */

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add(uint32_t *word)
{
    __atomic_add_fetch(word, 1, __ATOMIC_ACQ_REL);
}

/* As a connection handler: most of its life it is parked. */
static void live_long(void *arg)
{
    (void)arg;
    add(&per_worker[cor_worker_id()]);
    add(&started);
    while (load(&release) == 0) {
        T_CODE(cor_sleep(20 * COR_MILLISECOND), 0);
    }
    add(&ended);
}

static void live_there(void *a, void *b)
{
    (void)b;
    live_long(a);
}

static const cor_options one_worker = {.workers = 1};
static const cor_options two_workers = {.workers = 2};
static const cor_options four_workers = {.workers = 4};
static const cor_options eight_workers = {.workers = 8};

static void spawn_long_lived(uint32_t count, bool one_by_one)
{
    for (uint32_t i = 0; i < count; i++) {
        T_CODE(cor_go(live_long, NULL), 0);
        if (one_by_one) {
            cor_yield();
        }
    }
}

static void end_long_lived(uint32_t count)
{
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ended) == count, 20 * COR_SECOND);
}

/* How far the worst share is from the fair one, in percent. */
static uint32_t worst_share(uint32_t workers)
{
    uint32_t fair = LONG_LIVED / workers, worst = 0;
    for (uint32_t i = 0; i < workers; i++) {
        uint32_t share = load(&per_worker[i]);
        uint32_t off = share > fair ? share - fair : fair - share;
        worst = off > worst ? off : worst;
    }
    return worst * 100 / fair;
}

/*
 * On a busy machine a worker may lose its processor for so long that others take its tasks: so the best round counts.
 */
static void expect_even_shares(uint32_t workers, bool one_by_one, uint32_t percent)
{
    /*
     * Under a sanitizer, eight threads on two processors need longer to wake up than a queued task may wait, so idle
     * workers rightly take others' tasks: there the shares say nothing, only that all ran.
     */
    bool judged = !taskcase_is_slow() || workers <= 2;
    cori_place_apart = false;
    uint32_t best = UINT32_MAX;
    for (int round = 0; round < (judged ? ROUNDS_MAX : 1) && best > percent; round++) {
        memset(per_worker, 0, sizeof(per_worker));
        started = ended = release = 0;
        spawn_long_lived(LONG_LIVED, one_by_one);
        T_EVENTUALLY(load(&started) == LONG_LIVED, 20 * COR_SECOND);
        uint32_t worst = worst_share(workers);
        best = worst < best ? worst : best;
        end_long_lived(LONG_LIVED);
        cor_runtime_stats stats;
        T_EVENTUALLY(cor_stats(&stats) == 0 && stats.tasks == 1, 20 * COR_SECOND);
    }
    T_REQUIRE(best <= (taskcase_is_slow() ? 80 : percent) || !judged, "the worst share was always %u %% off or more",
              best);
}

TASK_TEST_WITH(even_shares_on_two_workers, &two_workers)
{
    expect_even_shares(2, true, 5);
}

TASK_TEST_WITH(even_shares_when_spawned_in_one_go, &two_workers)
{
    expect_even_shares(2, false, 5);
}

TASK_TEST_WITH(even_shares_on_eight_workers, &eight_workers)
{
    expect_even_shares(8, true, 30); /* more workers than most machines have cores: a rough share */
}

enum { FEW = 8 };

static cor_chan *listens;

static void talk(void *talks)
{
    add(&per_worker[cor_worker_id()]);
    uint64_t value = 0;
    T_CODE(cor_chan_send(talks, &value, 0), 0);
    T_CODE(cor_chan_recv(listens, &value, 0), 0);
    add(&ended);
}

/* On a busy machine a worker may lose its processor for so long that the other helps out: the best attempt counts. */
TASK_TEST_WITH(few_tasks_that_talk_stay_together, &two_workers)
{
    bool together = false;
    cori_place_apart = false;
    for (uint32_t attempt = 1; attempt <= 20 && !together; attempt++) {
        cor_chan *talks = cor_chan_new(sizeof(uint64_t), 0);
        listens = cor_chan_new(sizeof(uint64_t), 0);
        memset(per_worker, 0, sizeof(per_worker));
        for (int i = 0; i < FEW; i++) {
            uint64_t value;
            T_CODE(cor_go(talk, talks), 0);
            T_CODE(cor_chan_recv(talks, &value, 0), 1);
        }
        together = load(&per_worker[cor_worker_id()]) == FEW;
        T_CODE(cor_chan_close(listens), 0);
        T_EVENTUALLY(load(&ended) == FEW * attempt, 20 * COR_SECOND);
        cor_chan_free(talks);
        cor_chan_free(listens);
    }
    T_REQUIRE(together || taskcase_is_slow(), "%u of %d on the last attempt", load(&per_worker[cor_worker_id()]), FEW);
}

static cori_task *outside[FEW];

static void wait_outside(void *number)
{
    outside[(intptr_t)number] = cori_self();
    add(&per_worker[cor_worker_id()]);
    add(&started);
    while (load(&release) == 0) {
        cori_park_external(cori_self(), 0, "its end");
    }
    add(&ended);
}

/* The same number of tasks that wait for the world: each worker has its share. */
TASK_TEST_WITH(few_tasks_with_io_spread, &two_workers)
{
    cori_place_apart = false;
    for (intptr_t i = 0; i < FEW; i++) {
        T_CODE(cor_go(wait_outside, (void *)i), 0);
        T_EVENTUALLY(load(&started) == (uint32_t)i + 1, 20 * COR_SECOND);
    }
    T_REQUIRE(load(&per_worker[0]) >= FEW / 2 - 1 && load(&per_worker[1]) >= FEW / 2 - 1, "%u and %u",
              load(&per_worker[0]), load(&per_worker[1]));
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < FEW; i++) {
        cori_wake(outside[i]);
    }
    T_EVENTUALLY(load(&ended) == FEW, 20 * COR_SECOND);
}

static void be_short(void *arg)
{
    (void)arg;
    add(&per_worker[cor_worker_id()]);
    add(&ended);
}

/*
 * Tasks that end at once stay where they were made as long as that worker gets to them. When the machine takes its
 * thread away for long enough, the other worker may help out: so the best of five counts.
 */
TASK_TEST_WITH(short_tasks_are_not_sent_around, &two_workers)
{
    uint32_t best = 0;
    for (int attempt = 0; attempt < 5 && best < 700; attempt++) {
        uint32_t before = load(&per_worker[cor_worker_id()]), ended_before = load(&ended);
        for (uint32_t i = 1; i <= 1000; i++) {
            T_CODE(cor_go(be_short, NULL), 0);
            while (load(&ended) - ended_before < i) {
                cor_yield();
            }
        }
        uint32_t here = load(&per_worker[cor_worker_id()]) - before;
        best = here > best ? here : best;
    }
    T_REQUIRE(best >= 700 || taskcase_is_slow(), "at best %u of 1000 ran here", best);
}

static void compute(void *arg)
{
    (void)arg;
    add(&started);
    int64_t deadline = cor_after(30 * COR_SECOND);
    while (load(&release) == 0 && cor_now() < deadline) {
        cori_pause();
    }
    add(&ended);
}

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

/*
 * N309: the spawner itself computes: its new task must start on the other worker soon. The machine may be busy, so the
 * median counts against the 10 ms that are promised, and all against a generous limit.
 */
TASK_TEST_WITH(new_tasks_do_not_wait_behind_a_computing_task, &two_workers)
{
    enum { TRIES = 21 };
    int64_t times_ns[TRIES];
    for (uint32_t i = 0; i < TRIES; i++) {
        int64_t before = cor_now();
        T_CODE(cor_go(be_short, NULL), 0);
        while (load(&ended) == i) {
            T_REQUIRE(cor_now() - before < 20 * COR_SECOND, "task %u never started", i);
            cori_pause();
        }
        times_ns[i] = cor_now() - before;
    }
    qsort(times_ns, TRIES, sizeof(times_ns[0]), compare_times);
    int64_t limit_ns = (taskcase_is_slow() ? 100 : 10) * COR_MILLISECOND;
    T_REQUIRE(times_ns[TRIES / 2] <= limit_ns, "the median is %lld us", (long long)times_ns[TRIES / 2] / 1000);
}

/* One computing task per worker, all spawned by a computing task: each idle worker takes one, none is forgotten. */
TASK_TEST_WITH(every_idle_worker_helps, &four_workers)
{
    for (uint32_t i = 0; i < 3; i++) {
        int64_t deadline = cor_after(20 * COR_SECOND);
        T_CODE(cor_go(compute, NULL), 0);
        while (load(&started) == i) {
            T_REQUIRE(cor_now() < deadline, "computing task %u never started", i);
            sched_yield();
        }
    }
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ended) == 3, 20 * COR_SECOND);
}

/* The same, spawned in one go. */
TASK_TEST_WITH(every_idle_worker_helps_at_once, &four_workers)
{
    int64_t deadline = cor_after(20 * COR_SECOND);
    for (uint32_t i = 0; i < 3; i++) {
        T_CODE(cor_go(compute, NULL), 0);
    }
    while (load(&started) < 3) {
        T_REQUIRE(cor_now() < deadline, "%u of 3 started", load(&started));
        sched_yield();
    }
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ended) == 3, 20 * COR_SECOND);
}

/* More than the share of the others: in the end they have them all. */
TASK_TEST_WITH(nothing_is_left_behind_a_computing_task, &two_workers)
{
    int64_t deadline = cor_after(20 * COR_SECOND);
    spawn_long_lived(100, false);
    while (load(&started) < 100) {
        T_REQUIRE(cor_now() < deadline, "%u of 100 started", load(&started));
        cori_pause();
    }
    T_EQ(load(&per_worker[cor_worker_id()]), 0);
    end_long_lived(100);
}

/* A task handed over for balance to a worker that starts to compute at that moment is rescued, too. */
static void compute_briefly(void *arg)
{
    (void)arg;
    add(&per_worker[cor_worker_id()]);
    int64_t until = cor_after(3 * COR_MILLISECOND);
    while (cor_now() < until) {
        cori_pause();
    }
    add(&ended);
}

/* Both must have run for it: on one busy CPU the second worker may sleep through an attempt. */
TASK_TEST_WITH(computing_tasks_share_the_workers, &two_workers)
{
    bool shared = false;
    for (uint32_t attempt = 1; attempt <= 5 && !shared; attempt++) {
        memset(per_worker, 0, sizeof(per_worker));
        for (int i = 0; i < 40; i++) {
            T_CODE(cor_go(compute_briefly, NULL), 0);
        }
        T_EVENTUALLY(load(&ended) == 40 * attempt, 20 * COR_SECOND);
        shared = load(&per_worker[0]) >= 8 && load(&per_worker[1]) >= 8;
    }
    T_REQUIRE(shared, "%u and %u", load(&per_worker[0]), load(&per_worker[1]));
}

static void compute_in_turns(void *arg)
{
    (void)arg;
    add(&per_worker[cor_worker_id()]);
    for (int turn = 0; turn < 3; turn++) {
        int64_t until = cor_after(2 * COR_MILLISECOND);
        while (cor_now() < until) {
            cori_pause();
        }
        cor_yield();
    }
    add(&ended);
}

/* Holds the other worker, so that it helps nobody, and waits until it is held. */
static cori_worker *hold_other(void)
{
    cori_spawn spawn = {.function = compute, .worker = 1 - cor_worker_id()};
    cori_place_apart = false;
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    T_EVENTUALLY(load(&started) == 1, 20 * COR_SECOND);
    return &cori_rt.workers[spawn.worker];
}

static void let_other_go(uint32_t all)
{
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ended) == all + 1, 20 * COR_SECOND);
}

/* Those that yield are never idle, once they have one each: only the worker that has them can hand some over. */
TASK_TEST_WITH(computing_tasks_that_yield_share_the_workers, &two_workers)
{
    const cori_worker *other = hold_other();
    for (int i = 0; i < FEW; i++) {
        T_CODE(cor_go(compute_in_turns, NULL), 0);
    }
    T_EVENTUALLY(load(&ended) + cori_load(&other->placed_count) == FEW, 20 * COR_SECOND);
    T_REQUIRE(cori_load(&other->placed_count) >= 3, "%u of %d were handed over", cori_load(&other->placed_count), FEW);
    let_other_go(FEW);
}

/* As a stage of a pipeline: computes for the time that `arg` points to, then waits. */
static void compute_and_wait(void *ns)
{
    int64_t until = cor_now() + *(const int64_t *)ns;
    uint64_t value;
    while (cor_now() < until) {
        cori_pause();
    }
    add(&per_worker[cor_worker_id()]);
    T_CODE(cor_chan_recv(listens, &value, 0), 0);
    add(&ended);
}

/* How many of FEW such tasks, spawned in one go, are handed over to the other worker, which does nothing else. */
static uint32_t handed_over(int64_t ns)
{
    started = release = ended = 0;
    memset(per_worker, 0, sizeof(per_worker));
    const cori_worker *other = hold_other();
    listens = cor_chan_new(sizeof(uint64_t), 0);
    for (int i = 0; i < FEW; i++) {
        T_CODE(cor_go(compute_and_wait, &ns), 0);
    }
    T_EVENTUALLY(load(&per_worker[cor_worker_id()]) + cori_load(&other->placed_count) == FEW, 20 * COR_SECOND);
    uint32_t there = cori_load(&other->placed_count);
    T_CODE(cor_chan_close(listens), 0);
    let_other_go(FEW);
    cor_chan_free(listens);
    return there;
}

/* They take less than a millisecond each, so nobody is late; that the first ones compute sends some of the others. */
TASK_TEST_WITH(stages_that_compute_share_the_workers, &two_workers)
{
    uint32_t there = handed_over(4 * CORI_APART_TURN_NS);
    T_REQUIRE(there >= 3, "%u of %d were handed over", there, FEW);
}

/* A worker may lose its processor for so long that a stage looks as if it computed: the best attempt counts. */
TASK_TEST_WITH(stages_that_wait_stay_together, &two_workers)
{
    uint32_t there = FEW;
    for (int attempt = 0; attempt < 20 && there != 0; attempt++) {
        there = handed_over(0);
    }
    T_REQUIRE(there == 0 || taskcase_is_slow(), "%u of %d were handed over on the last attempt", there, FEW);
}

static uint32_t spawned; /* atomic */

static void hold_and_spawn(void *a, void *b)
{
    (void)a;
    (void)b;
    T_CODE(cor_go(be_short, NULL), 0);
    add(&spawned);
    while (load(&release) == 0) {}
}

/*
 * An idle worker leaves others' new tasks alone until they have waited for CORI_STEAL_AGE_NS. Nobody is idle here: both
 * workers compute, and this one asks as if it were.
 */
TASK_TEST_WITH(only_old_tasks_are_taken, &two_workers)
{
    cori_worker *here = &cori_rt.workers[cor_worker_id()], *other = &cori_rt.workers[1 - cor_worker_id()];
    cori_spawn spawn = {.entry = hold_and_spawn, .worker = other->id};
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    while (load(&spawned) == 0) {}
    int64_t since = other->fresh.head->since, now = here->now;
    here->now = since + CORI_STEAL_AGE_NS - 1;
    T_ASSERT(cori_place_steal(here) == NULL);
    here->now = since + CORI_RESCUE_AGE_NS;
    cori_task *taken = cori_place_steal(here);
    T_ASSERT(taken != NULL && taken->worker == here);
    here->now = now;
    cori_ready_push(here, taken);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
}

enum { RUNNABLE, NEW, BOTH };

static cori_task *waiting;
static uint32_t may_go;   /* atomic */
static uint32_t arrivals; /* atomic */
static int arrived[BOTH], on_worker[BOTH];

static void arrive(void *number)
{
    intptr_t own = (intptr_t)number;
    static uint32_t order; /* atomic */
    arrived[own] = (int)__atomic_fetch_add(&order, 1, __ATOMIC_ACQ_REL);
    on_worker[own] = cor_worker_id();
    (void)__atomic_fetch_add(&arrivals, 1, __ATOMIC_ACQ_REL); /* last: whoever counts two reads both */
}

static void wait_and_arrive(void *number, void *unused)
{
    (void)unused;
    while (load(&may_go) == 0) {
        cori_park(cori_self(), 0, "its turn");
    }
    arrive(number);
}

/* A task becomes runnable, then another is started here. False if the new one ran elsewhere: it was rescued. */
static bool runnable_comes_first(void)
{
    cori_spawn spawn = {.entry = wait_and_arrive, .arg_a = (void *)RUNNABLE, .worker = cor_worker_id()};
    __atomic_store_n(&may_go, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&arrivals, 0, __ATOMIC_SEQ_CST);
    T_CODE(cori_spawn_task(&spawn, &waiting), 0);
    T_EVENTUALLY(cori_load(&waiting->permit) == CORI_PARKED, 20 * COR_SECOND);
    __atomic_store_n(&may_go, 1, __ATOMIC_SEQ_CST);
    cori_wake(waiting);
    T_CODE(cor_go(arrive, (void *)NEW), 0);
    T_EVENTUALLY(load(&arrivals) == BOTH, 20 * COR_SECOND);
    if (on_worker[NEW] != cor_worker_id()) {
        return false;
    }
    T_ASSERT(arrived[RUNNABLE] < arrived[NEW]);
    return true;
}

/* One order for both queues of a worker. The other worker is busy enough for the new task to stay. */
TASK_TEST_WITH(new_tasks_do_not_overtake, &two_workers)
{
    uint32_t seen = 0;
    cori_spawn spawn = {.entry = live_there, .worker = 1 - cor_worker_id()};
    for (int i = 0; i < 4; i++) {
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    T_EVENTUALLY(load(&started) == 4, 20 * COR_SECOND);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        seen += runnable_comes_first();
    }
    T_ASSERT(seen > 0);
    end_long_lived(4);
}

TASK_TEST_WITH(one_worker_has_them_all, &one_worker)
{
    spawn_long_lived(100, true);
    T_EVENTUALLY(load(&started) == 100, 20 * COR_SECOND);
    T_EQ(load(&per_worker[0]), 100);
    end_long_lived(100);
}

/* Idle workers sleep: no processor time goes while nothing happens. */
static int64_t cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * COR_SECOND + used.tv_nsec;
}

TASK_TEST(idle_workers_use_no_time)
{
    spawn_long_lived(10, false);
    T_EVENTUALLY(load(&started) == 10, 20 * COR_SECOND);
    int64_t before_ns = cpu_ns();
    T_CODE(cor_sleep(200 * COR_MILLISECOND), 0);
    int64_t used_ns = cpu_ns() - before_ns;
    T_REQUIRE(used_ns < 40 * COR_MILLISECOND, "%lld us of processor in 200 ms", (long long)used_ns / 1000);
    end_long_lived(10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_shares_on_two_workers),
        cmocka_unit_test(even_shares_when_spawned_in_one_go),
        cmocka_unit_test(even_shares_on_eight_workers),
        cmocka_unit_test(few_tasks_that_talk_stay_together),
        cmocka_unit_test(few_tasks_with_io_spread),
        cmocka_unit_test(short_tasks_are_not_sent_around),
        cmocka_unit_test(new_tasks_do_not_wait_behind_a_computing_task),
        cmocka_unit_test(every_idle_worker_helps),
        cmocka_unit_test(every_idle_worker_helps_at_once),
        cmocka_unit_test(nothing_is_left_behind_a_computing_task),
        cmocka_unit_test(computing_tasks_share_the_workers),
        cmocka_unit_test(computing_tasks_that_yield_share_the_workers),
        cmocka_unit_test(stages_that_compute_share_the_workers),
        cmocka_unit_test(stages_that_wait_stay_together),
        cmocka_unit_test(only_old_tasks_are_taken),
        cmocka_unit_test(new_tasks_do_not_overtake),
        cmocka_unit_test(one_worker_has_them_all),
        cmocka_unit_test(idle_workers_use_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

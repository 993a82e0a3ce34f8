/* SPDX-License-Identifier: MIT */
/*
 * Floating tasks: what an idle worker takes, and that a task which has moved is whole: errno, timers, counters, dump.
 * A task that computes and never gives way holds its worker until the floating one runs on the other: no pinned task
 * could get through here.
 */
/* test: workers=2 no-valgrind */
#include "support/child.h"
#include "support/taskcase.h"

#include "base/limits.h"
#include "sched/float.h"
#include "sched/here.h"
#include "sched/park.h"
#include "sched/placement.h"
#include "sched/spawn.h"
#include "sync/chan.h"

#include <stdio.h>
#include <unistd.h>

static const cor_options two_workers = {.workers = 2}, one_worker = {.workers = 1};
static const cor_task_options floating = {.name = "the floating one", .floats = true};
enum { FIRST_ERRNO = 1000, MANY = 9 };

static uint32_t held, release, moved, ended; /* atomic */
static uint64_t floating_task;               /* atomic */
static cor_chan *chan;

static bool is_set(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) != 0;
}

static void add(uint32_t *word)
{
    __atomic_add_fetch(word, 1, __ATOMIC_ACQ_REL);
}

/* Keeps its worker busy until `until` is set, after it has done `first`. Fails the test if that takes too long. */
static void hold(void *first, void *until)
{
    int64_t late = cor_after(20 * COR_SECOND * taskcase_patience());
    void (*act)(void) = (void (*)(void))(uintptr_t)first;
    if (act != NULL) {
        act();
    }
    add(&held);
    while (!is_set(until) && cori_load(&cori_rt.stop) == 0) { /* else a failed check could not end the test */
        T_REQUIRE(cor_now() < late, "nobody has taken the floating task");
    }
    add(&ended);
}

/* Starts that on worker `id`. */
static void hold_worker(int id, void (*first)(void), uint32_t *until)
{
    cori_spawn spawn = {.entry = hold, .arg_a = (void *)(uintptr_t)first, .arg_b = until, .worker = id};
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
}

static int other_than(int worker)
{
    return 1 - worker;
}

static void move_by_yield(void *unused)
{
    int from = cor_worker_id();
    (void)unused;
    errno = FIRST_ERRNO + from;
    hold_worker(from, NULL, &moved);
    while (cor_worker_id() == from) {
        cor_yield();
    }
    T_EQ(errno, FIRST_ERRNO + from);
    T_EQ(cor_worker_id(), other_than(from));
    add(&moved);
    add(&ended);
}

/* Starts `task`, which floats, on worker `id` and waits until it and `others` have ended. */
static void play_on(int id, void (*task)(void *arg), uint32_t others)
{
    cori_spawn spawn = {.function = task, .name = floating.name, .worker = id, .floats = true};
    __atomic_store_n(&moved, 0, __ATOMIC_RELEASE);
    held = release = ended = 0;
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 1 + others, 60 * COR_SECOND);
}

/* Once on each worker. On this one, the other has slept for long; on the other, this one is woken by its timers. */
static void play(void (*task)(void *arg), uint32_t others)
{
    for (int id = 0; id < cori_rt.worker_count; id++) {
        play_on(id, task, others);
    }
}

TASK_TEST_WITH(taken_at_a_yield, &two_workers)
{
    play(move_by_yield, 1);
}

static void send_one(void)
{
    T_CODE(cor_chan_try_send(chan, &held), 0);
}

/* Parks with a deadline: its timer is armed on one worker, then on the other. */
static void move_by_wake(void *unused)
{
    int from = cor_worker_id();
    uint32_t got;
    (void)unused;
    errno = FIRST_ERRNO + from;
    hold_worker(from, send_one, &moved);
    T_CODE(cor_chan_recv(chan, &got, cor_after(600 * COR_SECOND)), 1);
    T_EQ(cor_worker_id(), other_than(from));
    T_EQ(errno, FIRST_ERRNO + from);
    T_EQ(cori_self()->timer.slot, 0); /* else it would be in the other worker's heap */
    T_CODE(cor_chan_recv(chan, &got, cor_after(COR_MILLISECOND)), COR_ETIMEOUT);
    T_EQ(cor_worker_id(), other_than(from));
    add(&moved);
    add(&ended);
}

TASK_TEST_WITH(taken_at_a_wake, &two_workers)
{
    chan = cor_chan_new(sizeof(uint32_t), 1);
    play(move_by_wake, 1);
    cor_chan_free(chan);
}

static void wake_floating(void)
{
    cori_wake((cori_task *)(uintptr_t)__atomic_load_n(&floating_task, __ATOMIC_ACQUIRE));
}

/* Parks outside on one worker, and goes on on the other. */
static void park_outside(void *unused)
{
    cori_task *self = cori_self();
    int from = cor_worker_id();
    (void)unused;
    __atomic_store_n(&floating_task, (uintptr_t)self, __ATOMIC_RELEASE);
    hold_worker(from, wake_floating, &moved);
    while (cor_worker_id() == from) {
        cori_park_outside(self, "something outside");
    }
    add(&moved);
    add(&ended);
}

#define OF_BOTH(field) (cori_load_relaxed(&cori_rt.workers[0].field) + cori_load_relaxed(&cori_rt.workers[1].field))

TASK_TEST_WITH(counts_are_even_in_sum, &two_workers)
{
    play(park_outside, 1);
    T_EVENTUALLY(OF_BOTH(live) == 1, 20 * COR_SECOND); /* the last one may still be on its way out */
    T_EQ(OF_BOTH(external), 0);
    T_EQ(OF_BOTH(floating_count), 0);
}

/* Only once: a move in the other direction would make the counters even. */
static int move_and_get_stuck(void *unused)
{
    (void)unused;
    play_on(cor_worker_id(), park_outside, 1);
    for (;;) {
        cori_park(cori_self(), 0, "nothing");
    }
    return 0;
}

static int run_and_check(void *unused)
{
    return cor_run(move_and_get_stuck, unused, &two_workers) == COR_EDEADLOCK ? 0 : 1;
}

/* A deadlock is found though the counters of both workers are uneven. */
static void stuck_after_a_move(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(run_and_check, NULL, &result));
    if (result.exit_status != 0) {
        print_message("%s", result.output);
    }
    assert_int_equal(result.exit_status, 0);
}

static void yield_until_released(void *a, void *b)
{
    (void)a;
    (void)b;
    add(&held);
    while (!is_set(&release)) {
        cor_yield();
    }
    add(&ended);
}

/* All that has run once is queued on one worker: the other, as soon as it is idle, takes its share, not one by one. */
TASK_TEST_WITH(half_a_queue_is_taken, &two_workers)
{
    int here = cor_worker_id();
    cori_spawn spawn = {.entry = yield_until_released, .worker = here, .floats = true};
    hold_worker(other_than(here), NULL, &moved);
    T_EVENTUALLY(__atomic_load_n(&held, __ATOMIC_ACQUIRE) == 1, 60 * COR_SECOND);
    for (int i = 0; i < MANY; i++) {
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&held, __ATOMIC_ACQUIRE) == MANY + 1, 60 * COR_SECOND);
    const cori_worker *other = &cori_rt.workers[other_than(here)];
    int64_t late = cor_after(20 * COR_SECOND * taskcase_patience());
    add(&moved);
    while (cori_load(&other->floating_count) < 2) { /* and one that runs */
        T_REQUIRE(cor_now() < late, "%u tasks are queued there", cori_load(&other->floating_count));
    }
    add(&release);
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == MANY + 1, 60 * COR_SECOND);
}

static void receive_one(void *a, void *b)
{
    uint32_t got;
    (void)a;
    (void)b;
    T_CODE(cor_chan_recv(chan, &got, 0), 1);
    add(&ended);
}

/* With nobody called: there is a watcher, it seems. */
static void wake_three_unseen(void)
{
    cori_store(&cori_rt.watching, 1);
    for (int i = 0; i < 3; i++) {
        T_CODE(cor_chan_try_send(chan, &held), 0);
    }
}

/*
 * Two of three are taken, while the watcher looks between the two queues and goes to sleep for good. Whoever has taken
 * them computes, and so does the worker of the third: the one that sleeps hears of those that wait.
 */
TASK_TEST_WITH(rest_of_what_was_taken_is_watched, &(cor_options){.workers = 3})
{
    int here = cor_worker_id(), other = (here + 1) % 3;
    cori_worker *worker = &cori_rt.workers[here], *idle = &cori_rt.workers[3 - here - other];
    cori_spawn spawn = {.entry = receive_one, .worker = other, .floats = true};
    chan = cor_chan_new(sizeof(uint32_t), 3);
    for (int i = 0; i < 3; i++) {
        T_CODE(cori_spawn_task(&spawn, NULL), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&chan->receivers.count, __ATOMIC_RELAXED) == 3, 60 * COR_SECOND);
    T_EVENTUALLY(cori_load(&idle->sleeping) == CORI_ASLEEP && cori_load(&cori_rt.watching) == 0, 60 * COR_SECOND);
    hold_worker(other, wake_three_unseen, &moved);
    int64_t late = cor_after(20 * COR_SECOND * taskcase_patience());
    while (!is_set(&held)) {
        T_REQUIRE(cor_now() < late, "the other worker does not run");
    }
    for (int64_t old = cor_after(2 * CORI_STEAL_AGE_NS); cor_now() < old;) {}
    (void)cori_here_now(); /* the age is told by the worker's clock */
    cori_store(&cori_rt.watching, 0);
    cori_task *first = cori_place_steal(worker); /* NULL: the idle one has woken by itself, and was faster */
    while (!is_set(&ended)) {
        T_REQUIRE(cor_now() < late, "nobody looks after the rest");
    }
    if (first != NULL) {
        (void)cori_float_put(worker, first);
    }
    add(&moved);
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 4, 60 * COR_SECOND);
    cor_chan_free(chan);
}

static char dumped[1 << 16];

/* Neither worker gives way: the floating task stays queued, and in the dump. */
static void dump_here(void)
{
    FILE *file = tmpfile();
    T_ASSERT(file != NULL);
    hold_worker(other_than(cor_worker_id()), NULL, &release);
    while (__atomic_load_n(&held, __ATOMIC_ACQUIRE) != 1) {}
    T_CODE(cor_chan_try_send(chan, &held), 0);
    T_CODE(cor_dump(fileno(file)), 0);
    T_EQ(fseek(file, 0, SEEK_SET), 0);
    dumped[fread(dumped, 1, sizeof(dumped) - 1, file)] = '\0';
    (void)fclose(file);
    add(&release);
}

static void wait_in_the_queue(void *unused)
{
    uint32_t got;
    (void)unused;
    hold_worker(cor_worker_id(), dump_here, &release);
    T_CODE(cor_chan_recv(chan, &got, 0), 1);
    add(&ended);
}

TASK_TEST_WITH(dump_shows_the_queued, &two_workers)
{
    chan = cor_chan_new(sizeof(uint32_t), 1);
    play(wait_in_the_queue, 2);
    const char *line = strstr(dumped, "the floating one");
    T_REQUIRE(line != NULL, "not in the dump:\n%.1500s", dumped);
    while (line > dumped && line[-1] != '\n') {
        line--;
    }
    T_CONTAINS(line, " [runnable, worker ");
    cor_chan_free(chan);
}

static int stay(void *unused)
{
    int from = cor_worker_id();
    (void)unused;
    for (int i = 0; i < 3; i++) {
        int64_t until = cor_after(3 * COR_MILLISECOND); /* in all: a pinned task could have been taken three times */
        while (cor_now() < until) {}
        cor_yield();
        T_EQ(cor_worker_id(), from);
    }
    return 0;
}

static void stay_here(void *arg)
{
    T_CODE(stay(arg), 0);
    add(&ended);
}

/* The default, whatever worker is idle meanwhile. */
TASK_TEST_WITH(pinned_tasks_stay, &two_workers)
{
    for (int i = 0; i < 8; i++) {
        T_CODE(cor_go(stay_here, NULL), 0);
    }
    T_EVENTUALLY(__atomic_load_n(&ended, __ATOMIC_ACQUIRE) == 8, 60 * COR_SECOND);
}

static void float_alone(void *unused)
{
    (void)unused;
    T_ASSERT(!cori_self()->floats);
    for (int i = 0; i < 100; i++) {
        cor_yield();
    }
    T_CODE(cor_sleep(COR_MICROSECOND), 0);
    add(&ended);
}

TASK_TEST_WITH(with_one_worker_none_floats, &one_worker)
{
    play(float_alone, 0);
}

static void in_its_group(void *arg)
{
    cor_chan *never = arg;
    uint32_t got;
    T_ASSERT(cori_self()->floats);
    T_STR(cori_self()->name, floating.name);
    T_CODE(cor_chan_recv(never, &got, 0), COR_ECANCELED);
    add(&ended);
}

TASK_TEST_WITH(a_group_starts_it, &two_workers)
{
    cor_group group = {0};
    cor_task_options bad = {.stack_size_bytes = SIZE_MAX};
    chan = cor_chan_new(sizeof(uint32_t), 0);
    T_CODE(cor_group_go_with(&group, &bad, in_its_group, chan), -EINVAL);
    T_CODE(cor_group_go_with(&group, &floating, in_its_group, chan), 0);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(__atomic_load_n(&ended, __ATOMIC_ACQUIRE), 1);
    cor_chan_free(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_at_a_yield),       cmocka_unit_test(taken_at_a_wake),
        cmocka_unit_test(counts_are_even_in_sum), cmocka_unit_test(stuck_after_a_move),
        cmocka_unit_test(half_a_queue_is_taken),  cmocka_unit_test(rest_of_what_was_taken_is_watched),
        cmocka_unit_test(dump_shows_the_queued),  cmocka_unit_test(pinned_tasks_stay),
        cmocka_unit_test(a_group_starts_it),      cmocka_unit_test(with_one_worker_none_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Questions to tasks: the thread that asks waits as long as it says and no longer, also for less than a second; what
 * comes later is freed by its task, and meanwhile nothing waits at all.
 */
/* sources: cmd/coracle/serve/admin/ask.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <coracle.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "serve/admin/ask.h"

#define PATIENT_NS (20 * COR_SECOND)
#define SHORT_NS (20 * COR_MILLISECOND)

static struct asker asker;
static atomic_int asked, filled, dropped;
static int64_t took_ns[2];
static int codes[2];

static void fill(void *arg)
{
    (void)arg;
    atomic_fetch_add(&filled, 1);
}

static void drop(void *arg)
{
    (void)arg;
    atomic_fetch_add(&dropped, 1);
}

static void *ask_twice(void *waits)
{
    const int64_t *wait_ns = waits;
    for (int i = 0; i < 2; i++) {
        int64_t begin = cor_now();
        codes[i] = ask_task(&asker, wait_ns[i], fill, drop, NULL);
        took_ns[i] = cor_now() - begin;
    }
    atomic_store(&asked, 1);
    return NULL;
}

/* The only worker computes until both questions are over. */
static int hold_the_worker(void *arg)
{
    (void)arg;
    pthread_t thread;
    int64_t waits[2] = {SHORT_NS, PATIENT_NS};
    if (pthread_create(&thread, NULL, ask_twice, waits) != 0) {
        return 1;
    }
    while (atomic_load(&asked) == 0) {}
    bool late = ask_late_for(&asker) > 0;
    ask_end(&asker);
    return pthread_join(thread, NULL) != 0 || !late ? 2 : 0;
}

static void a_held_worker(void **state)
{
    (void)state;
    const cor_options one = {.workers = 1};
    atomic_store(&asked, 0);
    atomic_store(&filled, 0);
    atomic_store(&dropped, 0);
    assert_int_equal(cor_run(hold_the_worker, NULL, &one), 0);
    assert_int_equal(codes[0], -EAGAIN);
    assert_int_equal(codes[1], -EAGAIN);
    assert_true(took_ns[0] >= SHORT_NS);
    assert_true(took_ns[0] < PATIENT_NS / 2);
    assert_true(took_ns[1] < PATIENT_NS / 2); /* at once: the first is still under way */
    assert_int_equal(atomic_load(&filled), 1);
    assert_int_equal(atomic_load(&dropped), 2);
    assert_int_equal(ask_late_for(&asker), 0);
}

static int let_others_run(void *arg)
{
    (void)arg;
    pthread_t thread;
    int64_t waits[2] = {PATIENT_NS, PATIENT_NS};
    if (pthread_create(&thread, NULL, ask_twice, waits) != 0) {
        return 1;
    }
    while (atomic_load(&asked) == 0) {
        cor_yield();
    }
    return pthread_join(thread, NULL);
}

static void a_free_worker(void **state)
{
    (void)state;
    const cor_options one = {.workers = 1};
    atomic_store(&asked, 0);
    atomic_store(&filled, 0);
    atomic_store(&dropped, 0);
    assert_int_equal(cor_run(let_others_run, NULL, &one), 0);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[1], 0);
    assert_int_equal(atomic_load(&filled), 2);
    assert_int_equal(atomic_load(&dropped), 0);
}

/* /livez is answered within a second, also behind one question that is not. */
static void both_are_within_a_second(void **state)
{
    (void)state;
    assert_true(ASK_WAIT_NS + ASK_WAIT_LIVE_NS < COR_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_held_worker),
        cmocka_unit_test(a_free_worker),
        cmocka_unit_test(both_are_within_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

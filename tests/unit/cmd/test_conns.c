/* SPDX-License-Identifier: MIT */
/* The list of connections: its counters add up whenever they are read, and a visit misses and repeats none. */
/* sources: cmd/coracle/serve/conns.c cmd/coracle/serve/reason.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "serve/conns.h"

enum { STAYING = 5 * CONNS_AT_A_TIME + 3, COMERS = 3, ROUNDS = 3000 };

/* Neither is looked into: only their addresses matter here. */
static struct session *const somebody = (struct session *)&(char){0};

static struct conns all;
static atomic_bool over;

static void *come_and_go(void *seed)
{
    unsigned next = (unsigned)(uintptr_t)seed;
    for (int i = 0; i < ROUNDS; i++) {
        struct connection one = {.session = somebody};
        (void)conns_enter(&all, &one, 0);
        connection_add(&one.bytes_in, 1);
        connection_decide(&one, 1 + next++ % (REASON_COUNT - 1));
        connection_decide(&one, REASON_INTERNAL);
        conns_leave(&all, &one);
    }
    return NULL;
}

static void *read_counters(void *broken)
{
    while (!atomic_load(&over)) {
        conns_counts counts;
        uint64_t sum = 0;
        conns_count(&all, &counts);
        for (int i = 0; i < REASON_COUNT; i++) {
            sum += counts.by_reason[i];
        }
        if (counts.accepted != counts.open + counts.closed || sum != counts.closed) {
            atomic_store((atomic_bool *)broken, true);
        }
    }
    return NULL;
}

/* What a visit has seen. */
struct visit {
    uint64_t last, staying;
    bool disorder;
};

static bool note(struct connection *one, void *arg)
{
    struct visit *visit = arg;
    visit->disorder |= one->id <= visit->last;
    visit->last = one->id;
    visit->staying += one->id <= STAYING;
    return true;
}

static void test_under_traffic(void **state)
{
    (void)state;
    struct connection *staying = calloc(STAYING, sizeof(*staying));
    atomic_bool broken = false;
    pthread_t threads[COMERS], reader;
    conns_init(&all);
    for (int i = 0; i < STAYING; i++) {
        staying[i].session = somebody;
        assert_int_equal(conns_enter(&all, &staying[i], 0), REASON_NONE);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_counters, &broken), 0);
    for (int i = 0; i < COMERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)(uintptr_t)i), 0);
    }
    for (int i = 0; i < 50; i++) {
        struct visit visit = {0};
        conns_each(&all, note, &visit);
        assert_false(visit.disorder);
        assert_int_equal(visit.staying, STAYING);
    }
    for (int i = 0; i < COMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    assert_false(broken);
    conns_counts counts;
    conns_count(&all, &counts);
    assert_int_equal(counts.accepted, STAYING + COMERS * ROUNDS);
    assert_int_equal(counts.open, STAYING);
    assert_int_equal(counts.traffic.bytes_in, COMERS * ROUNDS);
    for (int i = 1; i < REASON_COUNT; i++) {
        assert_in_range(counts.by_reason[i], COMERS * (ROUNDS / (REASON_COUNT - 1)),
                        COMERS * (ROUNDS / (REASON_COUNT - 1) + 1));
    }
    for (int i = 0; i < STAYING; i++) {
        connection_decide(&staying[i], REASON_EOF);
        conns_leave(&all, &staying[(i * 7) % STAYING]); /* 7 and STAYING have no common factor */
    }
    assert_null(all.first);
    assert_ptr_equal(all.last, &all.first);
    free(staying);
}

static void test_refuses_beyond_the_most(void **state)
{
    (void)state;
    struct connection some[3] = {{.session = somebody}, {.session = somebody}, {.session = somebody}};
    conns_init(&all);
    assert_int_equal(conns_enter(&all, &some[0], 2), REASON_NONE);
    assert_int_equal(conns_enter(&all, &some[1], 2), REASON_NONE);
    assert_int_equal(conns_enter(&all, &some[2], 2), REASON_MAX_CONNS);
    connection_decide(&some[2], REASON_EOF);
    assert_int_equal(connection_reason(&some[2]), REASON_MAX_CONNS);
    conns_leave(&all, &some[2]);
    conns_counts counts;
    conns_count(&all, &counts);
    assert_int_equal(counts.by_reason[REASON_MAX_CONNS], 1);
    assert_int_equal(counts.open, 2);
}

static void test_counts_those_without_a_task(void **state)
{
    (void)state;
    conns_init(&all);
    assert_int_equal(conns_lose(&all, REASON_OOM), 1);
    assert_int_equal(conns_lose(&all, REASON_DRAIN), 2);
    conns_counts counts;
    conns_count(&all, &counts);
    assert_int_equal(counts.accepted, 2);
    assert_int_equal(counts.open, 0);
    assert_int_equal(counts.closed, 2);
    assert_int_equal(counts.by_reason[REASON_OOM], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_under_traffic),
        cmocka_unit_test(test_refuses_beyond_the_most),
        cmocka_unit_test(test_counts_those_without_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

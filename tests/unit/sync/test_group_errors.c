/* SPDX-License-Identifier: MIT */
/* Groups: tasks that can fail, the reason of a cancel, and the limit on tasks under way. */
#include "support/taskcase.h"

#include "sched/scope.h"

#include <errno.h>

enum { LONG = 20 };

static uint32_t load(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void add(uint32_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

static int give(void *arg)
{
    return (int)(intptr_t)arg;
}

static int sleep_long(void *arg)
{
    add(arg);
    int rc = cor_sleep(COR_MINUTE);
    cor_cause why = {0};
    T_CODE(cor_cancel_cause(&why), rc);
    T_CODE(why.code, rc);
    return rc;
}

TASK_TEST(no_error)
{
    cor_group group = {0};
    T_CODE(cor_group_go_err(&group, give, (void *)0), 0);
    T_CODE(cor_group_go_err(&group, give, (void *)17), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_CODE(cor_group_error(&group), 0);
}

TASK_TEST(first_error_cancels_the_rest)
{
    cor_group group = {0};
    uint32_t parked = 0;
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_group_go_err(&group, sleep_long, &parked), 0);
    }
    T_EVENTUALLY(load(&parked) == 10, LONG * COR_SECOND);
    T_CODE(cor_group_error(&group), 0);
    T_CODE(cor_group_go_err(&group, give, (void *)(intptr_t)-EPROTO), 0);
    T_CODE(cor_group_wait(&group, 0), -EPROTO); /* not what the cancelled ones gave */
    T_CODE(cor_group_wait(&group, 1), -EPROTO);
    T_CODE(cor_group_error(&group), -EPROTO);
    T_CODE(cor_group_go_err(&group, give, (void *)(intptr_t)-EIO), 0);
    T_CODE(cor_group_wait(&group, 0), -EPROTO);
}

/* An error after a cancel is still the group's error, and the cause stays the cancel's. */
static int say_cause(void *arg)
{
    T_CODE(cor_cancel_cause(arg), COR_ECANCELED);
    return -EIO;
}

TASK_TEST(error_after_a_cancel)
{
    cor_group group = {0};
    cor_cause why = {0};
    cor_group_cancel_cause(&group, -ESHUTDOWN);
    cor_group_cancel_cause(&group, -EPROTO);
    T_CODE(cor_group_go_err(&group, say_cause, &why), 0);
    T_CODE(cor_group_wait(&group, 0), -EIO);
    T_CODE(cor_group_go_err(&group, say_cause, &why), 0);
    T_CODE(cor_group_wait(&group, 0), -EIO);
    T_CODE(why.code, COR_ECANCELED);
    T_CODE(why.cause, -ESHUTDOWN);
    T_ASSERT(why.group == &group);
}

/* Whose it is: the nearest, from the task's own group upwards. */
static cor_group outer, inner;

typedef struct causes {
    uint32_t parked; /* atomic */
    cor_cause why;
} causes;

static void note_cause(void *arg)
{
    causes *one = arg;
    T_CODE(cor_cancel_cause(&one->why), 0);
    T_CODE(one->why.code, 0); /* untouched */
    add(&one->parked);
    int rc = cor_sleep(COR_MINUTE);
    T_CODE(cor_cancel_cause(&one->why), rc);
    T_CODE(cor_cancelled(), rc);
}

static void run_inner(void *arg)
{
    T_CODE(cor_group_go(&inner, note_cause, arg), 0);
    T_CODE(cor_group_wait(&inner, 0), 0);
}

static void run_both(causes *one)
{
    memset(&outer, 0, sizeof(outer));
    memset(&inner, 0, sizeof(inner));
    memset(one, 0, sizeof(*one));
    T_CODE(cor_group_go(&outer, run_inner, one), 0);
    T_EVENTUALLY(load(&one->parked) == 1, LONG * COR_SECOND);
}

TASK_TEST(cause_names_the_group)
{
    causes one;
    run_both(&one);
    cor_group_cancel(&outer);
    T_CODE(cor_group_wait(&outer, 0), 0);
    T_CODE(one.why.cause, COR_ECANCELED);
    T_ASSERT(one.why.group == &outer);

    run_both(&one);
    cor_group_cancel_cause(&outer, 5); /* no code: as if none was given */
    T_CODE(cor_group_wait(&outer, 0), 0);
    T_CODE(one.why.cause, COR_ECANCELED);

    run_both(&one);
    cor_group_set_deadline(&outer, cor_after(COR_MILLISECOND));
    T_CODE(cor_group_wait(&outer, 0), 0);
    T_CODE(one.why.code, COR_ETIMEOUT);
    T_CODE(one.why.cause, COR_ETIMEOUT);
    T_ASSERT(one.why.group == &outer);

    run_both(&one);
    cor_group_set_deadline(&inner, cor_after(COR_MILLISECOND));
    T_CODE(cor_group_wait(&outer, 0), 0);
    T_CODE(one.why.code, COR_ETIMEOUT);
    T_ASSERT(one.why.group == &inner);
}

/* The limit: so many are under way at once, the others start later, and all of them do. */
static uint32_t under_way, most, ran; /* atomic */

static void work(void *arg)
{
    uint32_t now = __atomic_add_fetch(&under_way, 1, __ATOMIC_ACQ_REL);
    uint32_t seen = load(&most);
    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {}
    for (int i = 0; i < 5; i++) {
        cor_yield();
    }
    __atomic_sub_fetch(&under_way, 1, __ATOMIC_ACQ_REL);
    add(&ran);
    (void)arg;
}

static void start_many(void *group)
{
    for (int i = 0; i < 100; i++) {
        T_CODE(cor_group_go(group, work, NULL), 0);
    }
}

TASK_TEST(limit_is_kept)
{
    cor_group group = {0}, starters = {0};
    cor_group_set_limit(&group, 3);
    for (int i = 0; i < 5; i++) {
        T_CODE(cor_group_go(&starters, start_many, &group), 0);
    }
    T_CODE(cor_group_wait(&starters, 0), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(load(&ran), 500);
    T_ASSERT(load(&most) <= 3);
}

typedef struct starter {
    cor_group *group;
    uint32_t ended; /* atomic */
    int result;
    uint32_t place; /* in the order of starts */
} starter;

static uint32_t places; /* atomic */

static void take_place(void *arg)
{
    ((starter *)arg)->place = __atomic_add_fetch(&places, 1, __ATOMIC_ACQ_REL);
}

static void start_one(void *arg)
{
    starter *one = arg;
    one->result = cor_group_go(one->group, take_place, one);
    add(&one->ended);
}

static uint32_t release; /* atomic */

static void hold(void *arg)
{
    (void)arg;
    while (load(&release) == 0) {
        cor_yield();
    }
}

static void hold_room(cor_group *group)
{
    cor_group_set_limit(group, 1);
    T_CODE(cor_group_try_go(group, hold, NULL), 0);
    T_CODE(cor_group_try_go(group, hold, NULL), -EAGAIN);
}

static const void *last_in_queue(cor_group *group)
{
    cori_scope_lock(&group->spin);
    const void *last = group->starting_last;
    cori_scope_unlock(&group->spin);
    return last;
}

/* Starts a starter and waits until it waits for room. */
static void begin(cor_group *starters, starter *one, cor_group *group)
{
    const void *before = last_in_queue(group);
    one->group = group;
    T_CODE(cor_group_go(starters, start_one, one), 0);
    T_EVENTUALLY(last_in_queue(group) != before, LONG * COR_SECOND);
}

static void let_go_of_room(cor_group *group)
{
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_CODE(cor_group_wait(group, 0), 0);
}

TASK_TEST(starters_wait_in_order)
{
    cor_group group = {0}, starters = {0};
    static starter all[20];
    hold_room(&group);
    for (int i = 0; i < 20; i++) {
        begin(&starters, &all[i], &group);
    }
    for (int i = 0; i < 20; i++) {
        T_EQ(load(&all[i].ended), 0);
    }
    let_go_of_room(&group);
    T_CODE(cor_group_wait(&starters, 0), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    for (uint32_t i = 0; i < 20; i++) { /* one at a time, with the limit at 1 */
        T_CODE(all[i].result, 0);
        T_EQ(all[i].place, i + 1);
    }
}

/* One that gives up lets the next come to its turn; a higher limit lets them all. */
TASK_TEST(starters_give_up)
{
    cor_group group = {0}, impatient = {0}, patient = {0};
    starter one = {0}, two = {0}, three = {0};
    hold_room(&group);
    begin(&impatient, &one, &group);
    begin(&patient, &two, &group);
    begin(&impatient, &three, &group);
    cor_group_cancel(&impatient);
    T_CODE(cor_group_wait(&impatient, 0), 0);
    T_CODE(one.result, COR_ECANCELED);
    T_CODE(three.result, COR_ECANCELED);
    T_EQ(load(&two.ended), 0);
    cor_group_set_limit(&group, 2);
    T_CODE(cor_group_wait(&patient, 0), 0);
    T_CODE(two.result, 0);
    let_go_of_room(&group);
    T_EQ(two.place, 1);
}

TASK_TEST(no_limit_again)
{
    cor_group group = {0}, starters = {0};
    static starter all[5];
    hold_room(&group);
    for (int i = 0; i < 5; i++) {
        begin(&starters, &all[i], &group);
    }
    cor_group_set_limit(&group, 0);
    T_CODE(cor_group_wait(&starters, 0), 0);
    T_CODE(cor_group_try_go(&group, hold, NULL), 0);
    let_go_of_room(&group);
    T_EQ(load(&places), 5);
}

static void outside_a_task(void **state)
{
    (void)state;
    cor_group group = {0};
    cor_cause why;
    assert_int_equal(cor_group_go_err(&group, give, NULL), COR_ENOT_TASK);
    assert_int_equal(cor_group_try_go(&group, hold, NULL), COR_ENOT_TASK);
    assert_int_equal(cor_group_wait(&group, 0), COR_ENOT_TASK);
    assert_int_equal(cor_cancel_cause(&why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_error),
        cmocka_unit_test(first_error_cancels_the_rest),
        cmocka_unit_test(error_after_a_cancel),
        cmocka_unit_test(cause_names_the_group),
        cmocka_unit_test(limit_is_kept),
        cmocka_unit_test(starters_wait_in_order),
        cmocka_unit_test(starters_give_up),
        cmocka_unit_test(no_limit_again),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Read-write locks: who may be inside together, who goes first, misuse. N338 throughout. */
#include "unit/sync/waiting.h"

static cor_rwmutex lock;
static cor_waitgroup tasks;
static int inside;
static int readers_inside;
static int writers_inside;
static int done;
static char order[16]; /* guard: lock held for writing, or one reader at a time */
static int ordered;

static void read_until_all_are_inside(void *arg)
{
    int count = (int)(intptr_t)arg;
    cor_rwmutex_rlock(&lock);
    add(&inside, 1);
    T_EVENTUALLY(get(&inside) == count, SOON);
    cor_rwmutex_runlock(&lock);
    cor_waitgroup_done(&tasks);
}

TASK_TEST(readers_share)
{
    cor_waitgroup_add(&tasks, 8);
    for (int i = 0; i < 8; i++) {
        T_OK(cor_go(read_until_all_are_inside, (void *)(intptr_t)8));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(lock.readers, 0);
}

static void read_one(void *arg)
{
    (void)arg;
    cor_rwmutex_rlock(&lock);
    T_EQ(get(&writers_inside), 0);
    add(&readers_inside, 1);
    cor_yield();
    add(&readers_inside, -1);
    cor_rwmutex_runlock(&lock);
}

static void write_one(void *arg)
{
    (void)arg;
    cor_rwmutex_lock(&lock);
    T_EQ(add(&writers_inside, 1), 1);
    T_EQ(get(&readers_inside), 0);
    cor_yield();
    add(&writers_inside, -1);
    cor_rwmutex_unlock(&lock);
}

static void mixed(void *arg)
{
    for (int i = 0; i < 300; i++) {
        if ((i + (int)(intptr_t)arg) % 4 == 0) {
            write_one(NULL);
        } else {
            read_one(NULL);
        }
    }
    cor_waitgroup_done(&tasks);
}

TASK_TEST(a_writer_is_alone)
{
    cor_waitgroup_add(&tasks, 8);
    for (intptr_t i = 0; i < 8; i++) {
        T_OK(cor_go(mixed, (void *)i));
    }
    T_OK(cor_waitgroup_wait(&tasks, 0));
    T_EQ(lock.readers, 0);
    T_EQ(waiting(&lock.waiting_writers), 0);
}

static void note_reader(void *arg)
{
    (void)arg;
    cor_rwmutex_rlock(&lock);
    order[__atomic_fetch_add(&ordered, 1, __ATOMIC_ACQ_REL)] = 'r';
    cor_rwmutex_runlock(&lock);
    add(&done, 1);
}

static void note_writer(void *arg)
{
    cor_rwmutex_lock(&lock);
    order[__atomic_fetch_add(&ordered, 1, __ATOMIC_ACQ_REL)] = (char)(intptr_t)arg;
    cor_rwmutex_unlock(&lock);
    add(&done, 1);
}

TASK_TEST(a_waiting_writer_keeps_readers_out)
{
    cor_rwmutex_rlock(&lock);
    T_OK(cor_go(note_writer, (void *)'W'));
    T_WAITING(&lock.waiting_writers, 1);
    T_OK(cor_go(note_reader, NULL));
    T_WAITING(&lock.waiting_readers, 1);
    T_EQ(get(&done), 0);
    cor_rwmutex_runlock(&lock);
    T_EVENTUALLY(get(&done) == 2, SOON);
    T_STR(order, "Wr");
}

/* Readers wait for one writer at most: after it they all go, before the next writer. */
TASK_TEST(readers_follow_a_writer)
{
    cor_rwmutex_lock(&lock);
    T_OK(cor_go(note_writer, (void *)'1'));
    T_WAITING(&lock.waiting_writers, 1);
    T_OK(cor_go(note_writer, (void *)'2'));
    T_WAITING(&lock.waiting_writers, 2);
    for (unsigned i = 0; i < 3; i++) {
        T_OK(cor_go(note_reader, NULL));
        T_WAITING(&lock.waiting_readers, i + 1);
    }
    cor_rwmutex_unlock(&lock);
    T_EVENTUALLY(get(&done) == 5, SOON);
    T_STR(order, "rrr12");
}

static void read_then_note(void *arg)
{
    cor_rwmutex_rlock(&lock);
    *(int *)arg = cor_cancelled();
    cor_rwmutex_runlock(&lock);
}

TASK_TEST(cancellation_does_not_end_a_lock)
{
    cor_group group = {0};
    int noted = 1;
    cor_rwmutex_lock(&lock);
    T_OK(cor_group_go(&group, read_then_note, &noted));
    T_WAITING(&lock.waiting_readers, 1);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, cor_after(BRIEFLY)), COR_ETIMEOUT);
    T_EQ(waiting(&lock.waiting_readers), 1);
    cor_rwmutex_unlock(&lock);
    T_OK(cor_group_wait(&group, 0));
    T_CODE(noted, COR_ECANCELED);
}

static int runlock_unlocked(void *arg)
{
    (void)arg;
    cor_rwmutex_runlock(&lock);
    return 0;
}

static int runlock_of_writer(void *arg)
{
    (void)arg;
    cor_rwmutex_lock(&lock);
    cor_rwmutex_runlock(&lock);
    return 0;
}

static int unlock_unlocked(void *arg)
{
    (void)arg;
    cor_rwmutex_unlock(&lock);
    return 0;
}

static int unlock_of_reader(void *arg)
{
    (void)arg;
    cor_rwmutex_rlock(&lock);
    cor_rwmutex_unlock(&lock);
    return 0;
}

static int lock_outside(void *arg)
{
    (void)arg;
    cor_rwmutex_lock(&lock);
    cor_rwmutex_rlock(&lock);
    return 0;
}

static void misuse_is_fatal(void **state)
{
    (void)state;
    expect_fatal(runlock_unlocked, "fatal error: sync: RUnlock of unlocked RWMutex\n");
    expect_fatal(runlock_of_writer, "fatal error: sync: RUnlock of unlocked RWMutex\n");
    expect_fatal(unlock_unlocked, "fatal error: sync: Unlock of unlocked RWMutex\n");
    expect_fatal(unlock_of_reader, "fatal error: sync: Unlock of unlocked RWMutex\n");
    expect_fatal(lock_outside, "fatal error: sync: lock outside a task\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_share),
        cmocka_unit_test(a_writer_is_alone),
        cmocka_unit_test(a_waiting_writer_keeps_readers_out),
        cmocka_unit_test(readers_follow_a_writer),
        cmocka_unit_test(cancellation_does_not_end_a_lock),
        cmocka_unit_test(misuse_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Debug builds: a pthread mutex that a task holds while it lets others run ends the program, with both names. */
/* test: workers=1,2 */
#include "support/child.h"
#include "support/taskcase.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#if COR_DEBUG_LOCKS

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Shown by its name: the linker keeps it. */
__attribute__((noinline)) COR_API void take_first(void);
void take_first(void)
{
    T_EQ(pthread_mutex_lock(&first), 0);
}

static void sleep_with_it(void *arg)
{
    (void)arg;
    take_first();
    (void)cor_sleep(COR_MILLISECOND);
}

static void yield_with_it(void *arg)
{
    (void)arg;
    T_EQ(pthread_mutex_trylock(&first), 0);
    cor_yield();
}

static void end_with_it(void *arg)
{
    const struct timespec until = {.tv_sec = 1};
    (void)arg;
    T_EQ(pthread_mutex_timedlock(&first, &until), 0);
}

/* The outer one is given back first. */
static void park_with_the_inner(void *arg)
{
    cor_chan *chan = cor_chan_new(1, 0);
    const struct timespec until = {.tv_sec = 1};
    (void)arg;
    T_EQ(pthread_mutex_lock(&second), 0);
    T_EQ(pthread_mutex_clocklock(&first, CLOCK_MONOTONIC, &until), 0);
    T_EQ(pthread_mutex_unlock(&second), 0);
    cor_case cases[] = {{COR_RECV, chan, NULL, 0}};
    T_CODE(cor_select(cases, 1, cor_after(COR_MILLISECOND)), COR_ETIMEOUT);
}

static void recursively(void *arg)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    (void)arg;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&mutex, &attributes);
    T_EQ(pthread_mutex_lock(&mutex), 0);
    T_EQ(pthread_mutex_lock(&mutex), 0);
    T_EQ(pthread_mutex_unlock(&mutex), 0);
    cor_yield();
}

static int run_one(void *task)
{
    cor_task_options named = {.name = "holder"};
    void (*function)(void *arg);
    *(void **)&function = task;
    int rc = cor_go_with(&named, function, NULL);
    return rc < 0 ? rc : cor_sleep(5 * COR_SECOND);
}

static int start(void *task)
{
    child_default_signals();
    return cor_run(run_one, task, NULL);
}

/* Runs the task in a process of its own, which it has to end; gives what it said. */
static const char *last_words(void (*task)(void *arg))
{
    static child_result out;
    void *passed;
    *(void (**)(void *arg)) & passed = task;
    assert_true(child_run(start, passed, &out));
    assert_int_equal(out.signal_number, SIGABRT);
    return out.output;
}

static void a_park_is_found(void **state)
{
    char mutex[64];
    (void)state;
    const char *said = last_words(sleep_with_it);
    (void)snprintf(mutex, sizeof(mutex), "mutex %p, locked at take_first+", (void *)&first);
    assert_non_null(strstr(said, " (holder) parks with a mutex locked"));
    assert_non_null(strstr(said, mutex));
    said = last_words(park_with_the_inner);
    (void)snprintf(mutex, sizeof(mutex), "mutex %p, ", (void *)&first);
    assert_non_null(strstr(said, mutex));
    (void)snprintf(mutex, sizeof(mutex), "mutex %p, ", (void *)&second);
    assert_null(strstr(said, mutex));
}

static void a_yield_and_an_end_are_found(void **state)
{
    (void)state;
    assert_non_null(strstr(last_words(yield_with_it), " (holder) yields with a mutex locked"));
    assert_non_null(strstr(last_words(recursively), " (holder) yields with a mutex locked"));
    assert_non_null(strstr(last_words(end_with_it), " (holder) ends with a mutex locked"));
}

static uint32_t holds; /* atomic */

/* A thread that holds one, and waits for a condition with it, is nobody's worker. */
static void *hold_elsewhere(void *until)
{
    T_EQ(pthread_mutex_lock(&second), 0);
    __atomic_store_n(&holds, 1, __ATOMIC_RELEASE);
    T_EQ(pthread_cond_timedwait(&changed, &second, until), ETIMEDOUT);
    T_EQ(pthread_mutex_unlock(&second), 0);
    return NULL;
}

TASK_TEST(what_is_given_back_is_fine)
{
    pthread_t other;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec = (until.tv_nsec + 50000000) % 1000000000;
    until.tv_sec += until.tv_nsec < 50000000;
    T_EQ(pthread_create(&other, NULL, hold_elsewhere, &until), 0);
    T_EVENTUALLY(__atomic_load_n(&holds, __ATOMIC_ACQUIRE) != 0, 20 * COR_SECOND);
    for (int i = 0; i < 100; i++) {
        T_EQ(pthread_mutex_lock(&first), 0);
        T_EQ(pthread_mutex_trylock(&first), EBUSY);
        T_EQ(pthread_mutex_unlock(&first), 0);
        cor_yield();
    }
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    T_EQ(pthread_join(other, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_park_is_found),
        cmocka_unit_test(a_yield_and_an_end_are_found),
        cmocka_unit_test(what_is_given_back_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    puts("not a build with COR_DEBUG_LOCKS");
    return 77;
}

#endif

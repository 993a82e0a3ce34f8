/* SPDX-License-Identifier: MIT */
/* A thread that is no worker: no signal comes to it, but one that a sandbox sends must. */
/* test: workers=1 */
#include "base/thread.h"
#include "support/taskcase.h"

#include <signal.h>

static sigset_t seen;

static void *look(void *arg)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, &seen);
    return arg;
}

static void only_sigsys_is_delivered(void **state)
{
    (void)state;
    pthread_t thread;
    sigset_t before, after;
    void *result;
    int argument;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(cori_thread_start(&thread, look, &argument), 0);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &argument);
    for (int number = 1; number < 32; number++) {
        if (number != SIGKILL && number != SIGSTOP) {
            assert_int_equal(sigismember(&seen, number), number != SIGSYS);
        }
        assert_int_equal(sigismember(&after, number), sigismember(&before, number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_sigsys_is_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

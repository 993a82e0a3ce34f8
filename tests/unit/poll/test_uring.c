/* SPDX-License-Identifier: MIT */
/*
 * Where io_uring cannot be used its name means epoll, and the reason is told; where it stops working, waiting says so.
 * The kernel's refusal is played by a filter in a child process.
 */
/* test: workers=1 no-valgrind */
#include "support/child.h"
#include "support/taskcase.h"

#include "poll/poll_epoll.h"
#include "poll/poll_pick.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { NO_FILTERS = 77 };

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

static const struct refusal {
    long call;
    int error, result;
    const char *chosen, *word;
} refusals[] = {
    {SYS_io_uring_setup, ENOSYS, 7, "epoll (", "ENOSYS"},
    {SYS_io_uring_setup, EPERM, 7, "epoll (", "EPERM"},
    {SYS_io_uring_setup, EACCES, 7, "epoll (", "EACCES"},
    {SYS_io_uring_setup, EINVAL, 7, "epoll (", "EINVAL"},
    {SYS_io_uring_setup, ENOMEM, 7, "epoll (", "ENOMEM"},
    {SYS_io_uring_register, EPERM, 7, "epoll (", "EPERM"},
    {SYS_io_uring_enter, EACCES, 7, "epoll (", "EACCES"},
    {SYS_io_uring_setup, EMFILE, -EMFILE, "io_uring", ""}, /* it is there: no reason to take another in silence */
};

static int result_of_run(const char *poller)
{
    cor_options options = {.poller = poller, .workers = 2};
    return cor_run(nothing, NULL, &options);
}

/* 0, or the number of the failed check. */
static int told(const struct refusal *refusal)
{
    if (strncmp(cor_poller_info(), refusal->chosen, strlen(refusal->chosen)) != 0) {
        return 2;
    }
    return COR_HAVE_URING && strstr(cor_poller_info(), refusal->word) == NULL ? 3 : 0;
}

static int run_refused(void *arg)
{
    const struct refusal *refusal = arg;
    if (!child_refuse(refusal->call, refusal->error)) {
        return NO_FILTERS;
    }
    if (result_of_run("auto") != 7 || strncmp(cor_poller_info(), "epoll", 5) != 0) {
        return 4;
    }
    return result_of_run("io_uring") != refusal->result ? 1 : told(refusal);
}

/* It was tried, and worked. Only setting up may still be refused then and lead to epoll. */
static int run_refused_later(void *arg)
{
    const struct refusal *refusal = arg;
    if (result_of_run("io_uring") != 7) {
        return 1;
    }
    if (!child_refuse(refusal->call, refusal->error)) {
        return NO_FILTERS;
    }
    return result_of_run("io_uring") != refusal->result ? 5 : told(refusal);
}

static void expect_success(int (*child)(void *arg), const void *arg)
{
    static child_result result;
    assert_true(child_run(child, (void *)(uintptr_t)arg, &result));
    if (result.exit_status == NO_FILTERS) {
        skip();
    }
    assert_int_equal(result.exit_status, 0);
}

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]) - (COR_HAVE_URING ? 0 : 1); i++) {
        expect_success(run_refused, &refusals[i]);
    }
}

static void refused_later(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const cori_poll_ops *ops = cori_poll_pick("io_uring");
        if (refusals[i].call == SYS_io_uring_setup && ops != &cori_poll_epoll) {
            expect_success(run_refused_later, &refusals[i]);
        }
    }
}

static int wait_refused(void *by)
{
    const cori_poll_ops *ops = by;
    cori_poller *poller;
    cori_event events[4];
    if (ops->open(&poller) < 0) {
        return 1;
    }
    ops->start(poller);
    if (ops->wait(poller, 0, events, 4) != 0) {
        return 2;
    }
    if (!child_refuse(SYS_io_uring_enter, EPERM)) {
        return NO_FILTERS;
    }
    return ops->wait(poller, 0, events, 4) == -EPERM && ops->wait(poller, -1, events, 4) == -EPERM ? 0 : 3;
}

static void a_refused_wait_is_told(void **state)
{
    (void)state;
    const cori_poll_ops *ops = cori_poll_pick("io_uring");
    if (ops == &cori_poll_epoll) {
        skip();
    }
    expect_success(wait_refused, ops);
}

static void chosen_by_name(void **state)
{
    (void)state;
    const cori_poll_ops *ops = cori_poll_pick("io_uring");
    assert_non_null(ops);
    assert_int_equal(strncmp(cor_poller_info(), ops->name, strlen(ops->name)), 0);
    assert_ptr_equal(cori_poll_pick("auto"), &cori_poll_epoll);
    assert_int_equal(strncmp(cor_poller_info(), "epoll", 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(refused_later),
        cmocka_unit_test(a_refused_wait_is_told),
        cmocka_unit_test(chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Where io_uring cannot be used its name means epoll, for the three reasons that mean so, and the reason is told. The
 * kernel's refusal is played by a seccomp filter in a child process.
 */
/* test: workers=1 no-valgrind */
#include "support/child.h"
#include "support/taskcase.h"

#include "poll/poll.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static bool refuse_rings(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

static const struct refusal {
    int error, result;
    const char *chosen, *word;
} refusals[] = {
    {ENOSYS, 7, "epoll (", "ENOSYS"},
    {EPERM, 7, "epoll (", "EPERM"},
    {EINVAL, 7, "epoll (", "EINVAL"},
    {ENOMEM, -ENOMEM, "io_uring", ""}, /* it is there: no reason to take another in silence */
};

/* 77: this machine forbids filters; else 0 or the number of the failed check. */
static int run_refused(void *arg)
{
    const struct refusal *refusal = arg;
    cor_options options = {.poller = "io_uring", .workers = 1};
    if (!refuse_rings(refusal->error)) {
        return 77;
    }
    if (cor_run(nothing, NULL, &options) != refusal->result) {
        return 1;
    }
    if (strncmp(cor_poller_info(), refusal->chosen, strlen(refusal->chosen)) != 0) {
        return 2;
    }
    return COR_HAVE_URING && strstr(cor_poller_info(), refusal->word) == NULL ? 3 : 0;
}

static void refused(void **state)
{
    (void)state;
    static child_result result;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]) - (COR_HAVE_URING ? 0 : 1); i++) {
        assert_true(child_run(run_refused, (void *)(uintptr_t)&refusals[i], &result));
        if (result.exit_status == 77) {
            skip();
        }
        assert_int_equal(result.exit_status, 0);
    }
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
        cmocka_unit_test(chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The main of a file whose tests are all of io_uring: skipped where it is not built in or the kernel refuses it. */
#ifndef TEST_SUPPORT_URING_MAIN_H
#define TEST_SUPPORT_URING_MAIN_H

#include "support/taskcase.h"

#include <stdio.h>

enum { URING_SKIPPED = 77 }; /* what CTest takes for skipped */

#if COR_HAVE_URING
#include "poll/poll_pick.h"
#include "poll/poll_uring.h"

/* The kernel is asked before any test makes something short. */
#define URING_MAIN(...)                                                                                                \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                                               \
        if (cori_poll_pick("io_uring") != &cori_poll_uring) {                                                          \
            puts("skipped: the kernel refuses io_uring");                                                              \
            return URING_SKIPPED;                                                                                      \
        }                                                                                                              \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                              \
    }
#else
#define URING_MAIN(...)                                                                                                \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        puts("skipped: io_uring is not built in");                                                                     \
        return URING_SKIPPED;                                                                                          \
    }
#endif

#endif

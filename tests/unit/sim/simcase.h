/* SPDX-License-Identifier: MIT */
/* For tests whose code runs in a simulated run: cmocka's own checks would jump off a task's stack. */
#ifndef CORI_TESTS_SIMCASE_H
#define CORI_TESTS_SIMCASE_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                      \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif

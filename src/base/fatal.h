/* SPDX-License-Identifier: MIT */
/* Ending the program on a programming error that Go also calls fatal, and assertions that stay on in release. */
#ifndef CORI_BASE_FATAL_H
#define CORI_BASE_FATAL_H

#include "base/platform.h"

/*
 * Writes "fatal error: TEXT" to stderr and aborts. For misuse that would otherwise corrupt: unlock of unlocked mutex.
 */
_Noreturn void cori_fatal(const char *text);

#define cori_assert(condition)                                                                                         \
    do {                                                                                                               \
        if (cori_unlikely(!(condition))) {                                                                             \
            cori_fatal("coracle: internal check failed: " #condition);                                                 \
        }                                                                                                              \
    } while (0)

#endif

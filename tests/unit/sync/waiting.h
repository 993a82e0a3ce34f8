/* SPDX-License-Identifier: MIT */
/* What the tests of this folder share: looking at how many tasks wait, and calls that end the program. */
#ifndef TEST_UNIT_SYNC_WAITING_H
#define TEST_UNIT_SYNC_WAITING_H

#include "support/child.h"
#include "support/taskcase.h"
#include "sync/chan.h"

#include <signal.h>

/* Long enough for anything that must come to pass. */
#define SOON (20 * COR_SECOND)
/* Short, for what must not come to pass. */
#define BRIEFLY (2 * COR_MILLISECOND)

static inline unsigned waiting(const cor_waitq *queue)
{
    return __atomic_load_n(&queue->count, __ATOMIC_RELAXED);
}

#define T_WAITING(queue, number) T_EVENTUALLY(waiting(queue) == (unsigned)(number), SOON)

/* A number that several tasks change. */
static inline int add(int *number, int delta)
{
    return __atomic_add_fetch(number, delta, __ATOMIC_ACQ_REL);
}

static inline int get(const int *number)
{
    return __atomic_load_n(number, __ATOMIC_ACQUIRE);
}

/* Runs `fn` in a process of its own, which must abort with `text`. In a plain cmocka test. */
static inline void expect_fatal(int (*fn)(void *arg), const char *text)
{
    static child_result result;
    assert_true(child_run(fn, NULL, &result));
    assert_int_equal(result.signal_number, SIGABRT);
    assert_non_null(strstr(result.output, text));
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Runs a function in a process of its own and catches how it ended and what it wrote: for calls that end the program.
 */
#ifndef TEST_SUPPORT_CHILD_H
#define TEST_SUPPORT_CHILD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct child_result {
    int exit_status;    /* -1 if a signal ended it */
    int signal_number;  /* 0 if it exited */
    size_t length;      /* of `output` */
    char output[65536]; /* stdout and stderr together, NUL-terminated, cut if longer */
} child_result;

/*
 * Forks, runs `fn(arg)` (its return value is the exit status) and waits, at most 60 s. No core is written. Call it from
 * an ordinary cmocka test, not from a task. False if no process could be made.
 */
bool child_run(int (*fn)(void *arg), void *arg, child_result *out);

/*
 * From now on the system call `number` fails with `error` in this process, as in a sandbox. For children: it cannot be
 * undone. False if the machine forbids filters.
 */
bool child_refuse(long number, int error);

/* For a process just forked from a test: cmocka's handlers, which would jump back into the test, are taken away. */
void child_default_signals(void);

#endif

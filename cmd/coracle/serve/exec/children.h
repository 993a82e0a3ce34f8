/* SPDX-License-Identifier: MIT */
/*
 * The processes that serve connections: how many run, which they are, and how those that have ended did. One table for
 * the process. A place in it is taken before a process is started and given back after it has been reaped.
 *
 * Signals to all of them go by the table, under its lock. A process that has ended is taken out, under the lock, before
 * it is reaped: while its id stands here the kernel gives it to nobody else.
 */
#ifndef CORACLE_CMD_SERVE_EXEC_CHILDREN_H
#define CORACLE_CMD_SERVE_EXEC_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a process ended. */
typedef enum child_end { CHILD_EXITED_0, CHILD_EXITED, CHILD_KILLED, CHILD_NOT_STARTED, CHILD_END_COUNT } child_end;

extern const char *const child_end_names[CHILD_END_COUNT];

/* Makes room for `max` processes. Returns 0 or -ENOMEM. */
int children_open(size_t max);

/* Nothing runs any more. */
void children_close(void);

/* Takes a place. Returns its number, or -1 if all are taken. Any thread, as all of these. */
ssize_t children_enter(void);

/* Says which process has the place. Returns false if all are to end: the caller has to see to this one. */
bool children_set(ssize_t place, pid_t pid);

/* Takes the process out: from now on it gets no signal from here. */
void children_forget(ssize_t place);

/* Gives the place back, and counts the end. */
void children_leave(ssize_t place, child_end end);

/* Tells whether it is a process of the table. */
bool children_has(pid_t pid);

/* Sends a signal to the groups of all processes; those that are started later are to end as well. */
void children_end_all(int signal_number);

/* What the metrics show; zeros without the service. */
typedef struct children_counts {
    uint64_t running;
    uint64_t ends[CHILD_END_COUNT];
} children_counts;

void children_count(children_counts *counts);

#endif

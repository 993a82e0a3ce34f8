/* SPDX-License-Identifier: MIT */
/*
 * The processes that serve connections: how many run, which they are, and how those that have ended did. One table for
 * the process. A place in it is taken before a process is started and given back after it has been reaped.
 *
 * Signals to all of them go by the table, under its lock. Before a process is reaped it is marked there as over, under
 * the lock: while its id gets signals the kernel gives it to nobody else. The id stays until after that, for a sweep
 * (child.h) that finds an ended process asks here whether it is somebody's, and reaps it if it is nobody's. One that
 * ends at once may end before its start has told its id; children_settle waits for the starts under way.
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

/* Around the start of a process and its children_set. */
void children_begin_start(void);
void children_end_start(void);

/* Waits until the table has each process that there was at the call; as long as a start takes at most. */
void children_settle(void);

/* Says which process has the place. Returns false if all are to end: the caller has to see to this one. */
bool children_set(ssize_t place, pid_t pid);

/* From now on the process gets no signal from here, and may be reaped. */
void children_is_over(ssize_t place);

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

/* SPDX-License-Identifier: MIT */
/*
 * A process of its own for a connection: started, told to end, and cleared away with all that it has left.
 *
 * It is started by posix_spawn on the pool of cor_blocking: the thread that makes a process stands still until the
 * program's file has been opened (0.6 ms here for /bin/true, more from a cold disk), and a worker must not. It has
 * three pipes for 0, 1 and 2, no other descriptor, a session and so a process group of its own, the signals' default
 * actions, and no signal blocked.
 *
 * Nobody listens to SIGCHLD, which tells of several ends once and of any child of the process. A pidfd becomes readable
 * when its process has ended, and waitid takes that one. It is reaped last: as long as it is not, its id names its
 * group and its session and nothing else.
 *
 * What it leaves behind: processes of its session, which are found by that; and those that have made a session for
 * themselves, as daemons do. This process is a subreaper (child_adopt), so all that lose their parent become its own
 * children. Which connection they are from their environment says: CORACLE_CONN=<id of this process>.<number of the
 * connection>. A process that has removed the variable and the session is nobody's, and is left alone; so is every
 * child that was made for something else.
 *
 * Calls marked "pool" stop their thread for a moment: on cor_blocking's pool only.
 */
#ifndef CORACLE_CMD_SERVE_EXEC_CHILD_H
#define CORACLE_CMD_SERVE_EXEC_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILD_MARK "CORACLE_CONN="

struct child {
    char *const *program;     /* its arguments; the first one is also its path */
    char *const *environment; /* with the mark */
    uint64_t conn;            /* the number of the connection */
    ssize_t place;            /* its place in the table, see children.h */
    pid_t pid;
    int pidfd;
    bool unwanted;    /* all were told to end before this one could be */
    int in, out, err; /* our ends of its pipes, not blocking; -1: given away or closed */
    int status;       /* its exit status */
    int signal;       /* the signal that ended it; 0: none did */
    int sweep;        /* the signal for child_sweep */
};

/* Makes this process the parent of those that lose theirs. Returns 0 or a negative errno. */
int child_adopt(void);

/* Pool. Starts `arg`, a struct child with the first four filled in. Returns 0 or a negative errno; then it is none. */
int child_start(void *arg);

/* Sends a signal to its group, while it is not reaped. */
void child_signal(const struct child *child, int signal_number);

/* Pool. Waits a few seconds at most for the process to end. Returns 0 or -ETIMEDOUT. */
int child_await(void *arg);

/*
 * Pool. Sends the signal `sweep` to all that the process `arg` has left, itself excepted, and reaps those that have
 * ended. Returns how many there were: one that has just ended may have made another one this process's child.
 */
int child_sweep(void *arg);

/* Pool. Reaps the process if it has ended, and then fills in `status` and `signal`. Returns 0 or -ETIMEDOUT. */
int child_reap(void *arg);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Groups: start tasks in it, wait for all of them, cancel them together, give them a deadline. It is Go's WaitGroup and
 * context in one. A group first used inside another group's task becomes that group's child: cancelling the parent, or
 * its deadline, reaches the child's tasks too, never the other way round. By value; all-zero is ready; the fields are
 * private.
 */
#ifndef CORACLE_GROUP_H
#define CORACLE_GROUP_H

#include <coracle/base.h>

COR_BEGIN

typedef struct cor_group {
    uint32_t spin;
    uint32_t cancelled;
    int64_t deadline;
    int64_t count;
    void *members;
    void *waiters;
    struct cor_group *parent;
    struct cor_group *children;
    struct cor_group *next_sibling;
    struct cor_group *prev_sibling;
} cor_group;

/*
 * Starts `task(arg)` in the group. Cancelled groups still start tasks: their first parking call returns COR_ECANCELED.
 * The group must outlive its tasks: wait for it before it goes out of scope.
 * Returns: 0, -ENOMEM, COR_ENOT_TASK. Parks: never. Threads: tasks only.
 * Go: errgroup's Go; go statement plus WaitGroup.Add.
 */
COR_API COR_CHECK int cor_group_go(cor_group *group, void (*task)(void *arg), void *arg);

/*
 * Parks until all tasks of the group have ended. `deadline` is absolute, 0 for none. Cancellation does not end the
 * wait: a cancelled parent has cancelled this group as well, and the wait goes on until its tasks are gone.
 * Returns: 0 when empty, COR_ETIMEOUT. Parks: until deadline. Threads: tasks only, not a task of this group.
 * Go: (*sync.WaitGroup).Wait.
 */
COR_API int cor_group_wait(cor_group *group, int64_t deadline);

/*
 * Cancels: every parking call (but locks and group waits) of the group's tasks returns COR_ECANCELED, those parked now
 * too. Idempotent.
 * Returns: nothing. Parks: never. Threads: tasks only. Go: the cancel function of context.WithCancel.
 */
COR_API void cor_group_cancel(cor_group *group);

/*
 * Sets an absolute deadline, 0 for none, after which every parking call of the group's tasks returns COR_ETIMEOUT.
 * Returns: nothing. Parks: never. Threads: tasks only. Go: context.WithDeadline.
 */
COR_API void cor_group_set_deadline(cor_group *group, int64_t deadline);

/*
 * Tells whether the calling task's group (or one above it) has been cancelled or has passed its deadline.
 * Returns: 0 to go on, COR_ECANCELED, COR_ETIMEOUT. Parks: never. Threads: tasks; elsewhere 0.
 * Go: ctx.Err().
 */
COR_API int cor_cancelled(void);

COR_END

#endif

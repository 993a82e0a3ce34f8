/* SPDX-License-Identifier: MIT */
/*
 * Groups: start tasks in it, wait for all of them, cancel them together, give them a deadline. It is Go's errgroup,
 * WaitGroup and context in one. By value; all-zero is ready; the fields are private. The group must outlive its tasks:
 * wait for it before it goes out of scope. It need not outlive child groups.
 *
 * Groups form a tree: cancelling a group, or its deadline, reaches the tasks of the groups below it too, never the
 * other way round. A group's parent is decided when its first task starts: it is the group of the starting task; a
 * group first used by a task without a group has none, for good. cor_group_set_parent decides it beforehand. A parent
 * is kept until it has ended, which means: no task of it and no group below it is left. A start after that decides
 * again.
 *
 * A cancel or a deadline ends every call that may park, even one that could go on at once. Exceptions: locks (mutex,
 * rwmutex, once), waiting for a group, cor_yield, cor_blocking, and closing. A call's own deadline (an argument, or set
 * on the connection) is another matter: each call says what happens when that has passed.
 *
 * So a cancelled task that has to clean up cannot count on a channel: its sends and receives fail. It can take a lock,
 * try (cor_chan_try_send), close, or leave the rest to a task of cor_go, which is in no group.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_GROUP_H
#define CORACLE_GROUP_H

#include <coracle/base.h>
#include <coracle/task.h>

COR_BEGIN

typedef struct cor_group {
    uint32_t spin;
    bool alone;
    bool cancelled;
    int32_t cause;
    int32_t error;
    int64_t deadline;
    size_t count;
    size_t limit;
    uint64_t ends;
    struct cori_group_waiter *waiting, *waiting_last;
    struct cori_group_waiter *starting, *starting_last;
    struct cori_scope *scope;
    uint64_t scope_life;
    struct cori_scope *parent;
    uint64_t parent_life;
} cor_group;

/*
 * Starts `task(arg)` in the group. Cancelled groups still start tasks: their first parking call returns COR_ECANCELED.
 * At the group's limit it waits until one of its tasks ends; the caller's own cancel or deadline ends that wait.
 * Returns: 0, -ENOMEM, COR_ENOT_TASK; at the limit COR_ECANCELED, COR_ETIMEOUT. Parks: only at the group's limit.
 * Threads: tasks only, any number at once. Go: errgroup's Go; go statement plus WaitGroup.Add.
 */
COR_API COR_CHECK int cor_group_go(cor_group *group, void (*task)(void *arg), void *arg);

/*
 * As cor_group_go, but does not wait at the limit.
 * Returns: 0, -EAGAIN at the limit, -ENOMEM, COR_ENOT_TASK. Threads: tasks only, any number at once.
 * Go: errgroup's TryGo.
 */
COR_API COR_CHECK int cor_group_try_go(cor_group *group, void (*task)(void *arg), void *arg);

/*
 * As cor_group_go, with attributes of the task as for cor_go_with.
 * Returns: as cor_group_go; -EINVAL for a bad stack size. Parks: only at the group's limit.
 * Threads: tasks only, any number at once. Owns: borrows `options` until return, keeps options->name.
 */
COR_API COR_CHECK int cor_group_go_with(cor_group *group, const cor_task_options *options, void (*task)(void *arg),
                                        void *arg);

/*
 * As cor_group_go, for a task that can fail. The first negative result is the group's error: it cancels the group, with
 * the error as the cause, and cor_group_wait returns it. Results after that, and results of 0 or more, are dropped.
 * Returns: as cor_group_go. Parks: only at the group's limit. Threads: tasks only, any number at once.
 * Go: errgroup's Go after errgroup.WithContext.
 */
COR_API COR_CHECK int cor_group_go_err(cor_group *group, int (*task)(void *arg), void *arg);

/*
 * Limits how many tasks of the group may run at once; 0: no limit. Running tasks above a new limit go on.
 * Go: errgroup's SetLimit.
 */
COR_API void cor_group_set_limit(cor_group *group, size_t limit);

/*
 * Decides the group's parent before its first task starts: NULL for none, which is for good, or a group that has tasks
 * or groups below it now.
 * Returns: 0 (also if it is decided so already), COR_EMISUSE: decided otherwise, or `parent` has ended or not begun.
 * Go: the argument of context.WithCancel; NULL: context.Background.
 */
COR_API COR_CHECK int cor_group_set_parent(cor_group *group, cor_group *parent);

/*
 * Parks until all tasks of the group have ended. `deadline` is absolute, 0 for none. Cancellation does not end the
 * wait: a cancelled parent has cancelled this group as well, and the wait goes on until its tasks are gone. Groups
 * below are not waited for. Several tasks may wait; then the group must outlive all the waits.
 * Returns: 0 or the group's error when empty; COR_ETIMEOUT; COR_ENOT_TASK; COR_EMISUSE for a task of this group or of
 * one below it, which would wait for itself. Parks: until deadline. Go: errgroup's Wait, (*sync.WaitGroup).Wait.
 */
COR_API int cor_group_wait(cor_group *group, int64_t deadline);

/*
 * Gives the first error of the group's tasks.
 * Returns: 0 or that error. Go: the err field of errgroup.Group.
 */
COR_API int cor_group_error(cor_group *group);

/*
 * Cancels: every call that may park (see above) of the group's tasks, and of the groups below, returns COR_ECANCELED,
 * those parked now too. Idempotent; there is no way back.
 * Go: the cancel function of context.WithCancel.
 */
COR_API void cor_group_cancel(cor_group *group);

/*
 * As cor_group_cancel, and says why: `cause` is a negative code, which cor_cancel_cause returns. The first one stays.
 * Go: the cancel function of context.WithCancelCause.
 */
COR_API void cor_group_cancel_cause(cor_group *group, int cause);

/*
 * Sets an absolute deadline, 0 for none, after which every call that may park (see above) of the group's tasks, and of
 * the groups below, returns COR_ETIMEOUT. It can be moved as long as it has not passed, and after that too.
 * Go: context.WithDeadline.
 */
COR_API void cor_group_set_deadline(cor_group *group, int64_t deadline);

/*
 * Tells whether the calling task's group (or one above it) has been cancelled or has passed its deadline. The nearest
 * such group counts; if both are true of it, the cancel.
 * Returns: 0 to go on, COR_ECANCELED, COR_ETIMEOUT. Threads: tasks; elsewhere 0. Go: ctx.Err().
 */
COR_API int cor_cancelled(void);

/* Why the calling task is cancelled. */
typedef struct cor_cause {
    int code;               /* COR_ECANCELED or COR_ETIMEOUT, as cor_cancelled returns */
    int cause;              /* what cor_group_cancel_cause or the failed task said; else as `code` */
    const cor_group *group; /* whose cancel or deadline it is; to compare only: its memory may be gone */
} cor_cause;

/*
 * As cor_cancelled, and tells whose cancel or deadline it is, and why.
 * Returns: as cor_cancelled; *cause is filled unless it is 0. Threads: tasks; elsewhere 0. Go: context.Cause.
 */
COR_API int cor_cancel_cause(cor_cause *cause);

COR_END

#endif

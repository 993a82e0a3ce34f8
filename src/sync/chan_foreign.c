/* SPDX-License-Identifier: MIT */
/*
 * Channel operations of threads that are no tasks: cor_blocking's pool, and the program's own.
 *
 * Such a thread never touches a channel or a task: with one worker both do without atomic operations (state.h). So a
 * task is started for the operation, and the thread waits for its result: on a condition variable of its own, never
 * longer than the run lasts. A thread could also leave the worker a note and be served by it between two tasks; but
 * what waits in a channel is a task's node, and the deadlines, the order of arrival and the dump come with a task.
 *
 * The record of an operation lies on the thread's stack. It is in `under_way` from before its task exists until the
 * thread has seen `done`. The task, or the end of the run, sets that under the lock and touches the record no more.
 *
 * No thread is left waiting when the run ends and the task with it: cori_run_at_stop comes when no worker runs any more
 * and ends all that is under way. Between cori_foreign_enter and leave, for which the end of the run waits first, an
 * operation is put on the list and its task started. So each task's record is on the list by then, and the task of one
 * that the end finds there belongs to no later run.
 */
#include "sync/chan.h"

#include "base/list.h"

#include <coracle/task.h>
#include <pthread.h>

typedef struct operation {
    struct operation *next, *prev; /* guard: lock, as `done` and `result` */
    cor_chan *chan;
    void *elem;
    int64_t deadline;
    bool sends;
    bool done;
    int result;
    pthread_cond_t ended;
} operation;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static operation *under_way; /* guard: lock */

/* Under the lock; the thread that gets the lock next may be gone with its record. */
static void end(operation *op, int result)
{
    op->result = result;
    op->done = true;
    (void)pthread_cond_signal(&op->ended);
}

static void operate(void *arg)
{
    operation *op = arg;
    int rc =
        op->sends ? cor_chan_send(op->chan, op->elem, op->deadline) : cor_chan_recv(op->chan, op->elem, op->deadline);
    (void)pthread_mutex_lock(&lock);
    end(op, rc);
    (void)pthread_mutex_unlock(&lock);
}

static void end_all(void)
{
    (void)pthread_mutex_lock(&lock);
    for (operation *op = under_way; op != NULL; op = op->next) {
        if (!op->done) {
            end(op, COR_ECANCELED);
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

/* Puts the operation on the list and starts its task, if a run is there to do it. */
static int begin(operation *op)
{
    int rc = COR_ENOT_TASK;
    if (cori_foreign_enter()) {
        cori_store_release(&cori_run_at_stop, end_all);
        (void)pthread_mutex_lock(&lock);
        cori_list_add(&under_way, op, next, prev);
        (void)pthread_mutex_unlock(&lock);
        rc = cor_go_foreign(operate, op);
        if (rc < 0) {
            (void)pthread_mutex_lock(&lock);
            cori_list_remove(&under_way, op, next, prev);
            (void)pthread_mutex_unlock(&lock);
        }
    }
    cori_foreign_leave();
    return rc;
}

static int operate_from_outside(operation *op)
{
    if (cori_here_is_worker()) {
        return COR_ENOT_TASK; /* the scheduler's own stack: it must not wait */
    }
    (void)pthread_cond_init(&op->ended, NULL);
    int rc = begin(op);
    if (rc == 0) {
        (void)pthread_mutex_lock(&lock);
        while (!op->done) {
            (void)pthread_cond_wait(&op->ended, &lock);
        }
        cori_list_remove(&under_way, op, next, prev);
        (void)pthread_mutex_unlock(&lock);
        rc = op->result;
    }
    (void)pthread_cond_destroy(&op->ended);
    return rc;
}

int cor_chan_send_foreign(cor_chan *chan, const void *elem, int64_t deadline)
{
    if (cori_self() != NULL) {
        return cor_chan_send(chan, elem, deadline);
    }
    operation op = {.chan = chan, .elem = (void *)(uintptr_t)elem, .deadline = deadline, .sends = true};
    return operate_from_outside(&op);
}

int cor_chan_recv_foreign(cor_chan *chan, void *elem, int64_t deadline)
{
    if (cori_self() != NULL) {
        return cor_chan_recv(chan, elem, deadline);
    }
    operation op = {.chan = chan, .elem = elem, .deadline = deadline};
    return operate_from_outside(&op);
}

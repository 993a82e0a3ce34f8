/* SPDX-License-Identifier: MIT */
/*
 * Code that stops its thread runs in a lane: a queue of jobs and a limited number of threads, started on demand, ended
 * with cor_run. There are three: cor_blocking's, of cor_options.blocking_threads, and two for the library's own calls,
 * which must not wait for users', nor these for them. Signals are blocked in the threads: they belong to the workers.
 *
 * The caller stays parked until `done`, which the worker that it parked on sets when it reads the job's note: the
 * thread's last touch of the job is to leave it, and the worker's to set `done`. Such a job lies on its caller's stack.
 *
 * Of a call that may be left (cori_blocking_leave) job and argument are allocated, and in `leavable`. Whoever leaves
 * takes a job that is queued out again: so no more are queued than tasks wait. One that has begun is marked, and freed
 * by the thread when the call has returned, or by the worker if its note was under way already. The caller stays on its
 * worker, so it never meets the note half read.
 *
 * The end of cor_run waits for the threads, but not for ever. What still runs then is abandoned: `epoch` changes, and a
 * thread that comes back from a job looks at it, under the lock, before it touches the job, the lane or the worker. The
 * job itself, and what it was given, may lie on the caller's stack: all stacks stay mapped (run.c), also after further
 * runs, until the last such thread has come back.
 */
#include "base/clock.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/thread.h"
#include "sched/lifecycle.h"
#include "sched/park.h"
#include "sched/text.h"
#include "sched/virtual.h"

#include <coracle/blocking.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum job_state { QUEUED, RUNNING, NOTED };

typedef struct job {
    cori_note note; /* first: what the worker reads */
    int (*fn)(void *arg);
    void *arg;
    void (*drop)(void *arg); /* of a call that may be left; else NULL */
    int result;
    uint32_t done; /* atomic; after it the job may be gone */
    cori_task *task;
    struct job *next, *prev; /* in its lane; guard: lock */
    struct job *leavable_next, *leavable_prev;
    enum job_state state; /* guard: lock, like the next */
    bool left;            /* its caller has gone; set on the caller's worker */
} job;

typedef struct lane {
    pthread_cond_t work;
    job *head, *tail; /* guard: lock, like all below */
    int threads, idle, queued;
    int running; /* jobs */
} lane;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gone = PTHREAD_COND_INITIALIZER;
static lane users = {.work = PTHREAD_COND_INITIALIZER}, own = {.work = PTHREAD_COND_INITIALIZER}; /* guard: lock */
static lane names = {.work = PTHREAD_COND_INITIALIZER}; /* calls that may be left; guard: lock */
static job *leavable;                                   /* guard: lock */
static bool stop;                                       /* guard: lock */
static uint64_t epoch;                                  /* counts abandonments; guard: lock */
static int still_out; /* abandoned threads of the others that have not come back; guard: lock */

/* Frees a job that its caller has left, and what it was given; guard: lock. */
static void drop_job(job *one)
{
    cori_list_remove(&leavable, one, leavable_next, leavable_prev);
    one->drop(one->arg);
    free(one);
}

/* On the caller's worker. */
static void finished(cori_note *note)
{
    job *done = (job *)note;
    cori_task *task = done->task;
    if (done->left) {
        (void)pthread_mutex_lock(&lock);
        drop_job(done);
        (void)pthread_mutex_unlock(&lock);
        return;
    }
    cori_store_release(&done->done, 1);
    cori_wake(task);
}

/* Runs a job outside the lock; false if all was abandoned meanwhile, the job too. */
static bool run_job(lane *on, job *one)
{
    int (*fn)(void *arg) = one->fn;
    void (*drop)(void *arg) = one->drop;
    void *arg = one->arg;
    uint64_t begun = epoch;
    on->running++;
    one->state = RUNNING;
    (void)pthread_mutex_unlock(&lock);
    int result = fn(arg);
    (void)pthread_mutex_lock(&lock);
    if (begun != epoch) {
        if (drop != NULL) { /* this thread's, since the end of cor_run took it out of the list */
            drop(arg);
            free(one);
        }
        return false;
    }
    on->running--;
    if (one->left) {
        drop_job(one);
        return true;
    }
    one->state = NOTED;
    one->result = result;
    cori_worker_note(cori_load_relaxed(&one->task->worker), &one->note);
    return true;
}

/* Takes a job out of its queue; guard: lock. */
static void take_out(lane *of, job *one)
{
    *(one->prev != NULL ? &one->prev->next : &of->head) = one->next;
    *(one->next != NULL ? &one->next->prev : &of->tail) = one->prev;
    of->queued--;
}

static void *lane_main(void *arg)
{
    lane *on = arg;
    bool mine = true;
    (void)pthread_mutex_lock(&lock);
    while (mine && (!stop || on->head != NULL)) {
        job *next = on->head;
        if (next == NULL) {
            on->idle++;
            (void)pthread_cond_wait(&on->work, &lock);
            on->idle--;
            continue;
        }
        take_out(on, next);
        mine = run_job(on, next);
    }
    if (mine) {
        on->threads--;
        (void)pthread_cond_broadcast(&gone);
    } else if (on != &names) {
        still_out--;
    }
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

/* Starts one more thread; guard: lock. */
static int add_thread(lane *to)
{
    pthread_t thread;
    int rc = cori_thread_start(&thread, lane_main, to);
    if (rc == 0) {
        (void)pthread_detach(thread);
        to->threads++;
    }
    return rc == 0 ? 0 : -EAGAIN;
}

static int submit(lane *to, int threads_max, job *new_job)
{
    int rc = 0;
    (void)pthread_mutex_lock(&lock);
    if (to->queued >= to->idle && to->threads < threads_max) {
        rc = add_thread(to);
    }
    if (to->threads > 0) {
        rc = 0;
        new_job->prev = to->head != NULL ? to->tail : NULL;
        *(to->head != NULL ? &to->tail->next : &to->head) = new_job;
        to->tail = new_job;
        to->queued++;
        if (new_job->drop != NULL) {
            cori_list_add(&leavable, new_job, leavable_next, leavable_prev);
        }
        (void)pthread_cond_signal(&to->work);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

static int run_on(lane *on, int threads_max, int (*fn)(void *arg), void *arg)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    if (cori_virtual_driver != NULL) { /* no other thread takes part in the run */
        return cori_in_vain(fn(arg));
    }
    job here = {.note.act = finished, .fn = fn, .arg = arg, .task = self};
    int rc = submit(on, threads_max, &here);
    if (rc < 0) {
        return cori_in_vain(rc);
    }
    while (cori_load_acquire(&here.done) == 0) {
        cori_park_outside(self, "blocking call");
    }
    return here.result;
}

int cor_blocking(int (*fn)(void *arg), void *arg)
{
    return run_on(&users, cori_rt.blocking_threads, fn, arg);
}

int cori_blocking_own(int (*fn)(void *arg), void *arg)
{
    return run_on(&own, CORI_LINGERING_MAX, fn, arg);
}

/* The caller no longer waits. */
static void leave(job *one)
{
    (void)pthread_mutex_lock(&lock);
    if (one->state == QUEUED) {
        take_out(&names, one);
        drop_job(one);
    } else {
        one->left = true;
    }
    (void)pthread_mutex_unlock(&lock);
}

static int await(job *one, int64_t deadline)
{
    while (cori_load_acquire(&one->done) == 0) {
        int rc = cori_interrupted(one->task, deadline);
        if (rc < 0) {
            leave(one);
            return rc;
        }
        cori_park_external(one->task, deadline, "blocking call");
    }
    (void)pthread_mutex_lock(&lock);
    cori_list_remove(&leavable, one, leavable_next, leavable_prev);
    (void)pthread_mutex_unlock(&lock);
    free(one);
    return 0;
}

int cori_blocking_leave(int (*fn)(void *arg), void *arg, void (*drop)(void *arg), int64_t deadline)
{
    int half = cori_rt.blocking_threads / 2, rc = -ENOMEM;
    bool floats = cori_here_stay();
    job *made = cori_malloc(sizeof(*made));
    if (made != NULL) {
        *made = (job){.note.act = finished, .fn = fn, .arg = arg, .drop = drop, .task = cori_self()};
        rc = submit(&names, half > 0 ? half : 1, made);
    }
    if (rc == 0) {
        rc = await(made, deadline);
    } else {
        free(made);
        drop(arg);
    }
    cori_here_float(floats);
    return rc;
}

/* Guard: lock. How many threads it leaves alone. */
static int abandon(lane *left)
{
    int running = left->running;
    left->threads -= running;
    left->head = NULL;
    left->queued = left->running = 0;
    return running;
}

/* No worker runs any more. What threads still run is theirs; guard: lock. */
static void drop_leavable(void)
{
    while (leavable != NULL) {
        job *first = leavable;
        if (first->state == RUNNING) {
            cori_list_remove(&leavable, first, leavable_next, leavable_prev);
        } else {
            drop_job(first);
        }
    }
}

static void say_abandoned(int count)
{
    cori_text text = {.fd = STDERR_FILENO};
    cori_text_add(&text, "cor_run: ends though ");
    cori_text_number(&text, (uint64_t)count);
    cori_text_add(&text,
                  " threads of cor_blocking are still in their calls; they and the stacks of tasks are left alone");
    cori_text_end(&text);
}

bool cori_blocking_end(void)
{
    int64_t grace_ns = cori_rt.blocking_grace_ns > 0 ? cori_rt.blocking_grace_ns : 0;
    struct timespec until = cori_clock_real_after(grace_ns);
    int rc = 0, abandoned = 0;
    (void)pthread_mutex_lock(&lock);
    stop = true;
    (void)pthread_cond_broadcast(&users.work);
    (void)pthread_cond_broadcast(&own.work);
    (void)pthread_cond_broadcast(&names.work);
    while (rc == 0 && users.threads + own.threads > 0) {
        rc = pthread_cond_clockwait(&gone, &lock, CLOCK_MONOTONIC, &until);
    }
    if (users.running + own.running + names.running > 0) {
        epoch++;
        abandoned = abandon(&users) + abandon(&own);
    }
    (void)abandon(&names); /* they touch nobody's stack */
    drop_leavable();
    while (users.threads + own.threads + names.threads >
           0) { /* they run nothing: nothing but the lock is between them and their end */
        (void)pthread_cond_wait(&gone, &lock);
    }
    stop = false;
    still_out += abandoned;
    bool none_left = still_out == 0;
    (void)pthread_mutex_unlock(&lock);
    if (abandoned > 0) {
        say_abandoned(abandoned);
    }
    return none_left;
}

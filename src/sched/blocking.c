/* SPDX-License-Identifier: MIT */
/*
 * cor_blocking's pool: a queue of jobs (each on its caller's stack) and up to cor_options.blocking_threads threads,
 * started on demand, ended with cor_run. The caller stays parked until `done`, which its own worker sets when it reads
 * the job's note: the pool thread's last touch of the job is to leave it. Signals are blocked in pool threads: they
 * belong to the workers.
 */
#include "sched/lifecycle.h"
#include "sched/park.h"

#include <coracle/blocking.h>
#include <errno.h>
#include <signal.h>

typedef struct job {
    cori_note note; /* first: what the worker reads */
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool done; /* its worker's thread only */
    cori_task *task;
    struct job *next;
} job;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, gone;
    job *head, *tail; /* guard: lock, like all below */
    int threads, idle, queued;
    bool stop;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER};

/* On the caller's worker. */
static void finished(cori_note *note)
{
    job *done = (job *)note;
    done->done = true;
    cori_wake(done->task);
}

static void run_job(job *one)
{
    one->result = one->fn(one->arg);
    cori_worker_note(one->task->worker, &one->note);
}

static void *pool_main(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(&pool.lock);
    while (!pool.stop || pool.head != NULL) {
        job *next = pool.head;
        if (next == NULL) {
            pool.idle++;
            (void)pthread_cond_wait(&pool.work, &pool.lock);
            pool.idle--;
            continue;
        }
        pool.head = next->next;
        pool.queued--;
        (void)pthread_mutex_unlock(&pool.lock);
        run_job(next);
        (void)pthread_mutex_lock(&pool.lock);
    }
    pool.threads--;
    (void)pthread_cond_broadcast(&pool.gone);
    (void)pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* Starts one more pool thread; guard: pool.lock. */
static int add_thread(void)
{
    pthread_t thread;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, pool_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        (void)pthread_detach(thread);
        pool.threads++;
    }
    return rc == 0 ? 0 : -EAGAIN;
}

static int submit(job *new_job)
{
    int rc = 0;
    (void)pthread_mutex_lock(&pool.lock);
    if (pool.queued >= pool.idle && pool.threads < cori_rt.blocking_threads) {
        rc = add_thread();
    }
    if (pool.threads > 0) {
        rc = 0;
        if (pool.head == NULL) {
            pool.head = new_job;
        } else {
            pool.tail->next = new_job;
        }
        pool.tail = new_job;
        pool.queued++;
        (void)pthread_cond_signal(&pool.work);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return rc;
}

int cor_blocking(int (*fn)(void *arg), void *arg)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    job own = {.note.act = finished, .fn = fn, .arg = arg, .task = self};
    int rc = submit(&own);
    if (rc < 0) {
        return rc;
    }
    while (!own.done) {
        cori_park_outside(self, "blocking call");
    }
    return own.result;
}

void cori_blocking_end(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.stop = true;
    (void)pthread_cond_broadcast(&pool.work);
    while (pool.threads > 0) {
        (void)pthread_cond_wait(&pool.gone, &pool.lock);
    }
    pool.stop = false;
    (void)pthread_mutex_unlock(&pool.lock);
}

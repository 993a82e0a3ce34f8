/* SPDX-License-Identifier: MIT */
/*
 * The watchdog for tasks. Each worker's thread has a timer on its own CPU clock, which ticks once in stall_ns / TICKS
 * that the thread computes, by a signal to that very thread. So a worker that sleeps or waits for the kernel has no
 * ticks and costs nothing, and one that is busy has a few signals a second. A tick that finds the turn of the tick
 * before still going on counts; after TICKS of these the task has held its worker for stall_ns of CPU time at least,
 * and at most half as much again, and is recorded: once in a turn.
 *
 * What is told is told by a thread of its own, which waits for that and for nothing else: the worker may compute for
 * ever, and a signal handler may neither look up names nor write a log. There is one record per worker. `full` is set
 * by the handler when the record is complete, and cleared by the telling thread when it has read it; while it is set a
 * stall is counted only. No record is forgotten: the handler posts after it has set `full`, and the thread looks at all
 * records after each post, and once more after it has been told to end.
 *
 * A task that a system call holds does not use its CPU clock. cor_roll_call sees it from outside: where a worker has
 * been silent for stall_ns or longer, it asks for a record by the same signal (`asked`), and the rest is the same.
 *
 * The signal is SIGURG, as for the dump (dump.c has the handler): nobody else uses it, and its default is to do
 * nothing, so a tick before the handler is there does no harm. System calls that it interrupts are restarted, or their
 * EINTR is one that the library expects.
 */
#include "sched/stall.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "sched/frames.h"
#include "sched/text.h"
#include "sched/virtual.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* newer C libraries have it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { TICKS = 2, NAME_BYTES = 64, SYMBOL_BYTES = 256, TRACE_BYTES = 4096 };

typedef struct cori_watch {
    timer_t timer;
    bool armed;
    const cori_task *task; /* that ran at the last tick; the handler's, like what follows */
    uint64_t turn;         /* and which turn of the worker it was */
    unsigned ticks;        /* since that turn was first met */
    int64_t since;         /* when it was */
    int64_t silent_ns;     /* atomic: for how long, as of the roll call that has asked */
    uint32_t asked;        /* atomic */
    uint32_t full;         /* atomic: what follows is the telling thread's */
    uint64_t id;
    char name[NAME_BYTES]; /* "": `function` is shown */
    void (*function)(void *arg);
    const void *site;
    int64_t held_ns;
    int frame_count;
    const void *frames[CORI_BACKTRACE_FRAMES];
} cori_watch;

static struct {
    cori_watch *watches; /* one per worker; NULL: off */
    sem_t wake;
    uint32_t ending; /* atomic */
    pthread_t thread;
} stalls;

static void record(cori_worker *worker, cori_watch *watch, const ucontext_t *running)
{
    const cori_task *task = worker->current;
    cori_store_relaxed(&worker->stalls, worker->stalls + 1);
    if (cori_load_acquire(&watch->full) != 0) {
        return;
    }
    watch->id = task->id;
    size_t length = 0;
    for (const char *name = task->name; name != NULL && name[length] != '\0' && length < NAME_BYTES - 1; length++) {
        watch->name[length] = name[length];
    }
    watch->name[length] = '\0';
    watch->function = task->function;
    watch->site = task->site;
    watch->held_ns = cori_clock_now() - watch->since;
    watch->frame_count = cori_frames_running(task, running, watch->frames, CORI_BACKTRACE_FRAMES);
    cori_store_release(&watch->full, 1);
    (void)sem_post(&stalls.wake);
}

static uint64_t turn_of(const cori_worker *worker)
{
    return worker->turns + (uint64_t)worker->switches;
}

void cori_stall_asked(const ucontext_t *running)
{
    cori_worker *worker = cori_self_worker;
    cori_watch *watch = worker != NULL ? worker->watch : NULL;
    if (watch == NULL || cori_load_relaxed(&watch->asked) == 0 || cori_swap(&watch->asked, 0) == 0) {
        return;
    }
    bool known = watch->task == worker->current && watch->turn == turn_of(worker) && watch->ticks >= TICKS;
    if (worker->current != NULL && !known && cori_load(&worker->called) != 0) { /* it has not come round meanwhile */
        watch->task = worker->current;
        watch->turn = turn_of(worker);
        watch->ticks = TICKS;
        watch->since = cori_clock_now() - cori_load_relaxed(&watch->silent_ns);
        record(worker, watch, running);
    }
}

void cori_stall_ask(cori_worker *worker, int64_t silent_ns)
{
    if (cori_rt.stall_ns == 0 || silent_ns < cori_rt.stall_ns || cori_virtual_driver != NULL) {
        return;
    }
    cori_store_relaxed(&stalls.watches[worker->id].silent_ns, silent_ns);
    cori_store_release(&stalls.watches[worker->id].asked, 1);
    (void)pthread_kill(worker->thread, SIGURG);
}

void cori_stall_tick(const ucontext_t *running)
{
    cori_worker *worker = cori_self_worker;
    cori_watch *watch = worker != NULL ? worker->watch : NULL;
    if (watch == NULL) {
        return; /* it has come late: TSan keeps signals for a while */
    }
    uint64_t turn = turn_of(worker);
    if (worker->current == NULL || worker->current != watch->task || turn != watch->turn) {
        watch->task = worker->current;
        watch->turn = turn;
        watch->ticks = 0;
        watch->since = cori_clock_now();
    } else if (++watch->ticks == TICKS) {
        record(worker, watch, running);
    }
}

void cori_stall_watch(cori_worker *worker)
{
    if (stalls.watches == NULL || cori_virtual_driver != NULL) {
        return;
    }
    cori_watch *watch = &stalls.watches[worker->id];
    struct sigevent how = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG};
    how.sigev_notify_thread_id = gettid();
    int64_t every = cori_rt.stall_ns / TICKS;
    struct timespec tick = {.tv_sec = every / COR_SECOND, .tv_nsec = every % COR_SECOND};
    worker->watch = watch;
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &how, &watch->timer) < 0) {
        return; /* a limit of the user's: the worker goes unwatched */
    }
    watch->armed = true;
    (void)timer_settime(watch->timer, 0, &(struct itimerspec){.it_interval = tick, .it_value = tick}, NULL);
}

void cori_stall_unwatch(cori_worker *worker)
{
    cori_watch *watch = worker->watch;
    worker->watch = NULL;
    if (watch != NULL && watch->armed) {
        (void)timer_delete(watch->timer);
    }
}

/* Adds a piece of text to what is in `to`; what does not fit is left out. */
static void append(char *to, size_t size, const char *text)
{
    size_t used = strlen(to);
    (void)snprintf(to + used, size - used, "%s", text);
}

static void append_symbol(char *to, size_t size, const void *address)
{
    cori_text text = {.used = 0};
    cori_text_symbol(&text, address);
    text.line[text.used] = '\0';
    append(to, size, text.line);
}

static void print(const cor_stall *stall)
{
    char line[TRACE_BYTES + 1024];
    (void)snprintf(line, sizeof(line),
                   "stall: task %llu (%s) has held worker %d for %lld ms; spawned at %s; now at %s\n",
                   (unsigned long long)stall->task_id, stall->name, stall->worker,
                   (long long)(stall->held_ns / COR_MILLISECOND), stall->site, stall->backtrace);
    (void)cori_sys_write(STDERR_FILENO, line, strlen(line));
}

static void tell(int worker, cori_watch *watch)
{
    char name[SYMBOL_BYTES] = "", site[SYMBOL_BYTES] = "", trace[TRACE_BYTES] = "";
    append(name, sizeof(name), watch->name);
    if (name[0] == '\0') {
        append_symbol(name, sizeof(name), (const void *)(uintptr_t)watch->function);
    }
    append_symbol(site, sizeof(site), watch->site);
    for (int i = 0; i < watch->frame_count; i++) {
        append(trace, sizeof(trace), i > 0 ? " < " : "");
        append_symbol(trace, sizeof(trace), watch->frames[i]);
    }
    cor_stall stall = {.worker = worker,
                       .task_id = watch->id,
                       .name = name,
                       .site = site,
                       .held_ns = watch->held_ns,
                       .backtrace = trace};
    cori_store_release(&watch->full, 0);
    (cori_rt.on_stall != NULL ? cori_rt.on_stall : print)(&stall);
}

static void *telling(void *unused)
{
    (void)unused;
    bool last;
    do {
        while (sem_wait(&stalls.wake) < 0) {}
        last = cori_load(&stalls.ending) != 0;
        for (int i = 0; i < cori_rt.worker_count; i++) {
            if (cori_load_acquire(&stalls.watches[i].full) != 0) {
                tell(i, &stalls.watches[i]);
            }
        }
    } while (!last);
    return NULL;
}

int cori_stall_begin(void)
{
    if (cori_rt.stall_ns == 0) {
        return 0;
    }
    stalls.watches = cori_calloc((size_t)cori_rt.worker_count, sizeof(*stalls.watches));
    if (stalls.watches == NULL) {
        return -ENOMEM;
    }
    (void)sem_init(&stalls.wake, 0, 0);
    stalls.ending = 0;
    int error = cori_thread_start(&stalls.thread, telling, NULL);
    if (error != 0) {
        free(stalls.watches);
        stalls.watches = NULL;
        (void)sem_destroy(&stalls.wake);
    }
    return -error;
}

void cori_stall_end(void)
{
    if (stalls.watches == NULL) {
        return;
    }
    cori_store(&stalls.ending, 1);
    (void)sem_post(&stalls.wake);
    (void)pthread_join(stalls.thread, NULL);
    free(stalls.watches);
    stalls.watches = NULL;
    (void)sem_destroy(&stalls.wake);
}

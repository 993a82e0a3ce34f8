/* SPDX-License-Identifier: MIT */
/*
 * cor_run: sets the run-time up, runs worker 0 on the calling thread until main_task has returned or nothing can run
 * any more, takes everything down. Steps are undone in the opposite order of `setup`; each teardown accepts what was
 * not set up.
 *
 * Worker threads wait at `gate` before they end, so that a dump under way can still signal them. (A semaphore: in the
 * wait for a mutex TSan runs no signal handler.)
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/fatal.h"
#include "base/memory.h"
#include "poll/poll_pick.h"
#include "sched/here.h"
#include "sched/leaks.h"
#include "sched/lifecycle.h"
#include "sched/look.h"
#include "sched/scope.h"
#include "sched/spawn.h"
#include "sched/stall.h"
#include "sched/text.h"
#include "sched/ticker.h"
#include "sched/virtual.h"
#include "sched/wake.h"
#include "sched/worker.h"

#include <coracle/error.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef COR_VERSION
#error "COR_VERSION must be set by the build"
#endif

void (*cori_run_at_end)(void);
void (*cori_run_at_end_of_io)(void);
void (*cori_run_at_stop)(void);
uint64_t (*cori_run_count_open)(void);
static uint32_t running;  /* atomic: a cor_run is active */
static bool leave_stacks; /* calls of cor_blocking still run: what they were given may lie on a task's stack */

const char *cor_version(void)
{
    return COR_VERSION;
}

static int usable_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > CORI_WORKERS_MAX ? CORI_WORKERS_MAX : count;
}

/* Options, else the environment, else the machine. */
static int choose_workers(const cor_options *options)
{
    if (options->workers != 0) {
        return options->workers;
    }
    const char *text = getenv("COR_WORKERS");
    if (text == NULL || text[0] == '\0') {
        return usable_cores();
    }
    char *end = NULL;
    long count = strtol(text, &end, 10);
    return *end == '\0' && count >= 1 && count <= CORI_WORKERS_MAX ? (int)count : -EINVAL;
}

/* The same for spinning; < 0: a bad one. */
static int64_t choose_spin(const cor_options *options)
{
    const char *text = getenv("COR_SPIN_US");
    if (options->spin_ns != 0 || text == NULL || text[0] == '\0') {
        return options->spin_ns <= CORI_SPIN_MAX_NS ? options->spin_ns : -EINVAL;
    }
    char *end = NULL;
    long us = strtol(text, &end, 10);
    return *end == '\0' && us >= 0 && us <= CORI_SPIN_MAX_NS / 1000 ? us * INT64_C(1000) : -EINVAL;
}

/* And for the watchdog. */
static int64_t choose_stall(const cor_options *options)
{
    const char *text = getenv("COR_STALL_MS");
    if (options->stall_ns != 0 || text == NULL || text[0] == '\0') {
        int64_t ns = options->stall_ns > 0 ? options->stall_ns : 0;
        return ns == 0 || (ns >= CORI_STALL_MIN_NS && ns <= CORI_STALL_MAX_NS) ? ns : -EINVAL;
    }
    char *end = NULL;
    long ms = strtol(text, &end, 10);
    return *end == '\0' && ms >= 0 && ms <= CORI_STALL_MAX_NS / 1000000 ? ms * INT64_C(1000000) : -EINVAL;
}

static size_t stack_class(size_t size_bytes)
{
    size_t rounded = CORI_STACK_MIN_BYTES;
    while (rounded < size_bytes) {
        rounded *= 2;
    }
    return rounded;
}

/* Says on stderr what keeps cor_run from starting: its result, -EINVAL, could be any of these. */
static int refuse(const char *setting)
{
    cori_text text = {.fd = STDERR_FILENO};
    cori_text_add(&text, "cor_run: bad value of ");
    cori_text_add(&text, setting);
    cori_text_end(&text);
    return -EINVAL;
}

static int read_options(const cor_options *options)
{
    size_t stack = options->stack_size_bytes != 0 ? options->stack_size_bytes : CORI_STACK_DEFAULT_BYTES;
    int workers = choose_workers(options);
    int64_t spin_ns = choose_spin(options), stall_ns = choose_stall(options);
    cori_rt.poll_ops = cori_poll_pick(options->poller);
    if (workers < 1 || workers > CORI_WORKERS_MAX) {
        return refuse("cor_options.workers or COR_WORKERS: 1 to 256");
    }
    if (cori_rt.poll_ops == NULL) {
        return refuse("cor_options.poller or COR_POLLER: epoll, io_uring or auto");
    }
    if (spin_ns < 0) {
        return refuse("cor_options.spin_ns or COR_SPIN_US: up to a second");
    }
    if (stall_ns < 0) {
        return refuse("cor_options.stall_ns or COR_STALL_MS: a millisecond to an hour, or off");
    }
    if (stack > CORI_STACK_MAX_BYTES) {
        return refuse("cor_options.stack_size_bytes: up to 8 MiB");
    }
    if (options->blocking_threads < 0 || options->blocking_threads > CORI_BLOCKING_MAX) {
        return refuse("cor_options.blocking_threads: up to 1024");
    }
    cori_rt.worker_count = workers;
    bool virtual = cori_virtual_driver != NULL; /* then spawns are those of several workers: a task knows its host */
    cori_rt.solo = workers == 1 && !virtual;
    cori_look_init(workers > 1 && !virtual ? usable_cores() : 1);
    cori_rt.spin_ns = virtual ? 0 : spin_ns;
    cori_rt.stall_ns = stall_ns;
    cori_rt.on_stall = options->on_stall;
    cori_rt.stack_size_bytes = stack_class(stack);
    cori_rt.blocking_grace_ns = options->blocking_grace_ns != 0 ? options->blocking_grace_ns : CORI_BLOCKING_GRACE_NS;
    cori_rt.blocking_threads = options->blocking_threads != 0 ? options->blocking_threads : CORI_BLOCKING_DEFAULT;
    cori_rt.no_ticker = cori_clock_is_fake() ? 1 : 0;
    cori_rt.foreign_wakeups = options->foreign_wakeups;
    cori_rt.no_sigquit_dump = options->no_sigquit_dump;
    cori_rt.no_overflow_report = options->no_overflow_report;
    return 0;
}

static bool wants_leaks(const cor_options *options)
{
    const char *text = getenv("COR_LEAKS");
    return options->report_leaks || (text != NULL && strcmp(text, "1") == 0);
}

static int open_pollers(cori_worker *workers)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        int rc = cori_rt.poll_ops->open(&workers[i].poller);
        if (rc == 0) {
            continue;
        }
        workers[i].poller = NULL;
        while (i-- > 0) {
            cori_rt.poll_ops->close(workers[i].poller);
            workers[i].poller = NULL;
        }
        return rc;
    }
    return 0;
}

static int make_workers(uint64_t seed)
{
    size_t bytes = (size_t)cori_rt.worker_count * sizeof(cori_worker);
    cori_worker *workers = cori_aligned_alloc(CORI_CACHE_LINE, bytes);
    if (workers == NULL) {
        return -ENOMEM;
    }
    memset(workers, 0, bytes);
    for (int i = 0; i < cori_rt.worker_count; i++) {
        workers[i].id = i;
        workers[i].solo = cori_rt.solo;
        workers[i].round_most = CORI_ROUND_SWITCHES;
        workers[i].ops_most = CORI_OPS_BUDGET;
        workers[i].fresh_first = UINT64_MAX;
        workers[i].ticket = 1; /* higher than that of a task that has none */
        cori_rand_init(&workers[i].rand, seed, (uint64_t)i);
    }
    cori_store_release(&cori_rt.workers, workers);
    int rc = open_pollers(workers);
    const cori_poll_ops *instead = rc < 0 ? cori_poll_instead(cori_rt.poll_ops, rc) : NULL;
    if (instead != NULL) {
        cori_rt.poll_ops = instead;
        rc = open_pollers(workers);
    }
    return rc;
}

static void free_fresh(cori_worker *worker)
{
    for (; worker->fresh_count > 0; worker->fresh_count--) {
        const cori_fresh *fresh = worker->fresh.head;
        if ((fresh->order & CORI_FRESH_MADE) != 0) {
            cori_ctx_drop(&fresh->call.made->ctx);
        }
        if (cori_fresh_drop(&worker->fresh)) {
            cori_fresh_give_back(cori_fresh_shrink(&worker->fresh));
        }
    }
    cori_fresh_give_back(worker->fresh.first); /* an empty queue has one left */
    cori_fresh_give_back(worker->fresh_spare);
}

static void free_worker(cori_worker *worker)
{
    for (cori_task *task = worker->live_head; task != NULL; task = task->live_next) {
        cori_ctx_drop(&task->ctx); /* abandoned where it was parked */
    }
    for (cori_task *task = worker->floating.head; task != NULL;
         task = task != worker->floating.tail ? task->next : NULL) {
        cori_ctx_drop(&task->ctx);
    }
    for (cori_task *task = worker->injected; task != NULL && task != CORI_LOOKING; task = task->next) {
        if (task->ctx.sp == NULL) {
            cori_ctx_drop(&task->ctx); /* it never ran, and is in no list yet */
        }
    }
    free_fresh(worker);
    cori_heap_free(&worker->timers);
    free(worker->signal_stack); /* of a thread that was not started */
    for (unsigned i = 0; i < worker->spares.count; i++) {
        free(worker->spares.buffers[i]);
    }
    if (worker->poller != NULL) {
        worker->poller->ops->close(worker->poller);
    }
}

static void free_workers(void)
{
    cori_worker *workers = cori_rt.workers;
    if (workers != NULL) {
        cori_store(&cori_rt.workers, NULL);
        for (int i = 0; i < cori_rt.worker_count; i++) {
            free_worker(&workers[i]);
        }
        free(workers);
        cori_scope_end();
    }
    if (!leave_stacks) {
        cori_stack_release_all();
    }
}

static void *worker_thread(void *arg)
{
    cori_worker *worker = arg;
    /* If it fails, an overflow on this thread goes unreported; without the thread, tasks would wait for ever. */
    (void)cori_fault_thread_init(worker);
    cori_worker_run(worker);
    cori_signal_thread_stop(worker);
    while (sem_wait(&cori_rt.gate) < 0) {}
    cori_fault_thread_end(worker);
    return NULL;
}

/* Starts the threads of workers 1..n-1; how many run. */
static int start_threads(int *rc)
{
    int started = 1;
    cori_rt.workers[0].thread = pthread_self();
#if CORI_TSAN
    cori_ctx_hold_signals();
#endif
    while (*rc == 0 && started < cori_rt.worker_count && cori_virtual_driver == NULL) {
        cori_worker *worker = &cori_rt.workers[started];
        *rc = cori_fault_thread_prepare(worker);
        *rc = *rc == 0 ? -pthread_create(&worker->thread, NULL, worker_thread, worker) : *rc;
        started += *rc == 0;
    }
#if CORI_TSAN
    cori_ctx_let_signals();
#endif
    return started;
}

static void main_entry(void *a, void *b)
{
    (void)a;
    (void)b;
    cori_rt.main_result = cori_rt.main_task(cori_rt.main_arg);
    if (cori_load_relaxed(&cori_leaks_on) != 0) {
        cori_leaks_settle();
    }
    cori_worker_stop_all();
}

/* Queues the first task on worker 0, which does not run yet. */
static int spawn_main(void)
{
    cori_spawn spawn = {.entry = main_entry, .name = "main", .worker = 0};
    cori_task scaffold = {.worker = &cori_rt.workers[0]};
    spawn.site = __builtin_return_address(0);
    cori_self_worker = &cori_rt.workers[0];
    cori_self_worker->current = &scaffold; /* spawning is for tasks only */
    int rc = cori_spawn_task(&spawn, NULL);
    cori_self_worker->current = NULL;
    cori_self_worker = NULL;
    return rc;
}

static void report_deadlock(int fd)
{
    cori_text text = {.fd = fd};
    cori_text_add(&text, "fatal error: all tasks are asleep - deadlock!");
    cori_text_end(&text);
    if (cori_load(&cori_rt.starved) != 0) {
        cori_text_add(&text, "no memory for the stacks of tasks that never ran: the limits of addresses, mappings and "
                             "memory (ulimit -v, vm.max_map_count), or fewer tasks at once (cor_group_set_limit)");
        cori_text_end(&text);
    }
    cori_dump_all_stopped(fd);
}

/*
 * Whoever enters from now on touches nothing. Whoever is inside already runs a few dozen instructions and at most one
 * mmap(2), or write(2) of a dump's title, and waits for nobody: the kernel alone can keep it, and to go on without it
 * would be worse.
 */
static void shut_foreign_out(void)
{
    cori_store(&cori_foreign_open, 0);
    while (cori_load(&cori_foreign_inside) != 0) {
        (void)sched_yield();
    }
}

/* Lets the workers' threads go, which wait at the gate until no dump needs them any more. */
static void join_threads(int threads)
{
    for (int i = 1; i < threads; i++) {
        (void)sem_post(&cori_rt.gate);
    }
    for (int i = 1; i < threads; i++) {
        (void)pthread_join(cori_rt.workers[i].thread, NULL);
    }
}

/* Reports a deadlock, which is then the result, or what is left. */
static void report_end(int rc)
{
    int report_fd = cori_virtual_driver != NULL ? cori_virtual_driver->stopped() : STDERR_FILENO;
    if (cori_load(&cori_rt.deadlock) != 0) {
        if (report_fd >= 0) {
            report_deadlock(report_fd);
        }
        cori_rt.main_result = COR_EDEADLOCK;
        report_fd = -1; /* the leaks would be the same ones */
    }
    cori_leaks_report(rc == 0 ? report_fd : -1);
}

static int run(void)
{
    cori_worker *first = &cori_rt.workers[0];
    int rc = cori_fault_thread_prepare(first);
    rc = rc == 0 ? cori_fault_thread_init(first) : rc;
    rc = rc == 0 ? spawn_main() : rc;
    rc = rc == 0 ? cori_stall_begin() : rc;
    int threads = start_threads(&rc);
    if (rc == 0) {
        cori_store(&cori_foreign_open, 1);
        cori_fault_install();
        cori_dump_install();
        if (cori_virtual_driver != NULL) {
            rc = cori_virtual_run(cori_worker_run);
        } else {
            cori_worker_run(first);
        }
        shut_foreign_out();
        cori_signal_thread_stop(first);
        cori_dump_uninstall();
        cori_fault_uninstall();
    } else {
        cori_worker_stop_all();
    }
    join_threads(threads);
    if (rc == 0) {
        cori_signal_uninstall(); /* no thread lets a caught one through any more: none meets its earlier action */
        cori_signal_thread_end(first);
    }
    void (*at_stop)(void) = cori_load_acquire(&cori_run_at_stop);
    if (at_stop != NULL) {
        at_stop();
    }
    cori_roll_end();
    cori_ticker_end();
    cori_stall_end();
    leave_stacks = !cori_blocking_end();
    report_end(rc);
    if (cori_run_at_end != NULL) {
        cori_run_at_end();
    }
    if (cori_run_at_end_of_io != NULL) {
        cori_run_at_end_of_io();
    }
    cori_fault_thread_end(first);
    return rc == 0 ? cori_rt.main_result : rc;
}

/*
 * The soft limit of descriptors is low, 1,024, for the sake of programs that use select(2); a server wants the hard
 * one. As Go does. It stays raised: descriptors above the old one may be open when cor_run returns.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int cor_run(int (*main_task)(void *arg), void *arg, const cor_options *options)
{
    static const cor_options defaults;
    uint32_t idle = 0;
    if (!cori_cas(&running, &idle, 1)) {
        return COR_EBUSY_RUNTIME;
    }
    options = options != NULL ? options : &defaults;
    uint64_t next_id = cori_rt.next_id != 0 ? cori_rt.next_id : 1;
    cori_rt = (cori_runtime){.next_id = next_id, .main_task = main_task, .main_arg = arg};
    (void)sem_init(&cori_rt.gate, 0, 0);
    int rc = read_options(options);
    if (rc == 0) {
        if (!options->keep_descriptor_limit) {
            raise_descriptor_limit();
        }
        rc = make_workers(options->seed != 0 ? options->seed : cori_rand_seed());
        cori_store(&cori_leaks_on, rc == 0 && wants_leaks(options));
        rc = rc == 0 ? run() : rc;
        free_workers();
    }
    (void)sem_destroy(&cori_rt.gate);
    cori_store(&running, 0);
    return rc;
}

int cor_stats(cor_runtime_stats *out)
{
    if (cori_self_worker == NULL) {
        return COR_ENOT_TASK;
    }
    *out = (cor_runtime_stats){.workers = cori_rt.worker_count};
    for (int i = 0; i < cori_rt.worker_count; i++) {
        cori_worker *worker = &cori_rt.workers[i];
        out->tasks += cori_load_relaxed(&worker->live);
        out->tasks += cori_load_relaxed(&worker->fresh_count) + cori_load_relaxed(&worker->floating_count);
        out->spawned += cori_load_relaxed(&worker->spawned);
        out->stalls += cori_load_relaxed(&worker->stalls);
        out->steals += cori_load_relaxed(&worker->steals);
        out->ring_overflows += cori_load_relaxed(&worker->poller->overflows);
    }
    out->stack_bytes = cori_stack_bytes();
    uint64_t (*count_open)(void) = cori_load_acquire(&cori_run_count_open);
    out->connections = count_open != NULL ? count_open() : 0;
    return 0;
}

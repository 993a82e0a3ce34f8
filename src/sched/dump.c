/* SPDX-License-Identifier: MIT */
/*
 * The dump of all tasks. Each worker's tasks are printed by that worker's own thread, inside a signal handler: tasks
 * are pinned, so while the handler runs none of them can, and their saved contexts hold still, even when the worker
 * is stuck in a computing task. The workers print one after the other: SIGQUIT (or cor_dump) signals worker 0 with
 * SIGURG, which prints and signals the next. `active` is 1 from the first to the last. `stage` is 2 n while worker n
 * has been asked, 2 n + 1 while it prints. It is odd while nobody is asked: before the first dump, between two, and
 * while one begins, which may take long if its descriptor takes no text.
 *
 * A worker that does not answer (code on its thread blocks signals) is skipped after CORI_DUMP_ANSWER_NS, with a line
 * that says so, by whoever waits for the dump or wants the next one. It moves `stage` as the worker would: the one
 * that does it first has it, and a signal that comes too late finds nothing to do.
 *
 * What the handler walks (the list of live tasks, the fresh queue) may be in the middle of a change by the
 * interrupted code; both can be walked at every instruction. Fresh and floating tasks may be moved by other workers
 * meanwhile, so their queues are printed under their lock if that is free, else only counted.
 */
#include "sched/frames.h"
#include "sched/lifecycle.h"
#include "sched/stall.h"
#include "sched/text.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/sys.h"

#include <coracle/error.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
    uint32_t active; /* atomic */
    int fd;
    int stage;     /* atomic: see above */
    int64_t asked; /* atomic: when the worker was */
} dump = {.stage = 1};
static struct sigaction earlier_quit, earlier_chain;

static void print_frames(cori_text *text, const void *const *frames, int count)
{
    for (int i = 0; i < count; i++) {
        cori_text_add(text, "    ");
        cori_text_symbol(text, frames[i]);
        cori_text_end(text);
    }
}

/* What stands in the first two lines of a task; `id` 0: it has no number yet. */
typedef struct head {
    uint64_t id;
    const char *name; /* NULL: `function` is shown */
    void (*function)(void *arg);
    const void *site;
} head;

static void print_head(cori_text *text, const head *of, const char *state, int worker, int64_t age_ns)
{
    cori_text_add(text, "task ");
    if (of->id != 0) {
        cori_text_number(text, of->id);
    } else {
        cori_text_add(text, "-");
    }
    cori_text_add(text, " [");
    cori_text_add(text, state);
    if (age_ns >= 0) {
        cori_text_add(text, ", ");
        cori_text_number(text, (uint64_t)age_ns / 1000000);
        cori_text_add(text, " ms");
    }
    cori_text_add(text, ", worker ");
    cori_text_number(text, (uint64_t)worker);
    cori_text_add(text, "]: ");
    if (of->name != NULL) {
        cori_text_add(text, of->name);
    } else {
        cori_text_symbol(text, (const void *)(uintptr_t)of->function);
    }
    cori_text_end(text);
    cori_text_add(text, "    spawned at ");
    cori_text_symbol(text, of->site);
    cori_text_end(text);
}

static head head_of(const cori_task *task)
{
    return (head){.id = task->id, .name = task->name, .function = task->function, .site = task->site};
}

static head head_of_fresh(const cori_fresh *fresh)
{
    if ((fresh->order & CORI_FRESH_MADE) != 0) {
        return head_of(fresh->call.made);
    }
    head of = {.site = fresh->site};
    if ((fresh->order & CORI_FRESH_NAMED) != 0) {
        of.name = fresh->label.name;
    } else {
        of.function = fresh->label.function;
    }
    return of;
}

static void print_task(cori_text *text, const cori_worker *worker, const cori_task *task, const ucontext_t *running)
{
    const void *frames[CORI_BACKTRACE_FRAMES];
    head of = head_of(task);
    if (task == worker->current && running != NULL) {
        print_head(text, &of, "running", worker->id, -1);
        print_frames(text, frames, cori_frames_running(task, running, frames, CORI_BACKTRACE_FRAMES));
        return;
    }
    const uintptr_t *saved = task->ctx.sp;
    bool parked = cori_load_relaxed(&task->permit) == CORI_PARKED;
    const char *what = saved == NULL ? "runnable, never ran" : parked ? task->waiting_for : "runnable";
    print_head(text, &of, what, worker->id, saved == NULL || parked ? cori_clock_now() - task->since : -1);
    if (saved != NULL) {
        print_frames(text, frames, cori_frames_parked(task, frames, CORI_BACKTRACE_FRAMES));
    }
}

static const cori_task *after(const cori_worker *worker, const cori_task *task)
{
    return task != worker->floating.tail ? task->next : NULL;
}

/* What other workers may take. */
static void print_shared(cori_text *text, cori_worker *worker)
{
    const cori_fresh_queue *queue = &worker->fresh;
    if (cori_swap_acquire(&worker->fresh_lock, 1) != 0) {
        cori_text_number(text, cori_load_relaxed(&worker->fresh_count) + cori_load_relaxed(&worker->floating_count));
        cori_text_add(text, " tasks queued on worker ");
        cori_text_number(text, (uint64_t)worker->id);
        cori_text_end(text);
        return;
    }
    const cori_fresh_block *block = queue->first;
    const cori_fresh *fresh = queue->head;
    for (uint32_t left = cori_load_relaxed(&worker->fresh_count); left > 0; left--) {
        head of = head_of_fresh(fresh);
        print_head(text, &of, "runnable, never ran", worker->id, cori_clock_now() - fresh->since);
        if (++fresh == block->records + CORI_FRESH_BLOCK && left > 1) {
            block = block->next;
            fresh = block->records;
        }
    }
    for (const cori_task *task = worker->floating.head; task != NULL; task = after(worker, task)) {
        print_task(text, worker, task, NULL);
    }
    cori_spin_unlock(&worker->fresh_lock);
}

static void print_worker(int fd, cori_worker *worker, const ucontext_t *running)
{
    cori_text text = {.fd = fd};
    for (const cori_task *task = worker->live_head; task != NULL; task = task->live_next) {
        print_task(&text, worker, task, running);
    }
    print_shared(&text, worker);
}

/* Asks worker `id` to print, if there is one. */
static void ask(int id)
{
    if (id < cori_rt.worker_count) {
        cori_store_release(&dump.asked, cori_clock_now());
        cori_store_release(&dump.stage, 2 * id);
        (void)pthread_kill(cori_rt.workers[id].thread, SIGURG);
    } else {
        cori_store_release(&dump.active, 0);
    }
}

/* On the thread of the worker that was asked: print, then pass on. */
static void on_chain(int number, siginfo_t *info, void *context)
{
    int keep = errno;
    (void)number;
    if (info->si_code == SI_TIMER) { /* nobody asked: it is the worker's own, see stall.h */
        cori_stall_tick(context);
        errno = keep;
        return;
    }
    cori_stall_asked(context);
    int stage = cori_load_acquire(&dump.stage);
    int id = stage / 2;
    if (cori_load_acquire(&dump.active) != 0 && stage % 2 == 0 && id < cori_rt.worker_count &&
        pthread_equal(cori_rt.workers[id].thread, pthread_self()) && cori_cas(&dump.stage, &stage, stage + 1)) {
        print_worker(dump.fd, &cori_rt.workers[id], context);
        ask(id + 1);
    }
    errno = keep;
}

/* Goes on without a worker that has had time enough to answer. */
static void skip_silent(void)
{
    int stage = cori_load_acquire(&dump.stage);
    if (cori_load_acquire(&dump.active) != 0 && stage % 2 == 0 &&
        cori_clock_now() - cori_load_acquire(&dump.asked) > CORI_DUMP_ANSWER_NS &&
        cori_cas(&dump.stage, &stage, stage + 1)) {
        cori_text text = {.fd = dump.fd};
        cori_text_add(&text, "worker ");
        cori_text_number(&text, (uint64_t)stage / 2);
        cori_text_add(&text, " does not answer: its tasks are left out");
        cori_text_end(&text);
        ask(stage / 2 + 1);
    }
}

static bool start_dump(int fd, const char *title)
{
    uint32_t none = 0;
    if (!cori_cas_acq_rel(&dump.active, &none, 1)) {
        return false;
    }
    cori_text text = {.fd = fd};
    cori_text_add(&text, title);
    cori_text_end(&text);
    dump.fd = fd;
    ask(0);
    return true;
}

/* Waits for room in a pipe, but not for ever: the end of cor_run waits for whoever is in on_quit. */
static bool takes_text(int fd)
{
    int64_t until = cori_clock_now() + CORI_DUMP_ANSWER_NS;
    bool ready;
    while (!(ready = cori_sys_ready(fd, true)) && cori_clock_now() < until) {
        (void)sched_yield();
    }
    return ready;
}

/* Any thread may run this. */
static void on_quit(int number)
{
    int keep = errno;
    (void)number;
    if (cori_foreign_enter() && takes_text(STDERR_FILENO) && !start_dump(STDERR_FILENO, "SIGQUIT: all tasks")) {
        skip_silent();
    }
    cori_foreign_leave();
    errno = keep;
}

/*
 * TSan may lose a signal that arrives while it prepares a new thread for signals, and it handles signals in calls that
 * it knows. So there the signal is sent again, which is such a call; a handler out of turn does nothing.
 */
static void signal_again(void)
{
    int stage = cori_load_acquire(&dump.stage);
    if (stage % 2 == 0 && stage / 2 < cori_rt.worker_count) {
        (void)pthread_kill(cori_rt.workers[stage / 2].thread, SIGURG);
    }
}

static void wait_idle(void)
{
    for (unsigned round = 1; cori_load_acquire(&dump.active) != 0; round++) {
        (void)sched_yield();
        skip_silent();
        if (CORI_TSAN && round % 16 == 0) {
            signal_again();
        }
    }
}

int cor_dump(int fd)
{
    if (cori_self_worker == NULL) {
        return COR_ENOT_TASK;
    }
    while (!start_dump(fd, "all tasks")) {
        wait_idle();
    }
    wait_idle();
    return 0;
}

void cori_dump_install(void)
{
    struct sigaction chain = {.sa_sigaction = on_chain, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction quit = {.sa_handler = on_quit, .sa_flags = SA_RESTART | SA_ONSTACK};
    (void)sigfillset(&chain.sa_mask);
    (void)sigfillset(&quit.sa_mask);
    (void)sigaction(SIGURG, &chain, &earlier_chain);
    if (!cori_rt.no_sigquit_dump) {
        (void)sigaction(SIGQUIT, &quit, &earlier_quit);
    }
}

void cori_dump_uninstall(void)
{
    if (!cori_rt.no_sigquit_dump) {
        (void)sigaction(SIGQUIT, &earlier_quit, NULL);
    }
    wait_idle();
    (void)sigaction(SIGURG, &earlier_chain, NULL);
}

void cori_dump_all_stopped(int fd)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        print_worker(fd, &cori_rt.workers[i], NULL);
    }
}

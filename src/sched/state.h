/* SPDX-License-Identifier: MIT */
/*
 * Workers and the run-time they form: the ground that the rest of sched/ stands on. Only sched/ includes this file;
 * what floors above may ask is in here.h.
 *
 * Who owns what: everything in cori_worker belongs to its thread, but for the part marked shared. The run queue holds
 * tasks that have run before and are pinned here. The fresh queue holds tasks that never ran (fresh.h): its lock lets
 * other workers put tasks in and take old ones out. The inject list is how other threads queue a pinned task: a stack
 * pushed by compare-and-swap, taken whole by the owner. Floating tasks that are ready are in a queue of their own.
 *
 * With one worker (`solo`) nobody takes tasks away and nobody else wakes them: what spawns, parks, wakes and locks
 * within the program then needs no atomic operation. That holds because other threads never touch a task: they leave a
 * note, which the worker reads (a finished blocking call, a signal), or inject a new task.
 *
 * Sleeping without a lost wake-up: the worker sets `sleeping`, then looks once more at inject, notes, fresh and stop;
 * whoever adds work does so first and then exchanges `sleeping` to 0, kicking the poller if it slept. Both sides use
 * sequentially consistent operations, so at least one sees the other. A worker that is LOOKING is awake: look.c.
 */
#ifndef CORI_SCHED_STATE_H
#define CORI_SCHED_STATE_H

#include "base/atomic.h"
#include "base/fatal.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/rand.h"
#include "poll/poll.h"
#include "sched/fresh.h"
#include "sched/task.h"

#include <coracle/task.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

typedef struct cori_runq {
    cori_task *head, *tail;
} cori_runq;

/* Something for a worker to do between two tasks, left by any thread. */
typedef struct cori_note {
    struct cori_note *next;
    void (*act)(struct cori_note *note);
} cori_note;

/* Read buffers that a worker keeps for the next reader. */
typedef struct cori_spares {
    unsigned count;
    void *buffers[CORI_BUFFERS_KEPT];
} cori_spares;

/* What a worker without work does, as others see it: cori_worker.sleeping. */
enum { CORI_AWAKE = 0, CORI_ASLEEP = 1 };
/* In place of an empty inject list: its worker looks for what comes (look.c). */
#define CORI_LOOKING ((cori_task *)1)

typedef struct cori_worker {
    cori_task *current; /* NULL: the scheduler itself runs */
    cori_runq ready;    /* runnable, pinned here; the last one's `next` is not set */
    uint64_t ticket;    /* of the next arrival in fresh, or in ready while there are any; others read it */
    int switches;       /* in this round so far; round.h's, like what follows */
    int switches_most;  /* that need no second look; atomic, the ticker writes it, too */
    int round_most;     /* CORI_ROUND_SWITCHES, less where workers are virtual */
    bool solo;          /* cori_rt.solo, where a switch looks anyway */
    bool clocked;       /* the clock is read before each switch of this round */
    bool round_over;    /* with work left */
    int cheap_rounds;   /* in a row, up to CORI_CHEAP_ROUNDS */
    int64_t round_start;
    uint64_t turns;                /* in all rounds before this one */
    cori_task *yielded;            /* by yielding it has ended the round: queued after what has happened meanwhile */
    int ops_left;                  /* of the current task's turn: see cori_charge */
    int ops_most;                  /* of a turn: CORI_OPS_BUDGET, or 1 where each may end it: virtual.h */
    int64_t now;                   /* the clock as of this round, at least */
    const int *errno_shown;        /* where a switch looks for errno; carry.h's, like the next */
    int *errno_at;                 /* the thread's */
    cori_caught *caught_at;        /* NULL: no C++ in this process */
    int64_t polled;                /* when the poller was asked last */
    int unpolled;                  /* rounds since then */
    int64_t idle_since;            /* when it ran out of work, 0: it has some; spin.c's, like what follows */
    int64_t looks_left;            /* of this spin */
    bool spinning;                 /* it is the one that cori_rt.spinning speaks of */
    cori_fresh_block *fresh_spare; /* for the next record that needs one; see fresh.h */
    int64_t fresh_started;         /* when the last task was started here, with several workers; placement.c's */
    int64_t batch_started;         /* when the first of those that waited together was; placement.c's, like the next */
    uint64_t batch_turns;          /* `turns` and `switches` then */
    int64_t starved_since;         /* no stack could be had for a task since then, 0: the last one was; placement.c's */
    int64_t starved_until;         /* when it asks again */
    int64_t refused_since;         /* each wait for events has failed since then, 0: the last one did not */
    bool short_wait;               /* its last wait for work was short */
    int looks;                     /* credit for looking before sleep; look.c's, like what follows */
    bool seat;                     /* it is one of cori_rt.looking */
    int crowded;                   /* times in a row that the waker had waited for this very core */
    int look_naps;                 /* how many naps a trial is put off for */
    int look_after;                /* of these, still to come */
    cori_ctx scheduler;            /* the thread's own stack */
    cori_task *ended;              /* in this round, to be released at its end */
    cori_task *hot;                /* finished stacks with their pages, last in first out */
    int64_t cleaned;               /* when it looked for stacks to be cleaned last, with work to do */
    unsigned hot_count;
    unsigned hot_least;   /* of hot_count since the last pass of reclaim.c; these fields too */
    cori_task *trim_next; /* the pass's place in the live list */
    int64_t reclaim_at;   /* when the next pass is due, 0: none is */
    bool reclaiming;      /* a pass is under way */
    bool dirty;           /* tasks have run since it began */
    cori_heap timers;
    cori_poller *poller;
    cori_rand rand;
    int id;
    bool watcher;         /* this worker is the one that cori_rt.watching speaks of */
    cori_task *live_head; /* tasks pinned here, for the dump */
    cori_spares spares;   /* for io/: read buffers not in use */
    pthread_t thread;
    void *signal_stack;
    stack_t earlier_signal_stack;
    sigset_t earlier_mask;    /* the thread's signal mask before it was a worker */
    struct cori_watch *watch; /* NULL: nobody watches its tasks; stall.c's */

    /* Shared: written by the owner, read by others. */
    _Alignas(CORI_CACHE_LINE) uint64_t live; /* tasks pinned here */
    uint64_t external;                       /* of these, parked for something outside the program; in sum: float.h */
    uint64_t timer_count;                    /* timers armed */
    uint64_t spawned;                        /* tasks started by code on this worker */
    uint64_t naps;                           /* returns from the poller: see deadlocked() */
    uint32_t starved;                        /* starved_since is not 0 */
    uint64_t steals;                         /* times that it took tasks from another worker */
    uint64_t ready_seen;                     /* tasks in `ready` when they were counted last: roll.c's */
    uint64_t stalls;                         /* tasks that held it too long: written by its signal handler */
    uint64_t next_id, last_id;               /* task numbers still to hand out (owner only) */

    /* Shared: written by others. The inbox: one line, which moves to who wakes a task here, and back. */
    _Alignas(CORI_CACHE_LINE) cori_task *injected; /* atomic; CORI_LOOKING */
    cori_note *notes;                              /* atomic */
    uint32_t sleeping;  /* atomic: CORI_ASLEEP while the worker is (about to be) blocked in its poller */
    uint32_t appointed; /* atomic: woken to be the watcher; see placement.c */

    /* Shared: what workers with nothing to do look at, and the owner before each switch; else it stands still. */
    _Alignas(CORI_CACHE_LINE) uint32_t fresh_lock;
    uint32_t fresh_count;    /* atomic; guard for writing: fresh_lock */
    uint64_t fresh_first;    /* ticket of the first fresh or floating task, UINT64_MAX: none; atomic; as fresh_count */
    uint32_t placed_count;   /* of these, put here for balance: they count as load; as fresh_count */
    uint32_t made_count;     /* of these, made with a stack; as fresh_count */
    uint32_t floating_count; /* atomic; as fresh_count */
    cori_fresh_queue fresh;  /* guard: fresh_lock */
    cori_runq floating;      /* ready tasks that others may take: float.h; guard: fresh_lock */

    /* Shared, seldom used: roll.c's and signal.c's. */
    _Alignas(CORI_CACHE_LINE) cori_note roll_note;
    cori_note signal_note;
    uint32_t called;    /* atomic: the first note is on its way to the worker */
    uint32_t signalled; /* atomic: the second one is */
} cori_worker;

typedef struct cori_runtime {
    int worker_count;
    cori_worker *workers; /* worker_count of them */
    const cori_poll_ops *poll_ops;
    size_t stack_size_bytes;
    int blocking_threads;
    int64_t blocking_grace_ns;                /* < 0: none */
    int64_t spin_ns;                          /* how long to look for events before sleeping; 0: not at all */
    int64_t stall_ns;                         /* how long a task may hold its worker; 0: any time */
    void (*on_stall)(const cor_stall *stall); /* NULL: on stderr */
    bool solo;                                /* one worker: no other thread to share with */
    bool foreign_wakeups;
    bool no_sigquit_dump, no_overflow_report;
    uint32_t looking_most; /* of `looking` */
    uint32_t stop;         /* atomic: main_task has returned, or deadlock */
    uint32_t deadlock;     /* atomic */
    uint32_t starved;      /* atomic: it is one for want of stacks; set before `deadlock` */
    uint32_t ticking;      /* atomic: ticked rounds are ended by ticker.c */
    uint32_t no_ticker;    /* atomic: a thread for it cannot be had, or a test's clock is used */
    sem_t gate;            /* posted for each worker thread when it may end */
    int (*main_task)(void *arg);
    void *main_arg;
    int main_result;

    /* What changes all the time, apart from what is read all the time. */
    _Alignas(CORI_CACHE_LINE) uint32_t idle;    /* atomic: workers that sleep */
    uint32_t spinning;                          /* atomic: a worker looks for events in a busy loop */
    uint32_t watching;                          /* atomic: an idle worker looks after the others' fresh queues */
    uint64_t next_id;                           /* atomic: hands out ranges of task numbers */
    uint32_t foreign;                           /* atomic: cor_go_foreign's so far; each goes to the next worker */
    _Alignas(CORI_CACHE_LINE) uint32_t looking; /* atomic: workers that may look at this moment */
} cori_runtime;

extern cori_runtime cori_rt;
extern uint32_t cori_foreign_inside; /* atomic: see cori_foreign_enter; also while no cor_run is active */
extern uint32_t cori_foreign_open;   /* atomic: who is inside may look at cori_rt */
/*
 * The worker whose thread this is; NULL on other threads. It changes under a floating task that parks: so its address
 * must not be kept over a call. gcc does not on x86-64, where a load of a thread-local variable takes one instruction
 * and no address, unless a sanitizer asks for the address. Elsewhere a call gives it, each time.
 */
#if defined(__x86_64__) && !defined(__clang__) && !CORI_ASAN && !CORI_TSAN
extern __thread cori_worker *cori_self_worker;
#else
#define cori_self_worker (*cori_self_place())
cori_worker **cori_self_place(void);
#endif

/*
 * For code that may run on threads of which the library knows nothing, a signal handler too: true if it may look at
 * cori_rt, which then stays until it has left. It leaves in either case.
 */
static inline bool cori_foreign_enter(void)
{
    cori_fetch_add(&cori_foreign_inside, 1);
    return cori_load(&cori_foreign_open) != 0;
}

static inline void cori_foreign_leave(void)
{
    cori_fetch_sub(&cori_foreign_inside, 1);
}

/*
 * The run queue, on the worker's own thread. What these functions cost is the number of their stores, so there are as
 * few as can be: no link of the last task, and no ticket while nothing is in the fresh queue. A task then keeps an old
 * one, which is lower than any that comes: it goes before what is spawned after it, as it should.
 */
static inline void cori_ticket_take(cori_worker *worker, cori_task *task)
{
    if (cori_unlikely(cori_load_relaxed(&worker->fresh_first) != UINT64_MAX)) {
        task->ticket = worker->ticket;
        cori_store_relaxed(&worker->ticket, task->ticket + 1);
    }
}

static inline void cori_ready_push(cori_worker *worker, cori_task *task)
{
    cori_ticket_take(worker, task);
    if (worker->ready.head == NULL) {
        worker->ready.head = task;
    } else {
        worker->ready.tail->next = task;
    }
    worker->ready.tail = task;
}

/* Takes the first task, NULL if there is none. */
static inline cori_task *cori_ready_pop(cori_worker *worker)
{
    cori_task *first = worker->ready.head;
    if (first != NULL) {
        worker->ready.head = first == worker->ready.tail ? NULL : first->next;
    }
    return first;
}

/* Queues `task` and takes the first of those that were queued already, at least one. */
static inline cori_task *cori_ready_rotate(cori_worker *worker, cori_task *task)
{
    cori_task *first = worker->ready.head;
    cori_task *last = worker->ready.tail;
    cori_ticket_take(worker, task);
    last->next = task;
    worker->ready.tail = task;
    worker->ready.head = first == last ? task : first->next; /* no waiting for the link that has just been written */
    return first;
}

/* Makes a task the worker's: one that never ran, for life; one that floats, for a while. On the worker's own thread. */
static inline void cori_task_pin(cori_worker *worker, cori_task *task)
{
    cori_store_relaxed(&task->worker, worker);                     /* others may ask: float.h */
    cori_list_add(&worker->live_head, task, live_next, live_prev); /* the dump walks it from a signal handler */
    cori_bump(worker->live, 1);
}

/* Undoes that: it ends, or is to be anybody's. On the worker's own thread. */
static inline void cori_task_unpin(cori_worker *worker, cori_task *task)
{
    cori_list_remove(&worker->live_head, task, live_next, live_prev);
    if (cori_unlikely(worker->trim_next == task)) {
        worker->trim_next = task->live_next;
    }
    cori_assert(worker->live > 0);
    cori_bump(worker->live, -1);
}

#endif

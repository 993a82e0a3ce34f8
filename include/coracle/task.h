/* SPDX-License-Identifier: MIT */
/*
 * Tasks: light threads, one per connection, on one worker thread per core. A task runs until it parks (in a call whose
 * docstring says so), yields or returns; it is never pre-empted. A call that waits for something lets others run now
 * and then even if it need not wait, or fails at once; one that never parks does not, so a loop around a try needs
 * cor_yield. Once it has run a task stays on its worker for life; only a floating task (cor_task_options.floats) may
 * move to another. errno is the task's own, and so are the exceptions that C++ code is handling (if a C++ run-time
 * library is loaded when cor_run starts). Thread-local variables belong to the worker: all its tasks share them, and a
 * task that parks may find them changed.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_TASK_H
#define CORACLE_TASK_H

#include <coracle/base.h>

COR_BEGIN

/* A task that has held its worker for too long; the texts are valid until cor_options.on_stall returns. */
typedef struct cor_stall {
    int worker;
    uint64_t task_id;
    const char *name;      /* the task's, else its function */
    const char *site;      /* where it was spawned */
    int64_t held_ns;       /* so far, about */
    const char *backtrace; /* where it was just now, innermost call first: "f+0x1c (program+0x12f0) < g+0x40 (...)" */
} cor_stall;

/* Options of cor_run; all-zero means all defaults. */
typedef struct cor_options {
    int workers;               /* worker threads, 1..256; 0: COR_WORKERS from the environment, else the usable cores */
    const char *poller;        /* "epoll", "io_uring" or "auto"; NULL: COR_POLLER from the environment, else "auto" */
    size_t stack_size_bytes;   /* usable stack of a task; 0: 64 KiB; rounded up to 16, 32, ... KiB; at most 8 MiB */
    int blocking_threads;      /* limit of cor_blocking's pool, 1..1024; 0: 16 */
    int64_t blocking_grace_ns; /* how long the end of cor_run waits for calls of cor_blocking that still run; after that
                                  it says so on stderr and abandons them, and all stacks. 0: 5 s; < 0: no wait */
    bool keep_descriptor_limit; /* leave the soft limit of descriptors alone (default: cor_run raises it to the hard
                                   one for good. Programs you exec inherit it: lower it for those that use select(2)) */
    bool no_sigquit_dump;    /* leave SIGQUIT alone (default: it prints all tasks on stderr, and the program goes on) */
    bool no_overflow_report; /* leave SIGSEGV alone (default: a stack overflow names its task, then the program dies) */
    bool foreign_wakeups;    /* your own threads will call cor_go_foreign: idle tasks are then no deadlock */
    uint64_t seed;           /* of the scheduler's random choices; 0: from the kernel */
    int64_t spin_ns;         /* how long a worker whose last wait was short polls in a busy loop before it sleeps, up to
                                1 s: quicker answers at the price of a busy CPU; 0: COR_SPIN_US from the environment
                                (in microseconds), else not at all */
    int64_t stall_ns;        /* the watchdog: a task that holds its worker for this much CPU time (up to half as much
                                again) without parking or yielding is named, once per turn, and counted in cor_stats;
                                1 ms to 1 h. So is a task stuck in a system call, if a cor_roll_call waits for it that
                                long. Uses SIGURG, as the dump does, a few times a second while a worker computes.
                                0: COR_STALL_MS from the environment, else off; < 0: off */
    void (*on_stall)(const cor_stall *stall); /* called on a thread of its own, which is no task; NULL: a line on stderr
                                                 instead. While a call runs, further stalls are only counted */
    bool report_leaks; /* print on stderr, at the end of cor_run, which tasks, channels, connections and listeners made
                          during it are left, and where they were made; they get 0.1 s to end after main_task.
                          The same as COR_LEAKS=1 in the environment */
} cor_options;

/* Attributes of one task for cor_go_with; all-zero means all defaults. */
typedef struct cor_task_options {
    const char *name; /* shown in dumps; keeps: must outlive the task. NULL: its function and spawn site are shown */
    size_t stack_size_bytes; /* 0: cor_options.stack_size_bytes; else as there */
    bool floats;    /* an idle worker may take it whenever it is ready to run: the task promises not to keep the address
                       of anything thread-local across a call that may park. For errno see <coracle/errno.h> */
    bool stack_now; /* it gets its stack at once, or the call fails with -ENOMEM: for a task that its starter waits for.
                       Without it, if every task with a stack waits for one without, none ends and frees its stack */
} cor_task_options;

/*
 * Runs `main_task(arg)` as the first task, with the calling thread as first worker, and returns when it has returned.
 * Tasks that still exist then are abandoned where they are parked (Go does the same), with the memory they hold; the
 * channels, locks and groups that they hold or wait for must not be used again. Connections still open are closed. One
 * cor_run at a time per process; it may be called again after it has returned. `options` may be NULL.
 * Returns: main_task's value; COR_EDEADLOCK if no task can ever run again (reported on stderr with a dump of all tasks;
 * also if it is because the rest wait for stacks, and there is no memory for them); COR_EBUSY_RUNTIME; -EINVAL for a
 * bad option or environment variable, which a line on stderr names; -ENOMEM -EMFILE or another -errno if the workers
 * could not be set up.
 * Parks: no, it stops the calling thread. Threads: an ordinary thread, not a task.
 * Owns: borrows `options` and `arg` until return.
 * Go: the run-time's start of main.main.
 */
COR_API int cor_run(int (*main_task)(void *arg), void *arg, const cor_options *options);

/*
 * Starts a task that calls `task(arg)`, in no group, even if the caller is in one (see cor_group_go). It is queued,
 * never run at once; an idle worker may take it. Until it runs it takes 64 bytes; then it gets its stack. If there is
 * no memory for one, it waits until another task ends or memory is free again, and while a task waits so on a worker,
 * this call fails with -ENOMEM there.
 * Returns: 0, or -ENOMEM, COR_ENOT_TASK. On failure nothing was started and `arg` is yours.
 * Threads: tasks only (elsewhere use cor_go_foreign). Owns: `arg` is handed to the task untouched.
 * Go: the go statement.
 */
COR_API COR_CHECK int cor_go(void (*task)(void *arg), void *arg);

/*
 * Starts a task as cor_go does, with a name, as a floating task, or with its own stack size. A stack of another size
 * is allocated at once, as with `stack_now`.
 * Returns: 0, -EINVAL for a bad stack size, -ENOMEM, COR_ENOT_TASK.
 * Owns: borrows `options` until return, keeps options->name.
 */
COR_API COR_CHECK int cor_go_with(const cor_task_options *options, void (*task)(void *arg), void *arg);

/*
 * Starts a task from a thread that the library does not know (a GUI, a driver's callback thread): the one way in. The
 * task can do everything: send to a channel, unlock, close. Set cor_options.foreign_wakeups when you use this.
 * Returns: 0, -ENOMEM, or COR_ENOT_TASK if no cor_run is active (or it is ending).
 * Threads: any thread, tasks too; not a signal handler.
 */
COR_API COR_CHECK int cor_go_foreign(void (*task)(void *arg), void *arg);

/*
 * Lets other runnable tasks of this worker run, then goes on. Timers, I/O and wake-ups from other threads are looked at
 * about every millisecond, and what has come runs before this task's next turn.
 * Parks: yes, without a wait. Threads: tasks only, elsewhere it does nothing. Go: runtime.Gosched.
 */
COR_API void cor_yield(void);

/*
 * Gives the number of the calling task, assigned when it first ran and unique for the life of the process; 0 outside a
 * task.
 * Returns: the number. Threads: any thread.
 */
COR_API uint64_t cor_task_id(void);

/* What cor_runtime_stats tells. */
typedef struct cor_runtime_stats {
    int workers;             /* worker threads */
    uint64_t tasks;          /* tasks alive now, queued ones included */
    uint64_t spawned;        /* tasks started since cor_run */
    uint64_t connections;    /* connections and listeners open now */
    uint64_t stalls;         /* turns longer than cor_options.stall_ns */
    uint64_t steals;         /* how often a worker without work took tasks from another one */
    uint64_t stack_bytes;    /* usable bytes of the stacks that tasks have or workers keep for the next ones; most of
                             them are untouched and take no memory */
    uint64_t ring_overflows; /* io_uring: how often more events came than a worker's ring holds; nothing is lost */
} cor_runtime_stats;

/* What cor_stats_workers tells of one worker. */
typedef struct cor_worker_stats {
    uint64_t tasks; /* alive on it, all of the following included */
    uint64_t fresh; /* queued, never ran */
    uint64_t ready; /* queued, have run; of those that cannot move to another worker, at most 10,000 are counted */
    bool silent;    /* it has not answered in time: its task still runs, `ready` is from its last answer */
} cor_worker_stats;

/*
 * Reads counters of the active cor_run, one after the other while it runs: a task that another worker is just taking
 * over may be missing from `tasks`. To wait for tasks use a group, not this count.
 * Returns: 0, or COR_ENOT_TASK. Owns: borrows `out` until return.
 */
COR_API int cor_stats(cor_runtime_stats *out);

/*
 * Counts the tasks of each worker, for the first `most` workers in `out`. Every worker counts its own between two
 * tasks, so it costs nothing at other times; one that computes until `deadline` (absolute; 0: none) is silent.
 * Returns: the number of workers; COR_ECANCELED; -EBUSY if eight tasks wait here or in cor_roll_call; COR_ENOT_TASK.
 * Parks: until deadline. Owns: borrows `out` until return. Go: runtime/metrics, /sched/goroutines.
 */
COR_API int cor_stats_workers(cor_worker_stats *out, int most, int64_t deadline);

/*
 * Tells which worker runs the calling task: 0 .. workers-1, or -1 outside a task.
 * Returns: the worker's number. Threads: any thread.
 */
COR_API int cor_worker_id(void);

/*
 * Waits until every worker has answered: has finished the turn of the task that it was running and looked for requests
 * of other threads. A worker that computes, or that the system has stopped, does not. For watchdogs. `deadline` is
 * absolute, 0 for none.
 * Returns: 0; COR_ETIMEOUT, COR_ECANCELED; -EBUSY if eight tasks wait already; COR_ENOT_TASK.
 * Parks: until deadline. Go: none.
 */
COR_API int cor_roll_call(int64_t deadline);

/*
 * Writes a dump of all tasks to the descriptor `fd`: number ("-" if it never ran), name or function and spawn site,
 * state, what it waits for, for how long, and a backtrace. SIGQUIT does the same on stderr.
 * Returns: 0, or COR_ENOT_TASK.
 * Parks: never, but the calling thread stops until all workers have printed. A worker that does not begin within a
 * second (code on its thread blocks signals) is left out, and the dump says so. Owns: borrows `fd` until return.
 * Go: the dump on SIGQUIT, runtime/pprof's goroutine profile.
 */
COR_API int cor_dump(int fd);

/*
 * Turns a signal (1 .. 63) into something a task can wait for: from now on it no longer has its default effect but is
 * kept until cor_signal_wait takes it. A signal that was blocked when the program started is unblocked.
 * Its earlier action and the signal mask are restored when cor_run returns.
 * Returns: 0, -EINVAL for a signal that cannot be caught, COR_ENOT_TASK. Go: signal.Notify.
 */
COR_API int cor_signal_catch(int signal_number);

/*
 * Restores a caught signal's earlier action, e.g. so that a second SIGINT ends the program at once. A signal that has
 * already arrived can still be taken by cor_signal_wait.
 * Returns: 0, -EINVAL if it was not caught, COR_ENOT_TASK. Go: signal.Reset.
 */
COR_API int cor_signal_reset(int signal_number);

/*
 * Parks until a caught signal has arrived and takes it; the lowest number first. One task at a time may wait.
 * `deadline` is absolute, 0 for none.
 * Returns: the signal's number, COR_ETIMEOUT, COR_ECANCELED, -EBUSY if another task waits already, COR_ENOT_TASK.
 * Parks: until deadline. Go: receiving from a signal.Notify channel.
 */
COR_API int cor_signal_wait(int64_t deadline);

/*
 * Names the library's version, e.g. "0.1.0".
 * Returns: a static text. Threads: any thread. Owns: returns borrowed.
 */
COR_API const char *cor_version(void);

/*
 * Names the poller that cor_run chose last (or would choose) and why, e.g. "epoll (the only one built in)". If io_uring
 * was requested and is not available, cor_run uses epoll, and this tells why.
 * Returns: a static text. Threads: any thread. Owns: returns borrowed.
 */
COR_API const char *cor_poller_info(void);

COR_END

#endif

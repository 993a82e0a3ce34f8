/* SPDX-License-Identifier: MIT */
/*
 * Replay: a whole program, its servers and its clients, in one process, on one thread, on a virtual clock and a virtual
 * network. Every choice (which task runs next, how long a packet travels, what fails) comes from a seed: the same seed
 * and program give the same run, event by event, so a bug that showed once shows again. Sleeping costs no time.
 *
 * The program is unchanged: it calls cor_listen, cor_dial, cor_sleep, cor_now as ever. What it must not do is wait or
 * ask the time past the library (sleep(3), time(2), threads of its own), use addresses of memory as data, or leave
 * anything in static variables that a second run would find.
 */
#ifndef CORACLE_SIM_H
#define CORACLE_SIM_H

#include <coracle/base.h>

COR_BEGIN

/* Which task goes on when several could. */
typedef enum cor_sim_schedule {
    COR_SIM_TURNS,  /* any worker, whenever a task waits, yields or ends */
    COR_SIM_POINTS, /* the same, and in the middle of a task's turn: at its locks, channel operations, selects, reads,
                       writes and the like, as often as the seed says */
    COR_SIM_PCT     /* at the same points, but by priorities that change in a few places: "probabilistic concurrency
                       testing". Finds orders in which one side must wait for long; workers are 4 to 12 by default */
} cor_sim_schedule;

/* Faults that a seed may choose where cor_sim_options.more has them. Their bits are those of `without`. */
enum {
    COR_SIM_NARROW = 1 << 7,    /* links have a bandwidth, of 8 KiB to 8 MiB per second */
    COR_SIM_LOSSY = 1 << 8,     /* links lose up to 6 % of what is sent: see cor_sim_link */
    COR_SIM_FULL = 1 << 9,      /* accepting fails: EMFILE, ENFILE, ENOBUFS, ENOMEM */
    COR_SIM_NO_MEMORY = 1 << 10 /* the library's own allocations fail now and then */
};

/* How a simulated run goes; all-zero means all defaults. */
typedef struct cor_sim_options {
    int workers;      /* virtual ones, 1..256; 0: 1 to 4, by the seed */
    bool hostile;     /* connections break, dials find nobody, accepting fails now and then. Without it only what any
                      network does: data comes late and in parts, writes are short, some events are spurious. Which of
                      these happen, and how often, is the seed's choice */
    bool must_end;    /* tasks, connections and listeners left a minute after main_task has returned 0 are a failure;
                      otherwise they are abandoned, as in cor_run */
    bool trace;       /* print each call on sockets and each arrival, with its time and task, to report_fd; so does
                      COR_SIM_TRACE=1. The lines are the same each time the seed is run */
    int scale;        /* percent of what cor_sim_scale is asked for; 0: all; a search makes it smaller */
    uint32_t without; /* faults that are off, a bit each; a search sets them */
    int report_fd;    /* where reports of failures go; 0: standard error; < 0: nowhere */
    cor_sim_schedule schedule;
    int depth;     /* with COR_SIM_PCT: how many constraints on the order a bug may take, 1..16; 0: 3 */
    uint32_t more; /* further faults, COR_SIM_NO_MEMORY and the like: a seed switches on about half of them, each as
                      strong as it says */
} cor_sim_options;

/* What is known of a run when it has ended. */
typedef struct cor_sim_result {
    uint64_t hash;      /* of all that happened: equal for equal runs */
    uint64_t events;    /* turns of workers, and things that happened on the network */
    int64_t virtual_ns; /* how long the run took on its own clock */
} cor_sim_result;

/*
 * Runs `main_task(arg)` as cor_run does, in a simulation. `options` and `result` may be NULL.
 * Returns: as cor_run; COR_EDEADLOCK also if all tasks wait for a network on which nothing is in flight; COR_ELEAK if
 * something is left that must end; what a check of cor_sim_check returned that was not 0.
 * Parks: no, it stops the calling thread. Threads: an ordinary thread, not a task.
 * Owns: borrows all arguments until return. Go: testing/synctest.Test, with a network.
 */
COR_API int cor_sim_run(uint64_t seed, const cor_sim_options *options, int (*main_task)(void *arg), void *arg,
                        cor_sim_result *result);

/* What a search found. */
typedef struct cor_sim_report {
    uint64_t seed;
    int code;                /* what its run returned; 0: no seed failed */
    cor_sim_options options; /* with which it is the smallest found */
    cor_sim_result result;
    int runs; /* in all */
} cor_sim_report;

/*
 * Runs `count` seeds, as cor_sim_run does, until one does not return 0. Then it looks for a smaller run that returns
 * the same (a simpler schedule, fewer faults, fewer workers, less of what cor_sim_scale gives), shows it, and prints
 * the command that repeats it. With COR_SIM_REPLAY in the environment, as printed, it runs only that one; with
 * COR_SIM_SCHEDULE=turns, points, pct or pct:DEPTH it searches by that schedule instead of the options' one. main_task
 * must begin from scratch each time. A run that aborts ends the process, after its command has been printed.
 * Returns: 0, or what the failing run returned. Parks: no. Threads: an ordinary thread.
 * Owns: borrows all arguments until return; `options` and `report` may be NULL. Go: the search of testing.F, somewhat.
 */
COR_API int cor_sim_search(uint64_t first_seed, uint64_t count, const cor_sim_options *options,
                           int (*main_task)(void *arg), void *arg, cor_sim_report *report);

/*
 * Tells how many of `most` clients, rounds or the like this run should have: all, or fewer while a search looks for a
 * smaller run.
 * Returns: 1..most; `most` outside a simulated run, or if that is not positive. Parks: never. Threads: tasks.
 */
COR_API int cor_sim_scale(int most);

/*
 * Adds a host with an IPv4 or IPv6 address; host 0, on which main_task runs, has the loopback addresses only. Lookups,
 * dials and listens find it by its name; a name that several hosts have has the addresses of all. There are no other
 * names than these and localhost, and no records but addresses.
 * Returns: its number, from 1; -EINVAL: not an address; -EEXIST: another has it; -ENOSPC: there are 255 already;
 * COR_ENOT_TASK outside a simulated run. Parks: never. Threads: tasks only.
 */
COR_API COR_CHECK int cor_sim_host(const char *name, const char *address);

/*
 * Starts a task on a host; what it starts runs there, too.
 * Returns: as cor_go; -EINVAL: no such host; -EHOSTDOWN: it has crashed. Parks: never. Threads: tasks only.
 * Go: the go statement.
 */
COR_API COR_CHECK int cor_sim_go(int host, void (*task)(void *arg), void *arg);

/*
 * Cuts the link between two hosts, in both directions, or heals it. Data in flight on a stream waits for the healing,
 * for as long as TCP would: the user timeout or a quarter of an hour, and keep-alive if nothing is sent. Datagrams are
 * lost, and dials get no answer.
 * Returns: 0, -EINVAL: no such host. Parks: never. Threads: tasks only.
 */
COR_API int cor_sim_cut(int host_a, int host_b, bool cut);

/* A link: how what is sent from one host reaches another. */
typedef struct cor_sim_link {
    int64_t latency_ns, jitter_ns; /* jitter: up to so much more, by chance; a second at most */
    uint64_t bytes_per_s;          /* 0: no limit. Datagrams are lost that find 256 KiB waiting */
    uint32_t lost_per_million;     /* datagrams are lost; parts of streams come 200 ms later, or 600, ... */
} cor_sim_link;

/*
 * Sets the link from one host to another, for what is sent from now on; the other direction stays as it is. By default
 * it has a latency of 200 us and a jitter of 100 us (within a host 5 us and none), no limit and no loss.
 * Returns: 0; -EINVAL: no such host, a latency above an hour, a jitter above a second, more than a million lost;
 * COR_ENOT_TASK outside a simulated run. Parks: never. Threads: tasks only. Owns: borrows until return.
 */
COR_API COR_CHECK int cor_sim_set_link(int from, int to, const cor_sim_link *link);

/*
 * Makes the next `count` accepts on a host that would have found a client fail: with -EMFILE, -ENFILE, -ENOBUFS or
 * -ENOMEM, after which the client still waits, or with -ECONNABORTED.
 * Returns: 0; -EINVAL: no such host, another code, count < 0; COR_ENOT_TASK outside a simulated run. Parks: never.
 * Threads: tasks only.
 */
COR_API COR_CHECK int cor_sim_fail_accepts(int host, int code, int count);

/*
 * Crashes a host: its connections and listeners are gone, and no peer is told; a peer learns of it by a reset when it
 * sends after the restart, or by its own time limits. The host's tasks cannot vanish, since all hosts share one memory:
 * they are cancelled, as by cor_group_cancel, and must find their way out. Groups without a parent, and those first
 * used by a task of another host, are not reached. What the program keeps in memory survives, like a disk.
 * Returns: 0, also if it is down already; -EINVAL: no such host, or host 0; COR_ENOT_TASK. Parks: never.
 * Threads: tasks only.
 */
COR_API int cor_sim_crash(int host);

/*
 * Restarts a crashed host, without tasks: cor_sim_go then starts its program anew. Waits until the last task that ran
 * there has ended.
 * Returns: 0, also if it is up; COR_ETIMEOUT: a task of it goes on for a minute after being cancelled; COR_ECANCELED;
 * -EINVAL: no such host, or host 0; COR_ENOT_TASK. Parks: until its tasks have ended. Threads: tasks of other hosts.
 */
COR_API COR_CHECK int cor_sim_restart(int host);

/*
 * Makes the `nth` allocation of the library from now on fail, and the `count - 1` after it, as when memory runs out;
 * `count` 0 ends that. The program's own allocations are not touched.
 * Returns: 0; -EINVAL: nth < 1, count < 0; COR_ENOT_TASK outside a simulated run. Parks: never. Threads: tasks only.
 */
COR_API COR_CHECK int cor_sim_fail_memory(int64_t nth, int64_t count);

/*
 * Adds an invariant of the program: `check(arg)` is called whenever no task can go on, before the clock jumps, and at
 * the end of a run that went well. It runs on no task: it may look at memory, and call nothing that is for tasks only.
 * The run ends at once with what it returns, unless that is 0, and with a dump of all tasks.
 * Returns: 0, -ENOSPC: there are 64 already; COR_ENOT_TASK outside a simulated run. Parks: never. Threads: tasks only.
 * Owns: keeps `arg` until cor_sim_run returns: it must not lie on a task's stack.
 */
COR_API COR_CHECK int cor_sim_check(int (*check)(void *arg), void *arg);

/*
 * Sets how lookups of a name go from now on: they take `after_ns`, then succeed as usual if `code` is 0, or fail with
 * it: COR_ENO_SUCH_HOST, COR_ETIMEOUT, COR_ESERVER_MISBEHAVING, COR_EBAD_ANSWER. Other names take less than a
 * millisecond; in a hostile run the seed may make their lookups fail like this, or take seconds.
 * Returns: 0; -EINVAL: another code, or a negative time; -ENOSPC: there are 256 such names, or it is longer than 63
 * bytes; COR_ENOT_TASK outside a simulated run. Parks: never. Threads: tasks only. Owns: borrows until return.
 */
COR_API COR_CHECK int cor_sim_name(const char *name, int code, int64_t after_ns);

COR_END

#endif

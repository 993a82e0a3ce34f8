/* SPDX-License-Identifier: MIT */
/* cor_sim_run: puts clock, poller, driver and kernel of a simulation in place, runs, and takes them away. */
#include "base/clock.h"
#include "base/sys.h"
#include "poll/poll_pick.h"
#include "sched/here.h"
#include "sim/event.h"
#include "sim/host.h"
#include "sim/kernel.h"
#include "sim/memory.h"
#include "sim/names.h"
#include "sim/poller.h"
#include "sim/report.h"
#include "sim/schedule.h"
#include "sim/socket.h"
#include "sim/trace.h"
#include "sim/verdict.h"

#include <coracle/error.h>
#include <coracle/sim.h>
#include <coracle/task.h>
#include <coracle/time.h>
#include <errno.h>
#include <unistd.h>

enum { WORKERS_MOST = 4, READING_NS = 20 };
#define LEAVE_NS COR_MINUTE

static int64_t read_clock(void *arg)
{
    (void)arg;
    cori_sim_pass(READING_NS); /* who computes until a time has come gets there */
    return cori_sim_now();
}

/* The hot calls ask for another kernel only while there is a hook. What else fails is that kernel's. */
static int fault(enum cori_sys_call call)
{
    return call == CORI_SYS_ALLOC && cori_sim_memory_fails() ? -ENOMEM : 0;
}

static struct {
    int (*main_task)(void *arg);
    void *arg;
    bool must_end;
    int scale;
} program;

/* The last handlers learn of the end a moment later: waits until nothing is left, or long enough. */
static void await_end_of_all(void)
{
    int64_t until = cor_after(LEAVE_NS), pause = COR_MILLISECOND;
    cor_runtime_stats stats = {0};
    while (cor_stats(&stats) == 0 && (stats.tasks > 1 || stats.connections > 0)) {
        if (cor_now() >= until) {
            cori_sim_verdict_set(COR_ELEAK);
            return;
        }
        (void)cor_sleep(pause);
        pause = pause < COR_SECOND ? 2 * pause : pause;
    }
}

static int run_program(void *unused)
{
    (void)unused;
    cori_sim_trace_main();
    cori_sim_memory_main(true);
    int rc = program.main_task(program.arg);
    cori_sim_memory_main(false);
    if (rc == 0 && program.must_end) {
        await_end_of_all();
    }
    return rc;
}

static void put_in_place(bool on, const cori_sys_other_ops *kernel)
{
    cori_clock_set(on ? read_clock : NULL, NULL);
    cori_poll_override(on ? &cori_sim_poll_ops : NULL);
    cori_virtual_driver = on ? cori_sim_driver() : NULL;
    cori_sys_other = on ? kernel : NULL;
    cori_sys_fault = on ? fault : NULL;
}

int cor_sim_run(uint64_t seed, const cor_sim_options *options, int (*main_task)(void *arg), void *arg,
                cor_sim_result *result)
{
    static const cor_sim_options defaults;
    options = options != NULL ? options : &defaults;
    cori_sim_events_begin(seed);
    cori_sim_hosts_run();
    cori_sim_sockets_begin();
    cori_sim_pollers_begin();
    cori_sim_faults_choose(options->hostile, options->without);
    cori_sim_faults_more(seed, options->more & ~options->without);
    cori_sim_memory_begin();
    cori_sim_names_begin(seed, options->hostile);
    cori_sim_report_begin(options->report_fd != 0 ? options->report_fd : STDERR_FILENO);
    cori_sim_verdict_begin(seed);
    int workers = cori_sim_schedule_begin(seed, options, 1 + (int)cori_sim_below(WORKERS_MOST), cori_sim_can_go_on);
    cor_options inside = {.workers = workers, .seed = seed != 0 ? seed : 1};
    program.main_task = main_task;
    program.arg = arg;
    program.must_end = options->must_end;
    program.scale = options->scale;
    int64_t begun = cori_sim_now();
    put_in_place(true, cori_sim_schedule_kernel(cori_sim_trace_begin(options->trace, &cori_sim_kernel)));
    int rc = cor_run(run_program, NULL, &inside);
    put_in_place(false, NULL);
    rc = cori_sim_verdict_end(rc, options->must_end);
    if (result != NULL) {
        *result = (cor_sim_result){cori_sim_hash(), cori_sim_count(), cori_sim_now() - begun};
    }
    cori_sim_events_end(cori_sim_datagram_drop);
    cori_sim_sockets_end();
    return rc;
}

int cor_sim_check(int (*check)(void *arg), void *arg)
{
    return cori_virtual_driver != NULL && cori_self() != NULL ? cori_sim_verdict_add(check, arg) : COR_ENOT_TASK;
}

int cor_sim_scale(int most)
{
    int scaled = program.scale > 0 && cori_virtual_driver != NULL ? (int)((int64_t)most * program.scale / 100) : most;
    return scaled > 0 || most <= 0 ? scaled : 1;
}

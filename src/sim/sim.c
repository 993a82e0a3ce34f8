/* SPDX-License-Identifier: MIT */
/* cor_sim_run: puts clock, poller, driver and kernel of a simulation in place, runs, and takes them away. */
#include "base/clock.h"
#include "base/sys.h"
#include "poll/poll_pick.h"
#include "sched/here.h"
#include "sim/address.h"
#include "sim/event.h"
#include "sim/kernel.h"
#include "sim/poller.h"
#include "sim/socket.h"

#include <arpa/inet.h>
#include <coracle/error.h>
#include <coracle/sim.h>
#include <coracle/task.h>
#include <errno.h>

enum { WORKERS_MOST = 4, READING_NS = 20 };

static bool running;

static int64_t read_clock(void *arg)
{
    (void)arg;
    cori_sim_pass(READING_NS); /* who computes until a time has come gets there */
    return cori_sim_now();
}

/* The hot calls ask for another kernel only while there is a hook. */
static int no_fault(enum cori_sys_call call)
{
    (void)call;
    return 0;
}

int cor_sim_run(uint64_t seed, const cor_sim_options *options, int (*main_task)(void *arg), void *arg,
                cor_sim_result *result)
{
    cori_sim_events_begin(seed);
    cori_sim_hosts_begin();
    cori_sim_sockets_begin();
    cori_sim_pollers_begin();
    cori_sim_faults_choose(options != NULL && options->hostile);
    int workers = options != NULL && options->workers > 0 ? options->workers : 1 + (int)cori_sim_below(WORKERS_MOST);
    cor_options inside = {.workers = workers, .seed = seed != 0 ? seed : 1};
    int64_t begun = cori_sim_now();
    cori_clock_set(read_clock, NULL);
    cori_poll_override(&cori_sim_poll_ops);
    cori_virtual_driver = &cori_sim_driver;
    cori_sys_other = &cori_sim_kernel;
    cori_sys_fault = no_fault;
    running = true;
    int rc = cor_run(main_task, arg, &inside);
    running = false;
    cori_sys_fault = NULL;
    cori_sys_other = NULL;
    cori_virtual_driver = NULL;
    cori_poll_override(NULL);
    cori_clock_set(NULL, NULL);
    if (result != NULL) {
        *result = (cor_sim_result){cori_sim_hash(), cori_sim_count(), cori_sim_now() - begun};
    }
    cori_sim_events_end(cori_sim_datagram_drop);
    cori_sim_sockets_end();
    return rc;
}

int cor_sim_host(const char *name, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    cori_sim_address own;
    if (!running || cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
        (void)cori_sim_address_from(&own, (const struct sockaddr *)(const void *)&in, sizeof(in));
    } else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1) {
        (void)cori_sim_address_from(&own, (const struct sockaddr *)(const void *)&in6, sizeof(in6));
    } else {
        return -EINVAL;
    }
    return cori_sim_host_add(name, &own);
}

int cor_sim_go(int host, void (*task)(void *arg), void *arg)
{
    if (!running || cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (host < 0 || host >= cori_sim_host_count()) {
        return -EINVAL;
    }
    uint16_t own = cori_here_host();
    cori_here_move((uint16_t)host);
    int rc = cor_go(task, arg);
    cori_here_move(own);
    return rc;
}

int cor_sim_cut(int host_a, int host_b, bool cut)
{
    if (host_a < 0 || host_b < 0 || host_a >= cori_sim_host_count() || host_b >= cori_sim_host_count()) {
        return -EINVAL;
    }
    cori_sim_link_of((uint16_t)host_a, (uint16_t)host_b)->cut = cut;
    cori_sim_link_of((uint16_t)host_b, (uint16_t)host_a)->cut = cut;
    return 0;
}

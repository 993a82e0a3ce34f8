/* SPDX-License-Identifier: MIT */
/*
 * Hosts, and what becomes of the tasks of one that crashes.
 *
 * A crash ends a host's sockets at once, and nobody is told: bytes on the way are lost, peers hear of it by a reset
 * when they next send after a restart, or by their own patience (alive.c). Its tasks cannot vanish likewise: all hosts
 * share one memory, and a task that stopped for good in the middle of its work would leave locks, queues and memory of
 * its program as no crash can. So they end as a C program ends: all tasks of a host are members of a group of the
 * host's, which is cancelled. Each of their calls that may park then returns COR_ECANCELED, those they are parked in
 * now too, calls on their descriptors fail, new sockets cannot be had, and the program finds its way out by itself, as
 * it must when its caller cancels it. This takes no time that a peer could see, since its network is gone already.
 *
 * How they come into the group: a spawn of a task without a group, on a host other than 0, goes through
 * cori_sim_host_enter. A group of the program's has that group for a parent, by the usual rule (coracle/group.h),
 * unless cor_group_set_parent said NULL, or a task of another host used it first: what is in such a group learns of the
 * crash from its descriptors only.
 *
 * A host is started again when its last task has ended, so the new program meets none of the old; what the old one kept
 * in memory is its disk. The group is made anew; the host's scope (sched/scope.h) lives as long as any task or group
 * below it, by which restart knows.
 */
#include "sim/host.h"

#include "sched/here.h"
#include "sched/scope.h"
#include "sched/spawn.h"
#include "sched/virtual.h"
#include "sim/address.h"
#include "sim/event.h"
#include "sim/socket.h"
#include "sim/trace.h"
#include "sync/group.h"

#include <arpa/inet.h>
#include <coracle/error.h>
#include <coracle/group.h>
#include <coracle/sim.h>
#include <coracle/time.h>
#include <errno.h>
#include <string.h>

#define RESTART_NS COR_MINUTE

static cor_group tasks_of[CORI_SIM_HOSTS_MAX]; /* host 0 has none: it cannot crash */

void cori_sim_hosts_run(void)
{
    memset(tasks_of, 0, sizeof(tasks_of));
    cori_sim_hosts_begin();
}

int cori_sim_host_enter(cori_scope **out)
{
    return cori_group_enter(&tasks_of[cori_here_host()], out);
}

static bool in_run(void)
{
    return cori_virtual_driver != NULL && cori_self() != NULL;
}

static void trace_plan(const char *what, int host, int other)
{
    if (cori_sim_traces) {
        cori_sim_trace("%s %s%s%s", cori_sim_host_name((uint16_t)host), what, other >= 0 ? " " : "",
                       other >= 0 ? cori_sim_host_name((uint16_t)other) : "");
    }
}

static bool is_host(int host)
{
    return host >= 0 && host < cori_sim_host_count();
}

int cor_sim_host(const char *name, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    cori_sim_address own;
    if (!in_run()) {
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
    if (!in_run()) {
        return COR_ENOT_TASK;
    }
    if (!is_host(host) || cori_sim_host_is_down((uint16_t)host)) {
        return is_host(host) ? -EHOSTDOWN : -EINVAL;
    }
    uint16_t own = cori_here_host();
    cori_here_move((uint16_t)host);
    cori_spawn spawn = {.function = task, .arg_a = arg, .site = __builtin_return_address(0), .worker = -1};
    int rc = cori_spawn_task(&spawn, NULL);
    cori_here_move(own);
    return rc;
}

int cor_sim_cut(int host_a, int host_b, bool cut)
{
    if (!is_host(host_a) || !is_host(host_b)) {
        return -EINVAL;
    }
    trace_plan(cut ? "cuts the way to" : "heals the way to", host_a, host_b);
    cori_sim_link_of((uint16_t)host_a, (uint16_t)host_b)->cut = cut;
    cori_sim_link_of((uint16_t)host_b, (uint16_t)host_a)->cut = cut;
    cori_sim_probe_all();
    return 0;
}

int cor_sim_set_link(int from, int to, const cor_sim_link *link)
{
    bool good = link->latency_ns >= 0 && link->latency_ns <= (60 * COR_MINUTE) && link->jitter_ns >= 0 &&
                link->jitter_ns <= COR_SECOND && link->lost_per_million <= 1000000;
    if (!in_run() || !is_host(from) || !is_host(to) || !good) {
        return in_run() ? -EINVAL : COR_ENOT_TASK;
    }
    trace_plan("gets another link to", from, to);
    cori_sim_link_of((uint16_t)from, (uint16_t)to)->is = *link;
    return 0;
}

int cor_sim_fail_accepts(int host, int code, int count)
{
    bool known = code == -EMFILE || code == -ENFILE || code == -ENOBUFS || code == -ENOMEM || code == -ECONNABORTED;
    if (!in_run() || !is_host(host) || !known || count < 0) {
        return in_run() ? -EINVAL : COR_ENOT_TASK;
    }
    trace_plan("fails to accept", host, -1);
    cori_sim_host_fail_accepts((uint16_t)host, code, count);
    return 0;
}

int cor_sim_crash(int host)
{
    if (!in_run() || host == 0 || !is_host(host)) {
        return in_run() ? -EINVAL : COR_ENOT_TASK;
    }
    if (!cori_sim_host_is_down((uint16_t)host)) {
        trace_plan("crashes", host, -1);
        cori_sim_host_set_down((uint16_t)host, true);
        cori_sim_sockets_crash((uint16_t)host);
        cori_sim_probe_all();
        cor_group_cancel(&tasks_of[host]);
    }
    return 0;
}

/* A task of the host, or a group of such tasks, is left. */
static bool is_peopled(const cor_group *tasks)
{
    cori_scope *scope = tasks->scope;
    bool alive = scope != NULL && cori_scope_hold_if(scope, tasks->scope_life);
    if (alive) {
        cori_scope_let_go(scope);
    }
    return alive;
}

int cor_sim_restart(int host)
{
    if (!in_run() || host == 0 || !is_host(host)) {
        return in_run() ? -EINVAL : COR_ENOT_TASK;
    }
    int64_t until = cor_after(RESTART_NS);
    while (cori_sim_host_is_down((uint16_t)host)) {
        if (!is_peopled(&tasks_of[host])) {
            tasks_of[host] = (cor_group){0};
            trace_plan("starts again", host, -1);
            cori_sim_host_set_down((uint16_t)host, false);
        } else if (cor_now() >= until) {
            return COR_ETIMEOUT;
        } else {
            int rc = cor_sleep(COR_MILLISECOND);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

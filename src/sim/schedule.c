/* SPDX-License-Identifier: MIT */
/* The choices of schedule.h. */
#include "sim/schedule.h"

#include "base/limits.h"
#include "base/rand.h"
#include "sched/here.h"
#include "sim/event.h"

enum { LONG_ONCE_IN = 4, STARVED = 4096, USUAL_DEPTH = 3, DEPTH_MOST = 16, PCT_YIELDS_ONCE_IN = 64 };

static struct {
    cor_sim_schedule kind;
    int workers;
    bool (*can_go_on)(int worker);
    cori_rand chance;
    uint32_t leave_once_in, yield_once_in;
    bool places; /* new tasks begin anywhere */
    /* pct's */
    int priority[CORI_WORKERS_MAX], highest;
    int passed_over[CORI_WORKERS_MAX]; /* turns since it could go on and did not */
    uint64_t step, change_at[DEPTH_MOST];
    int changes;
} plan;

static const cori_sys_other_ops *inner; /* the kernel whose calls have points around them */

static uint32_t below(uint32_t limit)
{
    return cori_rand_below(&plan.chance, limit);
}

static bool once_in(uint32_t times)
{
    return below(times) == 0;
}

/* Priorities above those of the change points, in an order of chance. */
static void begin_pct(int depth)
{
    depth = depth > 0 ? depth : USUAL_DEPTH;
    plan.changes = depth <= DEPTH_MOST ? depth - 1 : DEPTH_MOST - 1;
    uint32_t short_one = below(10), long_one = below(10); /* the shorter of two: a short run has few steps */
    uint32_t steps = 16u << (short_one < long_one ? short_one : long_one);
    for (int i = 0; i < plan.changes; i++) {
        plan.change_at[i] = 1 + below(steps);
    }
    plan.highest = DEPTH_MOST;
    for (int i = 0; i < plan.workers; i++) {
        int other = (int)below((uint32_t)i + 1);
        plan.priority[i] = plan.priority[other];
        plan.priority[other] = ++plan.highest;
        plan.passed_over[i] = 0;
    }
    plan.step = 0;
}

int cori_sim_schedule_begin(uint64_t seed, const cor_sim_options *options, int usual, bool (*can_go_on)(int worker))
{
    plan.can_go_on = can_go_on;
    plan.kind = options->schedule;
    cori_rand_init(&plan.chance, seed, UINT64_C(0x53));
    bool pct = plan.kind == COR_SIM_PCT;
    int by_seed = pct ? 4 + (int)below(9) : usual;
    plan.workers = options->workers > 0 ? options->workers : by_seed;
    plan.leave_once_in = 2u << below(5);
    plan.yield_once_in = pct ? PCT_YIELDS_ONCE_IN : 2u << below(6);
    plan.places = pct || once_in(2);
    if (pct) {
        begin_pct(options->depth);
    }
    return plan.workers;
}

/* The worker with the highest priority of those that can go on; < 0: none can. And how many can. */
static int first_of_all(int *able)
{
    int first = -1;
    *able = 0;
    for (int i = 0; i < plan.workers; i++) {
        if (plan.can_go_on(i)) {
            first = first < 0 || plan.priority[i] > plan.priority[first] ? i : first;
            ++*able;
        }
    }
    return first;
}

/* One that has been passed over for too long, since those before it are never done, becomes the first. */
static int with_the_starved(int first)
{
    for (int i = 0; i < plan.workers; i++) {
        bool waits = i != first && plan.can_go_on(i);
        plan.passed_over[i] = waits ? plan.passed_over[i] + 1 : 0;
        if (plan.passed_over[i] > STARVED) {
            plan.priority[i] = ++plan.highest;
            plan.passed_over[i] = 0;
            return i;
        }
    }
    return first;
}

/* The one to go on. A step is one of the first's while another could go on: then it may become one of the last. */
static int take_step(void)
{
    int able, first = first_of_all(&able);
    if (able < 2) {
        return first;
    }
    plan.step++;
    for (int i = 0; i < plan.changes; i++) {
        if (plan.change_at[i] == plan.step) {
            plan.priority[first] = i;
        }
    }
    return first_of_all(&able);
}

static int choose_by_priority(void)
{
    int first = take_step();
    return first >= 0 ? with_the_starved(first) : first;
}

static int choose_by_chance(void)
{
    int able[CORI_WORKERS_MAX], count = 0;
    for (int i = 0; i < plan.workers; i++) {
        if (plan.can_go_on(i)) {
            able[count++] = i;
        }
    }
    return count > 0 ? able[cori_sim_below((uint64_t)count)] : -1;
}

int cori_sim_schedule_choose(void)
{
    return plan.kind == COR_SIM_PCT ? choose_by_priority() : choose_by_chance();
}

/* Mostly one task's turn or two, to let the workers mix; sometimes many. By priority one: that is a step. */
int cori_sim_schedule_switches(void)
{
    if (plan.kind == COR_SIM_PCT) {
        return 1;
    }
    return 1 + (int)(cori_sim_once_in(LONG_ONCE_IN) ? cori_sim_below(64) : cori_sim_below(3));
}

enum cori_virtual_then cori_sim_schedule_point(void)
{
    bool leaves;
    if (once_in(plan.yield_once_in)) { /* a task that never waits ends its turn at last */
        return CORI_VIRTUAL_YIELD;
    }
    if (plan.kind == COR_SIM_PCT) {
        leaves = take_step() != cori_here_id();
    } else {
        leaves = once_in(plan.leave_once_in);
    }
    return leaves ? CORI_VIRTUAL_LEAVE : CORI_VIRTUAL_GO_ON;
}

int cori_sim_schedule_place(void)
{
    return plan.places ? (int)below((uint32_t)plan.workers) : -1;
}

bool cori_sim_schedule_has_points(void)
{
    return plan.kind != COR_SIM_TURNS;
}

/* A yield between two calls of the system would be none that a program knows of: here a worker is only left. */
static void point(void)
{
    if (cori_self() != NULL) {
        (void)cori_virtual_point();
    }
}

static int point_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    point();
    return inner->bind(fd, addr, len);
}

static int point_listen(int fd, int backlog)
{
    int rc = inner->listen(fd, backlog);
    point();
    return rc;
}

static int point_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    point();
    int rc = inner->accept(fd, addr, len);
    point();
    return rc;
}

static int point_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    point();
    int rc = inner->connect(fd, addr, len);
    point();
    return rc;
}

static ssize_t point_send(int fd, const struct msghdr *message)
{
    point();
    ssize_t rc = inner->send(fd, message);
    point();
    return rc;
}

static ssize_t point_receive(int fd, struct msghdr *message)
{
    point();
    ssize_t rc = inner->receive(fd, message);
    point();
    return rc;
}

static int point_shutdown(int fd, int how)
{
    point();
    return inner->shutdown(fd, how);
}

static void point_close(int fd)
{
    point();
    inner->close(fd);
}

const cori_sys_other_ops *cori_sim_schedule_kernel(const cori_sys_other_ops *kernel)
{
    static cori_sys_other_ops pointed;
    if (!cori_sim_schedule_has_points()) {
        return kernel;
    }
    inner = kernel;
    pointed = *kernel;
    pointed.bind = point_bind;
    pointed.listen = point_listen;
    pointed.accept = point_accept;
    pointed.connect = point_connect;
    pointed.send = point_send;
    pointed.receive = point_receive;
    pointed.shutdown = point_shutdown;
    pointed.close = point_close;
    return &pointed;
}

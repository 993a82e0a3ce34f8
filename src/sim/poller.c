/* SPDX-License-Identifier: MIT */
/* Pollers and driver of poller.h. */
#include "sim/poller.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/platform.h"
#include "sim/event.h"
#include "sim/host.h"
#include "sim/schedule.h"
#include "sim/socket.h"
#include "sim/verdict.h"

#include <errno.h>

enum { TURN_NS = 1000 };

typedef struct cori_sim_poller {
    cori_poller base; /* first */
    bool kicked, waits;
    int64_t until;      /* while it waits */
    cori_sim_fd *ready; /* descriptors with edges not reported yet */
} cori_sim_poller;

static cori_sim_poller pollers[CORI_WORKERS_MAX];
static int poller_count;

void cori_sim_pollers_begin(void)
{
    poller_count = 0;
}

static int sim_open(cori_poller **out)
{
    cori_sim_poller *poller = &pollers[poller_count];
    *poller = (cori_sim_poller){.base.ops = &cori_sim_poll_ops};
    poller_count++;
    *out = &poller->base;
    return 0;
}

static void sim_close(cori_poller *poller)
{
    (void)poller;
}

static int sim_add(cori_poller *poller, cori_pollfd *pollfd)
{
    cori_sim_fd *fd = cori_sim_fd_find(pollfd->fd);
    if (fd == NULL) {
        return -EPERM; /* a real file: it is never waited for */
    }
    fd->pollfd = pollfd;
    fd->ready_list = &((cori_sim_poller *)poller)->ready;
    cori_sim_fd_edge(fd, cori_sim_readiness(fd->to));
    return 0;
}

static bool sim_remove(cori_poller *poller, cori_pollfd *pollfd, bool closing)
{
    (void)poller;
    (void)closing;
    cori_sim_fd *fd = cori_sim_fd_find(pollfd->fd);
    if (fd != NULL && fd->pollfd == pollfd) {
        cori_sim_fd_forget(fd);
    }
    return true;
}

/* What is looked at next: the wait word of the next descriptor, and bytes, by the task that waits for this one. */
static void prefetch(const cori_sim_fd *fd, const cori_sim_fd *next)
{
    cori_prefetch_write(&fd->to->inbox);
    if (next != NULL) {
        cori_prefetch_write(next->pollfd);
    }
}

/* Reports edges, in an order of chance when there are several. */
static int take_events(cori_sim_poller *poller, cori_event *events, int max)
{
    int count = 0;
    while (poller->ready != NULL && count < max) {
        cori_sim_fd *fd = poller->ready;
        if (fd->ready_next != NULL && cori_sim_once_in(2)) {
            fd = fd->ready_next;
        }
        cori_list_remove(&poller->ready, fd, ready_next, ready_prev);
        prefetch(fd, poller->ready);
        events[count++] = (cori_event){.pollfd = fd->pollfd, .mask = fd->pending};
        cori_sim_note((uint64_t)fd->number << 2 | fd->pending);
        fd->pending = 0;
    }
    return count;
}

static int sim_wait(cori_poller *any, int64_t timeout_ns, cori_event *events, int max)
{
    cori_sim_poller *poller = (cori_sim_poller *)any;
    if (timeout_ns != 0 && !poller->kicked && poller->ready == NULL) {
        poller->until = timeout_ns < 0 ? INT64_MAX : cori_sim_now() + timeout_ns;
        poller->waits = true;
        cori_virtual_pause();
        poller->waits = false;
    }
    poller->kicked = false;
    return take_events(poller, events, max);
}

static void sim_kick(cori_poller *poller)
{
    ((cori_sim_poller *)poller)->kicked = true;
}

const cori_poll_ops cori_sim_poll_ops = {
    .name = "simulated",
    .open = sim_open,
    .close = sim_close,
    .add = sim_add,
    .remove = sim_remove,
    .wait = sim_wait,
    .kick = sim_kick,
};

bool cori_sim_can_go_on(int worker)
{
    const cori_sim_poller *poller = &pollers[worker];
    return !poller->waits || poller->kicked || poller->ready != NULL || poller->until <= cori_sim_now();
}

static int next_worker(void)
{
    for (;;) {
        cori_sim_events_due();
        int chosen = cori_sim_schedule_choose();
        if (chosen >= 0) {
            cori_sim_note((uint64_t)chosen);
            cori_sim_pass(TURN_NS);
            return chosen;
        }
        int64_t next = cori_sim_event_next();
        for (int i = 0; i < poller_count; i++) {
            next = pollers[i].until < next ? pollers[i].until : next;
        }
        if (!cori_sim_verdict_holds()) {
            return CORI_VIRTUAL_OVER;
        }
        if (next == INT64_MAX) {
            return CORI_VIRTUAL_STUCK;
        }
        cori_sim_pass(next - cori_sim_now());
    }
}

const cori_virtual *cori_sim_driver(void)
{
    static cori_virtual driver = {
        .next = next_worker,
        .switches = cori_sim_schedule_switches,
        .enter = cori_sim_host_enter,
        .stopped = cori_sim_verdict_report,
    };
    bool points = cori_sim_schedule_has_points();
    driver.point = points ? cori_sim_schedule_point : NULL;
    driver.place = points ? cori_sim_schedule_place : NULL;
    return &driver;
}

/* SPDX-License-Identifier: MIT */
/*
 * Looking for events in a busy loop for a moment before sleeping: it spares the wake-up of the thread and of its CPU,
 * which takes longer than many answers do. A worker that has nothing to run looks on without waiting, for at most
 * cor_options.spin_ns, and only if its last wait was short: one that ended within CORI_SPIN_SHORT times that, asleep or
 * not. So a busy connection finds the worker awake, and a quiet one costs one spin in vain per pause.
 *
 * While it spins a worker goes through its rounds, so it sees what others inject and takes their old fresh tasks as any
 * idle worker. It has not said that it sleeps: nobody kicks it, nobody counts on it. At most one worker spins.
 */
#include "sched/spin.h"
#include "base/atomic.h"

static void stop_spinning(cori_worker *worker)
{
    if (worker->spinning) {
        worker->spinning = false;
        cori_store_release(&cori_rt.spinning, 0);
    }
}

static bool start_spinning(cori_worker *worker)
{
    if (!worker->spinning && cori_swap_acq_rel(&cori_rt.spinning, 1) == 0) {
        worker->spinning = true;
        worker->looks_left = cori_rt.spin_ns / CORI_SPIN_LOOK_NS + 1;
    }
    return worker->spinning;
}

void cori_spin_found(cori_worker *worker, int64_t when)
{
    if (worker->idle_since != 0) {
        worker->short_wait = when - worker->idle_since <= CORI_SPIN_SHORT * cori_rt.spin_ns;
        worker->idle_since = 0;
        stop_spinning(worker);
    }
}

bool cori_spin(cori_worker *worker)
{
    if (worker->idle_since == 0) {
        worker->idle_since = worker->now;
    }
    bool goes_on = worker->short_wait && worker->now - worker->idle_since < cori_rt.spin_ns && start_spinning(worker) &&
                   worker->looks_left-- > 0;
    if (!goes_on) {
        worker->short_wait = false; /* until the wait has turned out short nevertheless */
        stop_spinning(worker);
    }
    return goes_on;
}

/* SPDX-License-Identifier: MIT */
/*
 * Hand-overs between workers that are quick. A task that another worker wakes costs a write to a descriptor, the
 * wake-up of a thread and a return from the kernel if its worker sleeps: 3 to 30 us, while tasks that talk to each
 * other answer within one. So a worker whose naps are short looks at its inbox for a while before it sleeps.
 *
 * It looks at one word, its own `sleeping`, set to LOOKING; every waker exchanges it to AWAKE after it has put the work
 * in the inbox. A waker that finds LOOKING has nothing else to do. That is one cache line for the word and the inbox,
 * which moves to the waker once and back once per hand-over.
 *
 * Not lost: as with sleep, the worker says LOOKING, then looks for work, then watches the word; a waker adds the work,
 * then exchanges the word. Who gives up looking says that it sleeps in the same way, and looks again.
 *
 * What it may cost is bounded three times. One look takes CORI_LOOK_NS at most. At most half of the cores look at the
 * same time, none on a machine with one; the waker takes the looker off that count, so that it may look itself at once.
 * And a worker looks only as long as it pays: it has up to CORI_LOOKS credits; a look that finds something earns one, a
 * look in vain costs CORI_LOOK_PRICE. Without credit it sleeps, and tries again after a nap that another thread has
 * ended within CORI_LOOK_NAP_NS; each trial in vain doubles the number of such naps until the next. So a worker with
 * nothing but I/O never looks, all is still after the second look in vain, and where looking does harm, because the
 * waker waits for this very core, it is given up at once.
 */
#include "sched/look.h"

#include "base/clock.h"
#include "sched/placement.h"

#include <sched.h>

void cori_look_init(int cores)
{
    cori_rt.looking_most = (uint32_t)cores / 2;
    cori_rt.looking = 0;
}

/* Enters the number of those that look. */
static bool begin(void)
{
    if (cori_fetch_add(&cori_rt.looking, 1) < cori_rt.looking_most) {
        return true;
    }
    cori_fetch_sub(&cori_rt.looking, 1);
    return false;
}

/* Has the thread go on on another core, if it may. */
static void leave_core(void)
{
    cpu_set_t all, others;
    int core = sched_getcpu();
    if (core < 0 || sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) < 2) {
        return;
    }
    others = all;
    CPU_CLR((size_t)core, &others);
    (void)sched_setaffinity(0, sizeof(others), &others);
    (void)sched_setaffinity(0, sizeof(all), &all);
}

/* True as soon as somebody has handed something over; false when the time is up. */
static bool watch(cori_worker *worker)
{
    int64_t until = cori_clock_now() + CORI_LOOK_NS;
    bool yielded = false;
    for (int i = 1; i < CORI_LOOK_PAUSES_MOST; i++) { /* a clock may stand still */
        if (cori_load_acquire(&worker->sleeping) != CORI_LOOKING) {
            worker->crowded = yielded ? worker->crowded + 1 : 0;
            if (worker->crowded == CORI_LOOK_CROWDED + 16 * worker->id) {
                worker->crowded = 0;
                leave_core();
            }
            return true;
        }
        if (i % CORI_LOOK_PAUSES == 0 && cori_clock_now() >= until) {
            return false;
        }
        yielded = i % CORI_LOOK_PAUSES == 0;
        if (yielded) {
            (void)sched_yield();
        } else {
            cori_pause();
        }
    }
    return false;
}

bool cori_look(cori_worker *worker)
{
    if (worker->looks <= 0 || !begin()) {
        return false;
    }
    cori_swap(&worker->sleeping, CORI_LOOKING);
    bool found = cori_has_work(worker) || watch(worker);
    if (cori_swap(&worker->sleeping, CORI_AWAKE) == CORI_LOOKING) { /* else a waker has done it */
        cori_fetch_sub(&cori_rt.looking, 1);
    } else {
        found = true;
    }
    if (found) {
        worker->looks += worker->looks < CORI_LOOKS;
        worker->look_naps = 0;
    } else {
        worker->looks = worker->looks > CORI_LOOK_PRICE ? worker->looks - CORI_LOOK_PRICE : 0;
    }
    if (worker->looks == 0) {
        worker->look_naps = worker->look_naps < CORI_LOOK_NAPS ? 2 * worker->look_naps + 1 : CORI_LOOK_NAPS;
        worker->look_after = worker->look_naps;
    }
    return found;
}

void cori_look_after_nap(cori_worker *worker, bool kicked)
{
    bool tries = kicked && worker->looks == 0 && cori_clock_now() - worker->now <= CORI_LOOK_NAP_NS;
    if (tries && worker->look_after-- <= 0) {
        worker->looks = 1;
    }
}

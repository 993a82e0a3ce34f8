/* SPDX-License-Identifier: MIT */
/*
 * Hand-overs between workers that are quick. A task that another worker wakes costs a write to a descriptor, the
 * wake-up of a thread and a return from the kernel if its worker sleeps: 3 to 30 us, while tasks that talk to each
 * other answer within one. So a worker whose naps are short looks at its inbox for a while before it sleeps.
 *
 * It is awake meanwhile: nobody has to kick it. But its inject list, which is empty, says CORI_LOOKING. The waker of
 * one of its tasks exchanges that for the task and has nothing else to do. So a hand-over writes the inbox once, and
 * the line moves to the waker once and back once. The clock is read at the beginning of a look, while the other core
 * works, and not again if the answer is quick.
 *
 * Not lost: the worker looks at all that is work (cori_has_work). A look in vain takes CORI_LOOKING off the list, and
 * the worker says that it sleeps and looks again as ever. Nor do timers and events have to wait: a look ends at the
 * next timer, and worker.c asks the poller after CORI_POLL_INTERVAL_NS even if each look finds something.
 *
 * What it may cost is bounded three times. One look takes CORI_LOOK_NS at most. At most half of the cores look at the
 * same time, none on a machine with one: who looks has a seat, one of cori_rt.looking. And a worker looks only as long
 * as it pays: it has up to CORI_LOOKS credits; a look that finds something earns one, a look in vain costs
 * CORI_LOOK_PRICE. Without credit it sleeps, and tries again after a nap that another thread has ended within
 * CORI_LOOK_NAP_NS; each trial in vain doubles the number of such naps until the next. So a worker with nothing but I/O
 * never looks, all is still after the second look in vain, and where looking does harm, because the waker waits for
 * this very core, it is given up at once.
 *
 * Harm is also done where other programs have the cores. A look lets others run every CORI_LOOK_YIELD_NS, and one that
 * computes keeps the core for its slice, some milliseconds. Nobody kicks who looks, so the hand-over waits for the end
 * of the slice, where the kernel would run a thread that it has just woken almost at once. So a look that finds
 * something when its time is over, because it had left its core, was one in vain: it costs CORI_LOOK_PRICE, and after
 * the second the worker sleeps. One whose waker needed this core and came in time pays as any.
 *
 * The count of seats is a line that all workers share, and two that talk would write it at each hand-over. So a seat
 * goes with the hand-over: who replaces CORI_LOOKING takes the looker's seat over, and sits on it when it looks for the
 * answer. It gives it back when it has something else to do at the end of its round, or sleeps. A waker that has a seat
 * already, or is no worker, gives the looker's back.
 */
#include "sched/look.h"

#include "base/clock.h"
#include "sched/placement.h"
#include "sched/seat.h"

#include <sched.h>

void cori_look_init(int cores)
{
    cori_rt.looking_most = (uint32_t)cores / 2;
    cori_rt.looking = 0;
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

/* Counts how often in a row the waker came only when this thread had left its core to others. */
static void note_crowd(cori_worker *worker, bool yielded)
{
    worker->crowded = yielded ? worker->crowded + 1 : 0;
    if (worker->crowded == CORI_LOOK_CROWDED + 16 * worker->id) {
        worker->crowded = 0;
        leave_core();
    }
}

/* When a look has to end: at the next timer at the latest. */
static int64_t end_of_look(cori_worker *worker)
{
    cori_timer *timer = cori_heap_first(&worker->timers);
    int64_t until = worker->now + CORI_LOOK_NS;
    return timer != NULL && timer->when < until ? timer->when : until;
}

/*
 * True as soon as there is something to do; false when the time is up. `*late`: it is up as well, since others have had
 * this core meanwhile.
 */
static bool watch(cori_worker *worker, bool *late)
{
    int64_t until = end_of_look(worker), yielded_at = worker->now;
    bool yielded = false;
    for (int i = 1; i < CORI_LOOK_PAUSES_MOST; i++) { /* a clock may stand still */
        if (cori_has_work(worker)) {
            if (yielded) {
                worker->now = cori_clock_now();
                *late = worker->now >= until;
            }
            if (yielded || worker->crowded != 0) {
                note_crowd(worker, yielded);
            }
            return true;
        }
        yielded = false;
        if (i % CORI_LOOK_PAUSES != 0) {
            cori_pause();
            continue;
        }
        worker->now = cori_clock_now();
        if (worker->now >= until) {
            return false;
        }
        if (worker->now - yielded_at >= CORI_LOOK_YIELD_NS) {
            yielded_at = worker->now;
            yielded = true;
            (void)sched_yield();
        }
    }
    return false;
}

/* What a look was worth. */
static void learn(cori_worker *worker, bool found)
{
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
}

bool cori_look(cori_worker *worker)
{
    if (worker->looks <= 0 || !cori_seat_take(worker)) {
        return false;
    }
    cori_task *none = NULL;
    bool late = false;
    bool found = !cori_cas(&worker->injected, &none, CORI_LOOKING);
    if (!found) {
        worker->now = cori_clock_now();
        found = watch(worker, &late);
        cori_task *head = CORI_LOOKING;
        if (cori_load_acquire(&worker->injected) != CORI_LOOKING || !cori_cas(&worker->injected, &head, NULL)) {
            worker->seat = false; /* the waker has it */
            found = true;
            cori_prefetch_write(cori_load_relaxed(&worker->injected));
        }
    }
    learn(worker, found && !late);
    return found;
}

void cori_look_after_nap(cori_worker *worker, bool kicked)
{
    bool tries = kicked && worker->looks == 0 && cori_clock_now() - worker->now <= CORI_LOOK_NAP_NS;
    if (tries && worker->look_after-- <= 0) {
        worker->looks = 1;
    }
}

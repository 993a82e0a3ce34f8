/* SPDX-License-Identifier: MIT */
/*
 * Which of several workers runs a task that never ran, and when it gets its stack (what it is until then: fresh.h). A
 * spawn queues it on the spawner's own worker: no other thread is disturbed, and a short-lived child runs where its
 * data is hot. Two rules then spread load:
 *
 *   balance  when a worker is about to start a task and has CORI_BALANCE_STEP live tasks more than the least loaded
 *            one, it hands the task over (once: `placed`), if one of these holds: at least CORI_BALANCE_OUTSIDE tasks
 *            here wait for something outside the program; the turns since the last start took CORI_STEAL_AGE_NS; the
 *            tasks that were spawned with it compute. Else only from CORI_BALANCE_MANY on. Tasks that end at once
 *            never move.
 *   rescue   a fresh task that has waited CORI_STEAL_AGE_NS may be taken by an idle worker that has less than its
 *            share; after CORI_RESCUE_AGE_NS by any idle worker, one per nap. So nothing waits for a computing task
 *            while somebody is idle, and a worker that merely lost its processor for a moment keeps its share.
 *
 * Why not always: few tasks without I/O are mostly partners. A hand-over between two of them takes 15 to 65 ns on one
 * worker, and several hundred between two, at which both cores work. Tasks that talk stay where they were made; those
 * that compute are worth a core each. Which they are has to be told before they run, for a task is pinned from then on.
 *
 * What tells is a batch: the tasks that waited in the queue when the first of them started, as the stages of a pipeline
 * do. While the later ones still wait, the mean turn since that start is known for nothing: rounds count turns, and the
 * clock has just been read (a ticked round, where it has not, is one of cheap turns). CORI_APART_TURN_NS is far more
 * than a hand-over takes because first turns are cold. Measured in new processes with 7 threads per core: tasks that
 * only talk took 5 to 28 us per turn of the first batch, 0.2 to 3 us in the next, stages of 5 us with 16 items between
 * them 90. A spawner's own turn does not count, nor does what a task does once all have started.
 *
 * What each rule does to some programs, beside Go: docs/performance.md.
 *
 * Rescue needs an idle worker that looks. A worker that goes to sleep while another's fresh queue is not empty is a
 * watcher: it sleeps at most CORI_STEAL_AGE_NS. A spawner that sees idle workers and no watcher appoints one and kicks
 * it. Not lost: the spawner queues the task, then reads `watching`; the retiring watcher clears `watching`, then looks
 * at the queues again. A watcher that gets something to run resigns first, and appoints another if queues are not
 * empty. So the kicks cost a spawner at most one system call per CORI_STEAL_AGE_NS.
 *
 * A worker that gets no stack is `starved`. It leaves the record where it is, goes on with what has run already, and
 * asks again when one of its own tasks has ended (the stack is hot then) or CORI_STARVED_NS have passed. Meanwhile it
 * may sleep: its fresh queue does not count as work. Another worker that has a stack may take the record as any other.
 * A task that was made with its stack (MADE) needs none: it does not wait behind those that do. Whoever finds no stack
 * looks for one among the first CORI_MADE_SCAN records and lets the two change places. Not lost while the worker
 * sleeps: who queues it kicks that worker.
 * If nothing in the program can run, no stack was to be had for CORI_REFUSED_NS, and nothing else is waited for, only a
 * deadlock is left to report (idle.c).
 */
#include "sched/placement.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/lock.h"
#include "sched/float.h"
#include "sched/task_stack.h"
#include "sched/wake.h"

cori_fresh *cori_place_open(cori_worker *worker, cori_fresh_block **spare)
{
    do { /* at most twice, unless others fill a block in between */
        if (!worker->solo) {
            cori_spin_lock(&worker->fresh_lock);
        }
        if (cori_likely(worker->fresh.tail != worker->fresh.tail_end)) {
            return worker->fresh.tail;
        }
        if (*spare != NULL) {
            cori_place_mark(worker, 1);
            cori_fresh_grow(&worker->fresh, *spare);
            cori_place_mark(worker, 0);
            *spare = NULL;
            return worker->fresh.tail;
        }
        if (!worker->solo) {
            cori_spin_unlock(&worker->fresh_lock);
        }
    } while (cori_fresh_provide(spare));
    return NULL;
}

/* Keeps a block that has run empty, or gives it back. */
static inline void keep_block(cori_worker *worker, cori_fresh_block *block)
{
    if (cori_unlikely(block != NULL)) {
        if (worker->fresh_spare == NULL) {
            worker->fresh_spare = block;
        } else {
            cori_fresh_give_back(block);
        }
    }
}

/* Takes the first record, which has been read, off; the block that is the caller's now, or NULL. */
static inline cori_fresh_block *fresh_drop(cori_worker *victim)
{
    cori_fresh_block *empty = NULL;
    uint32_t left = victim->fresh_count - 1;
    cori_store_relaxed(&victim->fresh_count, left);
    cori_signal_fence();
    if (cori_fresh_drop(&victim->fresh)) {
        cori_place_mark(victim, 1);
        empty = cori_fresh_shrink(&victim->fresh);
        cori_place_mark(victim, 0);
    }
    uint64_t first = left != 0 ? victim->fresh.head->order >> CORI_FRESH_FLAGS : UINT64_MAX;
    cori_store_relaxed(&victim->fresh_first, first);
    return empty;
}

/* Lets the first record that was made and the head change places, but not tickets; false: none. Guard: the lock. */
static cori_rare bool bring_made(cori_worker *victim)
{
    cori_fresh *head = victim->fresh.head, *each = head;
    const cori_fresh_block *block = victim->fresh.first;
    uint32_t most = victim->fresh_count < CORI_MADE_SCAN ? victim->fresh_count : CORI_MADE_SCAN;
    for (; most > 0 && (each->order & CORI_FRESH_MADE) == 0; most--) {
        if (++each == block->records + CORI_FRESH_BLOCK && most > 1) {
            block = block->next;
            each = (cori_fresh *)block->records;
        }
    }
    if (most == 0) {
        return false;
    }
    if (each != head) {
        const uint64_t flags = (1u << CORI_FRESH_FLAGS) - 1, change = (each->order ^ head->order) & flags;
        cori_fresh made = *each;
        made.order = head->order ^ change;
        head->order = each->order ^ change;
        *each = *head;
        *head = made;
    }
    return true;
}

/*
 * Takes the oldest fresh task of `victim`, unless it was queued after `before`; `made`: the oldest that needs no stack.
 * Several workers.
 */
static bool fresh_pop(cori_worker *worker, cori_worker *victim, int64_t before, bool made, cori_fresh *out)
{
    cori_fresh_block *empty = NULL;
    cori_spin_lock(&victim->fresh_lock);
    bool found = victim->fresh_count != 0 && (!made || (victim->made_count != 0 && bring_made(victim))) &&
                 victim->fresh.head->since <= before;
    if (found) {
        *out = *victim->fresh.head;
        empty = fresh_drop(victim);
        if (cori_unlikely((out->order & CORI_FRESH_MADE) != 0)) {
            cori_bump(victim->made_count, -1);
        }
        uint64_t floating = cori_float_first(victim);
        if (cori_unlikely(floating < cori_load_relaxed(&victim->fresh_first))) {
            cori_store_relaxed(&victim->fresh_first, floating);
        }
        if (cori_unlikely((out->order & CORI_FRESH_PLACED) != 0)) {
            cori_bump(victim->placed_count, -1);
        }
    }
    cori_spin_unlock(&victim->fresh_lock);
    keep_block(worker, empty);
    return found;
}

/*
 * Notes that no stack was to be had. In the first second others are told: they may have stacks to spare. Then no more:
 * if this is a deadlock, they must be found asleep.
 */
static cori_rare void starve(cori_worker *worker)
{
    bool again = cori_load_relaxed(&worker->starved) != 0 &&
                 worker->now - worker->starved_until < CORI_REFUSED_NS / 2; /* a nap may end late */
    if (!again) {
        worker->starved_since = worker->now;
        cori_store(&worker->starved, 1);
    }
    worker->starved_until = worker->now + CORI_STARVED_NS;
    for (int i = 0; i < cori_rt.worker_count && worker->now - worker->starved_since < CORI_REFUSED_NS; i++) {
        if (&cori_rt.workers[i] != worker) {
            (void)cori_worker_kick(&cori_rt.workers[i]);
        }
    }
}

static bool must_wait(const cori_worker *worker)
{
    return cori_load_relaxed(&worker->starved) != 0 && worker->hot == NULL && worker->now < worker->starved_until;
}

/* As take_stack, when there was none the last time, or there is none. */
static cori_rare cori_task *take_stack_starving(cori_worker *worker)
{
    int rc;
    if (must_wait(worker)) {
        return NULL;
    }
    cori_task *stack = cori_task_alloc(worker, cori_rt.stack_size_bytes, &rc);
    if (stack == NULL) {
        starve(worker);
    } else {
        cori_store(&worker->starved, 0);
    }
    return stack;
}

/* A stack for the next start; NULL: none. */
static inline cori_task *take_stack(cori_worker *worker)
{
    cori_task *stack = NULL;
    int rc;
    if (cori_likely(cori_load_relaxed(&worker->starved) == 0)) {
        stack = cori_task_alloc(worker, cori_rt.stack_size_bytes, &rc);
    }
    return cori_likely(stack != NULL) ? stack : take_stack_starving(worker);
}

/* Gives a stack back that was not needed; NULL: nothing. */
static inline void give_back(cori_worker *worker, cori_task *stack)
{
    if (stack != NULL) {
        cori_task_unused(worker, stack);
    }
}

/* Makes the task on `stack` and pins it; `stack` may be NULL for one that was made. */
static inline cori_task *start(cori_worker *worker, cori_task *stack, const cori_fresh *fresh)
{
    cori_task *task = stack;
    if (cori_unlikely((fresh->order & CORI_FRESH_MADE) != 0)) {
        give_back(worker, stack);
        task = fresh->call.made;
    } else {
        cori_task_make(task, fresh, cori_task_number(worker));
    }
    cori_task_pin(worker, task);
    return task;
}

/* True if there is something in the fresh queue that may be started now. */
static bool has_fresh(const cori_worker *worker)
{
    return cori_load(&worker->fresh_count) != 0 && !must_wait(worker);
}

bool cori_has_work(const cori_worker *worker)
{
    const cori_task *injected = cori_load(&worker->injected);
    return worker->ready.head != NULL || worker->yielded != NULL || (injected != NULL && injected != CORI_LOOKING) ||
           cori_load(&worker->notes) != NULL || has_fresh(worker) || cori_load(&worker->floating_count) != 0 ||
           cori_load(&cori_rt.stop) != 0;
}

bool cori_place_gives_up(const cori_worker *worker)
{
    return cori_place_starves(worker) && worker->now - worker->starved_since >= CORI_REFUSED_NS;
}

int64_t cori_place_hunger(const cori_worker *worker)
{
    int64_t wait_ns = worker->starved_until - worker->now;
    return !cori_place_starves(worker) ? -1 : wait_ns > 0 ? wait_ns : 0;
}

void cori_place_added(cori_worker *worker)
{
    if (worker != cori_self_worker) {
        cori_worker_kick(worker);
    }
    cori_watcher_call();
}

static uint64_t load_of(const cori_worker *worker)
{
    return cori_load_relaxed(&worker->live) + cori_load_relaxed(&worker->floating_count) +
           cori_load_relaxed(&worker->placed_count);
}

bool cori_place_apart;

/* Tells whether the tasks in the batch of `fresh` compute; false if it is the first, or in none. */
static bool batch_computes(const cori_worker *worker, const cori_fresh *fresh)
{
    uint64_t turns = worker->turns + (uint64_t)worker->switches - worker->batch_turns;
    return fresh->since < worker->batch_started &&
           worker->now - worker->batch_started >= (int64_t)turns * CORI_APART_TURN_NS;
}

/* Notes a start: that of a batch, unless the task waited already when the last batch began. */
static void note_start(cori_worker *worker, const cori_fresh *fresh)
{
    worker->fresh_started = worker->now;
    if (fresh->since >= worker->batch_started) {
        worker->batch_started = worker->now;
        worker->batch_turns = worker->turns + (uint64_t)worker->switches;
    }
}

/* How many live tasks more than another a worker has when it hands a new one over. */
static uint64_t balance_step(const cori_worker *worker, const cori_fresh *fresh)
{
    bool outside = (int64_t)cori_load_relaxed(&worker->external) >= CORI_BALANCE_OUTSIDE; /* floating ones: below 0 */
    int64_t since = fresh->since > worker->fresh_started ? fresh->since : worker->fresh_started;
    bool late = worker->now - since >= CORI_STEAL_AGE_NS;
    return outside || late || batch_computes(worker, fresh) || cori_place_apart ? CORI_BALANCE_STEP : CORI_BALANCE_MANY;
}

static cori_worker *least_loaded(void)
{
    cori_worker *least = &cori_rt.workers[0];
    uint64_t least_load = load_of(least);
    for (int i = 1; i < cori_rt.worker_count; i++) {
        uint64_t load = load_of(&cori_rt.workers[i]);
        if (load < least_load) {
            least = &cori_rt.workers[i];
            least_load = load;
        }
    }
    return least;
}

/* Hands a fresh task to the least loaded worker; false if it is to be started here. */
static bool hand_over(cori_worker *worker, const cori_fresh *fresh)
{
    cori_worker *least = least_loaded();
    if ((fresh->order & CORI_FRESH_PLACED) != 0 || load_of(worker) < load_of(least) + balance_step(worker, fresh)) {
        return false;
    }
    uint64_t flags = fresh->order & ((1u << CORI_FRESH_FLAGS) - 1);
    cori_fresh *place = cori_place_open(least, &worker->fresh_spare);
    if (place == NULL) {
        return false;
    }
    *place = *fresh;
    place->since = worker->now;
    cori_bump(least->placed_count, 1);
    cori_place_close(least, flags | CORI_FRESH_PLACED);
    cori_place_added(least); /* it may be computing */
    return true;
}

static inline cori_task *take_solo(cori_worker *worker)
{
    cori_task *task = take_stack(worker);
    if (cori_likely(task != NULL)) {
        const cori_fresh *fresh = worker->fresh.head; /* it stands there until the next one is queued */
        cori_fresh_block *empty = fresh_drop(worker);
        cori_task_make(task, fresh, cori_task_number(worker));
        cori_task_pin(worker, task);
        keep_block(worker, empty);
    }
    return task;
}

static __attribute__((noinline)) cori_task *take_shared(cori_worker *worker)
{
    cori_task *floating = cori_float_take(worker, false);
    if (cori_unlikely(floating != NULL)) {
        return floating;
    }
    cori_task *stack = take_stack(worker);
    cori_fresh fresh;
    while (fresh_pop(worker, worker, INT64_MAX, stack == NULL, &fresh)) {
        if (!hand_over(worker, &fresh)) {
            note_start(worker, &fresh);
            return start(worker, stack, &fresh);
        }
    }
    give_back(worker, stack);
    return cori_unlikely(stack == NULL) ? cori_float_take(worker, true) : NULL;
}

cori_task *cori_place_take(cori_worker *worker)
{
    return worker->solo ? take_solo(worker) : take_shared(worker);
}

/* Tells whether `worker` has less than an equal share of all tasks, those that never ran included. */
static bool below_share(const cori_worker *worker)
{
    uint64_t total = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        const cori_worker *each = &cori_rt.workers[i];
        total += cori_load_relaxed(&each->live) + cori_load_relaxed(&each->floating_count) +
                 cori_load_relaxed(&each->fresh_count);
    }
    return load_of(worker) * (uint64_t)cori_rt.worker_count < total;
}

/* True if there is something that this worker might take. */
static bool others_have_some(const cori_worker *worker)
{
    for (int i = 0; i < cori_rt.worker_count; i++) {
        const cori_worker *other = &cori_rt.workers[i];
        if (other != worker && (cori_load(&other->fresh_count) != 0 || cori_load(&other->floating_count) != 0)) {
            return true;
        }
    }
    return false;
}

cori_task *cori_place_steal(cori_worker *worker)
{
    if (!others_have_some(worker)) {
        return NULL;
    }
    cori_task *floating = cori_float_steal(worker);
    if (floating != NULL) {
        if (cori_load_relaxed(&worker->floating_count) != 0) {
            cori_watcher_call(); /* the rest of what was taken: between the two queues no watcher has seen it */
        }
        return floating;
    }
    cori_task *stack = take_stack(worker);
    int count = cori_rt.worker_count;
    bool fair = below_share(worker);
    int64_t before = worker->now - (fair ? CORI_STEAL_AGE_NS : CORI_RESCUE_AGE_NS);
    uint32_t first = cori_rand_below(&worker->rand, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        cori_worker *victim = &cori_rt.workers[((int)first + i) % count];
        cori_fresh fresh;
        if (victim != worker && cori_load_relaxed(&victim->fresh_count) != 0 &&
            fresh_pop(worker, victim, before, stack == NULL, &fresh)) {
            if (!fair) {
                worker->switches = CORI_ROUND_SWITCHES; /* the round ends: one rescue per nap */
            }
            return start(worker, stack, &fresh);
        }
    }
    give_back(worker, stack);
    return NULL;
}

void cori_place_resign(cori_worker *worker)
{
    worker->watcher = false;
    cori_store_relaxed(&worker->appointed, 0);
    cori_store(&cori_rt.watching, 0);
    if (others_have_some(worker) || cori_load(&worker->floating_count) != 0) {
        cori_watcher_appoint();
    }
}

int64_t cori_place_watch(cori_worker *worker)
{
    worker->watcher = false;
    cori_store_relaxed(&worker->appointed, 0);
    if (!others_have_some(worker)) {
        cori_store(&cori_rt.watching, 0);
        if (!others_have_some(worker)) {
            return -1;
        }
    }
    worker->watcher = true;
    cori_store(&cori_rt.watching, 1);
    return CORI_STEAL_AGE_NS;
}

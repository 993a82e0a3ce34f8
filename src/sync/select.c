/* SPDX-License-Identifier: MIT */
/*
 * Select: one of several channel operations.
 *
 * Under the locks of all its channels (taken in order of their addresses, each once, so selects cannot block each
 * other in a circle) it does one of the ready cases, chosen at random. If none is ready it puts one node per case into
 * the queues, before it gives the locks back: no partner can come in between. All nodes share the word `winner`. With
 * one worker there is nobody to lock out.
 *
 * Exactly one case is done: a partner that finds a node takes it out of the queue, under that channel's lock, and must
 * turn `winner` from UNDECIDED to the node's number before it may use it; only one compare-and-swap can succeed. One
 * that fails forgets the node and looks at the next. To give up (deadline, cancellation) the select claims `winner`
 * itself. A select never meets itself: it looks for partners only while none of its nodes is queued.
 *
 * Nodes and `winner` lie on this task's stack. A partner that loses touches them under the channel's lock only, and the
 * select takes every such lock once more before it returns, to take its other nodes out; the partner that wins sets
 * `done` last. A close has taken nodes with the whole queue and touches them without the lock: it sets `done` last
 * in each, won or lost, and the select waits for that. The lock of a channel with whose nodes others are done is left
 * alone: its owner may have freed it. So the partner that wins sees to all the select's nodes on its channel.
 */
#include "sync/timer.h"

#include "base/atomic.h"
#include "base/limits.h"

#include <errno.h>

/* Cases of a usual select: their nodes take little of the stack. */
enum { FEW = 4 };

typedef struct selection {
    cor_case *cases;
    cori_chan_waiter *nodes; /* one per case */
    uint8_t *order;          /* the cases that have a channel, by its address if locks must be taken */
    unsigned count;          /* of `order` */
    int32_t winner;          /* atomic */
    uint64_t timed;          /* the set of cases that wait for a timer, one bit each */
    cori_task *self;
} selection;

static inline cor_chan *chan_at(const selection *sel, unsigned place)
{
    return sel->cases[sel->order[place]].chan;
}

/* Fills `order`: an insertion sort, for the cases are few. */
static void sort_cases(selection *sel, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cor_chan *chan = sel->cases[i].chan;
        if (chan == NULL) {
            continue;
        }
        unsigned place = sel->count++;
        while (place > 0 && !cori_solo() && (uintptr_t)chan_at(sel, place - 1) > (uintptr_t)chan) {
            sel->order[place] = sel->order[place - 1];
            place--;
        }
        sel->order[place] = (uint8_t)i;
    }
}

static void lock_all(const selection *sel)
{
    cor_chan *last = NULL;
    for (unsigned i = 0; i < sel->count; i++) {
        cor_chan *chan = chan_at(sel, i);
        if (chan != last) {
            cori_chan_lock(chan);
        }
        last = chan;
    }
}

static void unlock_all(const selection *sel)
{
    cor_chan *last = NULL;
    for (unsigned i = 0; i < sel->count; i++) {
        cor_chan *chan = chan_at(sel, i);
        if (chan != last) {
            cori_chan_unlock(chan);
        }
        last = chan;
    }
}

/*
 * Tells whether a case to receive, whose channel is closed, need not wait. It is noted in `timed` if it is a timer's;
 * so the channels that are none, closed or not, pay nothing for timers.
 */
static __attribute__((noinline)) bool can_recv_closed(selection *sel, int number)
{
    cor_chan *chan = sel->cases[number].chan;
    if (!chan->timed) {
        return true;
    }
    sel->timed |= UINT64_C(1) << number;
    return cori_timer_is_ready(chan);
}

/* The set of cases that need not wait, one bit each. */
static uint64_t ready_cases(selection *sel)
{
    uint64_t ready = 0;
    for (unsigned i = 0; i < sel->count; i++) {
        const cor_case *one = &sel->cases[sel->order[i]];
        if (one->dir == COR_SEND               ? cori_chan_can_send(one->chan)
            : cori_unlikely(one->chan->closed) ? can_recv_closed(sel, sel->order[i])
                                               : cori_chan_can_recv(one->chan)) {
            ready |= UINT64_C(1) << sel->order[i];
        }
    }
    return ready;
}

/* One member of a set that is not empty, each equally likely. */
static int choose(uint64_t set)
{
    if ((set & (set - 1)) != 0) {
        uint32_t skip = cori_rand_below(cori_here_rand(), (uint32_t)__builtin_popcountll(set));
        while (skip-- > 0) {
            set &= set - 1;
        }
    }
    return __builtin_ctzll(set);
}

/* Does one ready case under all locks. Its number, or -EAGAIN. */
static int do_ready(selection *sel, cori_waiter **partner)
{
    uint64_t ready = ready_cases(sel);
    while (ready != 0) {
        int i = choose(ready);
        cor_case *one = &sel->cases[i];
        cori_outcome outcome = one->dir == COR_SEND ? cori_chan_send_locked(one->chan, one->elem)
                                                    : cori_chan_recv_locked(one->chan, one->elem);
        if (outcome.rc != -EAGAIN) {
            one->result = outcome.rc;
            *partner = outcome.partner;
            return i;
        }
        ready &= ~(UINT64_C(1) << i); /* another select's partner was claimed elsewhere meanwhile */
    }
    return -EAGAIN;
}

static cor_waitq *queue_of(const cor_case *one)
{
    return one->dir == COR_SEND ? &one->chan->senders : &one->chan->receivers;
}

/* Links the node with those of the same channel that are queued. */
static inline void link_twins(const selection *sel, unsigned place)
{
    cori_chan_waiter *node = &sel->nodes[sel->order[place]];
    const cor_chan *chan = chan_at(sel, place);
    node->twin = 0;
    for (unsigned before = place; before-- > 0;) {
        if (chan_at(sel, before) == chan) {
            cori_chan_waiter *twin = &sel->nodes[sel->order[before]];
            node->twin = (int8_t)(twin + twin->twin - node);
            twin->twin = (int8_t)(node - twin);
            return;
        }
    }
}

static void enqueue_all(selection *sel)
{
    uint8_t here = (uint8_t)cori_here_id();
    for (unsigned i = 0; i < sel->count; i++) {
        int number = sel->order[i];
        const cor_case *one = &sel->cases[number];
        cori_chan_waiter *node = &sel->nodes[number];
        node->base.task = sel->self;
        node->base.done = 0;
        node->elem = one->elem;
        node->winner = &sel->winner;
        node->number = (int8_t)number;
        node->sends = one->dir == COR_SEND;
        node->waits_on = here;
        link_twins(sel, i);
        cori_waitq_push(queue_of(one), &node->base);
    }
}

/* Takes the nodes of cases [from, to) of `order` out of their queues. Under the lock of their channels. */
static void dequeue_locked(const selection *sel, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        int number = sel->order[i];
        cori_waiter *node = &sel->nodes[number].base;
        if (!cori_waiter_done(node) && cori_waitq_holds(queue_of(&sel->cases[number]), node)) {
            cori_waitq_remove(queue_of(&sel->cases[number]), node);
        }
    }
}

static bool all_done(const selection *sel, unsigned from, unsigned to)
{
    while (from < to && cori_waiter_done(&sel->nodes[sel->order[from]].base)) {
        from++;
    }
    return from == to;
}

/* Sees to it that nobody has a node any more. The channel of one that is `done` may be gone. */
static void dequeue_all(const selection *sel)
{
    unsigned to = 0;
    if (cori_solo()) {
        dequeue_locked(sel, 0, sel->count);
        return;
    }
    for (unsigned from = 0; from < sel->count; from = to) {
        cor_chan *chan = chan_at(sel, from);
        to = from + 1;
        while (to < sel->count && chan_at(sel, to) == chan) {
            to++;
        }
        if (!all_done(sel, from, to)) {
            cori_chan_lock(chan);
            dequeue_locked(sel, from, to);
            cori_chan_unlock(chan);
        }
    }
    for (unsigned i = 0; i < sel->count; i++) {
        cori_waiter *node = &sel->nodes[sel->order[i]].base;
        if (cori_unlikely(node->linked != 0)) {
            cori_waiter_await(node, "select"); /* a close has taken it, and is about to be done with it */
        }
    }
}

/* Ends the wait, unless a partner was faster. */
static bool give_up(selection *sel)
{
    int32_t undecided = CORI_UNDECIDED;
    return cori_cas_acq_rel(&sel->winner, &undecided, CORI_WITHDRAWN);
}

/* Waits for a partner. The number of the case that is done, or why the wait ended. */
static inline __attribute__((always_inline)) int await_winner(selection *sel, int64_t deadline, const char *what)
{
    for (;;) {
        int32_t winner = cori_load_acquire(&sel->winner);
        if (winner >= 0) {
            cori_waiter_await(&sel->nodes[winner].base, what);
            return winner;
        }
        int rc = cori_interrupted(sel->self, deadline);
        if (rc == 0) {
            cori_park(sel->self, deadline, what);
        } else if (give_up(sel)) {
            return rc;
        }
    }
}

/*
 * The timer that fires first of those for which this task is to watch: the case's number and its time; -1: none. See
 * timer.h. Other channels are not looked at: one of which a case is done may be gone.
 */
static int first_timer(const selection *sel, int64_t *when)
{
    int first = -1;
    for (uint64_t left = sel->timed; left != 0; left &= left - 1) {
        int number = __builtin_ctzll(left);
        cor_chan *chan = sel->cases[number].chan;
        cori_chan_lock(chan);
        int64_t fires = cori_chan_timer(chan)->when;
        if (fires != 0 && (first < 0 || fires < *when) && cori_chan_first(&chan->receivers) == &sel->nodes[number]) {
            *when = fires;
            first = number;
        }
        cori_chan_unlock(chan);
    }
    return first;
}

/* Does the case of a timer that was due, if that is still so and no other case is done. */
static bool take_timer(selection *sel, int number)
{
    cor_chan *chan = sel->cases[number].chan;
    int32_t undecided = CORI_UNDECIDED;
    cori_chan_lock(chan);
    bool taken = cori_timer_is_ready(chan) && cori_cas_acq_rel(&sel->winner, &undecided, number);
    if (taken) {
        (void)cori_timer_take(chan, sel->cases[number].elem);
        sel->nodes[number].result = 1;
    }
    cori_chan_unlock(chan);
    return taken;
}

/* Takes the nodes out of the queues of timers, and wakes whoever is to watch one from now on. */
static void leave_timers(const selection *sel)
{
    for (uint64_t left = sel->timed; left != 0; left &= left - 1) {
        int number = __builtin_ctzll(left);
        cor_chan *chan = sel->cases[number].chan;
        cori_waiter *node = &sel->nodes[number].base;
        cori_chan_lock(chan);
        bool linked = cori_waitq_holds(&chan->receivers, node);
        bool watched = !linked || chan->receivers.head == node;
        if (linked) {
            cori_waitq_remove(&chan->receivers, node);
        }
        const cori_waiter *next = watched ? chan->receivers.head : NULL;
        cori_task *heir = next != NULL ? next->task : NULL;
        cori_chan_unlock(chan);
        if (heir != NULL) {
            cori_wake(heir);
        }
    }
}

/* As await_winner, for a select that waits for a timer, too. */
static __attribute__((noinline)) int await_timer(selection *sel, int64_t deadline)
{
    int rc = -EAGAIN;
    while (rc == -EAGAIN) {
        int64_t when = 0;
        int timer = first_timer(sel, &when);
        int32_t winner = cori_load_acquire(&sel->winner);
        if (winner >= 0) {
            cori_waiter_await(&sel->nodes[winner].base, "select");
            rc = winner;
        } else if (timer >= 0 && when <= cori_clock_now()) {
            rc = take_timer(sel, timer) ? timer : -EAGAIN;
        } else {
            int why = cori_interrupted(sel->self, deadline);
            if (why == 0) {
                cori_park(sel->self, deadline == 0 || (when != 0 && when < deadline) ? when : deadline, "select");
            } else if (give_up(sel)) {
                rc = why;
            }
        }
    }
    leave_timers(sel);
    return rc;
}

static inline __attribute__((always_inline)) int wait_for_one(selection *sel, int64_t deadline, const char *what)
{
    int rc = cori_likely(sel->timed == 0) ? await_winner(sel, deadline, what) : await_timer(sel, deadline);
    dequeue_all(sel);
    if (rc >= 0) {
        sel->cases[rc].result = sel->nodes[rc].result;
    } else {
        cori_charge(sel->self); /* a deadline that has passed is no wait */
    }
    return rc;
}

/* The whole of a select; `block` false: without waiting. */
static inline __attribute__((always_inline)) int run(selection *sel, size_t count, int64_t deadline, bool block)
{
    cori_waiter *partner = NULL;
    bool locks = !cori_solo();
    sort_cases(sel, count);
    if (locks) {
        lock_all(sel);
    }
    int rc = do_ready(sel, &partner);
    bool waits = rc == -EAGAIN && block;
    if (waits) {
        enqueue_all(sel);
    }
    if (locks) {
        unlock_all(sel);
    }
    if (waits) {
        return wait_for_one(sel, deadline, count == 0 ? "select (no cases)" : "select");
    }
    if (partner != NULL) {
        cori_waiter_serve(partner);
    }
    if (block) {
        cori_charge(sel->self);
    }
    return rc;
}

static __attribute__((noinline)) int run_few(cor_case *cases, size_t count, int64_t deadline, bool block)
{
    cori_chan_waiter nodes[FEW];
    uint8_t order[FEW];
    selection sel = {cases, nodes, order, 0, CORI_UNDECIDED, 0, cori_self()};
    return run(&sel, count, deadline, block);
}

static __attribute__((noinline)) int run_many(cor_case *cases, size_t count, int64_t deadline, bool block)
{
    cori_chan_waiter nodes[CORI_SELECT_MAX];
    uint8_t order[CORI_SELECT_MAX];
    selection sel = {cases, nodes, order, 0, CORI_UNDECIDED, 0, cori_self()};
    return run(&sel, count, deadline, block);
}

static inline int run_any(cor_case *cases, size_t count, int64_t deadline, bool block)
{
    if (count > CORI_SELECT_MAX) {
        return -EINVAL;
    }
    return count <= FEW ? run_few(cases, count, deadline, block) : run_many(cases, count, deadline, block);
}

/* For a task of a group, which may have been cancelled; apart, so that others pay a test only. */
static __attribute__((noinline)) int run_in_group(cor_case *cases, size_t count, int64_t deadline)
{
    cori_task *self = cori_self();
    if (self == NULL) {
        return COR_ENOT_TASK;
    }
    int rc = count > CORI_SELECT_MAX ? -EINVAL : cori_interrupted(self, 0);
    if (rc != 0) {
        return cori_in_vain(rc);
    }
    return run_any(cases, count, deadline, true);
}

int cor_select(cor_case *cases, size_t count, int64_t deadline)
{
    const cori_task *self = cori_self();
    if (cori_unlikely(self == NULL || self->scope != NULL)) {
        return run_in_group(cases, count, deadline);
    }
    return run_any(cases, count, deadline, true);
}

int cor_select_try(cor_case *cases, size_t count)
{
    return cori_self() != NULL ? run_any(cases, count, 0, false) : COR_ENOT_TASK;
}

/* SPDX-License-Identifier: MIT */
/* test: simulated timeout=180 */
/*
 * Groups in random trees, against a model. Each round grows a tree of groups: every group is first used by one to
 * three tasks of the group above at once, or is told to have no parent, or its grandparent; some groups lie below a
 * nameless one in a task's frame that is gone soon; tasks of some end at once and leave those below to themselves.
 * Meanwhile up to one event comes to each group: a cancel, a cancel with a cause, a deadline (at times moved there and
 * back before), a task that fails.
 *
 * The model: a task is ended by the events on its way up and by nothing else; when all events are over, its cause is
 * the nearest one's. A task without an event on its way waits until the round lets it go. Afterwards all memory of the
 * round is overwritten and used again.
 *
 * COR_TEST_SEED=n repeats a run's trees and events (not its timing); a failure says the seed.
 */
#include "support/taskcase.h"

#include <stdlib.h>

enum { GROUPS = 14, STARTERS = 3, LONG = 30, CAUSE = -3000, FAILURE = -4000 };

enum event { NONE, CANCEL, CANCEL_CAUSE, DEADLINE, FAIL, EVENTS };

typedef struct node {
    cor_group group;
    int starter; /* the node whose tasks start this one's; -1: tasks of no group */
    int above;   /* its parent by the model; -1: none */
    enum event event;
    bool alone;      /* is told to have no parent */
    bool grand;      /* is told to have its grandparent for a parent */
    bool framed;     /* is started through a nameless group in the starting task's frame */
    bool lingers;    /* its tasks wait; those of others end at once */
    uint32_t tasks;  /* that it is to have */
    uint32_t wanted; /* atomic: of these, not started yet */
    uint32_t failed; /* atomic: the task that fails was started */
} node;

static node nodes[GROUPS];
static cor_chan *release;
static uint32_t applied;                 /* atomic: all events are over */
static uint32_t touched, let_go, failed; /* atomic: tasks that ended so */
static uint64_t seed;

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add(uint32_t *word)
{
    __atomic_add_fetch(word, 1, __ATOMIC_ACQ_REL);
}

/* xorshift; the trees are grown by the main task only. */
static uint32_t roll(uint32_t limit)
{
    static uint64_t state;
    if (state == 0) {
        state = seed;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % limit;
}

/* The nearest event from the node on up; NULL: none. */
static const node *nearest(const node *at)
{
    while (at->event == NONE) {
        if (at->above < 0) {
            return NULL;
        }
        at = &nodes[at->above];
    }
    return at;
}

static int code_of(const node *at)
{
    return at->event == DEADLINE ? COR_ETIMEOUT : COR_ECANCELED;
}

static int cause_of(const node *at)
{
    int number = (int)(at - nodes);
    return at->event == CANCEL_CAUSE ? CAUSE - number : at->event == FAIL ? FAILURE - number : code_of(at);
}

/* True if an event on the way up ends a wait with `code`. */
static bool may_end_with(const node *at, int code)
{
    for (int i = (int)(at - nodes); i >= 0; i = nodes[i].above) {
        if (nodes[i].event != NONE && code_of(&nodes[i]) == code) {
            return true;
        }
    }
    return false;
}

static void task(void *arg);

static int give_failure(void *arg)
{
    add(&failed);
    return FAILURE - (int)((node *)arg - nodes);
}

/* What a child's group is told before its first task starts; the child's other starters say the same. */
static void decide(node *child)
{
    if (child->alone) {
        T_CODE(cor_group_set_parent(&child->group, NULL), 0);
    } else if (child->grand) {
        T_CODE(cor_group_set_parent(&child->group, &nodes[child->above].group), 0);
    }
}

static bool take_one(uint32_t *left)
{
    uint32_t seen = load(left);
    while (seen != 0 && !__atomic_compare_exchange_n(left, &seen, seen - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {}
    return seen != 0;
}

static void start_one(void *arg)
{
    node *child = arg;
    decide(child);
    T_CODE(cor_group_go(&child->group, task, child), 0);
}

/* Through a group in this frame, which is gone when the child still runs. */
static __attribute__((noinline)) void start_framed(node *child)
{
    cor_group between = {0};
    T_CODE(cor_group_go(&between, start_one, child), 0);
    T_CODE(cor_group_wait(&between, 0), 0);
    memset(&between, 0xa5, sizeof(between));
    __asm__ volatile("" : : "r"(&between) : "memory");
}

/* Starts tasks of the groups whose starter is node `number`, as long as they want some. */
static void start_below(int number)
{
    for (node *child = nodes; child < nodes + GROUPS; child++) {
        if (child->starter == number && take_one(&child->wanted)) {
            if (child->framed) {
                start_framed(child);
            } else {
                start_one(child);
            }
        }
    }
}

/* When all events are over, the nearest one is the cause. */
static void check_cause(const node *self)
{
    while (load(&applied) == 0) {
        cor_yield();
    }
    const node *expected = nearest(self);
    cor_cause why = {0};
    T_CODE(cor_cancel_cause(&why), code_of(expected));
    T_CODE(why.code, code_of(expected));
    T_CODE(why.cause, cause_of(expected));
    T_ASSERT(why.group == &expected->group);
    T_CODE(cor_cancelled(), code_of(expected));
}

static void task(void *arg)
{
    node *self = arg;
    start_below((int)(self - nodes));
    if (self->event == FAIL && __atomic_exchange_n(&self->failed, 1, __ATOMIC_ACQ_REL) == 0) {
        T_CODE(cor_group_go_err(&self->group, give_failure, self), 0);
    }
    if (!self->lingers) {
        return;
    }
    char nothing;
    int rc = cor_chan_recv(release, &nothing, 0);
    if (rc == 0) {
        T_REQUIRE(nearest(self) == NULL, "seed %llu: node %d heard nothing", (unsigned long long)seed,
                  (int)(self - nodes));
        T_CODE(cor_cancelled(), 0);
        add(&let_go);
        return;
    }
    T_REQUIRE(may_end_with(self, rc), "seed %llu: node %d was ended with %d", (unsigned long long)seed,
              (int)(self - nodes), rc);
    check_cause(self);
    add(&touched);
}

static void root_task(void *roots)
{
    start_below(-1);
    cor_waitgroup_done(roots);
}

static bool has_child(int number)
{
    for (int i = number + 1; i < GROUPS; i++) {
        if (nodes[i].starter == number) {
            return true;
        }
    }
    return false;
}

/* The nodes of a round. A starter comes before those it starts. */
static void grow(void)
{
    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < GROUPS; i++) {
        node *made = &nodes[i];
        made->starter = (int)roll((uint32_t)i + 1) - 1;
        made->above = made->starter;
        made->alone = roll(8) == 0;
        made->grand = !made->alone && made->starter >= 0 && nodes[made->starter].above >= 0 && roll(6) == 0;
        if (made->alone) {
            made->above = -1;
        } else if (made->grand) {
            made->above = nodes[made->starter].above;
        }
        made->event = roll(3) == 0 ? (enum event)roll(EVENTS) : NONE;
        made->framed = made->starter >= 0 && !made->grand && roll(4) == 0;
        made->tasks = made->wanted = 1 + roll(STARTERS);
    }
    for (int i = 0; i < GROUPS; i++) {
        /* without a task below it, a group's end comes before its event */
        nodes[i].lingers = !has_child(i) || roll(3) != 0;
    }
}

static void apply(node *at)
{
    int number = (int)(at - nodes);
    switch (at->event) {
    case CANCEL:
        cor_group_cancel(&at->group);
        cor_group_cancel_cause(&at->group, -1); /* comes too late */
        break;
    case CANCEL_CAUSE:
        cor_group_cancel_cause(&at->group, CAUSE - number);
        break;
    case DEADLINE:
        cor_group_set_deadline(&at->group, cor_after(COR_MINUTE));
        cor_group_set_deadline(&at->group, 0);
        cor_group_set_deadline(&at->group, cor_now() + number * 10 * COR_MICROSECOND);
        break;
    default:
        break;
    }
}

/* Every second node's event, from `arg` on. */
static void apply_half(void *arg)
{
    for (intptr_t i = (intptr_t)arg; i < GROUPS; i += 2) {
        for (int pause = (int)(i * 7 % 5); pause > 0; pause--) {
            cor_yield();
        }
        apply(&nodes[i]);
    }
}

typedef struct counts {
    uint32_t touched, let_go, failed; /* tasks, by the model */
} counts;

/* Tasks that the starters of each node can start: as many as the starter has tasks, one each, at most `tasks`. */
static counts expect(void)
{
    counts sum = {0};
    for (int i = 0; i < GROUPS; i++) {
        node *at = &nodes[i];
        uint32_t starters = at->starter >= 0 ? nodes[at->starter].tasks : STARTERS;
        at->tasks = at->tasks < starters ? at->tasks : starters;
        if (at->lingers) {
            *(nearest(at) != NULL ? &sum.touched : &sum.let_go) += at->tasks;
        }
        sum.failed += at->event == FAIL;
    }
    return sum;
}

static void run_round(void)
{
    cor_group helpers = {0};
    cor_waitgroup roots = {0};
    grow();
    counts expected = expect();
    applied = touched = let_go = failed = 0;
    release = cor_chan_new(1, 0);
    T_ASSERT(release != NULL);
    for (int i = 0; i < STARTERS; i++) {
        cor_waitgroup_add(&roots, 1);
        T_CODE(cor_go(root_task, &roots), 0);
    }
    T_CODE(cor_group_go(&helpers, apply_half, (void *)0), 0);
    T_CODE(cor_group_go(&helpers, apply_half, (void *)1), 0);
    T_CODE(cor_group_wait(&helpers, 0), 0);
    T_CODE(cor_waitgroup_wait(&roots, 0), 0);
    T_EVENTUALLY(load(&failed) == expected.failed, LONG * COR_SECOND);
    for (int i = 0; i < GROUPS; i++) {
        if (nodes[i].event == FAIL) { /* the task has ended; what it gave takes effect before it leaves */
            T_EVENTUALLY(cor_group_error(&nodes[i].group) != 0, LONG * COR_SECOND);
        }
    }
    int64_t last = cor_now() + GROUPS * 10 * COR_MICROSECOND;
    T_EVENTUALLY(cor_now() > last, LONG * COR_SECOND);
    __atomic_store_n(&applied, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&touched) == expected.touched, LONG * COR_SECOND);
    T_EQ(load(&let_go), 0);
    T_CODE(cor_chan_close(release), 0);
    T_EVENTUALLY(load(&let_go) == expected.let_go, LONG * COR_SECOND);
    for (int i = 0; i < GROUPS; i++) {
        int failure = nodes[i].event == FAIL ? FAILURE - i : 0;
        T_CODE(cor_group_wait(&nodes[i].group, 0), failure);
    }
    T_EQ(load(&touched), expected.touched);
    cor_chan_free(release);
}

TASK_TEST(random_trees)
{
    const char *text = getenv("COR_TEST_SEED");
    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)cor_now();
    seed |= 1;
    for (uint32_t i = 0; i < taskcase_scale(400); i++) {
        run_round();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

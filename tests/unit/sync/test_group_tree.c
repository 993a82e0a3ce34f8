/* SPDX-License-Identifier: MIT */
/* Groups above and below each other: who becomes whose parent, in which order they may end, what is misuse. */
/* test: simulated */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc */
#include "support/child.h"
#include "support/faults.h"
#include "support/taskcase.h"

#include "sched/scope.h"
#include "sched/task.h"

#include <errno.h>

enum { LONG = 20 };

static uint32_t load(const uint32_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void add(uint32_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
}

static void nothing(void *arg)
{
    (void)arg;
}

/* What a task that waits for its end got. */
typedef struct sleeper {
    uint32_t parked; /* atomic: is about to be */
    int result;      /* of the sleep; after the group's end */
} sleeper;

static void sleep_long(void *arg)
{
    sleeper *one = arg;
    add(&one->parked);
    one->result = cor_sleep(COR_MINUTE);
}

static void set(uint32_t *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

static void wait_for(const uint32_t *flag)
{
    T_EVENTUALLY(load(flag) != 0, LONG * COR_SECOND);
}

/* Starts `task` in the group, in a frame of its own that is overwritten afterwards: it must not be looked at again. */
static __attribute__((noinline)) int run_in_own_frame(void (*task)(void *arg), void *arg)
{
    cor_group group = {0};
    int rc = cor_group_go(&group, task, arg);
    if (rc == 0) {
        rc = cor_group_wait(&group, 0);
    }
    memset(&group, 0xa5, sizeof(group));
    __asm__ volatile("" : : "r"(&group) : "memory");
    return rc;
}

/* Two tasks use one group for the first time at the same moment. */
static cor_group fresh;
static uint32_t at_start, go_now;

static void use_fresh(void *arg)
{
    (void)arg;
    add(&at_start);
    while (load(&go_now) == 0) {
        cor_yield();
    }
    T_CODE(cor_group_go(&fresh, nothing, NULL), 0);
}

TASK_TEST(first_used_twice_at_once)
{
    for (uint32_t i = 0; i < taskcase_scale(3000); i++) {
        cor_group parent = {0};
        memset(&fresh, 0, sizeof(fresh));
        at_start = go_now = 0;
        T_CODE(cor_group_go(&parent, use_fresh, NULL), 0);
        T_CODE(cor_group_go(&parent, use_fresh, NULL), 0);
        T_EVENTUALLY(load(&at_start) == 2, LONG * COR_SECOND);
        set(&go_now);
        cor_yield();
        cor_group_cancel(&parent); /* walks what is below */
        T_CODE(cor_group_wait(&parent, 0), 0);
        T_CODE(cor_group_wait(&fresh, 0), 0);
    }
}

/* A task of `outer` (or of another group) starts a sleeper in `jobs` and stays until it is cancelled. */
static cor_group jobs;

typedef struct request {
    sleeper job;
    uint32_t started, leave; /* atomic */
} request;

static void start_job(void *arg)
{
    request *one = arg;
    T_CODE(cor_group_go(&jobs, sleep_long, &one->job), 0);
    set(&one->started);
    while (load(&one->leave) == 0 && cor_cancelled() == 0) {
        cor_yield();
    }
}

/* Starts and ends a request that uses `jobs`, whose task is then cancelled or goes on; 1 if it was cancelled. */
static int job_of_cancelled_request(void)
{
    request one = {0};
    cor_group group = {0};
    T_CODE(cor_group_go(&group, start_job, &one), 0);
    wait_for(&one.started);
    wait_for(&one.job.parked);
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
    int over = cor_group_wait(&jobs, cor_after(20 * COR_MILLISECOND)) == 0;
    T_EQ(over ? one.job.result : COR_ECANCELED, COR_ECANCELED);
    if (!over) {
        cor_group_cancel(&jobs);
        T_CODE(cor_group_wait(&jobs, 0), 0);
    }
    return over;
}

TASK_TEST(first_use_without_a_group_is_for_good)
{
    T_CODE(cor_group_go(&jobs, nothing, NULL), 0);
    T_CODE(cor_group_wait(&jobs, 0), 0);
    T_EQ(job_of_cancelled_request(), 0);
}

TASK_TEST(first_use_in_a_request_belongs_to_it)
{
    T_EQ(job_of_cancelled_request(), 1);
}

TASK_TEST(a_parent_that_ended_is_forgotten)
{
    T_EQ(job_of_cancelled_request(), 1);
    T_EQ(job_of_cancelled_request(), 1);
}

TASK_TEST(none_can_be_said_before)
{
    T_CODE(cor_group_set_parent(&jobs, NULL), 0);
    T_CODE(cor_group_set_parent(&jobs, NULL), 0);
    T_EQ(job_of_cancelled_request(), 0);
}

/* The first use was by a task of the outer group, which lives on; a task of an inner one uses it later. */
static void use_jobs_once(void *arg)
{
    T_CODE(cor_group_go(&jobs, nothing, NULL), 0);
    T_CODE(cor_group_wait(&jobs, 0), 0);
    T_EQ(job_of_cancelled_request(), 0);
    set(arg);
    T_CODE(cor_sleep(COR_MINUTE), COR_ECANCELED);
}

TASK_TEST(a_parent_that_lives_is_kept)
{
    cor_group outer = {0};
    uint32_t done = 0;
    T_CODE(cor_group_go(&outer, use_jobs_once, &done), 0);
    wait_for(&done);
    cor_group_cancel(&outer);
    T_CODE(cor_group_wait(&outer, 0), 0);
}

/* `jobs` is decided to be below a group of which the caller is no member. */
TASK_TEST(a_parent_can_be_said_before)
{
    cor_group server = {0}, other = {0};
    sleeper one = {0}, two = {0};
    T_CODE(cor_group_set_parent(&jobs, &server), COR_EMISUSE); /* has not begun */
    T_CODE(cor_group_go(&server, sleep_long, &one), 0);
    T_CODE(cor_group_go(&other, sleep_long, &two), 0);
    T_CODE(cor_group_set_parent(&jobs, &server), 0);
    T_CODE(cor_group_set_parent(&jobs, &server), 0);
    T_CODE(cor_group_set_parent(&jobs, &other), COR_EMISUSE);
    T_CODE(cor_group_set_parent(&jobs, NULL), COR_EMISUSE);
    T_CODE(cor_group_set_parent(&server, &server), COR_EMISUSE);
    T_CODE(cor_group_set_parent(&server, &other), COR_EMISUSE);
    sleeper job = {0};
    T_CODE(cor_group_go(&jobs, sleep_long, &job), 0);
    T_CODE(cor_group_set_parent(&server, &jobs), COR_EMISUSE); /* a circle */
    wait_for(&job.parked);
    cor_group_cancel(&server);
    T_CODE(cor_group_wait(&jobs, 0), 0);
    T_CODE(job.result, COR_ECANCELED);
    cor_group_cancel(&other);
    T_CODE(cor_group_wait(&server, 0), 0);
    T_CODE(cor_group_wait(&other, 0), 0);
    T_CODE(cor_group_set_parent(&other, &server), COR_EMISUSE); /* has ended, and `other` was decided */
}

/* A group between outlives neither its memory nor its tasks; what is above still reaches what is below. */
static void leave_job_behind(void *arg)
{
    T_CODE(cor_group_go(&jobs, sleep_long, arg), 0);
}

static void run_middle(void *arg)
{
    T_CODE(run_in_own_frame(leave_job_behind, arg), 0);
    (void)cor_sleep(COR_MINUTE);
}

TASK_TEST(a_group_between_may_be_gone)
{
    for (uint32_t i = 0; i < taskcase_scale(200); i++) {
        cor_group outer = {0};
        sleeper job = {0};
        memset(&jobs, 0, sizeof(jobs));
        T_CODE(cor_group_go(&outer, run_middle, &job), 0);
        if (i % 2 == 0) {
            wait_for(&job.parked);
        }
        cor_group_cancel(&outer);
        T_CODE(cor_group_wait(&outer, 0), 0);
        T_CODE(cor_group_wait(&jobs, 0), 0);
        T_CODE(job.result, COR_ECANCELED);
    }
}

/* A group whose own tasks have ended still cancels, and limits in time, those below. */
TASK_TEST(a_group_without_tasks_reaches_down)
{
    for (int i = 0; i < 2; i++) {
        cor_group outer = {0};
        sleeper job = {0};
        memset(&jobs, 0, sizeof(jobs));
        T_CODE(cor_group_go(&outer, leave_job_behind, &job), 0);
        T_CODE(cor_group_wait(&outer, 0), 0);
        wait_for(&job.parked);
        if (i == 0) {
            cor_group_cancel(&outer);
        } else {
            cor_group_set_deadline(&outer, cor_after(COR_MILLISECOND));
        }
        T_CODE(cor_group_wait(&jobs, 0), 0);
        T_CODE(job.result, i == 0 ? COR_ECANCELED : COR_ETIMEOUT);
    }
}

/* A in B in A. */
static cor_group group_a, group_b;
static sleeper innermost;

static void start_a_in_b(void *arg)
{
    (void)arg;
    T_CODE(cor_group_go(&group_a, sleep_long, &innermost), 0);
    T_CODE(cor_sleep(COR_MINUTE), COR_ECANCELED);
}

static void start_b_in_a(void *arg)
{
    (void)arg;
    T_CODE(cor_group_go(&group_b, start_a_in_b, NULL), 0);
    T_CODE(cor_group_wait(&group_b, 0), 0);
}

TASK_TEST(a_in_b_in_a)
{
    T_CODE(cor_group_go(&group_a, start_b_in_a, NULL), 0);
    wait_for(&innermost.parked);
    cor_group_cancel(&group_a);
    T_CODE(cor_group_wait(&group_a, 0), 0);
    T_CODE(innermost.result, COR_ECANCELED);
}

/* Who waits for itself. */
static void wait_for_own(void *arg)
{
    T_CODE(cor_group_wait(arg, 0), COR_EMISUSE);
    T_CODE(cor_group_wait(arg, 1), COR_EMISUSE);
}

static void wait_for_own_from_below(void *arg)
{
    cor_group below = {0};
    T_CODE(cor_group_go(&below, wait_for_own, arg), 0);
    T_CODE(cor_group_wait(&below, 0), 0);
}

TASK_TEST(no_task_waits_for_its_own_group)
{
    cor_group group = {0};
    T_CODE(cor_group_go(&group, wait_for_own, &group), 0);
    T_CODE(cor_group_go(&group, wait_for_own_from_below, &group), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
}

/* Groups that nobody waits for unlink themselves. */
enum { UNWAITED = 100 };
static cor_group unwaited[UNWAITED];
static uint32_t unwaited_began; /* atomic */

static void begin_unwaited(void *arg)
{
    (void)arg;
    add(&unwaited_began);
}

static void start_unwaited(void *arg)
{
    for (size_t i = 0; i < UNWAITED; i++) {
        T_CODE(cor_group_go(&unwaited[i], begin_unwaited, NULL), 0);
    }
    sleep_long(arg);
}

static uint64_t tasks_alive(void)
{
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    return stats.tasks;
}

TASK_TEST(nobody_needs_to_wait)
{
    cor_group parent = {0};
    sleeper one = {0};
    T_CODE(cor_group_go(&parent, start_unwaited, &one), 0);
    wait_for(&one.parked);
    T_EVENTUALLY(load(&unwaited_began) == UNWAITED, LONG * COR_SECOND); /* none is on its way to another worker */
    T_EVENTUALLY(tasks_alive() == 2, LONG * COR_SECOND);
    for (size_t i = 0; i < UNWAITED; i++) { /* a look under the lock, which the last task has given back by now */
        T_CODE(cor_group_error(&unwaited[i]), 0);
    }
    memset(unwaited, 0xa5, sizeof(unwaited));
    cor_group_cancel(&parent);
    T_CODE(cor_group_wait(&parent, 0), 0);
}

/* Deep and wide. */
enum { DEEP = 1000 };
static uint32_t bottom; /* atomic */

static void dig(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    if (depth == 0) {
        set(&bottom);
        T_CODE(cor_sleep(COR_MINUTE), COR_ECANCELED);
        return;
    }
    T_CODE(run_in_own_frame(dig, (void *)(depth - 1)), 0);
    T_CODE(cor_cancelled(), COR_ECANCELED);
}

TASK_TEST(a_thousand_deep)
{
    cor_group top = {0};
    T_CODE(cor_group_go(&top, dig, (void *)(intptr_t)DEEP), 0);
    wait_for(&bottom);
    cor_group_cancel(&top);
    T_CODE(cor_group_wait(&top, 0), 0);
}

static uint32_t wide_cancelled; /* atomic */

static void leave_or_sleep(void *arg)
{
    if ((intptr_t)arg % 3 == 0) {
        cor_yield(); /* leaves while others are woken */
        return;
    }
    if (cor_sleep(COR_MINUTE) == COR_ECANCELED) {
        add(&wide_cancelled);
    }
}

static void cancel_it(void *group)
{
    cor_group_cancel(group);
    cor_group_set_deadline(group, cor_after(COR_MINUTE)); /* walks as well */
}

TASK_TEST(ten_thousand_members)
{
    uint32_t count = taskcase_scale(10000) / 3 * 3;
    cor_group group = {0}, cancellers = {0};
    for (uint32_t i = 0; i < count; i++) {
        T_CODE(cor_group_go(&group, leave_or_sleep, (void *)(intptr_t)i), 0);
    }
    for (int i = 0; i < 4; i++) {
        T_CODE(cor_group_go(&cancellers, cancel_it, &group), 0);
    }
    T_CODE(cor_group_wait(&cancellers, 0), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_EQ(load(&wide_cancelled), count / 3 * 2);
}

/* A start that fails for want of memory for its record leaves nothing behind. */
static uint32_t stop_holding; /* atomic */

static void hold(void *arg)
{
    (void)arg;
    while (load(&stop_holding) == 0) {
        cor_yield();
    }
}

static void fail_to_start(void *arg)
{
    cor_group holders = {0}, earlier = {0};
    int rc = 0;
    T_CODE(cor_group_go(&earlier, nothing, NULL), 0); /* leaves a scope to be used again */
    T_CODE(cor_group_go(&holders, hold, NULL), 0);
    T_CODE(cor_group_wait(&earlier, 0), 0);
    faults_set_run(CORI_SYS_MMAP, 1, UINT32_MAX, -ENOMEM);
    for (int i = 0; i < 100000 && rc == 0; i++) { /* until a new block of records is needed */
        rc = cor_group_go(&holders, hold, NULL);
    }
    T_CODE(rc, -ENOMEM);
    for (int i = 0; i < 3; i++) {
        T_CODE(run_in_own_frame(nothing, NULL), -ENOMEM);
    }
    faults_clear();
    set(&stop_holding);
    T_CODE(cor_group_wait(&holders, 0), 0);
    sleep_long(arg);
}

static const cor_options one_worker = {.workers = 1};

TASK_TEST_WITH(a_failed_start_leaves_nothing, &one_worker)
{
    cor_group parent = {0};
    sleeper one = {0};
    T_CODE(cor_group_go(&parent, fail_to_start, &one), 0);
    wait_for(&one.parked);
    cor_group_cancel(&parent); /* walks what is below */
    T_CODE(cor_group_wait(&parent, 0), 0);
}

/* No memory for the scope: the group is as it was. */
TASK_TEST_WITH(no_memory_for_a_scope, &one_worker)
{
    cor_group group = {0};
    faults_alloc_set(1);
    int rc = cor_group_go(&group, nothing, NULL);
    faults_alloc_set(0);
    T_CODE(rc, -ENOMEM);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_CODE(cor_group_go(&group, nothing, NULL), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
}

/* The group's memory is used for something else while a task of it runs. */
static int reuse_memory(void *arg)
{
    cor_group group = {0};
    (void)arg;
    if (cor_group_go(&group, nothing, NULL) < 0) {
        return 1;
    }
    memset(&group, 0, sizeof(group));
    cor_yield();
    return 0;
}

static int reuse_in_child(void *arg)
{
    return cor_run(reuse_memory, arg, &one_worker);
}

static void memory_reused_is_fatal(void **state)
{
    static child_result child;
    (void)state;
    assert_true(child_run(reuse_in_child, NULL, &child));
    assert_int_not_equal(child.signal_number, 0);
    assert_non_null(strstr(child.output, "fatal error: group: its memory was reused while its tasks were running"));
}

static cor_chan *may_end[2];

static void end_when_told(void *chan)
{
    T_CODE(cor_chan_recv(chan, NULL, 0), 0);
}

/* A cancel wakes a large group in batches, without its lock in between: a member that ends then is next no longer. */
TASK_TEST_WITH(a_walk_goes_on_past_members_that_end, &one_worker)
{
    cor_group group = {0};
    for (int i = 0; i < 2; i++) {
        may_end[i] = cor_chan_new(0, 0);
        T_CODE(cor_group_go(&group, end_when_told, may_end[i]), 0);
    }
    cori_scope *scope = group.scope;
    T_EVENTUALLY(scope->members != NULL && scope->members->scope_next != NULL, 20 * COR_SECOND); /* both have begun */
    cori_walk walk = {.next = scope->members};
    cori_task *after = walk.next->scope_next;
    scope->walks = &walk;
    T_CODE(cor_chan_close(may_end[1]), 0); /* of the one that came last, which is first in the list */
    T_EVENTUALLY(scope->members == after, 20 * COR_SECOND);
    T_ASSERT(walk.next == after);
    T_CODE(cor_chan_close(may_end[0]), 0);
    T_CODE(cor_group_wait(&group, 0), 0);
    T_ASSERT(walk.next == NULL);
    scope->walks = NULL;
    cor_chan_free(may_end[0]);
    cor_chan_free(may_end[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_used_twice_at_once),
        cmocka_unit_test(first_use_without_a_group_is_for_good),
        cmocka_unit_test(first_use_in_a_request_belongs_to_it),
        cmocka_unit_test(a_parent_that_ended_is_forgotten),
        cmocka_unit_test(none_can_be_said_before),
        cmocka_unit_test(a_parent_that_lives_is_kept),
        cmocka_unit_test(a_parent_can_be_said_before),
        cmocka_unit_test(a_group_between_may_be_gone),
        cmocka_unit_test(a_group_without_tasks_reaches_down),
        cmocka_unit_test(a_in_b_in_a),
        cmocka_unit_test(no_task_waits_for_its_own_group),
        cmocka_unit_test(nobody_needs_to_wait),
        cmocka_unit_test(a_thousand_deep),
        cmocka_unit_test(ten_thousand_members),
        cmocka_unit_test(a_failed_start_leaves_nothing),
        cmocka_unit_test(a_walk_goes_on_past_members_that_end),
        cmocka_unit_test(no_memory_for_a_scope),
        cmocka_unit_test(memory_reused_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

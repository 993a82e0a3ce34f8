/* SPDX-License-Identifier: MIT */
/* cor_run itself: values, options, environment, repetition, abandoned tasks, set-up that fails at every step. */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc */
#include "support/child.h"
#include "support/faults.h"
#include "support/taskcase.h"

#include "ctx/stack.h"
#include "poll/poll_epoll.h"
#include "poll/poll_pick.h"
#include "sched/here.h"
#include "sched/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static uint32_t ran; /* atomic */

static uint32_t runs(void)
{
    return __atomic_load_n(&ran, __ATOMIC_ACQUIRE);
}

static void count_me(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static int give(void *arg)
{
    return *(int *)arg;
}

static void gives_the_main_tasks_value(void **state)
{
    (void)state;
    static const int values[] = {0, 1, 42, -7, INT32_MAX, INT32_MIN, COR_EDEADLOCK};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        int value = values[i];
        assert_int_equal(cor_run(give, &value, NULL), value);
    }
}

static int count_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static int spawn_ten(void *arg)
{
    uint32_t before = runs();
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_EVENTUALLY(runs() == before + 10, 20 * COR_SECOND);
    return *(int *)arg;
}

static void may_be_called_again_and_again(void **state)
{
    (void)state;
    int fds = count_fds();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(cor_run(spawn_ten, &i, NULL), i);
        assert_int_equal(cori_stack_count(), 0);
    }
    assert_int_equal(runs(), 500);
    assert_int_equal(count_fds(), fds);
}

static int run_inside(void *arg)
{
    return cor_run(give, arg, NULL);
}

static void not_inside_itself(void **state)
{
    (void)state;
    int value = 3;
    assert_int_equal(cor_run(run_inside, &value, NULL), COR_EBUSY_RUNTIME);
    assert_int_equal(cor_run(give, &value, NULL), 3);
}

static void *run_on_thread(void *arg)
{
    return (void *)(intptr_t)cor_run(give, arg, NULL);
}

static int run_beside(void *arg)
{
    pthread_t thread;
    void *result = NULL;
    T_EQ(pthread_create(&thread, NULL, run_on_thread, arg), 0);
    T_EQ(pthread_join(thread, &result), 0);
    return (int)(intptr_t)result;
}

static void one_at_a_time_per_process(void **state)
{
    (void)state;
    int value = 3;
    assert_int_equal(cor_run(run_beside, &value, NULL), COR_EBUSY_RUNTIME);
}

static void options_out_of_range(void **state)
{
    (void)state;
    int value = 3;
    static const cor_options bad[] = {
        {.workers = -1},
        {.workers = 257},
        {.workers = INT32_MAX},
        {.stack_size_bytes = (8 << 20) + 1},
        {.stack_size_bytes = SIZE_MAX},
        {.blocking_threads = -1},
        {.blocking_threads = 1025},
        {.poller = "kqueue"},
        {.poller = "epol"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cor_run(give, &value, &bad[i]), -EINVAL);
    }
    static const cor_options good[] = {
        {.workers = 1},
        {.workers = 40},
        {.stack_size_bytes = 1},
        {.stack_size_bytes = 8 << 20},
        {.blocking_threads = 1},
        {.blocking_threads = 1024},
        {.poller = "epoll"},
        {.poller = "auto"},
        {.seed = 1},
        {.no_sigquit_dump = true, .no_overflow_report = true},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(cor_run(give, &value, &good[i]), 3);
    }
}

static int give_workers(void *arg)
{
    (void)arg;
    cor_runtime_stats stats;
    int rc = cor_stats(&stats);
    return rc < 0 ? rc : stats.workers;
}

/* N308 */
static void workers_from_options_and_environment(void **state)
{
    (void)state;
    cor_options three = {.workers = 3};
    assert_int_equal(setenv("COR_WORKERS", "5", 1), 0);
    assert_int_equal(cor_run(give_workers, NULL, NULL), 5);
    assert_int_equal(cor_run(give_workers, NULL, &three), 3); /* the option comes first */
    static const char *const bad[] = {"0", "-1", "257", "2x", "x", " ", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(setenv("COR_WORKERS", bad[i], 1), 0);
        assert_int_equal(cor_run(give_workers, NULL, NULL), -EINVAL);
    }
    assert_int_equal(setenv("COR_WORKERS", "", 1), 0);
    assert_true(cor_run(give_workers, NULL, NULL) >= 1);
    assert_int_equal(unsetenv("COR_WORKERS"), 0);
    assert_true(cor_run(give_workers, NULL, NULL) >= 1);
}

typedef struct setting {
    cor_options options;
    const char *name, *value; /* of the environment; NULL: none */
    const char *says;
} setting;

static int run_with(void *arg)
{
    const setting *bad = arg;
    if (bad->name != NULL) {
        (void)setenv(bad->name, bad->value, 1);
    }
    int value = 3;
    return cor_run(give, &value, &bad->options) == -EINVAL ? 0 : 1;
}

/* One line on stderr for each option and variable that keeps cor_run from starting: which, and what it may be. */
static void bad_settings_are_named(void **state)
{
    (void)state;
    static setting bad[] = {
        {{.workers = 257}, NULL, NULL, "cor_options.workers or COR_WORKERS: 1 to 256"},
        {{.poller = "kqueue"}, NULL, NULL, "cor_options.poller or COR_POLLER: epoll, io_uring or auto"},
        {{.spin_ns = COR_SECOND + 1}, NULL, NULL, "cor_options.spin_ns or COR_SPIN_US: up to a second"},
        {{.stall_ns = 1}, NULL, NULL, "cor_options.stall_ns or COR_STALL_MS: a millisecond to an hour, or off"},
        {{.stack_size_bytes = (8 << 20) + 1}, NULL, NULL, "cor_options.stack_size_bytes: up to 8 MiB"},
        {{.blocking_threads = 1025}, NULL, NULL, "cor_options.blocking_threads: up to 1024"},
        {{0}, "COR_WORKERS", "many", "cor_options.workers or COR_WORKERS: 1 to 256"},
        {{0}, "COR_POLLER", "kqueue", "cor_options.poller or COR_POLLER: epoll, io_uring or auto"},
        {{0}, "COR_SPIN_US", "-1", "cor_options.spin_ns or COR_SPIN_US: up to a second"},
        {{0}, "COR_STALL_MS", "x", "cor_options.stall_ns or COR_STALL_MS: a millisecond to an hour, or off"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char want[200];
        (void)snprintf(want, sizeof(want), "cor_run: bad value of %s\n", bad[i].says);
        child_result result;
        assert_true(child_run(run_with, &bad[i], &result));
        assert_string_equal(result.output, want);
        assert_int_equal(result.exit_status, 0);
    }
}

static void poller_from_environment(void **state)
{
    (void)state;
    int value = 3;
    cor_options epoll = {.poller = "epoll"};
    assert_int_equal(setenv("COR_POLLER", "none such", 1), 0);
    assert_int_equal(cor_run(give, &value, NULL), -EINVAL);
    assert_int_equal(cor_run(give, &value, &epoll), 3);
    assert_int_equal(setenv("COR_POLLER", "epoll", 1), 0);
    assert_int_equal(cor_run(give, &value, NULL), 3);
}

static int is_thread_of(void *arg)
{
    return pthread_equal(*(pthread_t *)arg, pthread_self()) ? 1 : 0;
}

static void calling_thread_is_the_first_worker(void **state)
{
    (void)state;
    pthread_t own = pthread_self();
    assert_int_equal(cor_run(is_thread_of, &own, NULL), 1);
}

static int wait_for_ever(void *arg)
{
    count_me(NULL);
    for (;;) {
        (void)cor_sleep(COR_MINUTE);
    }
    return *(int *)arg;
}

static void never_end(void *arg)
{
    (void)wait_for_ever(arg);
}

/* Parked, runnable, and never started tasks: all are left where they are. */
static int leave_tasks_behind(void *arg)
{
    uint32_t before = runs();
    for (int i = 0; i < 200; i++) {
        T_CODE(cor_go(never_end, NULL), 0);
    }
    T_EVENTUALLY(runs() >= before + 200, 20 * COR_SECOND);
    for (int i = 0; i < 200; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    return *(int *)arg;
}

/* N307 */
static void tasks_are_abandoned_at_the_end(void **state)
{
    (void)state;
    int fds = count_fds();
    for (int i = 0; i < 5; i++) {
        int value = 100 + i;
        assert_int_equal(cor_run(leave_tasks_behind, &value, NULL), value);
        assert_int_equal(cori_stack_count(), 0);
    }
    assert_int_equal(count_fds(), fds);
}

static uint32_t spinning; /* atomic */

static void spin(void *arg)
{
    (void)arg;
    __atomic_store_n(&spinning, 1, __ATOMIC_RELEASE);
    for (;;) {
        cor_yield();
    }
}

static int end_beside_a_spinner(void *arg)
{
    T_CODE(cor_go(spin, NULL), 0);
    T_EVENTUALLY(__atomic_load_n(&spinning, __ATOMIC_ACQUIRE) != 0, 20 * COR_SECOND);
    return *(int *)arg;
}

static void ends_under_tasks_that_never_stop_yielding(void **state)
{
    (void)state;
    int value = 8;
    assert_int_equal(cor_run(end_beside_a_spinner, &value, NULL), 8);
}

static int check_stats(void *arg)
{
    cor_runtime_stats stats;
    T_CODE(cor_stats(&stats), 0);
    T_EQ(stats.tasks, 1);
    uint64_t spawned = stats.spawned;
    for (int i = 0; i < 10; i++) {
        T_CODE(cor_go(count_me, NULL), 0);
    }
    T_CODE(cor_stats(&stats), 0);
    T_EQ(stats.spawned, spawned + 10);
    T_EQ(stats.connections, 0);
    T_EVENTUALLY(cor_stats(&stats) == 0 && stats.tasks == 1, 20 * COR_SECOND);
    return *(int *)arg;
}

static void stats_count(void **state)
{
    (void)state;
    int value = 4;
    cor_runtime_stats stats;
    assert_int_equal(cor_stats(&stats), COR_ENOT_TASK);
    assert_int_equal(cor_run(check_stats, &value, NULL), 4);
    assert_int_equal(cor_stats(&stats), COR_ENOT_TASK);
}

static void done(void *group, void *unused)
{
    (void)unused;
    cor_waitgroup_done(group);
}

/* As give, and every worker has run a task, if there was memory for it. */
static int give_after_all(void *arg)
{
    cor_waitgroup tasks = {0};
    for (int worker = 0; worker < cori_worker_count(); worker++) {
        cori_spawn spawn = {.entry = done, .arg_a = &tasks, .name = "done", .worker = worker};
        cor_waitgroup_add(&tasks, 1);
        if (cori_spawn_task(&spawn, NULL) < 0) {
            cor_waitgroup_done(&tasks);
        }
    }
    int rc = cor_waitgroup_wait(&tasks, cor_after(10 * COR_SECOND));
    return rc == 0 ? give(arg) : rc;
}

/* Every allocation of the set-up fails once: an error code, nothing left behind, and the next run works. */
static void set_up_without_memory(void **state)
{
    (void)state;
    int fds = count_fds();
    bool hit = true;
    int failures = 0;
    for (unsigned nth = 1; hit && nth < 200; nth++) {
        int value = 9;
        faults_alloc_set(nth);
        int rc = cor_run(give_after_all, &value, NULL);
        hit = faults_alloc_hit();
        faults_alloc_set(0);
        assert_true(rc == 9 || (hit && rc == -ENOMEM));
        failures += rc < 0;
        assert_int_equal(cori_stack_count(), 0);
        assert_int_equal(count_fds(), fds);
    }
    assert_false(hit); /* it came through in the end */
    assert_true(failures >= 2);
}

static void set_up_without_stacks(void **state)
{
    (void)state;
    int value = 9;
    faults_set(CORI_SYS_MMAP, 1, -ENOMEM);
    assert_int_equal(cor_run(give, &value, NULL), -ENOMEM);
    assert_true(faults_hit());
    assert_int_equal(cor_run(give, &value, NULL), 9);
    faults_clear();
}

static void set_up_without_descriptors(void **state)
{
    (void)state;
    int fds = count_fds();
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int rc = -EMFILE, failures = 0;
    for (rlim_t limit = 3; rc == -EMFILE && limit < 256; limit++) {
        struct rlimit tight = {limit, before.rlim_max};
        int value = 9;
        cor_options keep = {.keep_descriptor_limit = true};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        rc = cor_run(give, &value, &keep);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(rc == 9 || rc == -EMFILE);
        failures += rc < 0;
        assert_int_equal(count_fds(), fds);
    }
    assert_int_equal(rc, 9);
    assert_true(failures >= 2);
}

static int give_descriptor_limit(void *unused)
{
    (void)unused;
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int)limit.rlim_cur : -1;
}

static void the_soft_descriptor_limit_is_raised(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {256, before.rlim_max};
    cor_options keep = {.keep_descriptor_limit = true};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(cor_run(give_descriptor_limit, NULL, &keep), 256);
    assert_int_equal(cor_run(give_descriptor_limit, NULL, NULL), (int)before.rlim_max);
    assert_int_equal(give_descriptor_limit(NULL), (int)before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static int sleep_a_while(void *unused)
{
    (void)unused;
    return cor_sleep(30 * COR_SECOND);
}

static int failing_wait(cori_poller *poller, int64_t timeout_ns, cori_event *events, int max)
{
    (void)poller;
    (void)timeout_ns;
    (void)events;
    (void)max;
    return -EBADF;
}

static cori_poll_ops broken;

static int open_broken(cori_poller **out)
{
    int rc = cori_poll_epoll.open(out);
    if (rc == 0) {
        (*out)->ops = &broken;
    }
    return rc;
}

static int run_without_waits(void *value)
{
    broken = cori_poll_epoll;
    broken.open = open_broken;
    broken.wait = failing_wait;
    cori_poll_override(&broken);
    return cor_run(sleep_a_while, value, NULL);
}

static void a_wait_that_fails_for_good_is_fatal(void **state)
{
    (void)state;
    child_result result;
    assert_true(child_run(run_without_waits, NULL, &result));
    if (result.signal_number != SIGABRT) {
        fail_msg("status %d, signal %d: %s", result.exit_status, result.signal_number, result.output);
    }
    assert_non_null(strstr(result.output, "fatal error: waiting for events (epoll): bad file descriptor"));
}

static void signal_actions_come_back(void **state)
{
    (void)state;
    static const int numbers[] = {SIGQUIT, SIGSEGV, SIGURG, SIGPIPE};
    struct sigaction before[4], after;
    stack_t stack_before, stack_after;
    int value = 1;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sigaction(numbers[i], NULL, &before[i]), 0);
    }
    assert_int_equal(sigaltstack(NULL, &stack_before), 0);
    assert_int_equal(cor_run(give, &value, NULL), 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sigaction(numbers[i], NULL, &after), 0);
        assert_ptr_equal(after.sa_handler, before[i].sa_handler);
    }
    assert_int_equal(sigaltstack(NULL, &stack_after), 0);
    assert_int_equal(stack_after.ss_flags, stack_before.ss_flags);
    if ((stack_before.ss_flags & SS_DISABLE) == 0) {
        assert_ptr_equal(stack_after.ss_sp, stack_before.ss_sp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_main_tasks_value),
        cmocka_unit_test(may_be_called_again_and_again),
        cmocka_unit_test(not_inside_itself),
        cmocka_unit_test(one_at_a_time_per_process),
        cmocka_unit_test(options_out_of_range),
        cmocka_unit_test(calling_thread_is_the_first_worker),
        cmocka_unit_test(tasks_are_abandoned_at_the_end),
        cmocka_unit_test(ends_under_tasks_that_never_stop_yielding),
        cmocka_unit_test(stats_count),
        cmocka_unit_test(set_up_without_memory),
        cmocka_unit_test(set_up_without_stacks),
        cmocka_unit_test(set_up_without_descriptors),
        cmocka_unit_test(the_soft_descriptor_limit_is_raised),
        cmocka_unit_test(a_wait_that_fails_for_good_is_fatal),
        cmocka_unit_test(signal_actions_come_back),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(poller_from_environment),
        cmocka_unit_test(workers_from_options_and_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The dump of all tasks: what it shows, by call and by SIGQUIT, also when a worker computes, also under load. */
#include "support/child.h"
#include "support/taskcase.h"

#include "sched/park.h"
#include "sched/spawn.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint32_t begun;   /* atomic */
static uint32_t ran;     /* atomic */
static uint32_t release; /* atomic */

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static char dumped[1 << 20];

/* Dumps into `dumped` by way of a file. */
static void dump_all(void)
{
    FILE *file = tmpfile();
    T_ASSERT(file != NULL);
    T_CODE(cor_dump(fileno(file)), 0);
    T_EQ(fseek(file, 0, SEEK_SET), 0);
    size_t length = fread(dumped, 1, sizeof(dumped) - 1, file);
    dumped[length] = '\0';
    (void)fclose(file);
}

/* The line of the dump that has `needle` in it, cut out. */
static const char *line_with(const char *needle)
{
    static char line[1024];
    const char *at = strstr(dumped, needle);
    T_REQUIRE(at != NULL, "\"%s\" is not in the dump:\n%.1500s", needle, dumped);
    const char *start = at;
    while (start > dumped && start[-1] != '\n') {
        start--;
    }
    (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(start, "\n"), start);
    return line;
}

static unsigned count_of(const char *needle)
{
    unsigned count = 0;
    for (const char *at = strstr(dumped, needle); at != NULL; at = strstr(at + 1, needle)) {
        count++;
    }
    return count;
}

static uint64_t sleeper_id; /* atomic */
static int sleeper_worker;

static void sleep_until_released(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&begun, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&sleeper_worker, cor_worker_id(), __ATOMIC_RELAXED);
    __atomic_store_n(&sleeper_id, cor_task_id(), __ATOMIC_RELEASE);
    while (load(&release) == 0) {
        T_CODE(cor_sleep(100 * COR_MILLISECOND), 0);
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static void let_go(uint32_t count)
{
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ran) == count, 20 * COR_SECOND);
}

TASK_TEST(shows_number_name_state_worker_and_age)
{
    char expected[64];
    cor_task_options named = {.name = "sleepy head"};
    T_CODE(cor_go_with(&named, sleep_until_released, NULL), 0);
    T_EVENTUALLY(__atomic_load_n(&sleeper_id, __ATOMIC_ACQUIRE) != 0, 20 * COR_SECOND);
    int64_t deadline = cor_after(20 * COR_SECOND * taskcase_patience());
    const char *line;
    do { /* it is awake for a moment now and then */
        T_ASSERT(cor_now() < deadline);
        T_CODE(cor_sleep(3 * COR_MILLISECOND), 0);
        dump_all();
        line = line_with("sleepy head");
    } while (strstr(line, " [runnable, ") != NULL);
    (void)snprintf(expected, sizeof(expected), "task %llu [sleep, ", (unsigned long long)sleeper_id);
    T_CONTAINS(line, expected);
    (void)snprintf(expected, sizeof(expected), " ms, worker %d]: sleepy head", sleeper_worker);
    T_CONTAINS(line, expected);
    (void)snprintf(expected, sizeof(expected), "task %llu [running, worker %d]: main",
                   (unsigned long long)cor_task_id(), cor_worker_id());
    T_CONTAINS(line_with("]: main"), expected);
    T_ASSERT(count_of("spawned at ") >= 2);
    let_go(1);
}

static void wait_with_a_name(void *arg)
{
    cori_task *self = cori_self();
    int64_t deadline = cor_after(10 * COR_SECOND);
    while (load(&release) == 0 && cori_interrupted(self, deadline) == 0) {
        cori_park_external(self, cor_after(5 * COR_MILLISECOND), arg);
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

/* N315 */
TASK_TEST(shows_what_each_waits_for)
{
    static const char *const whats[] = {"a thing of beauty", "another thing", "IO wait"};
    for (int i = 0; i < 3; i++) {
        T_CODE(cor_go(wait_with_a_name, (void *)(uintptr_t)whats[i]), 0);
    }
    int64_t deadline = cor_after(10 * COR_SECOND);
    bool all = false;
    while (!all) { /* each is now and then awake for a moment */
        T_ASSERT(cor_now() < deadline);
        T_CODE(cor_sleep(COR_MILLISECOND), 0);
        dump_all();
        all = strstr(dumped, whats[0]) && strstr(dumped, whats[1]) && strstr(dumped, whats[2]);
    }
    let_go(3);
}

TASK_TEST(shows_every_task)
{
    enum { COUNT = 300 };
    cor_task_options named = {.name = "one of many"};
    for (int i = 0; i < COUNT; i++) {
        T_CODE(cor_go_with(&named, sleep_until_released, NULL), 0);
    }
    cor_runtime_stats stats;
    T_EVENTUALLY(cor_stats(&stats) == 0 && stats.tasks >= COUNT, 20 * COR_SECOND);
    cor_yield();
    uint32_t before = load(&begun);
    dump_all();
    uint32_t moved = load(&begun) - before;
    unsigned shown = count_of("]: one of many");
    /*
     * Tasks on their way between two queues at that moment may be missing, or only counted. One that has begun during
     * the dump may have been taken by a worker that had printed already, from one that had not.
     */
    T_REQUIRE(shown + moved >= COUNT * 8 / 10 || strstr(dumped, "tasks queued on worker") != NULL,
              "%u shown, %u begun meanwhile", shown, moved);
    T_EVENTUALLY((dump_all(), count_of("]: one of many") == COUNT), 20 * COR_SECOND);
    let_go(COUNT);
}

static void run_at_last(void *arg)
{
    __atomic_add_fetch((uint32_t *)arg, 1, __ATOMIC_ACQ_REL);
}

static const cor_options one_worker = {.workers = 1};

TASK_TEST_WITH(shows_tasks_that_never_ran, &one_worker)
{
    cor_task_options named = {.name = "latecomer"};
    for (int i = 0; i < 5; i++) {
        T_CODE(cor_go_with(&named, run_at_last, &ran), 0);
    }
    dump_all();
    T_EQ(count_of("[runnable, never ran, "), 5);
    T_EQ(count_of("]: latecomer\n"), 5);
    T_EVENTUALLY(load(&ran) == 5, 20 * COR_SECOND);
}

static void never_yields(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    while (load(&release) == 0) {
        __asm__ volatile("" ::: "memory");
    }
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

static const cor_options two_workers = {.workers = 2};

/* A worker in the grip of a computing task still prints. */
TASK_TEST_WITH(shows_a_computing_task, &two_workers)
{
    if (CORI_TSAN) {
        T_SKIP("the thread sanitizer runs a signal handler only in calls that it knows, not in a computing loop");
    }
    cor_task_options named = {.name = "number cruncher"};
    T_CODE(cor_go_with(&named, never_yields, NULL), 0);
    int64_t deadline = cor_after(20 * COR_SECOND);
    while (load(&ran) == 0) { /* without giving up this worker, so that the other one takes it */
        T_ASSERT(cor_now() < deadline);
    }
    dump_all();
    T_CONTAINS(line_with("number cruncher"), "[running, worker ");
    let_go(2);
}

static void dump_a_lot(void *arg)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < (taskcase_is_slow() ? 10 : 50); i++) {
        T_CODE(cor_dump(fd), 0);
        cor_yield();
    }
    (void)close(fd);
    __atomic_add_fetch((uint32_t *)arg, 1, __ATOMIC_ACQ_REL);
}

static void live_shortly(void *arg)
{
    cor_yield();
    (void)arg;
}

/* Under churn, from several tasks at once, mixed with SIGQUIT: nothing breaks. */
TASK_TEST(dumps_under_load)
{
    static uint32_t done;
    for (int i = 0; i < 4; i++) {
        T_CODE(cor_go(dump_a_lot, &done), 0);
    }
    while (load(&done) < 4) {
        for (int i = 0; i < 20; i++) {
            T_CODE(cor_go(live_shortly, NULL), 0);
        }
        cor_yield();
    }
}

static int quit_main(void *arg)
{
    cor_task_options named = {.name = "the sleeper"};
    T_CODE(cor_go_with(&named, sleep_until_released, NULL), 0);
    T_EVENTUALLY(__atomic_load_n(&sleeper_id, __ATOMIC_ACQUIRE) != 0, 20 * COR_SECOND);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    T_EQ(kill(getpid(), SIGQUIT), 0);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    let_go(1);
    T_CODE(cor_dump(STDERR_FILENO), 0); /* waits for a dump that is still under way */
    return *(int *)arg;
}

static int run_quit(void *arg)
{
    return cor_run(quit_main, arg, NULL);
}

/* N316 */
static void quit_dumps_and_goes_on(void **state)
{
    (void)state;
    static child_result result;
    int value = 21;
    assert_true(child_run(run_quit, &value, &result));
    assert_int_equal(result.exit_status, 21);
    assert_memory_equal(result.output, "SIGQUIT: all tasks\n", 19);
    assert_non_null(strstr(result.output, "the sleeper"));
    assert_non_null(strstr(result.output, "]: main\n"));
}

/* A dump that is under way when the run ends is ended first; the workers that have stopped still print. */
static int quit_last(void *arg)
{
    T_EQ(raise(SIGQUIT), 0);
    return *(int *)arg;
}

static int run_quit_last(void *arg)
{
    int rc = 21;
    for (int i = 0; i < 20 && rc == 21; i++) {
        rc = cor_run(quit_last, arg, NULL);
    }
    return rc;
}

static void quit_as_the_last_act(void **state)
{
    (void)state;
    static child_result result;
    int value = 21;
    assert_true(child_run(run_quit_last, &value, &result));
    assert_int_equal(result.exit_status, 21);
    assert_non_null(strstr(result.output, "SIGQUIT: all tasks\n"));
}

/* True while this process's first thread, worker 0's, sleeps in the kernel. */
static bool first_thread_sleeps(void)
{
    char state = '?';
    FILE *file = fopen("/proc/self/stat", "r");
    bool read = file != NULL && fscanf(file, "%*d %*s %c", &state) == 1;
    if (file != NULL) {
        (void)fclose(file);
    }
    return read && state == 'S';
}

static uint32_t dump_begins; /* atomic */

/* Once the dump waits for room in the pipe: wants one, too, then makes room and collects the first into `dumped`. */
static void *interfere(void *pipe_end)
{
    size_t length = 0;
    ssize_t count;
    while (load(&dump_begins) == 0 || !first_thread_sleeps()) {
        sched_yield();
    }
    (void)raise(SIGQUIT);
    while ((count = read(*(int *)pipe_end, dumped + length, sizeof(dumped) - 1 - length)) > 0) {
        length += (size_t)count;
    }
    return NULL;
}

/* Whoever wants a dump while the very first one has not asked any worker yet leaves it alone. */
TASK_TEST(the_first_begins_slowly)
{
    int ends[2];
    pthread_t thread;
    T_EQ(pipe(ends), 0);
    T_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], " ", 1) == 1) {}
    T_EQ(fcntl(ends[1], F_SETFL, 0), 0);
    T_EQ(pthread_create(&thread, NULL, interfere, &ends[0]), 0);
    T_EQ(cor_worker_id(), 0);
    __atomic_store_n(&dump_begins, 1, __ATOMIC_RELEASE);
    T_CODE(cor_dump(ends[1]), 0);
    T_EQ(close(ends[1]), 0);
    T_EQ(pthread_join(thread, NULL), 0);
    T_EQ(close(ends[0]), 0);
    T_EQ(count_of("]: main\n"), 1);
    T_EQ(count_of("does not answer"), 0);
}

static int raise_quit(void *unused)
{
    (void)unused;
    T_EQ(raise(SIGQUIT), 0);
    return 7;
}

static int quit_unread(void *unused)
{
    int ends[2], before = dup(STDERR_FILENO);
    (void)unused;
    if (pipe(ends) < 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0) {
        return 1;
    }
    while (write(ends[1], " ", 1) == 1) {}
    if (fcntl(ends[1], F_SETFL, 0) < 0 || dup2(ends[1], STDERR_FILENO) < 0) {
        return 2;
    }
    int rc = cor_run(raise_quit, NULL, NULL);
    return dup2(before, STDERR_FILENO) < 0 ? 3 : rc == 7 ? 0 : 4;
}

/* A pipe that nobody reads stops nobody: then there is no dump. */
static void quit_into_a_full_pipe(void **state)
{
    (void)state;
    static child_result result;
    assert_true(child_run(quit_unread, NULL, &result));
    assert_int_equal(result.exit_status, 0);
}

static const cor_options no_dump = {.no_sigquit_dump = true};

static int run_quit_off(void *arg)
{
    return cor_run(quit_main, arg, &no_dump);
}

static void quit_can_be_left_alone(void **state)
{
    (void)state;
    static child_result result;
    int value = 21;
    assert_true(child_run(run_quit_off, &value, &result));
    assert_int_equal(result.signal_number, SIGQUIT);
}

void parked_deep_down(int depth);
__attribute__((noinline)) void parked_deep_down(int depth)
{
    if (depth > 0) {
        parked_deep_down(depth - 1);
        __asm__ volatile("" ::: "memory"); /* no tail call: every level keeps its frame */
        return;
    }
    sleep_until_released(NULL);
}

static void park_deep_down(void *arg)
{
    parked_deep_down((int)(intptr_t)arg);
}

/* The backtrace of a parked task has a line per frame. */
TASK_TEST(shows_a_backtrace)
{
    cor_task_options named = {.name = "in the depths"};
    T_CODE(cor_go_with(&named, park_deep_down, (void *)(intptr_t)10), 0);
    T_EVENTUALLY(__atomic_load_n(&sleeper_id, __ATOMIC_ACQUIRE) != 0, 20 * COR_SECOND);
    T_CODE(cor_sleep(COR_MILLISECOND), 0);
    dump_all();
    const char *at = strstr(dumped, "]: in the depths\n");
    T_ASSERT(at != NULL);
    int frames = -2; /* the head line and "spawned at" */
    const char *end = strstr(at, "\ntask ");
    for (const char *line = at; line != NULL && (end == NULL || line < end); line = strchr(line + 1, '\n')) {
        frames++;
    }
    T_REQUIRE(frames >= 12, "%d frames:\n%.1200s", frames, at);
    let_go(1);
}

static void outside_a_task(void **state)
{
    (void)state;
    assert_int_equal(cor_dump(STDERR_FILENO), COR_ENOT_TASK);
}

/* Computes with all signals blocked, until told to stop. */
static void deaf(void *unused)
{
    sigset_t all, before;
    (void)unused;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
    while (load(&release) == 0) {}
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    __atomic_add_fetch(&ran, 1, __ATOMIC_ACQ_REL);
}

/* A dump waits for no worker for ever; and the next one finds it answering again. */
TASK_TEST_WITH(goes_on_without_a_worker_that_does_not_answer, &two_workers)
{
    cori_spawn spawn = {.function = deaf, .name = "deaf", .worker = 1 - cor_worker_id()};
    T_CODE(cori_spawn_task(&spawn, NULL), 0);
    T_EVENTUALLY(load(&ran) == 1, 20 * COR_SECOND);
    dump_all();
    T_CONTAINS(dumped, "does not answer: its tasks are left out");
    T_CONTAINS(dumped, ": main");
    T_ASSERT(strstr(dumped, "]: deaf") == NULL);
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    T_EVENTUALLY(load(&ran) == 2, 20 * COR_SECOND);
    dump_all();
    T_ASSERT(strstr(dumped, "does not answer") == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_number_name_state_worker_and_age),
        cmocka_unit_test(shows_what_each_waits_for),
        cmocka_unit_test(shows_every_task),
        cmocka_unit_test(shows_tasks_that_never_ran),
        cmocka_unit_test(shows_a_computing_task),
        cmocka_unit_test(goes_on_without_a_worker_that_does_not_answer),
        cmocka_unit_test(dumps_under_load),
        cmocka_unit_test(quit_dumps_and_goes_on),
        cmocka_unit_test(quit_as_the_last_act),
        cmocka_unit_test(the_first_begins_slowly),
        cmocka_unit_test(quit_can_be_left_alone),
        cmocka_unit_test(quit_into_a_full_pipe),
        cmocka_unit_test(shows_a_backtrace),
        cmocka_unit_test(outside_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

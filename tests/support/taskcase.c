/* SPDX-License-Identifier: MIT */
/*
 * The runner behind taskcase.h. The verdict lies in memory shared with the test's process: `claimed` goes to 1 once, by
 * the first failure, whose text is then written by that thread alone; `verdict` is set last.
 */
#include "support/taskcase.h"

#include "base/platform.h"
#include "ctx/stack.h"
#include "sched/park.h"
#include "sched/placement.h"
#include "support/child.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PASSED = 0, FAILED = 1, SKIPPED = 2 };
enum { ALARM_S = 60, SLOW_FACTOR = 3 };
#define SETTLE_NS (5 * COR_SECOND)

typedef struct verdict {
    uint32_t claimed;      /* atomic */
    uint32_t verdict;      /* atomic */
    uint32_t leaves_tasks; /* atomic */
    int line;
    char file[256];
    char text[2048];
} verdict;

typedef struct test_case {
    void (*body)(void);
    const char *file;
    int line;
} test_case;

static verdict *shared; /* NULL while no TASK_TEST runs */
static const char *running_name;

/* A test that was asked to run over io_uring, and cannot, counts as skipped. */
__attribute__((constructor)) static void need_the_poller(void)
{
    const char *name = getenv("COR_POLLER");
    if (name != NULL && strcmp(name, "io_uring") == 0 && strcmp(cor_poller_info(), name) != 0) {
        (void)fprintf(stderr, "skipped: %s\n", cor_poller_info());
        _exit(77);
    }
}

bool taskcase_is_slow(void)
{
    return CORI_ASAN != 0 || CORI_TSAN != 0 || getenv("COR_VALGRIND") != NULL;
}

int taskcase_patience(void)
{
    return taskcase_is_slow() ? 6 : 2;
}

uint32_t taskcase_scale(uint32_t count)
{
    uint32_t divisor = CORI_TSAN != 0 ? 50 : taskcase_is_slow() ? 10 : 1; /* TSan pays a millisecond for a stack */
    return count > divisor ? count / divisor : 1;
}

int taskcase_rounds(void)
{
    const char *text = getenv("COR_STRESS_ROUNDS");
    int rounds = text != NULL ? atoi(text) : 1;
    return rounds > 0 ? rounds : 1;
}

size_t taskcase_private_bytes(void)
{
    char line[128];
    size_t total = 0, kib;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    T_ASSERT(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        total += sscanf(line, "Private_Dirty: %zu kB", &kib) == 1 ? kib * 1024 : 0;
    }
    (void)fclose(file);
    return total;
}

const char *taskcase_text(int code)
{
    return code > 0 ? "not an error" : cor_strerror(code);
}

void taskcase_leaves_tasks(void)
{
    __atomic_store_n(&shared->leaves_tasks, 1, __ATOMIC_RELAXED);
}

void taskcase_pause(unsigned round)
{
    if (round % 16 != 15) {
        cor_yield();
    } else {
        (void)cor_sleep(100 * COR_MICROSECOND);
    }
}

static void record(uint32_t kind, const char *file, int line, const char *format, va_list values)
{
    if (shared == NULL) { /* a cor_run of the test's own, not a TASK_TEST */
        (void)fprintf(stderr, "%s:%d: ", file, line);
        (void)vfprintf(stderr, format, values);
        (void)fprintf(stderr, "\n");
        abort();
    }
    if (__atomic_exchange_n(&shared->claimed, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    (void)snprintf(shared->file, sizeof(shared->file), "%s", file);
    (void)vsnprintf(shared->text, sizeof(shared->text), format, values);
    shared->line = line;
    __atomic_store_n(&shared->verdict, kind, __ATOMIC_RELEASE);
}

/* Stops cor_run under all tasks and never lets this one go on; on other threads it returns. */
static void end_here(void)
{
    if (__atomic_load_n(&cori_rt.workers, __ATOMIC_ACQUIRE) != NULL) {
        cori_worker_stop_all();
    }
    cori_task *self = cori_self();
    while (self != NULL) {
        cori_park(self, 0, "the test has failed");
    }
}

void taskcase_fail(const char *file, int line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    record(FAILED, file, line, format, values);
    va_end(values);
    end_here();
}

static void record_skip(const char *file, int line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    record(SKIPPED, file, line, format, values);
    va_end(values);
}

void taskcase_skip(const char *file, int line, const char *reason)
{
    record_skip(file, line, "%s", reason);
    taskcase_leaves_tasks();
    end_here();
}

static int count_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

/* Lets handlers that are on their way out end, then wants this task to be alone. */
static void expect_alone(const test_case *test)
{
    cor_runtime_stats stats = {0};
    int64_t deadline = cor_after(SETTLE_NS);
    unsigned round = 0;
    do {
        if (cor_stats(&stats) < 0 || (stats.tasks <= 1 && stats.connections == 0)) {
            return;
        }
        taskcase_pause(round++);
    } while (cor_now() < deadline);
    taskcase_fail(test->file, test->line, "left over: %llu tasks, %llu connections",
                  (unsigned long long)stats.tasks - 1, (unsigned long long)stats.connections);
}

static int main_task(void *arg)
{
    const test_case *test = arg;
    test->body();
    if (__atomic_load_n(&shared->leaves_tasks, __ATOMIC_RELAXED) == 0) {
        expect_alone(test);
    }
    return 0;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    static const char text[] = ": hangs; ended by its alarm\n";
    ssize_t ignored = write(STDERR_FILENO, running_name, strlen(running_name));
    ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(124);
}

/* In the test's own process. */
static int run_simulated(const test_case *test, const cor_options *options, uint64_t seed)
{
    cor_sim_options inside = {.workers = options != NULL ? options->workers : 0};
    return cor_sim_run(seed, &inside, main_task, (void *)(uintptr_t)test, NULL);
}

static void run_in_child(const test_case *test, const cor_options *options)
{
    (void)signal(SIGALRM, on_alarm);
    (void)alarm(taskcase_is_slow() ? ALARM_S * SLOW_FACTOR : ALARM_S);
    int fds = count_fds();
    size_t stacks = cori_stack_count();
    const char *seed = getenv("COR_TEST_SIM"); /* the same test on the simulated kernel */
    int rc = seed != NULL ? run_simulated(test, options, strtoull(seed, NULL, 10))
                          : cor_run(main_task, (void *)(uintptr_t)test, options);
    if (__atomic_load_n(&shared->claimed, __ATOMIC_ACQUIRE) == 0) {
        if (rc != 0) {
            taskcase_fail(test->file, test->line, "cor_run gave %d (%s)", rc, cor_strerror(rc));
        } else if (cori_stack_count() != stacks) {
            taskcase_fail(test->file, test->line, "%zu stacks left over", cori_stack_count() - stacks);
        } else if (count_fds() != fds) {
            taskcase_fail(test->file, test->line, "%d descriptors before, %d after", fds, count_fds());
        }
    }
    (void)alarm(0);
}

/* Gives the child's wait status, or -1. */
static int run_forked(const test_case *test, const cor_options *options)
{
    int status = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        child_default_signals();
        run_in_child(test, options);
        exit(0);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0) {}
    return child > 0 ? status : -1;
}

/* Turns the verdict into cmocka's; does not return unless the test has passed. */
static void report(const test_case *test, const verdict *of, int status)
{
    uint32_t kind = __atomic_load_n(&of->verdict, __ATOMIC_ACQUIRE);
    if (kind != PASSED) {
        print_message("%s: %s:%d: %s\n", running_name, of->file, of->line, of->text);
    }
    if (kind == SKIPPED) {
        skip();
    }
    if (kind == FAILED) {
        _fail(of->file, of->line);
    }
    if (status != 0) {
        print_message("%s: its process ended with %s %d\n", running_name, WIFSIGNALED(status) ? "signal" : "status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        _fail(test->file, test->line);
    }
}

void taskcase_run(const char *name, void (*body)(void), const cor_options *options, const char *file, int line)
{
    static verdict *mapped;
    test_case test = {.body = body, .file = file, .line = line};
    running_name = name;
    if (mapped == NULL) {
        mapped = mmap(NULL, sizeof(*mapped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(mapped != MAP_FAILED);
    }
    memset(mapped, 0, sizeof(*mapped));
    shared = mapped;
    cori_place_apart = true;
    int status = 0;
    if (getenv("COR_TEST_NOFORK") != NULL) { /* for a debugger */
        run_in_child(&test, options);
    } else {
        status = run_forked(&test, options);
    }
    shared = NULL;
    report(&test, mapped, status);
}

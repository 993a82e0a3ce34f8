/* SPDX-License-Identifier: MIT */
/* Whoever looks for what a process has left never takes another one's process for a daemon, and its status with it. */
/* sources: cmd/coracle/serve/exec/child.c cmd/coracle/serve/exec/children.c */
/* test: workers=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/exec/child.h"
#include "serve/exec/children.h"

static char *seven[] = {"/bin/sh", "-c", "exit 7", NULL};
static char *nothing[] = {NULL};

static void await(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static struct child entered(void)
{
    return (struct child){.program = seven, .environment = nothing, .conn = 1, .place = children_enter()};
}

static void close_pipes(const struct child *child)
{
    close(child->in);
    close(child->out);
    close(child->err);
}

/* Another one's: it has a session of its own, which is over. */
static struct child other = {.conn = 2, .pid = INT32_MAX, .sweep = SIGTERM};

static void after_it_has_ended(void **state)
{
    struct child child = entered();
    (void)state;
    assert_int_equal(child_start(&child), 0);
    assert_false(child.unwanted);
    await(child.pid);
    children_is_over(child.place);
    assert_int_equal(child_sweep(&other), 0);
    assert_int_equal(child_reap(&child), 0);
    assert_int_equal(child.status, 7);
    children_leave(child.place, CHILD_EXITED);
    close(child.pidfd);
    close_pipes(&child);
}

struct sweeper {
    _Atomic pid_t thread;
    atomic_bool done;
    int found;
};

static void *sweep(void *arg)
{
    struct sweeper *sweeper = arg;
    sweeper->thread = gettid();
    sweeper->found = child_sweep(&other);
    sweeper->done = true;
    return NULL;
}

static bool sleeps(pid_t thread)
{
    char path[64], state = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    FILE *from = fopen(path, "re");
    if (from != NULL) {
        if (fscanf(from, "%*d (%*[^)]) %c", &state) != 1) {
            state = 0;
        }
        fclose(from);
    }
    return state == 'S';
}

/* It ends before the table knows of it. */
static void while_it_is_started(void **state)
{
    struct child child = entered();
    struct sweeper sweeper = {0};
    posix_spawnattr_t attributes;
    pthread_t thread;
    (void)state;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    children_begin_start();
    assert_int_equal(posix_spawn(&child.pid, seven[0], NULL, &attributes, seven, nothing), 0);
    posix_spawnattr_destroy(&attributes);
    await(child.pid);
    assert_int_equal(pthread_create(&thread, NULL, sweep, &sweeper), 0);
    while (!sweeper.done && !(sweeper.thread != 0 && sleeps(sweeper.thread))) {}
    assert_true(children_set(child.place, child.pid));
    children_end_start();
    pthread_join(thread, NULL);
    assert_int_equal(sweeper.found, 0);
    child.pidfd = pidfd_open(child.pid, 0);
    assert_int_equal(child_reap(&child), 0);
    assert_int_equal(child.status, 7);
    children_leave(child.place, CHILD_EXITED);
    close(child.pidfd);
}

static void who_comes_after_the_end_of_all_is_unwanted(void **state)
{
    struct child child = entered();
    (void)state;
    children_end_all(SIGTERM);
    assert_int_equal(child_start(&child), 0);
    assert_true(child.unwanted);
    await(child.pid);
    assert_int_equal(child_reap(&child), 0);
    children_leave(child.place, CHILD_EXITED);
    close(child.pidfd);
    close_pipes(&child);
}

static int open_table(void **state)
{
    (void)state;
    return children_open(2);
}

static int close_table(void **state)
{
    (void)state;
    children_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_it_has_ended),
        cmocka_unit_test(while_it_is_started),
        cmocka_unit_test(who_comes_after_the_end_of_all_is_unwanted),
    };
    int self = pidfd_open(getpid(), 0);
    if (self < 0) {
        return 77; /* valgrind does not know the call */
    }
    close(self);
    return cmocka_run_group_tests(tests, open_table, close_table);
}

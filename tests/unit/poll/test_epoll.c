/* SPDX-License-Identifier: MIT */
/* What is particular to epoll and to choosing a poller; the common contract is in tests/contract/test_poll.c. */
/* test: workers=1 no-valgrind */
/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc */
#include "support/child.h"
#include "support/faults.h"
#include "support/taskcase.h"

#include "base/platform.h"
#include "poll/poll_epoll.h"
#include "poll/poll_pick.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void choosing_by_name(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("COR_POLLER"), 0);
    assert_ptr_equal(cori_poll_pick(NULL), &cori_poll_epoll);
    assert_ptr_equal(cori_poll_pick("auto"), &cori_poll_epoll);
    assert_ptr_equal(cori_poll_pick("epoll"), &cori_poll_epoll);
    assert_null(cori_poll_pick("kqueue"));
    assert_null(cori_poll_pick("epol"));
}

static void choosing_by_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("COR_POLLER", "kqueue", 1), 0);
    assert_null(cori_poll_pick(NULL));
    assert_non_null(strstr(cor_poller_info(), "COR_POLLER"));
    assert_ptr_equal(cori_poll_pick("epoll"), &cori_poll_epoll); /* the option comes before the environment */
    assert_int_equal(setenv("COR_POLLER", "", 1), 0);
    assert_ptr_equal(cori_poll_pick(NULL), &cori_poll_epoll);
    assert_int_equal(setenv("COR_POLLER", "epoll", 1), 0);
    assert_ptr_equal(cori_poll_pick(NULL), &cori_poll_epoll);
    assert_int_equal(strncmp(cor_poller_info(), "epoll", 5), 0);
    assert_int_equal(unsetenv("COR_POLLER"), 0);
}

static void override_comes_first(void **state)
{
    (void)state;
    static const cori_poll_ops other = {.name = "other"};
    cori_poll_override(&other);
    assert_ptr_equal(cori_poll_pick("epoll"), &other);
    assert_string_equal(cor_poller_info(), "other");
    cori_poll_override(NULL);
    assert_ptr_equal(cori_poll_pick("epoll"), &cori_poll_epoll);
}

/* N271: a regular file cannot be polled: the error says so, and the caller will not wait for it. */
static void regular_file_cannot_be_added(void **state)
{
    (void)state;
    cori_poller *poller = NULL;
    cori_pollfd pollfd = {.fd = -1};
    assert_int_equal(cori_poll_epoll.open(&poller), 0);
    cori_pollfd_open(&pollfd, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), CORI_FD_PLAIN);
    assert_true(pollfd.fd >= 0);
    assert_int_equal(cori_poll_epoll.add(poller, &pollfd), -EPERM);
    (void)close(pollfd.fd);
    assert_int_equal(cori_poll_epoll.add(poller, &pollfd), -EBADF);
    cori_poll_epoll.close(poller);
}

static int count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* Whatever open cannot get, it gives the reason and leaves nothing behind. */
static void open_without_memory_or_descriptors(void **state)
{
    (void)state;
    cori_poller *poller = NULL;
    faults_alloc_set(1);
    int rc = cori_poll_epoll.open(&poller);
    assert_true(faults_alloc_hit());
    assert_int_equal(rc, -ENOMEM);
    assert_null(poller);
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int fds = count_fds();
    int highest = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest free number */
    assert_true(highest >= 0);
    assert_int_equal(close(highest), 0);
    for (int room = 0; room <= 1; room++) { /* no room for the epoll descriptor, none for the kick's */
        tight = (struct rlimit){(rlim_t)(highest + room), before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        rc = cori_poll_epoll.open(&poller);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(rc, -EMFILE);
        assert_null(poller);
        assert_int_equal(count_fds(), fds);
    }
}

static void injected_faults(void **state)
{
    (void)state;
    cori_poller *poller = NULL;
    cori_pollfd pollfd = {.fd = -1};
    cori_event events[4];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(cori_poll_epoll.open(&poller), 0);
    cori_pollfd_open(&pollfd, ends[0], CORI_FD_PLAIN);
    faults_set(CORI_SYS_EPOLL_CTL, 1, -ENOSPC);
    assert_int_equal(cori_poll_epoll.add(poller, &pollfd), -ENOSPC);
    assert_int_equal(cori_poll_epoll.add(poller, &pollfd), 0);
    faults_set(CORI_SYS_EPOLL_WAIT, 1, -EINTR);
    assert_int_equal(cori_poll_epoll.wait(poller, -1, events, 4), 0); /* an interrupted wait has no events */
    assert_int_equal(cori_poll_epoll.wait(poller, -1, events, 4), 1);
    faults_set(CORI_SYS_EPOLL_WAIT, 1, -EBADF);
    assert_int_equal(cori_poll_epoll.wait(poller, -1, events, 4), -EBADF);
    faults_clear();
    cori_poll_epoll.close(poller);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static const struct refusal {
    long call;
    int error, result;
} refusals[] = {
    {SYS_epoll_pwait2, ENOSYS, 0},
    {SYS_epoll_pwait2, EPERM, 0},
    {SYS_epoll_pwait2, EACCES, 0},
    {SYS_epoll_pwait2, EBADF, -EBADF}, /* no reason to believe in another call */
};

enum { WAITS = 20, NO_FILTERS = 77 };

static int64_t now_ns(clockid_t clock)
{
    struct timespec at;
    (void)clock_gettime(clock, &at);
    return at.tv_sec * COR_SECOND + at.tv_nsec;
}

/*
 * Waits of a bit more than a millisecond. Rounded down each would end too early and the next ones would not wait at
 * all; the sum of the times asked for tells.
 */
static int wait_refused(void *arg)
{
    const struct refusal *refusal = arg;
    cori_poller *poller;
    cori_event events[4];
    if (cori_poll_epoll.open(&poller) < 0) {
        return 1;
    }
    if (!child_refuse(refusal->call, refusal->error)) {
        return NO_FILTERS;
    }
    int64_t start = now_ns(CLOCK_MONOTONIC);
    int64_t end = start;
    for (int i = 0; i < WAITS; i++) {
        end += COR_MILLISECOND + 1000;
        int waits = 0;
        for (int64_t now = now_ns(CLOCK_MONOTONIC); now < end; now = now_ns(CLOCK_MONOTONIC)) {
            if (cori_poll_epoll.wait(poller, end - now, events, 4) != refusal->result) {
                return 2;
            }
            if (refusal->result < 0) {
                return 0;
            }
            if (++waits > 2) {
                return 3; /* a busy loop */
            }
        }
    }
    cori_poll_epoll.close(poller);
    return refusal->result < 0 ? 4 : 0;
}

static void refused_waits(void **state)
{
    (void)state;
    static child_result result;
    if (CORI_TSAN != 0) {
        skip(); /* it never makes that call */
    }
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        assert_true(child_run(wait_refused, (void *)(uintptr_t)&refusals[i], &result));
        if (result.exit_status == NO_FILTERS) {
            skip();
        }
        assert_int_equal(result.exit_status, 0);
    }
}

/* What no other call can help is told: the poller's own descriptor is gone. */
static void lasting_failure(void **state)
{
    (void)state;
    cori_poller *poller = NULL;
    cori_event events[4];
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest free number, which the poller will get */
    assert_true(spare >= 0);
    assert_int_equal(close(spare), 0);
    assert_int_equal(cori_poll_epoll.open(&poller), 0);
    assert_int_equal(dup2(STDERR_FILENO, spare), spare);
    assert_int_equal(cori_poll_epoll.wait(poller, 0, events, 4), -EINVAL);
    assert_int_equal(cori_poll_epoll.wait(poller, -1, events, 4), -EINVAL);
    cori_poll_epoll.close(poller);
}

enum { CLONES = 4, ROUNDS = 100, CLONE_WAIT_MS = 100, LOOKS_MAX = 100000 };

/* One worker's poller with its clone of a listener. */
typedef struct worker {
    cori_poller *poller;
    cori_pollfd pollfd;
    pid_t thread; /* atomic; 0: it has not begun */
    int got;
} worker;

static void *wait_once(void *arg)
{
    worker *of = arg;
    cori_event events[4];
    cori_store(&of->thread, gettid());
    of->got = cori_poll_epoll.wait(of->poller, CLONE_WAIT_MS * COR_MILLISECOND, events, 4);
    return NULL;
}

/* Returns when the thread sleeps, in the kernel: it waits. */
static void await_sleep(const worker *of)
{
    char path[64], text[128] = "";
    for (int i = 0; i < LOOKS_MAX; i++) {
        pid_t thread = cori_load(&of->thread);
        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
        FILE *file = thread != 0 ? fopen(path, "re") : NULL;
        if (file != NULL) {
            (void)(fgets(text, sizeof(text), file) != NULL);
            (void)fclose(file);
            if (strstr(text, ") S ") != NULL) {
                return;
            }
        }
        (void)sched_yield();
    }
}

/* How many of the waiting clones one connection wakes: more than one if some do not wait yet when it comes. */
static int woken_by_one(worker *clones, int address_of)
{
    pthread_t threads[CLONES];
    struct sockaddr_un at;
    socklen_t len = sizeof(at);
    int woken = 0;
    for (int i = 0; i < CLONES; i++) {
        clones[i].thread = 0;
        assert_int_equal(pthread_create(&threads[i], NULL, wait_once, &clones[i]), 0);
    }
    for (int i = 0; i < CLONES; i++) {
        await_sleep(&clones[i]);
    }
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getsockname(address_of, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, len), 0);
    for (int i = 0; i < CLONES; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        woken += clones[i].got;
    }
    assert_int_equal(close(accept(address_of, NULL, NULL)), 0);
    assert_int_equal(close(client), 0);
    return woken;
}

static void a_connection_wakes_one_clone(void **state)
{
    (void)state;
    worker clones[CLONES];
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), woken = CLONES;
    assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof(any.sun_family)), 0); /* the kernel picks a name */
    assert_int_equal(listen(listener, 16), 0);
    for (int i = 0; i < CLONES; i++) {
        assert_int_equal(cori_poll_epoll.open(&clones[i].poller), 0);
        cori_pollfd_open(&clones[i].pollfd, dup(listener), CORI_FD_CLONE);
        assert_int_equal(cori_poll_epoll.add(clones[i].poller, &clones[i].pollfd), 0);
    }
    for (int round = 0; round < ROUNDS && woken != 1; round++) { /* until all of them wait when it comes */
        woken = woken_by_one(clones, listener);
    }
    assert_int_equal(woken, 1);
    for (int i = 0; i < CLONES; i++) {
        assert_true(cori_poll_epoll.remove(clones[i].poller, &clones[i].pollfd, true));
        assert_int_equal(close(clones[i].pollfd.fd), 0);
        cori_poll_epoll.close(clones[i].poller);
    }
    assert_int_equal(close(listener), 0);
}

/* The wait word: the poller's exchange hands the waiter over exactly once. */
static void ready_hands_over_the_waiter_once(void **state)
{
    (void)state;
    cori_pollfd pollfd = {.fd = -1};
    long waiter;
    cori_pollfd_open(&pollfd, 0, CORI_FD_PLAIN);
    assert_int_equal(pollfd.wait[CORI_READ], CORI_READY); /* the first try is not waited for */
    assert_int_equal(pollfd.wait[CORI_WRITE], CORI_READY);
    assert_null(cori_pollfd_ready(&pollfd, CORI_READ));
    pollfd.wait[CORI_READ] = (uintptr_t)&waiter;
    assert_ptr_equal(cori_pollfd_ready(&pollfd, CORI_READ), &waiter);
    assert_null(cori_pollfd_ready(&pollfd, CORI_READ));
    assert_int_equal(pollfd.wait[CORI_READ], CORI_READY);
    pollfd.wait[CORI_WRITE] = CORI_IDLE;
    assert_null(cori_pollfd_ready(&pollfd, CORI_WRITE));
    assert_int_equal(pollfd.wait[CORI_WRITE], CORI_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choosing_by_name),
        cmocka_unit_test(choosing_by_environment),
        cmocka_unit_test(override_comes_first),
        cmocka_unit_test(regular_file_cannot_be_added),
        cmocka_unit_test(open_without_memory_or_descriptors),
        cmocka_unit_test(injected_faults),
        cmocka_unit_test(refused_waits),
        cmocka_unit_test(lasting_failure),
        cmocka_unit_test(a_connection_wakes_one_clone),
        cmocka_unit_test(ready_hands_over_the_waiter_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

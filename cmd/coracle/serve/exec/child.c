/* SPDX-License-Identifier: MIT */
/* Starting, ending and clearing away. */
#include "serve/exec/child.h"

#include "serve/exec/children.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a process that was killed may take to be gone: it may wait for a disk. */
#define GONE_MS 5000
/* Most bytes of an environment that are looked at. */
#define ENVIRON_MAX (1 << 20)

int child_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ? 0 : -errno;
}

/* Three pipes: what this process has of them and what the new one gets. */
struct pipes {
    int ours[3], theirs[3];
};

static void close_all(const int *fds)
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static int make_pipes(struct pipes *pipes)
{
    *pipes = (struct pipes){{-1, -1, -1}, {-1, -1, -1}};
    for (int i = 0; i < 3; i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) != 0) {
            int code = -errno;
            close_all(pipes->ours);
            close_all(pipes->theirs);
            return code;
        }
        pipes->ours[i] = fds[i == 0];
        pipes->theirs[i] = fds[i != 0];
        fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK); /* of this end alone */
    }
    return 0;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setsigmask(attributes, &none);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int spawn(struct child *child, const struct pipes *pipes)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    int error = set_attributes(&attributes);
    for (int i = 0; i < 3 && error == 0; i++) {
        error = posix_spawn_file_actions_adddup2(&actions, pipes->theirs[i], i);
    }
    error = error != 0 ? error : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (error == 0) {
        error = posix_spawn(&child->pid, child->program[0], &actions, &attributes, child->program, child->environment);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -error;
}

/* Nobody takes it for a daemon, however early it ends. */
static int spawn_known(struct child *child, const struct pipes *pipes)
{
    children_begin_start();
    int code = spawn(child, pipes);
    child->unwanted = code == 0 && !children_set(child->place, child->pid);
    children_end_start();
    return code;
}

int child_start(void *arg)
{
    struct child *child = arg;
    struct pipes pipes;
    int code = make_pipes(&pipes);
    if (code < 0) {
        return code;
    }
    code = spawn_known(child, &pipes);
    close_all(pipes.theirs);
    if (code == 0) {
        child->pidfd = pidfd_open(child->pid, 0);
        if (child->pidfd < 0) { /* no descriptors any more */
            code = -errno;
            child_signal(child, SIGKILL);
            children_is_over(child->place);
            waitpid(child->pid, NULL, 0);
        }
    }
    if (code < 0) {
        close_all(pipes.ours);
        return code;
    }
    child->in = pipes.ours[0];
    child->out = pipes.ours[1];
    child->err = pipes.ours[2];
    return 0;
}

void child_signal(const struct child *child, int signal_number)
{
    kill(-child->pid, signal_number);
}

/* Whether the environment of a process has this line. */
static bool has_line(pid_t pid, const char *line)
{
    char path[32];
    char *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    FILE *from = fopen(path, "re");
    bool found = false;
    while (from != NULL && !found && size < ENVIRON_MAX && getdelim(&text, &size, '\0', from) > 0) {
        found = strcmp(text, line) == 0;
    }
    free(text);
    if (from != NULL) {
        fclose(from);
    }
    return found;
}

/* Whether a child of this process is what `child` has left. */
static bool is_left_by(const struct child *child, pid_t pid, pid_t session)
{
    char line[64];
    if (session == child->pid) {
        return true;
    }
    snprintf(line, sizeof(line), CHILD_MARK "%d.%llu", (int)getpid(), (unsigned long long)child->conn);
    return has_line(pid, line);
}

/* Whether a child of this process is no business of `child`'s: another one, what another one's session has, or else. */
static bool is_of_others(const struct child *child, pid_t pid, pid_t session)
{
    return session < 0 || session == getsid(0) || children_has(pid) || (session != child->pid && children_has(session));
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/*
 * Looks at a child of this process. What has ended cannot be asked for its environment any more; but a session that is
 * neither this process's nor one of the table is a daemon's, and those are reaped whosever they were. Returns 1 if it
 * was such a one, or is what `child` has left.
 */
static int sweep_one(const struct child *child, pid_t pid)
{
    pid_t session = getsid(pid);
    if (is_of_others(child, pid, session)) {
        return 0;
    }
    if (!has_ended(pid)) {
        if (!is_left_by(child, pid, session)) {
            return 0;
        }
        kill(pid, child->sweep);
        return 1;
    }
    children_settle();
    if (is_of_others(child, pid, session)) {
        return 0; /* it was started a moment ago; its own session reaps it, for its status */
    }
    waitpid(pid, NULL, WNOHANG);
    return 1;
}

/* The children of one thread: the kernel keeps them by thread. */
static int sweep_thread(const struct child *child, const char *thread)
{
    char path[64];
    int pid, left = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", thread);
    FILE *from = fopen(path, "re");
    while (from != NULL && fscanf(from, "%d", &pid) == 1) {
        left += pid == child->pid ? 0 : sweep_one(child, pid);
    }
    if (from != NULL) {
        fclose(from);
    }
    return left;
}

int child_await(void *arg)
{
    const struct child *child = arg;
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    int count;
    while ((count = poll(&ended, 1, GONE_MS)) < 0 && errno == EINTR) {}
    return count > 0 ? 0 : -ETIMEDOUT;
}

int child_sweep(void *arg)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* or one might reap what another is about to signal */
    const struct child *child = arg;
    int left = 0;
    pthread_mutex_lock(&turn);
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *thread;
    while (threads != NULL && (thread = readdir(threads)) != NULL) {
        if (thread->d_name[0] != '.') {
            left += sweep_thread(child, thread->d_name);
        }
    }
    if (threads != NULL) {
        closedir(threads);
    }
    pthread_mutex_unlock(&turn);
    return left;
}

int child_reap(void *arg)
{
    struct child *child = arg;
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
        return -ETIMEDOUT;
    }
    child->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    child->status = info.si_code == CLD_EXITED ? info.si_status : 0;
    return 0;
}

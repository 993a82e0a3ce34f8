/* SPDX-License-Identifier: MIT */
/*
 * Starting a successor, and being one. One task does the former, a helper of the server; the main task waits for
 * signals meanwhile. It is told by a signal, the one way to wake it. A server that stops cancels the task with its
 * helpers, and with it goes a successor that does not serve yet.
 */
#include "serve/life/restart.h"

#include "serve/admin/admin.h"
#include "serve/life/inherit.h"
#include "serve/life/manager.h"
#include "serve/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_WITHIN_NS (30 * COR_SECOND)
enum { PIPE_FD = 3, FIRST_FD = 4, NAME_MAX_BYTES = 16 };

/* What a successor is given. */
struct legacy {
    struct serve *serve;
    int *fds; /* copies of the sockets; above the numbers that they get */
    size_t count;
    char *names;  /* NAME=value for the environment */
    int pipe[2];  /* -1: closed */
    pid_t pid;    /* 0: not started */
    bool no_copy; /* the code is of copying a socket */
};

void restart_remember(struct restart *restart, char **argv)
{
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
    restart->program = size > 0 ? strndup(path, (size_t)size) : NULL;
    restart->argv = calloc(count + 2, sizeof(*restart->argv));
    if (restart->argv != NULL) {
        restart->argv[0] = program_invocation_name;
        memcpy(restart->argv + 1, argv, count * sizeof(*argv));
    }
}

void restart_forget(struct restart *restart)
{
    free(restart->program);
    free(restart->argv);
}

/* Moves a descriptor above those that the successor's sockets get. A negative errno is passed on. */
static int move_up(int fd, size_t count)
{
    if (fd < 0) {
        return fd;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)count);
    int code = moved < 0 ? -errno : moved;
    close(fd);
    return code;
}

static int add_socket(struct legacy *legacy, int fd, const char *name, bool owns_file)
{
    fd = move_up(fd, legacy->serve->service_count + 1);
    if (fd < 0) {
        legacy->no_copy = true;
        return fd;
    }
    legacy->fds[legacy->count++] = fd;
    size_t used = strlen(legacy->names);
    snprintf(legacy->names + used, NAME_MAX_BYTES, "%s%s%s", legacy->count > 1 ? ":" : "", name, owns_file ? "+" : "");
    return 0;
}

static int copy_sockets(struct legacy *legacy)
{
    struct serve *serve = legacy->serve;
    size_t most = serve->service_count + 1;
    legacy->fds = calloc(most, sizeof(*legacy->fds));
    size_t room = sizeof(RESTART_VARIABLE "=") + most * NAME_MAX_BYTES;
    legacy->names = malloc(room);
    if (legacy->fds == NULL || legacy->names == NULL) {
        return -ENOMEM;
    }
    snprintf(legacy->names, room, "%s=", RESTART_VARIABLE);
    int code = 0;
    for (size_t i = 0; i < serve->service_count && code == 0; i++) {
        struct service *service = &serve->services[i];
        int fd = service->packets != NULL ? cor_conn_fd(service->packets) : cor_listener_fd(service->listener);
        code = add_socket(legacy, fd, service->def->name, service->owns_file);
    }
    if (code == 0 && serve->admin != NULL) {
        code = add_socket(legacy, admin_fd(serve), "admin", serve->admin_owns_file);
    }
    return code;
}

/* The environment for the successor, borrowed but for the list itself. NULL: no memory. */
static char **make_environment(char *names)
{
    static const char *const ours[] = {"WATCHDOG_PID=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="};
    size_t count = 0, used = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **made = calloc(count + 2, sizeof(*made));
    for (size_t i = 0; made != NULL && i < count; i++) {
        bool skip = false;
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
            skip = skip || strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
        }
        if (!skip) {
            made[used++] = environ[i];
        }
    }
    if (made != NULL) {
        made[used] = names;
    }
    return made;
}

/* Starts the successor. Stops its thread until that has happened. */
static int start(void *arg)
{
    struct legacy *legacy = arg;
    const struct restart *restart = &legacy->serve->restart;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    char **environment = make_environment(legacy->names);
    if (environment == NULL || posix_spawn_file_actions_init(&files) != 0) {
        free(environment);
        return -ENOMEM;
    }
    int code = posix_spawn_file_actions_adddup2(&files, legacy->pipe[1], PIPE_FD);
    for (size_t i = 0; i < legacy->count && code == 0; i++) {
        code = posix_spawn_file_actions_adddup2(&files, legacy->fds[i], FIRST_FD + (int)i);
    }
    sigemptyset(&none);
    posix_spawnattr_init(&attributes); /* cannot fail here */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    code =
        code != 0 ? code : posix_spawn(&legacy->pid, restart->program, &files, &attributes, restart->argv, environment);
    if (code != 0) {
        legacy->pid = 0;
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(environment);
    return -code;
}

/* Waits until the successor serves: 0; 1 if it ends before; or a negative code. */
static int wait_until_it_serves(struct legacy *legacy)
{
    cor_conn *from;
    char word;
    int code = cor_open_fd(&from, legacy->pipe[0]);
    if (code < 0) {
        return code;
    }
    legacy->pipe[0] = -1; /* taken */
    cor_set_read_deadline(from, cor_after(RESTART_WITHIN_NS));
    ssize_t count = cor_read(from, &word, 1);
    cor_close(from);
    return count > 0 ? 0 : count == 0 ? 1 : (int)count;
}

/* Ends a successor that does not serve; gives its status. */
static int end_successor(void *arg)
{
    struct legacy *legacy = arg;
    int status = 0;
    kill(legacy->pid, SIGKILL); /* it may have ended by itself */
    while (waitpid(legacy->pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

static void log_failure(const struct legacy *legacy, int code, int status)
{
    char text[96];
    if (code == 1 && WIFEXITED(status)) {
        snprintf(text, sizeof(text), "the new process has exited with %d", WEXITSTATUS(status));
    } else if (code == 1) {
        snprintf(text, sizeof(text), "the new process was ended by signal %d", WTERMSIG(status));
    } else if (code == COR_ETIMEOUT) {
        snprintf(text, sizeof(text), "the new process has not served within 30 s");
    } else {
        snprintf(text, sizeof(text), "%s%s", legacy->no_copy ? "a socket cannot be handed over: " : "",
                 cor_strerror(code));
    }
    LOG(LEVEL_ERROR, "restart_failed", {"error", text, 0});
}

/* Who notes a signal looks for the successor afterwards, who notes the successor for signals: one sees the other. */
static void pass_on(struct restart *restart)
{
    static const int numbers[] = {SIGHUP, SIGUSR1};
    int pid = atomic_load(&restart->successor);
    unsigned obeyed = pid > 0 ? atomic_exchange(&restart->obeyed, 0) : 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if ((obeyed & 1U << numbers[i]) != 0) {
            kill(pid, numbers[i]);
        }
    }
}

void restart_pass_on(struct serve *serve, int number)
{
    atomic_fetch_or(&serve->restart.obeyed, 1U << number);
    pass_on(&serve->restart);
}

/* False: this process has begun to end before. Only one of the two happens. */
static bool take_over(struct restart *restart, pid_t pid)
{
    int none = 0;
    bool done = atomic_compare_exchange_strong(&restart->successor, &none, pid);
    pass_on(restart);
    return done;
}

/* Starts the successor and waits for it. Returns 0: it serves; 1: it has ended; or a negative code. */
static int hand_over(struct legacy *legacy)
{
    struct restart *restart = &legacy->serve->restart;
    atomic_store(&restart->obeyed, 0);
    int code = copy_sockets(legacy);
    if (code == 0 && pipe2(legacy->pipe, O_CLOEXEC) < 0) {
        legacy->pipe[0] = legacy->pipe[1] = -1;
        code = -errno;
    }
    if (code == 0) {
        legacy->pipe[1] = move_up(legacy->pipe[1], legacy->count);
        code = legacy->pipe[1] < 0 ? legacy->pipe[1] : 0;
    }
    code = code == 0 && (restart->program == NULL || restart->argv == NULL) ? -ENOENT : code;
    code = code == 0 ? cor_blocking(start, legacy) : code;
    if (code == 0) {
        LOG(LEVEL_INFO, "restarting", {"pid", NULL, legacy->pid});
        close(legacy->pipe[1]);
        legacy->pipe[1] = -1;
        code = wait_until_it_serves(legacy);
    }
    return code == 0 && !take_over(restart, legacy->pid) ? COR_ECANCELED : code;
}

static void drop_legacy(struct legacy *legacy)
{
    for (size_t i = 0; i < legacy->count; i++) {
        close(legacy->fds[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (legacy->pipe[i] >= 0) {
            close(legacy->pipe[i]);
        }
    }
    free(legacy->fds);
    free(legacy->names);
}

/* Says how it went last of all: whoever hears of a failure and sends the signal again at once is heard. */
static void restart_task(void *arg)
{
    struct serve *serve = arg;
    struct legacy legacy = {.serve = serve, .pipe = {-1, -1}};
    int code = hand_over(&legacy);
    int status = code != 0 && legacy.pid > 0 ? cor_blocking(end_successor, &legacy) : 0;
    drop_legacy(&legacy);
    if (code == 0) {
        manager_tell("MAINPID=%d\nREADY=1", (int)legacy.pid);
        kill(getpid(), SIGUSR2);
    } else {
        atomic_store(&serve->restart.under_way, false);
        log_failure(&legacy, code, status);
    }
}

void restart_begin(struct serve *serve)
{
    if (serve->options.sandbox != SANDBOX_OFF) {
        LOG(LEVEL_ERROR, "restart_failed", {"error", "--sandbox lets nobody start a program, not even this one", 0});
        return;
    }
    if (atomic_exchange(&serve->restart.under_way, true)) {
        return;
    }
    int code = cor_group_go(&serve->helpers, restart_task, serve);
    if (code < 0) {
        atomic_store(&serve->restart.under_way, false);
        LOG(LEVEL_ERROR, "restart_failed", {"error", cor_strerror(code), 0});
    }
}

int restart_end(struct serve *serve)
{
    int none = 0;
    return atomic_compare_exchange_strong(&serve->restart.successor, &none, RESTART_NEVER) ? 0 : none;
}

static void unlink_on_close(struct serve *serve, bool own)
{
    for (size_t i = 0; i < serve->service_count; i++) {
        struct service *service = &serve->services[i];
        if (service->listener != NULL && service->owns_file &&
            cor_listener_unlink_on_close(service->listener, own) < 0) {
            LOG(LEVEL_WARN, "file_stays", {"service", service->def->name, 0});
        }
    }
    if (serve->admin != NULL && serve->admin_owns_file) {
        admin_own_file(serve, own);
    }
}

void restart_serves(struct serve *serve)
{
    if (serve->inheritance.restarted) {
        bool told = write(serve->inheritance.ready_fd, "R", 1) == 1;
        close(serve->inheritance.ready_fd);
        if (told) {
            unlink_on_close(serve, true);
        }
    }
}

void restart_leave_files(struct serve *serve)
{
    unlink_on_close(serve, false);
}

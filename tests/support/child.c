/* SPDX-License-Identifier: MIT */
/* fork, a pipe for the output, a time limit by alarm in the child. */
#include "support/child.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_ALARM_S = 60 };

/* There in coverage builds only: _exit alone would lose the counts. */
void __gcov_dump(void) __attribute__((weak));

/*
 * Whoever started this test, as a job in the background for instance, may have had signals ignored or blocked, or the
 * first three descriptors closed.
 */
__attribute__((constructor)) static void start_as_usual(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2, SIGURG};
    sigset_t none;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)signal(numbers[i], SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    (void)close(fd);
}

bool child_refuse(long number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void child_default_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)signal(numbers[i], SIG_DFL);
    }
}

static _Noreturn void in_child(int (*fn)(void *arg), void *arg, int out_fd)
{
    struct rlimit no_core = {0, 0};
    child_default_signals();
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(out_fd, STDOUT_FILENO);
    (void)dup2(out_fd, STDERR_FILENO);
    (void)close(out_fd);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(CHILD_ALARM_S);
    int status = fn(arg);
    (void)fflush(NULL);
    if (__gcov_dump != NULL) {
        __gcov_dump();
    }
    _exit(status);
}

static void read_all(int fd, child_result *out)
{
    char rest[4096];
    for (;;) {
        size_t room = sizeof(out->output) - 1 - out->length;
        ssize_t count = room > 0 ? read(fd, out->output + out->length, room) : read(fd, rest, sizeof(rest));
        if (count <= 0) {
            break;
        }
        out->length += room > 0 ? (size_t)count : 0;
    }
    out->output[out->length] = '\0';
}

bool child_run(int (*fn)(void *arg), void *arg, child_result *out)
{
    int ends[2];
    out->length = 0;
    out->output[0] = '\0';
    (void)fflush(NULL);
    if (pipe(ends) < 0) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        in_child(fn, arg, ends[1]);
    }
    (void)close(ends[1]);
    int status = 0;
    if (child > 0) {
        read_all(ends[0], out);
        while (waitpid(child, &status, 0) < 0) {}
    }
    (void)close(ends[0]);
    out->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return child > 0;
}

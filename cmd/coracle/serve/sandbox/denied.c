/* SPDX-License-Identifier: MIT */
/* The handler of SIGSYS, and the task that tells of what it has seen. */
#include "serve/sandbox/denied.h"

#include "serve/sandbox/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* the si_code of a filter's SIGSYS; glibc 2.36 does not name it */
#endif

/* What the handler tells the task; a write of so few bytes is all or nothing. */
struct denial {
    uint32_t architecture;
    int number;
};

static _Atomic uint64_t count;
static int pipe_in = -1; /* set before the handler is */

#if defined(__x86_64__)

static long *result_of(ucontext_t *context)
{
    return (long *)&context->uc_mcontext.gregs[REG_RAX];
}

static long argument(const ucontext_t *context, int which)
{
    static const int registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8};
    return (long)context->uc_mcontext.gregs[registers[which]];
}

#elif defined(__aarch64__)

static long *result_of(ucontext_t *context)
{
    return (long *)&context->uc_mcontext.regs[0];
}

static long argument(const ucontext_t *context, int which)
{
    return (long)context->uc_mcontext.regs[which];
}

#endif

/* Makes the call for the thread, which goes on with its result. */
static long pass_on(int number, const ucontext_t *context)
{
    long result = syscall(number, argument(context, 0), argument(context, 1), argument(context, 2),
                          argument(context, 3), argument(context, 4), CALLS_SEEN);
    return result < 0 ? -errno : result;
}

static void on_sigsys(int number, siginfo_t *info, void *arg)
{
    ucontext_t *context = arg;
    int own_errno = errno;
    (void)number;
    if (info->si_code != SYS_SECCOMP) {
        return; /* somebody has sent it */
    }
    long result = calls_passed_on(info->si_arch, info->si_syscall) ? pass_on(info->si_syscall, context) : -EPERM;
    if (result == -EPERM || result == -EACCES) {
        struct denial denial = {info->si_arch, info->si_syscall};
        atomic_fetch_add(&count, 1);
        (void)!write(pipe_in, &denial, sizeof(denial));
    }
    *result_of(context) = result;
    errno = own_errno;
}

/* Until it is cancelled, with the server's helpers. */
static void tell(void *arg)
{
    cor_conn *from = arg;
    struct denial denial;
    while (cor_read_full(from, &denial, sizeof(denial)) == (ssize_t)sizeof(denial)) {
        char *name = calls_name(denial.architecture, denial.number);
        LOG(LEVEL_WARN, "sandbox_denied", {"call", name != NULL ? name : "unknown", 0},
            {"number", NULL, denial.number});
        free(name);
    }
    cor_close(from);
}

int denied_begin(struct serve *serve)
{
    int fds[2];
    cor_conn *from;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -errno;
    }
    int code = cor_open_fd(&from, fds[0]);
    if (code < 0) {
        close(fds[0]);
        close(fds[1]);
        return code;
    }
    code = cor_group_go(&serve->helpers, tell, from);
    if (code < 0) {
        cor_close(from);
        close(fds[1]);
        return code;
    }
    pipe_in = fds[1];
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGSYS, &action, NULL) != 0 ? -errno : 0;
}

uint64_t denied_count(void)
{
    return atomic_load(&count);
}

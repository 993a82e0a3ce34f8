/* SPDX-License-Identifier: MIT */
/*
 * The filter. What is allowed is written out, all else is denied: so a call that a later kernel brings is denied, too.
 *
 * The calls by which files are opened and removed are allowed only with a mark in an argument that the kernel ignores.
 * The C library does not set it, so denied.c gets them, makes them with the mark, and hears what Landlock has said.
 *
 * clone3 has its flags in memory, where a filter cannot look. It is said not to exist; the C library then uses clone,
 * and of that only new threads are allowed.
 *
 * io_uring's requests are no system calls: no filter sees them. No ring can be made any more, and without io_uring none
 * be entered; the workers' rings take what the poller asks for and nothing else (src/poll/uring_ring.c).
 */
#include "serve/sandbox/calls.h"

#include <errno.h>
#include <stddef.h>

#if COR_HAVE_SECCOMP

#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* liburing's names are there only where it is; these are the kernel's. */
enum { RING_ENABLE = 12, RING_CANCEL = 24 };

/* Whatever their arguments. A number below 0 is a call that this CPU does not have. */
static const int plain[] = {
    /* data */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(sendfile), SCMP_SYS(splice),
    SCMP_SYS(tee), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(dup3), SCMP_SYS(pipe2),
    SCMP_SYS(eventfd2), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
    /* sockets that are open */
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    /* waiting */
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(futex), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall),
    /* clocks and timers */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(timer_create),
    SCMP_SYS(timer_settime), SCMP_SYS(timer_gettime), SCMP_SYS(timer_getoverrun), SCMP_SYS(timer_delete),
    /* memory, but for code */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore),
    /* threads and their signals */
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getcpu), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack),
    /* what the process is and has */
    SCMP_SYS(getrandom), SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(times), SCMP_SYS(sysinfo), SCMP_SYS(uname),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getpgrp), SCMP_SYS(getsid),
    /* files; which ones is Landlock's affair, but names and dates are seen of all */
    SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fstatfs),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64), SCMP_SYS(getcwd)};

/* Those that denied.c passes on. */
static const int passed_on[] = {SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(unlink), SCMP_SYS(unlinkat)};

static const unsigned long requests[] = {FIONREAD, FIONBIO, SIOCOUTQ, TCGETS};
static const int names_of_threads[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA};

/* A filter being made: the first error stays. */
struct making {
    scmp_filter_ctx filter;
    int code;
};

static void allow(struct making *making, int call)
{
    if (making->code == 0 && call >= 0) {
        making->code = seccomp_rule_add(making->filter, SCMP_ACT_ALLOW, call, 0);
    }
}

static void allow_with(struct making *making, int call, struct scmp_arg_cmp only)
{
    if (making->code == 0 && call >= 0) {
        making->code = seccomp_rule_add(making->filter, SCMP_ACT_ALLOW, call, 1, only);
    }
}

/* Of an int's worth: what is above it in the register may be anything. */
static struct scmp_arg_cmp is(unsigned argument, unsigned value)
{
    return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, value);
}

static struct scmp_arg_cmp has(unsigned argument, uint64_t mask, uint64_t bits)
{
    return SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, bits);
}

static void allow_some(struct making *making)
{
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
        allow_with(making, passed_on[i], SCMP_CMP64(5, SCMP_CMP_EQ, CALLS_SEEN, 0));
    }
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        allow_with(making, SCMP_SYS(ioctl), is(1, (unsigned)requests[i]));
    }
    for (size_t i = 0; i < sizeof(names_of_threads) / sizeof(names_of_threads[0]); i++) {
        allow_with(making, SCMP_SYS(prctl), is(0, (unsigned)names_of_threads[i]));
    }
    allow_with(making, SCMP_SYS(mmap), has(2, PROT_EXEC, 0));
    allow_with(making, SCMP_SYS(mprotect), has(2, PROT_EXEC, 0));
    allow_with(making, SCMP_SYS(clone), has(0, CLONE_THREAD, CLONE_THREAD));
    allow_with(making, SCMP_SYS(kill), is(0, (unsigned)getpid()));
    allow_with(making, SCMP_SYS(tgkill), is(0, (unsigned)getpid()));
    allow_with(making, SCMP_SYS(rt_tgsigqueueinfo), is(0, (unsigned)getpid()));
    allow_with(making, SCMP_SYS(prlimit64), is(0, 0));
    if (making->code == 0) {
        making->code = seccomp_rule_add(making->filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
}

bool calls_known(void)
{
    return true;
}

int calls_filter(bool ring, bool notify)
{
    struct making making = {.filter = seccomp_init(SCMP_ACT_TRAP)};
    if (making.filter == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        allow(&making, plain[i]);
    }
    allow_some(&making);
    if (ring) {
        allow(&making, SCMP_SYS(io_uring_enter));
        allow_with(&making, SCMP_SYS(io_uring_register), is(1, RING_ENABLE));
        allow_with(&making, SCMP_SYS(io_uring_register), is(1, RING_CANCEL));
    }
    if (notify) {
        allow_with(&making, SCMP_SYS(socket), is(0, AF_UNIX));
    }
    static const struct {
        enum scmp_filter_attr name;
        uint32_t value;
    } attributes[] = {{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP},
                      {SCMP_FLTATR_CTL_TSYNC, 1},
                      {SCMP_FLTATR_CTL_OPTIMIZE, 2},
                      {SCMP_FLTATR_API_SYSRAWRC, 1}};
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]) && making.code == 0; i++) {
        making.code = seccomp_attr_set(making.filter, attributes[i].name, attributes[i].value);
    }
    making.code = making.code == 0 ? seccomp_load(making.filter) : making.code;
    seccomp_release(making.filter);
    return making.code;
}

char *calls_name(uint32_t architecture, int number)
{
    return seccomp_syscall_resolve_num_arch(architecture, number);
}

bool calls_passed_on(uint32_t architecture, int number)
{
    bool found = false;
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
        found = found || passed_on[i] == number;
    }
    return found && number >= 0 && architecture == seccomp_arch_native();
}

#else

bool calls_known(void)
{
    return false;
}

int calls_filter(bool ring, bool notify)
{
    (void)ring, (void)notify;
    return -ENOSYS;
}

char *calls_name(uint32_t architecture, int number)
{
    (void)architecture, (void)number;
    return NULL;
}

bool calls_passed_on(uint32_t architecture, int number)
{
    (void)architecture, (void)number;
    return false;
}

#endif

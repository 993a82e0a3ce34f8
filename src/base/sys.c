/* SPDX-License-Identifier: MIT */
/*
 * The system calls behind sys.h. EINTR is retried everywhere but in connect and close, where the kernel has acted
 * already.
 */
#include "base/sys.h"

#include "base/platform.h"
#include "base/sys_other.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older headers do not have it */
#endif

int (*cori_sys_fault)(enum cori_sys_call call);
size_t (*cori_sys_short)(enum cori_sys_call call, size_t size);
const cori_sys_other_ops *cori_sys_other;

/* Runs `call` until it is not interrupted; gives its result or -errno, or what the fault hook wants. errno stays. */
#define RETRY(name, type, call)                                                                                        \
    do {                                                                                                               \
        int before = errno;                                                                                            \
        for (;;) {                                                                                                     \
            int fault = cori_sys_faulted(name);                                                                        \
            if (fault != 0 && fault != -EINTR) {                                                                       \
                return fault;                                                                                          \
            }                                                                                                          \
            type result = (call);                                                                                      \
            if (result >= 0) {                                                                                         \
                return result;                                                                                         \
            }                                                                                                          \
            int code = errno;                                                                                          \
            errno = before;                                                                                            \
            if (code != EINTR) {                                                                                       \
                return -code;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

ssize_t cori_sys_recv_hooked(int fd, void *buf, size_t size)
{
    if (cori_sys_is_other(fd)) {
        struct iovec part = {.iov_base = buf, .iov_len = size};
        return cori_sys_recv_parts(fd, &part, 1);
    }
    RETRY(CORI_SYS_RECV, ssize_t, recv(fd, buf, size, MSG_DONTWAIT));
}

ssize_t cori_sys_send_hooked(int fd, const void *buf, size_t size)
{
    if (cori_sys_is_other(fd)) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = size};
        return cori_sys_send_parts(fd, &part, 1);
    }
    size = cori_sys_short != NULL ? cori_sys_short(CORI_SYS_SEND, size) : size;
    RETRY(CORI_SYS_SEND, ssize_t, send(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int cori_sys_socket(int family, int type, int protocol)
{
    if (cori_unlikely(cori_sys_other != NULL)) {
        return cori_sys_other->socket(family, type, protocol);
    }
    RETRY(CORI_SYS_SOCKET, int, socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

int cori_sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->bind(fd, addr, len);
    }
    RETRY(CORI_SYS_BIND, int, bind(fd, addr, len));
}

int cori_sys_listen(int fd, int backlog)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->listen(fd, backlog);
    }
    RETRY(CORI_SYS_LISTEN, int, listen(fd, backlog));
}

int cori_sys_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->accept(fd, addr, len);
    }
    RETRY(CORI_SYS_ACCEPT, int, accept4(fd, addr, len, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int cori_sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->connect(fd, addr, len);
    }
    int fault = cori_sys_faulted(CORI_SYS_CONNECT);
    if (fault != 0) {
        return fault;
    }
    int before = errno;
    int code = connect(fd, addr, len) == 0 ? 0 : errno;
    errno = before;
    return -code;
}

ssize_t cori_sys_read(int fd, void *buf, size_t size)
{
    RETRY(CORI_SYS_READ, ssize_t, read(fd, buf, size));
}

ssize_t cori_sys_write(int fd, const void *buf, size_t size)
{
    RETRY(CORI_SYS_WRITE, ssize_t, write(fd, buf, size));
}

ssize_t cori_sys_send_parts(int fd, const struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->send(fd, &message);
    }
    RETRY(CORI_SYS_SEND, ssize_t, sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t cori_sys_recv_parts(int fd, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->receive(fd, &message);
    }
    RETRY(CORI_SYS_RECV, ssize_t, recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
}

ssize_t cori_sys_recvmsg(int fd, struct msghdr *message)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->receive(fd, message);
    }
    RETRY(CORI_SYS_RECV, ssize_t, recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
}

ssize_t cori_sys_sendmsg(int fd, const struct msghdr *message)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->send(fd, message);
    }
    RETRY(CORI_SYS_SEND, ssize_t, sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int cori_sys_pipe(int fds[2], int size)
{
    int before = errno, rc = cori_sys_faulted(CORI_SYS_PIPE);
    rc = rc == 0 && pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : rc;
    if (rc == 0) {
        (void)fcntl(fds[1], F_SETPIPE_SZ, size); /* a smaller one does as well */
    }
    errno = before;
    return rc;
}

ssize_t cori_sys_splice_in(int fd, int pipe, size_t size)
{
    if (cori_sys_is_other(fd)) {
        return -EINVAL; /* not fit for it */
    }
    RETRY(CORI_SYS_SPLICE, ssize_t, splice(fd, NULL, pipe, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

/*
 * There is no flag that keeps splice and sendfile from raising SIGPIPE. It comes to the calling thread, which therefore
 * blocks it meanwhile and takes one that has come; one that was pending before stays. They go on after a part of the
 * bytes, and then give the count of those and the signal too.
 */
typedef struct hushed {
    sigset_t before;
    bool pending;
} hushed;

static void hush(hushed *state)
{
    sigset_t broken, pending;
    (void)sigemptyset(&broken);
    (void)sigaddset(&broken, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &broken, &state->before);
    state->pending =
        sigismember(&state->before, SIGPIPE) == 1 && sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static void unhush(const hushed *state, ssize_t result, size_t size)
{
    bool in_part = result > 0 && (size_t)result < size;
    if ((result == -EPIPE || in_part) && !state->pending) {
        struct timespec at_once = {0};
        sigset_t broken;
        int before = errno;
        (void)sigemptyset(&broken);
        (void)sigaddset(&broken, SIGPIPE);
        (void)sigtimedwait(&broken, NULL, &at_once);
        errno = before;
    }
    (void)pthread_sigmask(SIG_SETMASK, &state->before, NULL);
}

static ssize_t splice_out(int pipe, int fd, size_t size)
{
    if (cori_sys_is_other(fd)) {
        return -EINVAL; /* not fit for it */
    }
    RETRY(CORI_SYS_SPLICE, ssize_t, splice(pipe, NULL, fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

ssize_t cori_sys_splice_out(int pipe, int fd, size_t size)
{
    hushed state;
    hush(&state);
    ssize_t result = splice_out(pipe, fd, size);
    unhush(&state, result, size);
    return result;
}

static ssize_t send_file(int fd, int from, size_t size)
{
    if (cori_sys_is_other(fd)) {
        return -EINVAL; /* not fit for it */
    }
    RETRY(CORI_SYS_SENDFILE, ssize_t, sendfile(fd, from, NULL, size));
}

ssize_t cori_sys_sendfile(int fd, int from, size_t size)
{
    hushed state;
    hush(&state);
    ssize_t result = send_file(fd, from, size);
    unhush(&state, result, size);
    return result;
}

ssize_t cori_sys_recvfrom(int fd, void *buf, size_t size, struct sockaddr *from, socklen_t *len)
{
    if (cori_sys_is_other(fd)) {
        struct iovec part = {.iov_base = buf, .iov_len = size};
        struct msghdr message = {.msg_name = from, .msg_namelen = *len, .msg_iov = &part, .msg_iovlen = 1};
        ssize_t count = cori_sys_other->receive(fd, &message);
        *len = message.msg_namelen;
        return count;
    }
    RETRY(CORI_SYS_RECV, ssize_t, recvfrom(fd, buf, size, MSG_DONTWAIT, from, len));
}

ssize_t cori_sys_sendto(int fd, const void *buf, size_t size, const struct sockaddr *to, socklen_t len)
{
    if (cori_sys_is_other(fd)) {
        struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = size};
        struct msghdr message = {
            .msg_name = (void *)(uintptr_t)to, .msg_namelen = len, .msg_iov = &part, .msg_iovlen = 1};
        return cori_sys_other->send(fd, &message);
    }
    RETRY(CORI_SYS_SEND, ssize_t, sendto(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL, to, len));
}

/* Not the C library's: see CORI_RECV. */
#if CORI_ASAN || CORI_TSAN
#define RECVMMSG(fd, messages, count, flags) recvmmsg(fd, messages, count, flags, NULL)
#define SENDMMSG(fd, messages, count, flags) sendmmsg(fd, messages, count, flags)
#else
#define RECVMMSG(fd, messages, count, flags) (int)syscall(SYS_recvmmsg, fd, messages, count, flags, NULL)
#define SENDMMSG(fd, messages, count, flags) (int)syscall(SYS_sendmmsg, fd, messages, count, flags)
#endif

/* Several at once for another kernel's descriptor: as many as went well, or the first one's error. */
static int each_of_others(int fd, struct mmsghdr *messages, unsigned count, bool sends)
{
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *one = &messages[i].msg_hdr;
        ssize_t size = sends ? cori_sys_other->send(fd, one) : cori_sys_other->receive(fd, one);
        if (size < 0) {
            return i > 0 ? (int)i : (int)size;
        }
        messages[i].msg_len = (unsigned)size;
    }
    return (int)count;
}

int cori_sys_recvmmsg(int fd, struct mmsghdr *messages, unsigned count)
{
    if (cori_sys_is_other(fd)) {
        return each_of_others(fd, messages, count, false);
    }
    RETRY(CORI_SYS_RECV, int, RECVMMSG(fd, messages, count, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
}

int cori_sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned count)
{
    if (cori_sys_is_other(fd)) {
        return each_of_others(fd, messages, count, true);
    }
    RETRY(CORI_SYS_SEND, int, SENDMMSG(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int cori_sys_shutdown(int fd, int how)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->shutdown(fd, how);
    }
    RETRY(CORI_SYS_SHUTDOWN, int, shutdown(fd, how));
}

int cori_sys_setsockopt(int fd, int level, int option, int value)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->set_option(fd, level, option, &value, sizeof(value));
    }
    RETRY(CORI_SYS_SETSOCKOPT, int, setsockopt(fd, level, option, &value, sizeof(value)));
}

int cori_sys_setsockopt_bytes(int fd, int level, int option, const void *value, socklen_t size)
{
    RETRY(CORI_SYS_SETSOCKOPT, int, setsockopt(fd, level, option, value, size));
}

int cori_sys_setlinger(int fd, int seconds)
{
    struct linger linger = {.l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0};
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->set_option(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    RETRY(CORI_SYS_SETSOCKOPT, int, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

int cori_sys_getsockopt(int fd, int level, int option, int *value)
{
    socklen_t len = sizeof(*value);
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->get_option(fd, level, option, value, &len);
    }
    RETRY(CORI_SYS_GETSOCKOPT, int, getsockopt(fd, level, option, value, &len));
}

int cori_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->name(fd, false, addr, len);
    }
    RETRY(CORI_SYS_GETSOCKNAME, int, getsockname(fd, addr, len));
}

int cori_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->name(fd, true, addr, len);
    }
    RETRY(CORI_SYS_GETSOCKNAME, int, getpeername(fd, addr, len));
}

int cori_sys_accepted_from(int fd, struct sockaddr *addr, socklen_t len)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->name(fd, true, addr, &len);
    }
    RETRY(CORI_SYS_GETSOCKNAME, int, getsockopt(fd, SOL_SOCKET, SO_PEERNAME, addr, &len));
}

int cori_sys_peer(int fd, cori_peer *out)
{
    socklen_t len = sizeof(*out); /* laid out as the kernel's struct ucred */
    RETRY(CORI_SYS_GETSOCKOPT, int, getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, &len));
}

int cori_sys_dup(int fd)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->dup(fd);
    }
    int before = errno, fault = cori_sys_faulted(CORI_SYS_DUP);
    int copy = fault == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fault;
    copy = copy >= 0 || fault != 0 ? copy : -errno;
    errno = before;
    return copy;
}

int cori_sys_never_wait(int fd)
{
    int before = errno, fault = cori_sys_faulted(CORI_SYS_NEVER_WAIT);
    int flags = fault == 0 ? fcntl(fd, F_GETFL) : fault;
    int code = flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : fault != 0 ? fault : -errno;
    errno = before;
    return code;
}

void cori_sys_close(int fd)
{
    (void)cori_sys_faulted(CORI_SYS_CLOSE);
    if (cori_sys_is_other(fd)) {
        cori_sys_other->close(fd);
        return;
    }
    (void)close(fd);
}

cori_file_id cori_sys_socket_file(const char *path)
{
    struct stat status;
    int before = errno;
    bool found = lstat(path, &status) == 0 && S_ISSOCK(status.st_mode);
    errno = before;
    return found ? (cori_file_id){status.st_dev, status.st_ino} : (cori_file_id){0, 0};
}

void cori_sys_remove_socket_file(const char *path, cori_file_id file)
{
    cori_file_id now = cori_sys_socket_file(path);
    if (now.inode != 0 && now.inode == file.inode && now.device == file.device) {
        (void)unlink(path); /* one that cannot be removed stays */
    }
}

int cori_sys_lock_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)length, path);
    int before = errno;
    int fd = open(length > 0 ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? fd : -errno;
    if (fd >= 0 && rc < 0) {
        (void)close(fd);
    }
    errno = before;
    return rc;
}

bool cori_sys_readable(void *page, size_t bytes)
{
    return madvise(page, bytes, MADV_POPULATE_READ) == 0 || errno != EFAULT;
}

bool cori_sys_own_description(int fd)
{
    struct stat status;
    char path[32];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &status) < 0 || status.st_rdev == makedev(TTYAUX_MAJOR, 2)) {
        return false; /* opening /dev/ptmx again would make another pseudo-terminal */
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int own = open(path, (flags & (O_ACCMODE | O_APPEND | O_DIRECT)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0) {
        return false;
    }
    bool private = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
    bool done = dup3(own, fd, private ? O_CLOEXEC : 0) >= 0;
    (void)close(own);
    return done;
}

bool cori_sys_is_blocking(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

int cori_sys_poll(int fd, short events)
{
    if (cori_sys_is_other(fd)) {
        return cori_sys_other->poll(fd, events);
    }
    struct pollfd query = {.fd = fd, .events = events};
    int before = errno, code;
    do {
        code = -cori_sys_faulted(CORI_SYS_POLL);
        code = code == 0 && poll(&query, 1, 0) < 0 ? errno : code;
    } while (code == EINTR);
    errno = before;
    return code != 0 ? -code : query.revents;
}

int cori_sys_set_new(void)
{
    RETRY(CORI_SYS_SOCKET, int, epoll_create1(EPOLL_CLOEXEC));
}

int cori_sys_set_want(int set, int fd, short events)
{
    struct epoll_event event = {.events = (uint32_t)events, .data.fd = fd}; /* the bits are those of poll(2) */
    int before = errno;
    int rc = epoll_ctl(set, events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, fd, &event);
    rc = rc < 0 && events != 0 && errno == ENOENT ? epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) : rc;
    rc = rc < 0 ? -errno : 0;
    errno = before;
    return rc;
}

/* What poll(2) says now, an error included, which the call itself will then tell; 0: nothing. */
static int look(int fd, short events)
{
    int found = cori_sys_poll(fd, events);
    return found < 0 ? POLLERR : found;
}

bool cori_sys_ready(int fd, bool for_write)
{
    return look(fd, for_write ? POLLOUT : POLLIN) != 0;
}

bool cori_sys_hung_up(int fd)
{
    return (look(fd, POLLRDHUP) & (POLLRDHUP | POLLHUP)) != 0;
}

int cori_sys_uring_register(int ring_fd, unsigned what, const void *arg, unsigned count)
{
    return syscall(SYS_io_uring_register, ring_fd, what, arg, count) < 0 ? -errno : 0;
}

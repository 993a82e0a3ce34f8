/* SPDX-License-Identifier: MIT */
/*
 * THE system calls on descriptors: each returns the result or -errno, retries EINTR where Go does, and can be made to
 * fail by a test. errno is what it was before: it is the task's own. Nothing else in the library calls the kernel about
 * sockets; epoll itself lives in poll/.
 */
#ifndef CORI_BASE_SYS_H
#define CORI_BASE_SYS_H

#include "base/platform.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The calls by name, for fault injection. */
enum cori_sys_call {
    CORI_SYS_SOCKET,
    CORI_SYS_BIND,
    CORI_SYS_LISTEN,
    CORI_SYS_ACCEPT,
    CORI_SYS_CONNECT,
    CORI_SYS_RECV,
    CORI_SYS_TAKE, /* what a ring has received is handed to a read */
    CORI_SYS_SEND,
    CORI_SYS_READ,
    CORI_SYS_WRITE,
    CORI_SYS_SHUTDOWN,
    CORI_SYS_SETSOCKOPT,
    CORI_SYS_GETSOCKOPT,
    CORI_SYS_GETSOCKNAME,
    CORI_SYS_POLL, /* each question whether a descriptor is ready */
    CORI_SYS_EPOLL_CTL,
    CORI_SYS_EPOLL_WAIT,
    CORI_SYS_URING_SETUP, /* each try to make a ring */
    CORI_SYS_URING_ENTRY, /* each wish for an entry in it */
    CORI_SYS_MMAP,
    CORI_SYS_PIPE,
    CORI_SYS_SPLICE, /* in either direction */
    CORI_SYS_SENDFILE,
    CORI_SYS_DUP,
    CORI_SYS_NEVER_WAIT,
    CORI_SYS_ALLOC, /* of the library's own memory: memory.h */
    CORI_SYS_CLOSE, /* happens whatever the hook says */
};

/*
 * Test hook: called before each call; a negative result is returned in its place, 0 lets it happen. NULL: off. Set only
 * while no cor_run is active.
 */
extern int (*cori_sys_fault)(enum cori_sys_call call);

/*
 * Test hook, set together with the other one: of how many of `size` bytes a read or a write of a stream is to be. A
 * read then asks for no more, instead of getting less than it asked for, which would mean that nothing is left.
 */
extern size_t (*cori_sys_short)(enum cori_sys_call call, size_t size);

/* Asks the hook; 0 to go on. */
static inline int cori_sys_faulted(enum cori_sys_call call)
{
    return cori_unlikely(cori_sys_fault != NULL) ? cori_sys_fault(call) : 0;
}

/*
 * The two hot ones. Inline, because the kernel's mitigations make the CPU forget where calls return to: each function
 * that is left after a system call costs a misprediction. Not the C library's, because those are points of
 * cancellation: in a program with threads each would pay for two more atomic operations. But the sanitizers must see
 * the C library's, to know of memory written and of order.
 */
#if CORI_ASAN || CORI_TSAN
#define CORI_RECV(fd, buf, size) recv(fd, buf, size, MSG_DONTWAIT)
#define CORI_SEND(fd, buf, size) send(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define CORI_RECV(fd, buf, size) syscall(SYS_recvfrom, fd, buf, size, MSG_DONTWAIT, NULL, NULL)
#define CORI_SEND(fd, buf, size) syscall(SYS_sendto, fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0)
#endif

/*
 * Where this thread's errno is. The C library says that this is constant, so a compiler may keep it over a call in
 * which a floating task has moved to another thread, when the functions below have become part of a loop that parks.
 */
int *cori_errno_location(void) __asm__("__errno_location");

/* Around calls of libraries that may change errno, which is the task's: what it is, and putting that back. */
static inline int cori_errno_keep(void)
{
    return *cori_errno_location();
}

static inline void cori_errno_restore(int before)
{
    *cori_errno_location() = before;
}

/* The same two while a test's hook is set, or another kernel: sys_other.h. */
ssize_t cori_sys_recv_hooked(int fd, void *buf, size_t size);
ssize_t cori_sys_send_hooked(int fd, const void *buf, size_t size);

static inline ssize_t cori_sys_recv(int fd, void *buf, size_t size)
{
    int *code_at = cori_errno_location(), before = *code_at;
    for (;;) {
        if (cori_unlikely(cori_sys_fault != NULL)) {
            return cori_sys_recv_hooked(fd, buf, size);
        }
        ssize_t count = CORI_RECV(fd, buf, size);
        if (cori_likely(count >= 0)) {
            return count;
        }
        int code = *code_at;
        *code_at = before;
        if (code != EINTR) {
            return -code;
        }
    }
}

/* Never raises SIGPIPE. */
static inline ssize_t cori_sys_send(int fd, const void *buf, size_t size)
{
    int *code_at = cori_errno_location(), before = *code_at;
    for (;;) {
        if (cori_unlikely(cori_sys_fault != NULL)) {
            return cori_sys_send_hooked(fd, buf, size);
        }
        ssize_t count = CORI_SEND(fd, buf, size);
        if (cori_likely(count >= 0)) {
            return count;
        }
        int code = *code_at;
        *code_at = before;
        if (code != EINTR) {
            return -code;
        }
    }
}

int cori_sys_socket(int family, int type, int protocol); /* always CLOEXEC and NONBLOCK */
int cori_sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
int cori_sys_listen(int fd, int backlog);
int cori_sys_accept(int fd, struct sockaddr *addr, socklen_t *len);       /* CLOEXEC and NONBLOCK */
int cori_sys_connect(int fd, const struct sockaddr *addr, socklen_t len); /* no EINTR retry: see dial.c */
ssize_t cori_sys_read(int fd, void *buf, size_t size);
ssize_t cori_sys_write(int fd, const void *buf, size_t size);
/* As cori_sys_send and cori_sys_recv, of several parts (at most IOV_MAX). */
ssize_t cori_sys_send_parts(int fd, const struct iovec *parts, size_t count);
ssize_t cori_sys_recv_parts(int fd, struct iovec *parts, size_t count);
ssize_t cori_sys_recvmsg(int fd, struct msghdr *message); /* passed descriptors are CLOEXEC */
ssize_t cori_sys_sendmsg(int fd, const struct msghdr *message);
/* A kernel pipe whose ends are CLOEXEC and do not wait; it holds `size` bytes if the kernel allows. */
int cori_sys_pipe(int fds[2], int size);
/*
 * Moves bytes from a socket to a pipe and from a pipe to a socket; on sockets with O_NONBLOCK only, since others wait.
 * Never raises SIGPIPE. -EINVAL if one of them is not fit for it.
 */
ssize_t cori_sys_splice_in(int fd, int pipe, size_t size);
ssize_t cori_sys_splice_out(int pipe, int fd, size_t size);
/* Moves bytes from where the file `from` is to a socket, in the same way. */
ssize_t cori_sys_sendfile(int fd, int from, size_t size);
/* Datagrams: with the sender, to a receiver (NULL: the connected peer), and several at once. Never SIGPIPE. */
ssize_t cori_sys_recvfrom(int fd, void *buf, size_t size, struct sockaddr *from, socklen_t *len);
ssize_t cori_sys_sendto(int fd, const void *buf, size_t size, const struct sockaddr *to, socklen_t len);
int cori_sys_recvmmsg(int fd, struct mmsghdr *messages, unsigned count);
int cori_sys_sendmmsg(int fd, struct mmsghdr *messages, unsigned count);
int cori_sys_shutdown(int fd, int how);
int cori_sys_setsockopt(int fd, int level, int option, int value);
int cori_sys_setsockopt_bytes(int fd, int level, int option, const void *value, socklen_t size);
int cori_sys_setlinger(int fd, int seconds); /* < 0: off */
int cori_sys_getsockopt(int fd, int level, int option, int *value);
int cori_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int cori_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
/* The address that accept gives: also of a peer that has reset since. `len` is that of the family's addresses. */
int cori_sys_accepted_from(int fd, struct sockaddr *addr, socklen_t len);
/* The process at the other end of a unix stream, as the kernel remembers it. */
typedef struct cori_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
} cori_peer;
int cori_sys_peer(int fd, cori_peer *out);
int cori_sys_dup(int fd);        /* CLOEXEC */
int cori_sys_never_wait(int fd); /* sets O_NONBLOCK, for all who have this open file */
void cori_sys_close(int fd);

/* Which file a path leads to; all 0: none. */
typedef struct cori_file_id {
    uint64_t device, inode;
} cori_file_id;
/* The socket file at `path`, not followed if it is a link; none if it is something else. */
cori_file_id cori_sys_socket_file(const char *path);
/* Removes the socket file at `path` if it still is this one. */
void cori_sys_remove_socket_file(const char *path, cori_file_id file);
/*
 * Locks the folder that `path` is in against others that use this call: a descriptor whose closing unlocks it; -errno,
 * -EAGAIN if it is locked.
 */
int cori_sys_lock_folder(const char *path);
/*
 * Gives the pipe or terminal `fd` an open file description of its own on which calls do not wait; who shares the old
 * one notices nothing. False if there can be none (the controlling side of a pseudo-terminal, no right to open it, no
 * /proc).
 */
bool cori_sys_own_description(int fd);
/* True if calls on the descriptor wait. */
bool cori_sys_is_blocking(int fd);
/* What poll(2) finds now, without waiting: its bits, 0: nothing, -errno. POLLNVAL: no open descriptor. */
int cori_sys_poll(int fd, short events);
/* A descriptor that is readable when one of its members is ready: an epoll instance; -errno. */
int cori_sys_set_new(void);
/* Makes `fd` a member for these events of poll(2); 0: no member any more. 0 or -errno. */
int cori_sys_set_want(int set, int fd, short events);
/* Tells without waiting whether read(2) (or write(2)) on a blocking descriptor would return at once. */
bool cori_sys_ready(int fd, bool for_write);
/* Tells whether a socket is shut down for reading, by either end. */
bool cori_sys_hung_up(int fd);

/* io_uring_register(2), for what the shared library of liburing 2.3 has no call. 0 or -errno. */
int cori_sys_uring_register(int ring_fd, unsigned what, const void *arg, unsigned count);

/* Tells whether mapped pages can be read, without a fault if they cannot. True where the kernel does not know. */
bool cori_sys_readable(void *page, size_t bytes);

#endif

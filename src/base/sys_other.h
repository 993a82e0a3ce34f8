/* SPDX-License-Identifier: MIT */
/*
 * A kernel in place of the real one, for sockets: src/sim/ has a simulated one. While it is set, sockets are made by
 * it, and calls on its descriptors go to it; all others go to the kernel as ever. Its calls behave as the system calls
 * of their names on a non-blocking descriptor, but give -errno, and touch no errno.
 *
 * The real calls pay nothing: the hot ones look at `cori_sys_fault` anyway, which is set whenever this is.
 */
#ifndef CORI_BASE_SYS_OTHER_H
#define CORI_BASE_SYS_OTHER_H

#include "base/platform.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Its descriptors are at and above this number, which no limit of real ones reaches. */
enum { CORI_SYS_OTHER_FD = 1 << 30 };

typedef struct cori_sys_other_ops {
    int (*socket)(int family, int type, int protocol);
    int (*bind)(int fd, const struct sockaddr *addr, socklen_t len);
    int (*listen)(int fd, int backlog);
    int (*accept)(int fd, struct sockaddr *addr, socklen_t *len);
    int (*connect)(int fd, const struct sockaddr *addr, socklen_t len);
    ssize_t (*send)(int fd, const struct msghdr *message);
    ssize_t (*receive)(int fd, struct msghdr *message);
    int (*shutdown)(int fd, int how);
    int (*set_option)(int fd, int level, int option, const void *value, socklen_t len);
    int (*get_option)(int fd, int level, int option, void *value, socklen_t *len);
    int (*name)(int fd, bool peer, struct sockaddr *addr, socklen_t *len); /* getsockname, getpeername */
    int (*dup)(int fd);
    void (*close)(int fd);
    int (*poll)(int fd, short events); /* bits of poll(2) */
    /*
     * The addresses of a host, IPv4 in its mapped form: their number, `max` at most, or an error of a lookup; and how
     * long the answer takes. There are no files and name servers then.
     */
    int (*look_up)(const char *name, struct in6_addr *list, int max, int64_t *after_ns);
} cori_sys_other_ops;

/* NULL: there is none. Set only while no cor_run is active. */
extern const cori_sys_other_ops *cori_sys_other;

/* True for its descriptors. */
static inline bool cori_sys_is_other(int fd)
{
    return cori_unlikely(fd >= CORI_SYS_OTHER_FD) && cori_sys_other != NULL;
}

#endif
